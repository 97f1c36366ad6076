"""Preferences > Sessions and devices: where one is signed in, and which browsers are known."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask import redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.accounts import logins
from extranet.accounts.browsers import describe_browser
from extranet.errors import Invalid
from extranet.models import Company, User
from extranet.models.company import THE_COMPANY
from extranet.preferences.blueprint import blueprint
from extranet.preferences.forms import BrowserMailForm
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session, start_session
from extranet.request.current import current
from extranet.request.state import Kind


@dataclass(frozen=True, slots=True)
class ShownLogin:
    """A login as the page shows it."""

    id: str
    is_current: bool
    browser: str
    address: str
    started_at: datetime
    last_seen_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefusedName:
    """A browser's new name as it was typed, and what is wrong with it."""

    typed: str
    message: str


@blueprint.get("/sessions")
def sessions() -> str:
    """Show logins and known browsers."""
    return _page()


@blueprint.post("/sessions/<login_id>/end")
@sensitive
@form_on("preferences.sessions")
def end_login(login_id: str) -> Response:
    """Sign one of one's own browsers out."""
    logins.end_login(current.db, current.user.id, login_id, current.origin)
    return _done(pages.LOGIN_ENDED)


@blueprint.post("/sessions/end-others")
@sensitive
@form_on("preferences.sessions")
def end_other_logins() -> Response:
    """Sign out everywhere but here."""
    logins.end_other_logins(current.db, current.user.id, current.user.login_id, current.origin)
    return _done(pages.LOGINS_ENDED)


@blueprint.post("/browsers/<browser_id>/rename")
def rename_browser(browser_id: str) -> Response | tuple[str, int]:
    """Give a known browser a name."""
    typed = request.form.get("name", "")
    try:
        logins.rename_browser(current.db, current.user.id, browser_id, typed, current.origin)
    except Invalid as refused:
        return _page({browser_id: RefusedName(typed, refused.message)}), 422
    return _done(pages.BROWSER_RENAMED)


@blueprint.post("/browsers/<browser_id>/forget")
@sensitive
@form_on("preferences.sessions")
def forget_browser(browser_id: str) -> Response:
    """Stop recognising a browser; its logins end, this one too if it is the one in use."""
    logins.forget_browser(current.db, current.user.id, browser_id, current.origin)
    if browser_id == current.user.browser_id:
        start_session(Kind.ANONYMOUS, notice=pages.BROWSER_FORGOTTEN)
        response = redirect(url_for("accounts.login"), 303)
        response.headers["Clear-Site-Data"] = '"cache"'
        return response
    return _done(pages.BROWSER_FORGOTTEN)


def _done(notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for("preferences.sessions"), 303)


def _page(refused_names: dict[str, RefusedName] | None = None) -> str:
    user = current.user
    return pages.render(
        "preferences/sessions.html",
        logins=[
            ShownLogin(
                login.id,
                login.id == user.login_id,
                describe_browser(login.user_agent),
                login.address,
                login.started_at,
                login.last_seen_at,
                login.expires_at,
            )
            for login in logins.active_logins(current.db, user.id)
        ],
        browsers=logins.known_browsers(current.db, user.id),
        refused_names=refused_names or {},
        browser_mail=_browser_mail(),
    )


def _browser_mail() -> BrowserMailForm | None:
    """Return the choice, when the company leaves it to its people."""
    if current.db.get_one(Company, THE_COMPANY).forces_browser_mail:
        return None
    wanted = current.db.get_one(User, current.user.id).wants_browser_mail
    return BrowserMailForm(data={"wants_browser_mail": wanted})
