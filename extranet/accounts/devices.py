"""Recognising a browser by the id in its device cookie, which changes with every sign-in.

The next id is made from the one before and the tenant's key: two tabs that sign in at once are given the same one, and
nobody else can work it out. The one before is good for a minute more. Whoever brings it after that has a copy: of the
two, it is not known which is the owner's, so neither is recognised any more.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from extranet.accounts.browsers import describe_browser
from extranet.accounts.notices import tell_browser_reused
from extranet.models import KnownBrowser, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.login import hash_secret
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin
from tenants.keys import TenantKeys

BROWSER_LIFE = timedelta(days=100)
PREVIOUS_LIFE = timedelta(seconds=60)
"""How long the id before is still good, for another tab that was signing in at the same moment."""

_DEVICE_BYTES = 16
_PURPOSE = "device"


@dataclass(frozen=True, slots=True)
class Recognised:
    """The browser somebody signed in with, the id its cookie holds from now on, and whether it was unknown."""

    browser: KnownBrowser
    device: bytes
    is_new: bool


def find_known_browser(db: Session, user: User, device: bytes) -> KnownBrowser | None:
    """Return the row of a browser this user has signed in with in the last 100 days, or None for a stranger's."""
    if not device:
        return None
    browser = _row(db, user, device)
    if browser is None or browser.forgotten_at is not None or browser.expires_at <= utc_now():
        return None
    return browser


def recognise(db: Session, user: User, device: bytes, origin: Origin) -> Recognised:
    """Know a browser from now on, under a new id. ``device`` is what its cookie held, b"" for nothing."""
    now = utc_now()
    refuse_copies(db, device, origin)
    following = _renewed(db, device, now)
    if not following:
        # Nobody's browser: never seen, from before a restore, or the copy of an id that was replaced long ago.
        return _added_for_the_first_time(db, user, origin, now)
    browser = _row(db, user, following) or _added(db, user, following, now)
    fresh = browser.expires_at <= now or browser.forgotten_at is not None
    if fresh:
        browser.name = describe_browser(origin.user_agent)
        browser.first_seen_at = now
        browser.forgotten_at = None
    browser.last_seen_at = now
    browser.expires_at = now + BROWSER_LIFE
    return Recognised(browser, following, fresh)


def refuse_copies(db: Session, device: bytes, origin: Origin) -> None:
    """Stop recognising every browser whose id was replaced a while ago and is brought again, and tell its owner."""
    if not device:
        return
    now = utc_now()
    reused = select(KnownBrowser).where(
        KnownBrowser.previous_hash == hash_secret(device),
        KnownBrowser.rotated_at <= now - PREVIOUS_LIFE,
        KnownBrowser.forgotten_at.is_(None),
        KnownBrowser.expires_at > now,
    )
    for browser in db.scalars(reused.order_by(KnownBrowser.id).with_for_update()).all():
        browser.forgotten_at = now
        owner = db.get_one(User, browser.user_id)
        if owner.state == UserState.ACTIVE:
            tell_browser_reused(db, owner, origin)
        details = {"browser": browser.id}
        record(db, Event.BROWSER_REUSED, origin, subject=owner.id, outcome=Outcome.REFUSED, details=details)


def _renewed(db: Session, device: bytes, now: datetime) -> bytes:
    """Return the id that follows; all rows that knew the browser by this one, whoever's they are, know it by that.

    b"" when nobody's does.
    """
    if device:
        hashed, following = hash_secret(device), _following(db.info["keys"], device)
        moved = update(KnownBrowser).where(KnownBrowser.device_hash == hashed)
        changed = db.execute(
            moved.values(device_hash=hash_secret(following), previous_hash=hashed, rotated_at=now)
        ).rowcount  # type: ignore[attr-defined]
        if changed or db.scalars(select(KnownBrowser.id).where(_was_a_moment_ago(device, now)).limit(1)).first():
            return following
    return b""


def _following(keys: TenantKeys, device: bytes) -> bytes:
    return keys.mac(_PURPOSE, device)[:_DEVICE_BYTES]


def _added_for_the_first_time(db: Session, user: User, origin: Origin, now: datetime) -> Recognised:
    # In one statement, without a look first: nobody else can have this id.
    device = secrets.token_bytes(_DEVICE_BYTES)
    browser = KnownBrowser(
        id=new_id(),
        device_hash=hash_secret(device),
        user_id=user.id,
        name=describe_browser(origin.user_agent),
        first_seen_at=now,
        last_seen_at=now,
        expires_at=now + BROWSER_LIFE,
    )
    db.add(browser)
    # What refers to it is written after it.
    db.flush()
    return Recognised(browser, device, is_new=True)


def _added(db: Session, user: User, device: bytes, now: datetime) -> KnownBrowser:
    browser = KnownBrowser(id=new_id(), device_hash=hash_secret(device), user_id=user.id, name="", expires_at=now)
    try:
        with db.begin_nested():
            db.add(browser)
    except IntegrityError:
        # Another tab of this browser has signed the same person in for the first time at the same moment.
        return db.scalars(select(KnownBrowser).where(_of(user), _is_now(device))).one()
    return browser


def _row(db: Session, user: User, device: bytes) -> KnownBrowser | None:
    either = _is_now(device) | _was_a_moment_ago(device, utc_now())
    return db.scalars(select(KnownBrowser).where(_of(user), either)).one_or_none()


def _of(user: User) -> ColumnElement[bool]:
    return KnownBrowser.user_id == user.id


def _is_now(device: bytes) -> ColumnElement[bool]:
    return KnownBrowser.device_hash == hash_secret(device)


def _was_a_moment_ago(device: bytes, now: datetime) -> ColumnElement[bool]:
    return (KnownBrowser.previous_hash == hash_secret(device)) & (KnownBrowser.rotated_at > now - PREVIOUS_LIFE)
