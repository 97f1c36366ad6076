"""Requests, grants and visits of the operator's support, as they are now. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from extranet.i18n import gettext as _
from extranet.models import SupportGrant, SupportVisit
from extranet.models.base import utc_now
from extranet.security_log.origin import support_actor, supporter

ANSWER_WITHIN = timedelta(days=7)
"""A request that nobody answers for so long has lapsed."""

LONGEST_HOURS = 24
SHOWN_HISTORY = 50


def waits(now: datetime) -> ColumnElement[bool]:
    """Match requests that can still be answered."""
    return (
        SupportGrant.answered_at.is_(None)
        & SupportGrant.ended_at.is_(None)
        & (SupportGrant.asked_at > now - ANSWER_WITHIN)
    )


def stands(now: datetime) -> ColumnElement[bool]:
    """Match grants that let somebody in."""
    return SupportGrant.ended_at.is_(None) & (SupportGrant.expires_at > now)


def waiting(db: Session) -> Sequence[SupportGrant]:
    """Return the requests that wait for an answer, the oldest first."""
    return db.scalars(select(SupportGrant).where(waits(utc_now())).order_by(SupportGrant.asked_at)).all()


def standing(db: Session) -> Sequence[SupportGrant]:
    """Return the grants that stand, the one that ends first first."""
    return db.scalars(select(SupportGrant).where(stands(utc_now())).order_by(SupportGrant.expires_at)).all()


def standing_of(db: Session, staff: str) -> SupportGrant | None:
    """Return the grant under which somebody of the staff may come in now."""
    return db.scalars(select(SupportGrant).where(SupportGrant.staff == staff, stands(utc_now()))).one_or_none()


def living_of(db: Session, staff: str) -> SupportGrant | None:
    """Return the request or grant of somebody of the staff that is not over: there is at most one."""
    now = utc_now()
    mine = select(SupportGrant).where(SupportGrant.staff == staff, or_(waits(now), stands(now)))
    return db.scalars(mine).one_or_none()


def over(db: Session) -> Sequence[SupportGrant]:
    """Return the latest requests and grants that are over, the newest first."""
    now = utc_now()
    which = select(SupportGrant).where(~or_(waits(now), func.coalesce(stands(now), False)))
    return db.scalars(which.order_by(SupportGrant.asked_at.desc()).limit(SHOWN_HISTORY)).all()


def visits_under(db: Session, grants: Sequence[SupportGrant]) -> dict[str, int]:
    """Return how often somebody came in, by grant."""
    counted = select(SupportVisit.grant_id, func.count()).where(
        SupportVisit.grant_id.in_([grant.id for grant in grants]), SupportVisit.started_at.is_not(None)
    )
    return {row[0]: row[1] for row in db.execute(counted.group_by(SupportVisit.grant_id))}


def names_of_support(db: Session, actors: Iterable[str]) -> dict[str, str]:
    """Return how those among some actors of the logs are called who were let in as support."""
    staff = {name for name in map(supporter, actors) if name}
    if not staff:
        return {}
    asked = select(SupportGrant.staff, SupportGrant.staff_name).where(SupportGrant.staff.in_(staff))
    known = {row.staff: row.staff_name for row in db.execute(asked.order_by(SupportGrant.asked_at))}
    # A copy of a tenant has the entries without the grants.
    return {support_actor(name): _("%(name)s (support)", name=known.get(name, name)) for name in staff}


def how_it_ended(grant: SupportGrant) -> str:
    """Return why a request or grant is over: what ended it, or "lapsed" or "expired" for what no longer counts."""
    if grant.ended_at is not None:
        return grant.end_reason
    return "lapsed" if grant.answered_at is None else "expired"
