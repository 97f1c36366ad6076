"""What all ways of signing in answer alike: the sign-in page, a login that has begun, and "please wait"."""

from __future__ import annotations

from flask import make_response, redirect, request
from werkzeug.wrappers import Response

from extranet.accounts.forms import LoginForm
from extranet.accounts.logins import StartedLogin, sign_out
from extranet.errors import NoSlot, TooManyAttempts
from extranet.factors.passkeys import host_of
from extranet.i18n import ngettext
from extranet.request import pages
from extranet.request.cookies import remember_device, start_session
from extranet.request.current import current
from extranet.request.paths import local_path
from extranet.request.state import Kind
from extranet.single_sign_on.provider import provider_of
from tenants.hosts import parse_host


def login_page(form: LoginForm, status: int = 200, retry_after: int = 0) -> Response:
    """Show the sign-in page."""
    page = pages.render(
        "accounts/login.html",
        form=form,
        next=asked_for(),
        passkeys_work=passkeys_work(),
        sign_on=provider_of(current.db),
    )
    return with_retry_after(make_response(page, status), retry_after)


def let_in(started: StartedLogin, notice: int = 0) -> Response:
    """Give the browser its login and lead on to the page that was asked for."""
    end_login_in_use()
    start_session(Kind.LOGIN, started.secret, notice=notice)
    remember_device(started.device)
    return redirect(local_path(asked_for()), 303)


def asked_for() -> str:
    """Return the path somebody wanted before they had to sign in; "" when they came by themselves."""
    return request.args.get("next", "")


def end_login_in_use() -> None:
    """End the login this browser comes with, if any."""
    if current.is_signed_in:
        sign_out(current.db, current.user.id, current.user.login_id, current.origin)


def please_wait(refused: TooManyAttempts) -> str:
    """Return what somebody reads who has tried too often."""
    minutes = max(1, -(-refused.retry_after // 60))
    return ngettext(
        "Too many attempts. Please wait a minute and try again.",
        "Too many attempts. Please wait %(num)s minutes and try again.",
        minutes,
    )


def come_back(refused: NoSlot) -> str:
    """Return what somebody reads who found no place among many, and when their turn is."""
    return ngettext(
        "Many people are signing in at this moment. Please try again in %(num)s second.",
        "Many people are signing in at this moment. Please try again in %(num)s seconds.",
        refused.retry_after,
    )


def with_retry_after(response: Response, seconds: int) -> Response:
    """Say in a header too when to try again."""
    if seconds:
        response.headers["Retry-After"] = str(seconds)
    return response


def passkeys_work() -> bool:
    """Tell whether passkeys work at the host at hand: not at a customer's own name for it, which they are not for."""
    return parse_host(request.environ["HTTP_HOST"]) == host_of(current.db)
