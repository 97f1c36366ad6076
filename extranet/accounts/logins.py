"""Logins and known browsers: starting, listing and ending them."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Row, bindparam, delete, select, update
from sqlalchemy.orm import Session

from extranet.accounts.devices import recognise
from extranet.accounts.links import end_links
from extranet.accounts.notices import tell_new_browser
from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, NotFound
from extranet.i18n import gettext as _
from extranet.models import Company, KnownBrowser, LinkPurpose, Login, PendingSignIn, SupportVisit, User
from extranet.models.base import new_id, utc_now
from extranet.models.company import THE_COMPANY
from extranet.models.login import hash_secret
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import EVERYBODY, Origin, printable

ABSOLUTE_LIFE = timedelta(hours=12)
_MOST_LOGINS = 20
_LONGEST_BROWSER_NAME = 60

# Plain columns, built once: the home page asks this each time.
_login = Login.__table__.c
_EARLIER = (
    select(_login.started_at, _login.address, _login.user_agent)
    .where(_login.user_id == bindparam("user_id"), _login.id != bindparam("but"))
    .order_by(_login.started_at.desc())
    .limit(1)
)
_IDLE_MINUTES = select(Company.idle_minutes).where(Company.id == THE_COMPANY)
_ACTIVE = (
    select(Login)
    .where(
        Login.user_id == bindparam("user_id"),
        Login.ended_at.is_(None),
        Login.expires_at > bindparam("now"),
        Login.last_seen_at > bindparam("seen"),
    )
    .order_by(Login.last_seen_at.desc())
)
_SURPLUS = _ACTIVE.offset(_MOST_LOGINS - 1)


@dataclass(frozen=True, slots=True)
class StartedLogin:
    """What a browser gets after signing in: the login's secret and the device's id, for its two cookies."""

    user_id: str
    login_id: str
    browser_id: str
    secret: bytes
    device: bytes


def start_login(
    db: Session,
    user: User,
    device: bytes,
    origin: Origin,
    factors: Sequence[str] = ("password",),
    *,
    is_proved: bool = True,
) -> StartedLogin:
    """Start a login for a user who has proved who they are. ``device`` is b"" for a browser never seen.

    Not ``is_proved``: they did so some time ago and elsewhere, and do it again before what is sensitive.
    """
    now = utc_now()
    _end_surplus(db, user, origin)
    recognised = recognise(db, user, device, origin)
    browser = recognised.browser
    secret, login_id = secrets.token_bytes(32), new_id()
    user.last_sign_in_at = now
    db.add(
        Login(
            id=login_id,
            secret_hash=hash_secret(secret),
            user_id=user.id,
            browser_id=browser.id,
            started_at=now,
            last_seen_at=now,
            expires_at=now + ABSOLUTE_LIFE,
            address=origin.address,
            user_agent=printable(origin.user_agent),
            factors=",".join(factors),
            proved_at=now if is_proved else None,
        )
    )
    end_links(db, user.id, "signed_in", LinkPurpose.RESET)
    if recognised.is_new:
        tell_new_browser(db, user, browser, origin)
        record(db, Event.NEW_BROWSER, origin, actor=user.id, details={"browser": browser.id})
    return StartedLogin(user.id, login_id, browser.id, secret, recognised.device)


def active_logins(db: Session, user_id: str) -> Sequence[Login]:
    """Return a user's living logins, the latest used first."""
    return db.scalars(_ACTIVE, _alive_now(db, user_id)).all()


def last_sign_in(db: Session, user_id: str, *, but: str) -> Row[datetime, str, str] | None:
    """Return when and from where somebody last signed in before the login in use; None at the first sign-in."""
    return db.execute(_EARLIER, {"user_id": user_id, "but": but}).one_or_none()


def known_browsers(db: Session, user_id: str) -> Sequence[KnownBrowser]:
    """Return the browsers that are still recognised for a user, the latest used first."""
    alive = select(KnownBrowser).where(
        KnownBrowser.user_id == user_id, KnownBrowser.forgotten_at.is_(None), KnownBrowser.expires_at > utc_now()
    )
    return db.scalars(alive.order_by(KnownBrowser.last_seen_at.desc())).all()


def end_login(db: Session, user_id: str, login_id: str, origin: Origin) -> None:
    """End one of a user's own logins; raise NotFound."""
    login = db.scalars(select(Login).where(Login.id == login_id, Login.user_id == user_id)).one_or_none()
    if login is None:
        raise NotFound("No such login.")
    if login.ended_at is None:
        _end(login, "ended")
        note_change(db, Change.LOGIN_ENDED, actor=user_id, subject=user_id, after={"logins_ended": 1})
        record(db, Event.LOGIN_ENDED, origin, actor=user_id, details={"login": login.id})


def end_logins(db: Session, user_id: str, reason: str, *, but: str = "") -> int:
    """End all of a user's living logins except one; return how many ended."""
    count = sum(login.id != but for login in active_logins(db, user_id))
    _end_all(db, reason, Login.user_id == user_id, Login.id != but)
    # A password that was right and waits for the second step would become a login after all.
    db.execute(delete(PendingSignIn).where(PendingSignIn.user_id == user_id))
    return count


