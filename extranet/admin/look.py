"""Administration > Company look: logo, colour and welcome, which strangers see on the sign-in page."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.forms import LogoForm, LookForm
from extranet.admin.settings_operations import change_logo as change
from extranet.admin.settings_operations import change_look
from extranet.errors import Invalid
from extranet.models import Company
from extranet.models.company import THE_COMPANY
from extranet.preferences.pictures import LARGEST_BYTES, make_logo, too_large
from extranet.request import pages
from extranet.request.access import for_support
from extranet.request.body import accepts_upload
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event
from extranet.security_log.origin import printable

__all__ = ["too_large"]

_UPLOAD_LIMIT = LARGEST_BYTES + 64 * 1024


@blueprint.get("/look")
@for_admins
@for_support
def look() -> Response:
    """Show the look."""
    return _page(LookForm.of(_stored()), LogoForm())


@blueprint.post("/look")
@for_admins
@for_support
def save_look() -> Response:
    """Change the colour and the welcome."""
    form = LookForm(request.form)
    if not form.validate():
        return _page(form, LogoForm(), 422)
    if form.is_overtaken_by(_stored()):
        return _page(form, LogoForm(), 409)
    change_look(current.db, form.values, current.origin, current.user.id)
    change_session(notice=pages.SAVED)
    return redirect(url_for("admin.look"), 303)


@blueprint.post("/look/logo")
@for_admins
@accepts_upload(_UPLOAD_LIMIT)
def change_logo() -> Response:
    """Store a new logo."""
    upload = request.files.get("logo")
    try:
        picture = make_logo(upload.read(LARGEST_BYTES + 1) if upload else b"")
    except Invalid as refused:
        return refuse_logo(refused.message, upload.filename or "" if upload else "")
    return _replace_logo(current.files.store(picture), pages.LOGO_CHANGED)


@blueprint.post("/look/logo/remove")
@for_admins
def remove_logo() -> Response:
    """Go back to the company's initials."""
    return _replace_logo("", pages.LOGO_REMOVED)


def refuse_logo(message: str, filename: str, status: int = 422) -> Response:
    """Say beside the field what is wrong with a file."""
    current.db.rollback()
    note(Event.UPLOAD_REFUSED, details={"file": printable(filename, 100)})
    logo_form = LogoForm()
    logo_form.reject("logo", message)
    return _page(LookForm.of(_stored()), logo_form, status)


def _replace_logo(name: str, notice: int) -> Response:
    replaced = change(current.db, name, current.origin, current.user.id)
    current.db.commit()
    # Only once the new one is safe: a crash in between leaves a file too many, never a logo too few.
    if replaced:
        current.files.remove(replaced)
    change_session(notice=notice)
    return redirect(url_for("admin.look"), 303)


def _stored() -> dict[str, Any]:
    company = current.db.get_one(Company, THE_COMPANY)
    return {name: getattr(company, name) for name in LookForm().values}


def _page(form: LookForm, logo_form: LogoForm, status: int = 200) -> Response:
    return make_response(pages.render("admin/look.html", form=form, logo_form=logo_form), status)
