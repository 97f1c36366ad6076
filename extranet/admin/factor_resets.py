"""Taking somebody's second factors away when they have lost them: asked by one administrator, approved by another.

Whoever can do it alone can also take an account over alone, so two do it where there are two. The request lies in the
table of one-time links: it lives a day and dies of use like them. Nobody holds a token of it.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, select, update
from sqlalchemy.orm import Session

from extranet.admin.finding import HAS_SECOND_FACTOR, active_admins
from extranet.admin.operations import one_at_a_time
from extranet.errors import Invalid
from extranet.factors.operations import reset_factors
from extranet.i18n import gettext as _
from extranet.models import OneTimeLink, User, UserState
from extranet.models.base import new_id, utc_now
from extranet.models.one_time_link import DETAIL_SEAL
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin

LIFE = timedelta(hours=24)
_PURPOSE = "reset_factors"


@dataclass(frozen=True, slots=True)
class AskedReset:
    """A reset that waits for a second administrator."""

    id: str
    asked_by: str
    name: str
    until: datetime


def ask(db: Session, user: User, origin: Origin, actor: str) -> bool:
    """Ask for a reset; raise Invalid. Return whether it was done at once, for want of anybody who could approve it."""
    one_at_a_time(db)
    if user.id == actor:
        raise Invalid("", _("Your own second factors are in your preferences."))
    if not db.execute(select(HAS_SECOND_FACTOR).where(User.id == user.id)).scalar_one():
        raise Invalid("", _("There is no second factor to reset."))
    if approves_alone(db, user, actor):
        _reset(db, user, origin, actor)
        return True
    _end(db, user, "replaced")
    link_id, now = new_id(), utc_now()
    db.add(
        OneTimeLink(
            id=link_id,
            purpose=_PURPOSE,
            token_mac=secrets.token_bytes(32),
            user_id=user.id,
            detail=db.info["keys"].seal(DETAIL_SEAL.purpose, actor.encode(), context=DETAIL_SEAL.bound_to(link_id)),
            created_at=now,
            expires_at=now + LIFE,
        )
    )
    record(db, Event.FACTORS_RESET_ASKED, origin, actor=actor, subject=user.id)
    return False


def approve(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Do what another administrator asked for; raise Invalid."""
    one_at_a_time(db)
    waiting = asked(db, user)
    if waiting is None:
        raise Invalid("", _("Nobody asks for this any more."))
    if actor in {waiting.asked_by, user.id}:
        raise Invalid("", _("Another administrator has to approve this."))
    _reset(db, user, origin, actor)


def withdraw(db: Session, user: User, origin: Origin, actor: str) -> None:
    """Let a request drop."""
    if asked(db, user) is not None:
        _end(db, user, "withdrawn")
        record(db, Event.FACTORS_RESET_ASKED, origin, actor=actor, subject=user.id, details={"withdrawn": True})


def asked(db: Session, user: User) -> AskedReset | None:
    """Return the request that waits, if any."""
    link = db.scalars(select(OneTimeLink).where(*_waiting(user)).limit(1)).one_or_none()
    if link is None:
        return None
    sealed = db.info["keys"].open(DETAIL_SEAL.purpose, link.detail, context=DETAIL_SEAL.bound_to(link.id))
    asker = db.get(User, sealed.decode())
    return AskedReset(link.id, sealed.decode(), asker.name if asker else "", link.expires_at)


def to_approve(db: Session, actor: str) -> list[tuple[User, AskedReset]]:
    """Return whose reset waits for this administrator: asked for by another one, and for somebody else."""
    waits = select(User).join(OneTimeLink, OneTimeLink.user_id == User.id).where(*_alive(), User.id != actor)
    people = db.scalars(waits.order_by(OneTimeLink.created_at)).all()
    found = [(person, asked(db, person)) for person in people]
    return [(person, reset) for person, reset in found if reset is not None and reset.asked_by != actor]


def approves_alone(db: Session, user: User, actor: str) -> bool:
    """Tell whether there is no other active administrator who could approve a reset."""
    return active_admins(db, but=[user.id, actor]) == 0


def _reset(db: Session, user: User, origin: Origin, actor: str) -> None:
    if user.state == UserState.DISABLED:
        raise Invalid("", _("This account is deactivated. Reactivate it first."))
    _end(db, user, "used")
    reset_factors(db, user, origin, actor)


def _end(db: Session, user: User, reason: str) -> None:
    db.execute(update(OneTimeLink).where(*_waiting(user)).values(ended_at=utc_now(), end_reason=reason))


def _waiting(user: User) -> tuple[ColumnElement[bool], ...]:
    return (*_alive(), OneTimeLink.user_id == user.id)


def _alive() -> tuple[ColumnElement[bool], ...]:
    return (
        OneTimeLink.purpose == _PURPOSE,
        OneTimeLink.ended_at.is_(None),
        OneTimeLink.expires_at > utc_now(),
    )
