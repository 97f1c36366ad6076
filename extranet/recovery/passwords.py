"""A forgotten password: asking for a link, and choosing another one with it."""

from __future__ import annotations

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts import recovery
from extranet.errors import Invalid, LinkRefused, NoSlot
from extranet.i18n import gettext as _
from extranet.models import LinkPurpose
from extranet.recovery.blueprint import blueprint
from extranet.recovery.carried import carried_token, leave_to_sign_in, open_link, page, refuse_link
from extranet.recovery.forms import ForgottenForm, ResetForm
from extranet.request import pages
from extranet.request.access import public
from extranet.request.current import current


@blueprint.get("/forgotten")
@public
def forgotten() -> Response:
    """Show the form that asks for a link."""
    return page("recovery/forgotten.html", form=ForgottenForm())


@blueprint.post("/forgotten")
@public
def ask_reset() -> Response:
    """Mail a link if there is such an account; the answer is the same when there is not, or not now."""
    form = ForgottenForm(request.form)
    if not form.validate():
        return page("recovery/forgotten.html", 422, form=form)
    recovery.ask_reset(current.db, current.platform.addresses, form.username.data or "", current.origin)
    return redirect(url_for("recovery.sent"), 303)


@blueprint.get("/forgotten/sent")
@public
def sent() -> Response:
    """Say where to look for the link."""
    return page("recovery/sent.html")


@blueprint.get("/reset/<token>")
@public
def open_reset(token: str) -> Response:
    """Take the token out of the address."""
    return open_link(LinkPurpose.RESET, token, "recovery.reset")


@blueprint.get("/reset")
@public
def reset() -> Response:
    """Show the form for a new password."""
    return _reset_page(ResetForm())


@blueprint.post("/reset")
@public
def reset_now() -> Response:
    """Set the new password. It signs nobody in."""
    form = ResetForm(request.form)
    if not form.validate():
        return _reset_page(form, 422)
    try:
        recovery.reset_password(
            current.db, current.platform.passwords, carried_token(), form.password.data or "", current.origin
        )
    except LinkRefused:
        return refuse_link(LinkPurpose.RESET)
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _reset_page(form, 422)
    except NoSlot:
        form.reject("", _("The server is very busy. Please try again in a few seconds."))
        return _reset_page(form, 503)
    return leave_to_sign_in(pages.PASSWORD_RESET)


def _reset_page(form: ResetForm, status: int = 200) -> Response:
    try:
        person = recovery.find_resetting(current.db, carried_token())
    except LinkRefused:
        return refuse_link(LinkPurpose.RESET)
    return page("recovery/reset.html", status, form=form, person=person)
