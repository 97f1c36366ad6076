"""Preferences > Profile > e-mail address: ask for another one, wait for it to be confirmed, or keep the old."""

from __future__ import annotations

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts import new_addresses
from extranet.errors import Invalid, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import EmailForm
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current


@blueprint.get("/email")
@sensitive
def email() -> Response:
    """Show the address, and the one it is being changed to."""
    return _page(EmailForm())


@blueprint.post("/email")
@sensitive
@form_on("preferences.email")
def change_email() -> Response:
    """Mail a link to the new address and a word of warning to the old."""
    form = EmailForm(request.form)
    if not form.validate():
        return _page(form, 422)
    try:
        new_addresses.ask_new_address(current.db, current.user.id, form.email.data or "", current.origin)
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _page(form, 422)
    except TooManyAttempts:
        form.reject("email", _("You asked for several addresses today. Please go on tomorrow."))
        return _page(form, 429)
    return _done(pages.EMAIL_ASKED)


@blueprint.post("/email/cancel")
@sensitive
@form_on("preferences.email")
def cancel_email() -> Response:
    """Keep the old address."""
    new_addresses.cancel_new_address(current.db, current.user.id, current.origin)
    return _done(pages.EMAIL_KEPT)


def _done(notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for("preferences.email"), 303)


def _page(form: EmailForm, status: int = 200) -> Response:
    awaited = new_addresses.awaited_address(current.db, current.user.id)
    return make_response(pages.render("preferences/email.html", form=form, awaited=awaited), status)