def end_other_logins(db: Session, user_id: str, current_login_id: str, origin: Origin) -> int:
    """End every login of a user but the one in use."""
    count = end_logins(db, user_id, "ended", but=current_login_id)
    note_change(db, Change.LOGIN_ENDED, actor=user_id, subject=user_id, after={"logins_ended": count})
    record(db, Event.LOGIN_ENDED, origin, actor=user_id, details={"others": count})
    return count


def end_all_logins(db: Session, origin: Origin, actor: str) -> int:
    """End every login of the tenant; return how many ended."""
    alive = db.scalars(select(Login).where(Login.ended_at.is_(None), Login.expires_at > utc_now())).all()
    for login in alive:
        _end(login, "operator")
    db.execute(delete(PendingSignIn))
    visits = update(SupportVisit).where(SupportVisit.ended_at.is_(None))
    db.execute(visits.values(ended_at=utc_now(), end_reason="operator"))
    note_change(db, Change.ALL_SIGNED_OUT, actor=actor, subject=EVERYBODY, after={"logins_ended": len(alive)})
    record(db, Event.ALL_SIGNED_OUT, origin, actor=actor, details={"count": len(alive)})
    return len(alive)


def sign_out(db: Session, user_id: str, login_id: str, origin: Origin) -> None:
    """End the login in use."""
    login = db.get(Login, login_id)
    if login is not None and login.user_id == user_id and login.ended_at is None:
        _end(login, "signed_out")
        record(db, Event.SIGNED_OUT, origin, actor=user_id, details={"login": login_id})


def confirm_login(db: Session, user_id: str, login_id: str) -> bytes:
    """Note that the owner of the login in use has just proved who they are; return its new secret.

    Raises NotFound when it ended meanwhile.
    """
    secret = secrets.token_bytes(32)
    mine = (Login.id == login_id) & (Login.user_id == user_id) & Login.ended_at.is_(None)
    renewed = update(Login).where(mine).values(secret_hash=hash_secret(secret), proved_at=utc_now())
    if db.execute(renewed).rowcount != 1:  # type: ignore[attr-defined]
        raise NotFound("No such login.")
    return secret


def renew_secret(db: Session, login_id: str) -> bytes:
    """Give the login in use a new secret, so that a copy of the old cookie opens nothing. Return it."""
    secret = secrets.token_bytes(32)
    db.get_one(Login, login_id).secret_hash = hash_secret(secret)
    return secret


def rename_browser(db: Session, user_id: str, browser_id: str, name: str, origin: Origin) -> None:
    """Give one of a user's known browsers a name of their own; raise NotFound or Invalid."""
    browser = _own_browser(db, user_id, browser_id)
    cleaned = printable(name, _LONGEST_BROWSER_NAME + 1).strip()
    if not 1 <= len(cleaned) <= _LONGEST_BROWSER_NAME:
        raise Invalid("name", _("A name has 1 to %(count)s characters.", count=_LONGEST_BROWSER_NAME))
    if browser.name != cleaned:
        before, browser.name = browser.name, cleaned
        names = {"before": {"name": before}, "after": {"name": cleaned}}
        note_change(db, Change.BROWSER_RENAMED, actor=user_id, subject=user_id, label=cleaned, **names)
        record(db, Event.BROWSER_RENAMED, origin, actor=user_id, details={"browser": browser.id})


def forget_browser(db: Session, user_id: str, browser_id: str, origin: Origin) -> None:
    """Stop recognising a browser and end its logins; raise NotFound."""
    browser = _own_browser(db, user_id, browser_id)
    browser.forgotten_at = utc_now()
    _end_all(db, "forgotten", Login.user_id == user_id, Login.browser_id == browser.id)
    note_change(db, Change.BROWSER_FORGOTTEN, actor=user_id, subject=user_id, label=browser.name)
    record(db, Event.BROWSER_FORGOTTEN, origin, actor=user_id, details={"browser": browser.id})


def forget_browsers(db: Session, user_id: str, *, but: str = "") -> None:
    """Stop recognising all of a user's browsers except one."""
    for browser in known_browsers(db, user_id):
        if browser.id != but:
            browser.forgotten_at = utc_now()


def _own_browser(db: Session, user_id: str, browser_id: str) -> KnownBrowser:
    mine = (KnownBrowser.id == browser_id) & (KnownBrowser.user_id == user_id)
    browser = db.scalars(select(KnownBrowser).where(mine, KnownBrowser.forgotten_at.is_(None))).one_or_none()
    if browser is None:
        raise NotFound("No such browser.")
    return browser


def _end_surplus(db: Session, user: User, origin: Origin) -> None:
    for login in db.scalars(_SURPLUS, _alive_now(db, user.id)).all():
        _end(login, "surplus")
        record(db, Event.LOGIN_ENDED, origin, actor=user.id, details={"login": login.id, "surplus": True})


def _alive_now(db: Session, user_id: str) -> dict[str, object]:
    now, idle_life = utc_now(), timedelta(minutes=db.execute(_IDLE_MINUTES).scalar_one())
    return {"user_id": user_id, "now": now, "seen": now - idle_life}


def _end_all(db: Session, reason: str, *which: ColumnElement[bool]) -> None:
    # Also those unused for too long: the company may allow more minutes one day, and none of them may come back then.
    ended = update(Login).where(Login.ended_at.is_(None), *which)
    db.execute(ended.values(ended_at=utc_now(), end_reason=reason))


def _end(login: Login, reason: str) -> None:
    login.ended_at = utc_now()
    login.end_reason = reason
