"""Step 6: cookie -> login row in this tenant's database -> ``current.user``.

Flask-Login is the glue that offers ``current_user`` and nothing more: its cookies, its session keys, its remember-me
and its reading of X-Forwarded-For are never run, for they know no tenants.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from flask import Flask, request
from flask_login import AnonymousUserMixin, LoginManager
from flask_login.utils import _user_context_processor
from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from extranet.accounts.logins import IDLE_LIFE
from extranet.i18n import best_language, use_language
from extranet.models import Company, Login, User, UserState
from extranet.models.base import utc_now
from extranet.models.login import hash_secret
from extranet.request import cookies, pages
from extranet.request.cookies import start_session
from extranet.request.current import current
from extranet.request.state import Kind, State
from extranet.request.user import USER_COLUMNS, SignedIn
from extranet.security_log.events import Event
from extranet.security_log.operations import record

# Writing "last seen" with each request would make every page a write.
_LAST_SEEN_EVERY = timedelta(seconds=60)

_login, _user, _company = Login.__table__.c, User.__table__.c, Company.__table__.c

# Plain columns in one query: building two mapped objects costs three times as much.
_FIND = (
    select(
        # In the order of SignedIn's fields.
        *(_user[name] for name in USER_COLUMNS),
        _login.id,
        _login.browser_id,
        _login.last_seen_at,
        _login.expires_at,
        _company.accent_hue,
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
    if state.user is None:
        use_language(best_language(request.accept_languages.values(), pages.company_look().language))


def recognise() -> bool:
    """Find out who is asking when an earlier step has refused the request; say whether somebody is signed in."""
    cookies.read()
    find()
    return current.is_signed_in


def _find_user(state: State) -> None:
    row = current.db.execute(_FIND, {"secret_hash": hash_secret(current.cookie.secret)}).one_or_none()
    if row is None:
        start_session(Kind.ANONYMOUS)
        return
    found = SignedIn(*row)
    now = utc_now()
    if found.expires_at <= now or found.last_seen_at + IDLE_LIFE <= now:
        _write(lambda db: _expire(db, found))
        start_session(Kind.ANONYMOUS)
        return
    state.user = found
    state.accent = found.accent_hue
    use_language(found.language)
    if now - found.last_seen_at > _LAST_SEEN_EVERY:
        _write(lambda db: db.execute(update(Login).where(Login.id == found.login_id).values(last_seen_at=now)))


def _expire(db: Session, found: SignedIn) -> None:
    login = db.get_one(Login, found.login_id)
    if login.ended_at is None:
        login.ended_at = utc_now()
        login.end_reason = "expired"
        record(db, Event.LOGIN_EXPIRED, current.origin, actor=found.id, details={"login": found.login_id})


def _write(change: Any) -> None:
    """Change something beside the view's own work, in a transaction that its failure does not undo."""
    if current.state.writes:
        change(current.db)
        current.db.commit()
        return
    with current.aside() as db:
        change(db)
