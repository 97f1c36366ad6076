"""Preferences > Company: the registration, which administrators edit and everybody reads."""

from __future__ import annotations

from typing import Any

from flask import make_response, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from extranet.i18n import gettext as _
from extranet.models import Company, CompanyVersion, Role, User
from extranet.models.company import THE_COMPANY
from extranet.preferences import choices, operations
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import CompanyForm
from extranet.preferences.versions import Version, unpack
from extranet.request import pages
from extranet.request.access import for_support, requires
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.support.finding import names_of_support

_SHOWN_VERSIONS = 20


@blueprint.get("/company")
@for_support
def company() -> Response:
    """Show the registration."""
    return _page(CompanyForm.of(_stored()))


@blueprint.post("/company")
@requires(Role.ADMIN)
@for_support
def change_company() -> Response:
    """Save the registration."""
    form = CompanyForm(request.form)
    if not form.validate():
        return _page(form, 422)
    if form.is_overtaken_by(_stored()):
        return _page(form, 409)
    operations.change_company(current.db, current.user.id, form.values, current.origin)
    change_session(notice=pages.SAVED)
    return redirect(url_for("preferences.company"), 303)


def _stored() -> dict[str, Any]:
    record = current.db.get_one(Company, THE_COMPANY)
    return {name: getattr(record, name) for name in CompanyForm().values}


def _page(form: CompanyForm, status: int = 200) -> Response:
    html = pages.render("preferences/company.html", form=form, can_edit=_can_edit(), versions=_versions(form))
    return make_response(html, status)


def _can_edit() -> bool:
    return current.user.is_admin and current.user.may_change


def _versions(form: CompanyForm) -> list[Version]:
    with_names = select(CompanyVersion, User.first_name, User.last_name)
    # Whoever of support changed it has no account here.
    with_names = with_names.outerjoin(User, User.id == CompanyVersion.changed_by)
    rows = current.db.execute(with_names.order_by(CompanyVersion.at.desc()).limit(_SHOWN_VERSIONS)).all()
    support = names_of_support(current.db, [row[0].changed_by for row in rows])
    labels = {field.name: field.label.text for field in form} | {"welcome": _("Welcome text")}
    shown = {"sector": choices.SECTORS, "country": choices.countries()}
    return [
        Version(
            version.at,
            f"{first_name} {last_name}" if first_name is not None else support.get(version.changed_by, ""),
            unpack(version.changes, labels, shown),
        )
        for version, first_name, last_name in rows
    ]
