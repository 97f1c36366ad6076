"""Step 6: cookie -> login row in this tenant's database -> ``current.user``.

Flask-Login is the glue that offers ``current_user`` and nothing more: its cookies, its session keys, its remember-me
and its reading of X-Forwarded-For are never run, for they know no tenants.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from flask import Flask, request
from flask_login import AnonymousUserMixin, LoginManager
from flask_login.utils import _user_context_processor
from sqlalchemy import bindparam, exists, func, literal_column, or_, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.limits import noted_limits, reserve_all
from extranet.i18n import best_language, use_language
from extranet.models import Company, Login, Passkey, SupportGrant, Totp, User, UserState
from extranet.models.base import UtcDateTime, utc_now
from extranet.models.login import hash_secret
from extranet.request import cookies, pages, visit
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.events import write_beside
from extranet.request.state import Kind, State
from extranet.request.user import USER_COLUMNS, SignedIn
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import printable
from tenants.errors import TenantUnavailable

# Writing "last seen" with each request would make every page a write.
_LAST_SEEN_EVERY = timedelta(seconds=60)

_login, _user, _company, _grant = Login.__table__.c, User.__table__.c, Company.__table__.c, SupportGrant.__table__.c

_has_app = exists().where(Totp.user_id == _user.id, Totp.confirmed_at.is_not(None))
_has_passkey = exists().where(Passkey.user_id == _user.id)
_support_until = (
    select(func.max(_grant.expires_at))
    .where(_grant.expires_at > bindparam("now", type_=UtcDateTime()), _grant.ended_at.is_(None))
    .scalar_subquery()
)

# Plain columns in one query: building two mapped objects costs three times as much.
_FIND = (
    select(
        # In the order of SignedIn's fields.
        *(_user[name] for name in USER_COLUMNS),
        _login.id,
        _login.browser_id,
        _login.last_seen_at,
        _login.expires_at,
        _login.proved_at,
        _login.factors,
        _login.user_agent,
        _company.idle_minutes,
        # No query of its own: each looks one index up.
        or_(_has_app, _has_passkey),
        _company.second_factor,
        _company.second_factor_from,
        _company.accent_hue,
        _company.logo,
        _support_until,
    )
    .select_from(
        Login.__table__.join(User.__table__, _login.user_id == _user.id).join(Company.__table__, literal_column("1=1"))
    )
    .where(_login.ended_at.is_(None), _user.state == UserState.ACTIVE, _login.secret_hash == bindparam("secret_hash"))
)


class Glue(LoginManager):  # type: ignore[misc]
    """Answers ``current_user`` from the request's own state."""

    def _load_user(self) -> None:
        state = current.state
        self._update_request_context_with_user(state.user or AnonymousUserMixin())


def init_app(app: Flask) -> None:
    """Install the glue by hand: Flask-Login's own init_app would also install its remember-me cookie."""
    app.login_manager = Glue()  # type: ignore[attr-defined]
    app.context_processor(_user_context_processor)


def find() -> None:
    """Set ``current.user`` when the cookie's secret is that of a living login."""
    state = current.state
    if state.tenant is None:
        return
    if current.cookie.kind is Kind.LOGIN:
        _find_user(state)
    elif current.cookie.kind is Kind.SUPPORT:
        visit.find(state)
        if state.user is None:
            start_session(Kind.ANONYMOUS, notice=pages.VISIT_OVER)
    if state.user is None:
        use_language(best_language(request.accept_languages.values(), pages.company_look().language))


def recognise() -> bool:
    """Find out who is asking when an earlier step has refused the request; say whether somebody is signed in.

    Not so support: what it may open is asked in a step that has not come.
    """
    cookies.read()
    find()
    return current.is_signed_in and current.user.visit is None


def _find_user(state: State) -> None:
    now = utc_now()
    row = _row_of_login(now)
    if row is None:
        start_session(Kind.ANONYMOUS)
        return
    found = SignedIn(*row)
    if found.expires_at <= now or found.last_seen_at + timedelta(minutes=found.idle_minutes) <= now:
        write_beside(lambda db: _expire(db, found))
        start_session(Kind.ANONYMOUS)
        return
    agent = printable(current.client.user_agent)
    is_doubtful = agent != found.user_agent and describe_browser(agent) != describe_browser(found.user_agent)
    if is_doubtful:
        found = replace(found, proved_at=None, user_agent=agent)
        write_beside(lambda db: _doubt(db, found))
    is_noted = now - found.last_seen_at > _LAST_SEEN_EVERY
    if is_noted:
        _note_seen(found, now)
    # That was committed, which lets go of the lock: whoever waited for it may have ended this very login.
    if state.writes and (is_doubtful or is_noted) and _row_of_login(now) is None:
        start_session(Kind.ANONYMOUS)
        return
    state.user = found
    state.accent, state.logo = found.accent_hue, found.logo
    use_language(found.language)


def _row_of_login(now: datetime) -> Sequence[Any] | None:
    asked = {"secret_hash": hash_secret(current.cookie.secret), "now": now}
    return current.db.execute(_FIND, asked).one_or_none()


def _note_seen(found: SignedIn, now: datetime) -> None:
    """Write that this login is in use, unless the database takes no writes: then a page is worth more than the note."""
    seen = update(Login).where(Login.id == found.login_id).values(last_seen_at=now)
    # One of the next pages writes it.
    refused = () if current.state.writes else (DBAPIError, TenantUnavailable)
    with suppress(*refused):
        write_beside(lambda db: db.execute(seen))


def _expire(db: Session, found: SignedIn) -> None:
    login = db.get_one(Login, found.login_id)
    if login.ended_at is None:
        login.ended_at = utc_now()
        login.end_reason = "expired"
        record(db, Event.LOGIN_EXPIRED, current.origin, actor=found.id, details={"login": found.login_id})


def _doubt(db: Session, found: SignedIn) -> None:
    """Note that a login goes on in what calls itself another browser: what is sensitive wants proof again.

    It does not end: browsers are updated, and phones pretend to be computers.
    """
    db.execute(update(Login).where(Login.id == found.login_id).values(proved_at=None, user_agent=found.user_agent))
    if reserve_all(db, noted_limits(db.info["keys"], f"moved/{found.id}"), int(time.time())) == 0:
        origin = replace(current.origin, browser_ref=found.browser_id, login_ref=found.login_id)
        record(db, Event.LOGIN_MOVED, origin, actor=found.id, details={"login": found.login_id})
