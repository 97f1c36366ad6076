"""Asking for support access, granting it, declining it, and ending it. No Flask: the command line asks, the web grants.

Whatever happens here is told three times: in the security log, in the activity log, and to all administrators by mail.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, or_, select, update
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import Invalid, NotFound, SupportRefused
from extranet.i18n import gettext as _
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Company, Role, SupportGrant, SupportVisit, User, UserState
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin, printable, support_actor
from extranet.support.finding import LONGEST_HOURS, living_of, stands, waits
from tenants.staff import StaffMember

PAGE = "/admin/support"
"""Where administrators answer requests; mails lead there."""

SHORTEST_REASON, LONGEST_REASON = 10, 500


@dataclass(frozen=True, slots=True)
class Wish:
    """What somebody of the staff asks for."""

    reason: str
    hours: int
    writes: bool


def ask(db: Session, member: StaffMember, wish: Wish, origin: Origin) -> SupportGrant:
    """Ask a tenant's administrators for access; raise StaffNotReady or SupportRefused."""
    member.check_ready()
    reason = printable(" ".join(wish.reason.split()), LONGEST_REASON)
    if len(reason) < SHORTEST_REASON:
        raise SupportRefused(f"Say in a few words why: at least {SHORTEST_REASON} characters.")
    if not 1 <= wish.hours <= LONGEST_HOURS:
        raise SupportRefused(f"Access is for 1 to {LONGEST_HOURS} hours.")
    # Of two at once, on a server, the second waits here and then sees the first one's request.
    db.get_one(Company, THE_COMPANY, with_for_update=True)
    if living_of(db, member.name) is not None:
        raise SupportRefused(f"{member.name} has asked already, or has access: see extranet support list")
    grant = SupportGrant(
        staff=member.name, staff_name=member.full_name, reason=reason, hours=wish.hours, writes=wish.writes
    )
    db.add(grant)
    db.flush()
    asked = {"hours": wish.hours, "writes": wish.writes}
    tell_administrators(db, MailKind.SUPPORT_ASKED, grant, reason=reason, **asked)
    actor = support_actor(grant.staff)
    note_change(db, Change.SUPPORT_ASKED, actor=actor, subject=actor, after={"reason": reason, **asked})
    details = {"grant": grant.id, **asked}
    record(db, Event.SUPPORT_ASKED, origin, actor=actor, details=details, sealed={"reason": reason})
    return grant


def allow(
    db: Session, grant_id: str, member: StaffMember, *, hours: int, writes: bool, user_id: str, origin: Origin
) -> SupportGrant:
    """Let somebody in who asked, for no longer and for no more than that. Raise NotFound, Invalid or StaffNotReady."""
    member.check_ready()
    asked = find_grant(db, grant_id)
    if not 1 <= hours <= min(asked.hours, LONGEST_HOURS):
        raise Invalid("hours", _("Choose 1 to %(most)s hours.", most=min(asked.hours, LONGEST_HOURS)))
    now = utc_now()
    values = {"hours": hours, "writes": writes and asked.writes, "expires_at": now + timedelta(hours=hours)}
    _answer(db, grant_id, now, answered_by=user_id, **values)
    db.refresh(asked)
    by = db.get_one(User, user_id).name
    tell_administrators(db, MailKind.SUPPORT_GRANTED, asked, by=by, until=asked.expires_at, writes=asked.writes)
    granted = {"hours": hours, "writes": asked.writes}
    subject = support_actor(asked.staff)
    note_change(db, Change.SUPPORT_GRANTED, actor=user_id, subject=subject, after=granted)
    details = {"grant": grant_id, **granted}
    record(db, Event.SUPPORT_GRANTED, origin, actor=user_id, subject=subject, details=details)
    return asked


def decline(db: Session, grant_id: str, user_id: str, origin: Origin) -> None:
    """Say no to a request; raise NotFound or Invalid."""
    asked = find_grant(db, grant_id)
    now = utc_now()
    _answer(db, grant_id, now, answered_by=user_id, ended_at=now, end_reason="declined")
    subject = support_actor(asked.staff)
    note_change(db, Change.SUPPORT_DECLINED, actor=user_id, subject=subject)
    record(db, Event.SUPPORT_DECLINED, origin, actor=user_id, subject=subject, details={"grant": grant_id})


def revoke(db: Session, grant_id: str, user_id: str, origin: Origin) -> bool:
    """End a grant at once, with every visit under it; tell whether it had not ended by then. Raise NotFound."""
    return _end(db, find_grant(db, grant_id), "revoked", Event.SUPPORT_REVOKED, user_id, origin)


def give_back(db: Session, staff: str, origin: Origin, reason: str = "given_back") -> SupportGrant:
    """End what somebody of the staff asked for or was granted, in their own name; raise SupportRefused."""
    grant = living_of(db, staff)
    if grant is None or not _end(db, grant, reason, Event.SUPPORT_ENDED, support_actor(staff), origin):
        raise SupportRefused(f"{staff} has neither asked for access nor has it.")
    return grant


def find_grant(db: Session, grant_id: str) -> SupportGrant:
    """Return a request or grant, whatever became of it; raise NotFound."""
    grant = db.get(SupportGrant, grant_id)
    if grant is None:
        raise NotFound("No such request.")
    return grant


def tell_administrators(db: Session, kind: MailKind, grant: SupportGrant, **values: Any) -> None:
    """Mail every administrator who can sign in."""
    admins = select(User).where(User.role == Role.ADMIN, User.state == UserState.ACTIVE)
    for admin in db.scalars(admins.order_by(User.username)).all():
        post(db, kind, admin, staff=grant.staff_name, link=PAGE, **values)


def _answer(db: Session, grant_id: str, now: datetime, **values: Any) -> None:
    if not _changed(db, (SupportGrant.id == grant_id) & waits(now), {"answered_at": now, **values}):
        raise Invalid("", _("This request was answered a moment ago, was taken back, or has lapsed."))


def _end(db: Session, grant: SupportGrant, reason: str, event: Event, actor: str, origin: Origin) -> bool:
    now, had_access = utc_now(), grant.expires_at is not None
    living = (SupportGrant.id == grant.id) & or_(stands(now), waits(now))
    if not _changed(db, living, {"ended_at": now, "end_reason": reason}):
        return False
    visits = (SupportVisit.grant_id == grant.id) & SupportVisit.ended_at.is_(None)
    db.execute(update(SupportVisit).where(visits).values(ended_at=now, end_reason=reason))
    subject = support_actor(grant.staff)
    if had_access:
        tell_administrators(db, MailKind.SUPPORT_ENDED, grant, when=now)
    note_change(db, Change.SUPPORT_ENDED, actor=actor, subject=subject)
    record(db, event, origin, actor=actor, subject=subject, details={"grant": grant.id, "reason": reason})
    return True


def _changed(db: Session, which: ColumnElement[bool], values: dict[str, Any]) -> bool:
    # Compared and set in one statement: of two answers at once, one is the first.
    done = update(SupportGrant).where(which).values(**values).execution_options(synchronize_session=False)
    changed: bool = db.execute(done).rowcount == 1  # type: ignore[attr-defined]
    return changed
