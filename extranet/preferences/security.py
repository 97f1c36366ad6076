"""Preferences > Security: the password, and what there is besides it."""

from __future__ import annotations

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts.operations import change_password as change
from extranet.errors import Invalid, NoSlot, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import PasswordForm
from extranet.preferences.security_page import security_page
from extranet.request import pages
from extranet.request.access import while_password_expired
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.state import Kind


@blueprint.get("/security")
@while_password_expired
def security() -> Response:
    """Show what somebody proves who they are with."""
    return _page(PasswordForm())


@blueprint.post("/security")
@while_password_expired
def change_password() -> Response:
    """Change the password; this login goes on under a new secret, all others end."""
    form = PasswordForm(request.form)
    if not form.validate():
        return _page(form, 422)
    try:
        secret = change(
            current.db,
            current.platform.passwords,
            current.user.id,
            form.current.data or "",
            form.new.data or "",
            login_id=current.user.login_id,
            origin=current.origin,
        )
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _page(form, 422)
    except TooManyAttempts:
        form.reject("current", _("Too many attempts. Please wait a quarter of an hour and try again."))
        return _page(form, 429)
    except NoSlot:
        form.reject("", _("The server is very busy. Please try again in a few seconds."))
        return _page(form, 503)
    was_reported = current.user.must_change_password
    notice = pages.PASSWORD_CHANGED_AFTER_REPORT if was_reported else pages.PASSWORD_CHANGED
    start_session(Kind.LOGIN, secret, notice=notice)
    return redirect(url_for("preferences.security"), 303)


def _page(form: PasswordForm, status: int = 200) -> Response:
    return security_page(status, form=form)
