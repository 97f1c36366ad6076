"""Signing in and out, and accepting an invitation."""

from __future__ import annotations

from flask import Blueprint, make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts import invitations
from extranet.accounts.entering import asked_for, come_back, end_login_in_use, let_in, login_page, please_wait
from extranet.accounts.forms import InvitationForm, LoginForm
from extranet.accounts.logins import StartedLogin
from extranet.accounts.sign_in import Attempt, sign_in
from extranet.errors import Invalid, InvitationRefused, NoSlot, SignInRefused, TooManyAttempts
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.access import for_support, public
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.request.paths import local_path
from extranet.request.state import Kind
from extranet.security_log.events import Event
from extranet.single_sign_on.provider import provider_of

blueprint = Blueprint("accounts", __name__)


@blueprint.get("/login")
@public
@for_support
def login() -> Response:
    """Show the sign-in page."""
    if current.is_signed_in:
        return redirect(local_path(asked_for()), 303)
    return login_page(LoginForm())


@blueprint.post("/login")
@public
def sign_in_now() -> Response:
    """Sign in."""
    form = LoginForm(request.form)
    if not form.validate():
        return login_page(form, 422)
    attempt = Attempt(form.username.data or "", form.password.data or "", current.state.device)
    passwords = current.platform.passwords
    try:
        # In a crowd most have none, and are told at once: before the database, to which all of them want to write.
        with passwords.place():
            welcomed = sign_in(current.db, passwords, current.platform.addresses, attempt, current.origin)
    except SignInRefused:
        form.reject("", _("That name and password do not open an account here."))
        return login_page(form, 422)
    except TooManyAttempts as refused:
        form.reject("", please_wait(refused))
        return login_page(form, 429, refused.retry_after)
    except NoSlot as refused:
        current.write_nothing()
        form.reject("", come_back(refused))
        return login_page(form, 503, refused.retry_after)
    if isinstance(welcomed, StartedLogin):
        return let_in(welcomed)
    end_login_in_use()
    start_session(Kind.PENDING, welcomed.secret)
    return redirect(url_for("factors.second_step_page", next=asked_for() or None), 303)


@blueprint.post("/logout")
@public
def logout() -> Response:
    """End the login in use. Works, and says so, for a login that has already ended."""
    end_login_in_use()
    start_session(Kind.ANONYMOUS, notice=pages.SIGNED_OUT)
    response = redirect(url_for("accounts.login"), 303)
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


@blueprint.get("/invitation/<token>")
@public
def open_invitation(token: str) -> Response:
    """Take the token out of the address bar, where it would linger in histories, into the sealed cookie."""
    if current.is_signed_in:
        return _bare("accounts/invitation_signed_in.html")
    try:
        invitations.find_invited(current.db, token)
    except InvitationRefused:
        return _refuse_invitation()
    start_session(Kind.INVITATION, invitations.token_bytes(token))
    response = redirect(url_for("accounts.invitation"), 303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@blueprint.get("/invitation")
@public
def invitation() -> Response:
    """Show the form that sets the first password."""
    return _invitation_page(InvitationForm())


@blueprint.post("/invitation")
@public
def accept_invitation() -> Response:
    """Set the first password."""
    form = InvitationForm(request.form)
    if not form.validate():
        return _invitation_page(form, 422)
    try:
        invitations.accept_invitation(
            current.db, current.platform.passwords, _carried_token(), form.password.data or "", current.origin
        )
    except Invalid as refused:
        form.reject(refused.field, refused.message)
        return _invitation_page(form, 422)
    except InvitationRefused:
        return _refuse_invitation()
    except NoSlot:
        form.reject("", _("The server is very busy. Please try again in a few seconds."))
        return _invitation_page(form, 503)
    start_session(Kind.ANONYMOUS, notice=pages.PASSWORD_SET)
    return redirect(url_for("accounts.login"), 303)


def _invitation_page(form: InvitationForm, status: int = 200) -> Response:
    try:
        person = invitations.find_invited(current.db, _carried_token())
    except InvitationRefused:
        return _refuse_invitation()
    return _bare("accounts/invitation.html", status, form=form, person=person, sign_on=provider_of(current.db))


def _refuse_invitation() -> Response:
    current.db.rollback()
    note(Event.INVITATION_REFUSED, details={})
    return _bare("accounts/invitation_refused.html", 410)


def _bare(template: str, status: int = 200, **values: object) -> Response:
    response = make_response(pages.render(template, **values), status)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _carried_token() -> str:
    if current.cookie.kind is not Kind.INVITATION:
        raise InvitationRefused("This browser carries no invitation.")
    return invitations.token_text(current.cookie.secret)
