"""Coming in under a grant: by a link that works once and for five minutes, then by a cookie that is asked each time."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import bindparam, literal_column, select, update
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import note_change
from extranet.errors import LinkRefused, SupportRefused
from extranet.mail.kinds import MailKind
from extranet.models import Company, SupportGrant, SupportVisit
from extranet.models.base import utc_now
from extranet.models.login import hash_secret
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import Origin, support_actor
from extranet.support.finding import standing_of, stands
from extranet.support.operations import tell_administrators
from tenants.keys import TenantKeys
from tenants.staff import StaffMember

LINK_LIFE = timedelta(minutes=5)
IDLE_LIFE = timedelta(minutes=30)

_visit, _grant, _company = SupportVisit.__table__.c, SupportGrant.__table__.c, Company.__table__.c
_FIND = (
    select(
        # In the order of FoundVisit's fields.
        *(_visit[name] for name in ("id", "grant_id", "last_seen_at", "ended_at")),
        *(_grant[name] for name in ("staff", "staff_name", "writes", "expires_at")),
        _grant.ended_at.label("grant_ended_at"),
        *(_company[name] for name in ("time_zone", "accent_hue", "logo")),
    )
    .select_from(
        SupportVisit.__table__.join(SupportGrant.__table__, _visit.grant_id == _grant.id).join(
            Company.__table__, literal_column("1=1")
        )
    )
    .where(_visit.started_at.is_not(None), _visit.secret_hash == bindparam("secret_hash"))
)


@dataclass(frozen=True, slots=True)
class FoundVisit:
    """A visit as each request finds it, whether it is over or not."""

    id: str
    grant_id: str
    last_seen_at: datetime
    ended_at: datetime | None
    staff: str
    staff_name: str
    writes: bool
    expires_at: datetime
    grant_ended_at: datetime | None
    time_zone: str
    accent_hue: int
    logo: str

    @property
    def actor(self) -> str:
        """What both logs call whoever came in."""
        return support_actor(self.staff)

    def why_over(self, has_left: Callable[[str], bool]) -> str:
        """Return why it is over; "" when it is not. ``has_left`` asks the staff about a name."""
        now = utc_now()
        if self.ended_at is not None or self.grant_ended_at is not None:
            return "ended"
        if self.expires_at <= now:
            return "expired"
        if self.last_seen_at + IDLE_LIFE <= now:
            return "idle"
        return "staff_left" if has_left(self.staff) else ""


@dataclass(frozen=True, slots=True)
class Entry:
    """What a link opens: under whose grant, and until when."""

    staff: str
    staff_name: str
    writes: bool
    until: datetime


def make_link(db: Session, member: StaffMember, origin: Origin) -> str:
    """Make a link under the grant that stands and return its token; an older one that nobody opened stops working.

    Raises StaffNotReady or SupportRefused.
    """
    member.check_ready()
    grant = standing_of(db, member.name)
    if grant is None:
        raise SupportRefused(f"Nobody has granted {member.name} access. Ask for it with: extranet support ask")
    now = utc_now()
    unopened = (SupportVisit.grant_id == grant.id) & SupportVisit.started_at.is_(None) & SupportVisit.ended_at.is_(None)
    db.execute(update(SupportVisit).where(unopened).values(ended_at=now, end_reason="replaced"))
    token = secrets.token_bytes(32)
    db.add(SupportVisit(grant_id=grant.id, secret_hash=_mac(db.info["keys"], token), made_at=now))
    db.flush()
    actor = support_actor(grant.staff)
    note_change(db, Change.SUPPORT_LINK_MADE, actor=actor, subject=actor)
    record(db, Event.SUPPORT_LINK_MADE, origin, actor=actor, details={"grant": grant.id})
    return base64.urlsafe_b64encode(token).rstrip(b"=").decode()


def find_entry(db: Session, token: bytes) -> Entry:
    """Return what a link opens; raise LinkRefused. Uses nothing up."""
    now = utc_now()
    alive = (
        SupportVisit.secret_hash == _mac(db.info["keys"], token),
        SupportVisit.started_at.is_(None),
        SupportVisit.ended_at.is_(None),
        SupportVisit.made_at > now - LINK_LIFE,
    )
    under = select(SupportGrant).join(SupportVisit, SupportVisit.grant_id == SupportGrant.id)
    grant = db.scalars(under.where(*alive, stands(now))).one_or_none()
    if grant is None or grant.expires_at is None:
        raise LinkRefused("This link is no longer valid.")
    return Entry(grant.staff, grant.staff_name, grant.writes, grant.expires_at)


def begin_visit(db: Session, token: bytes, member: StaffMember, origin: Origin) -> bytes:
    """Open a link and return the new visit's secret; raise LinkRefused when somebody was faster, or StaffNotReady."""
    member.check_ready()
    find_entry(db, token)
    secret, now = secrets.token_bytes(32), utc_now()
    opened = (
        update(SupportVisit)
        .where(
            SupportVisit.secret_hash == _mac(db.info["keys"], token),
            SupportVisit.started_at.is_(None),
            SupportVisit.ended_at.is_(None),
        )
        .values(started_at=now, last_seen_at=now, secret_hash=hash_secret(secret))
        .returning(SupportVisit.id, SupportVisit.grant_id)
    )
    row = db.execute(opened).one_or_none()
    if row is None:
        raise LinkRefused("This link was used a moment ago.")
    grant = db.get_one(SupportGrant, row.grant_id)
    before = select(SupportVisit.id).where(
        SupportVisit.grant_id == grant.id, SupportVisit.started_at.is_not(None), SupportVisit.id != row.id
    )
    if db.execute(before.limit(1)).first() is None:
        values = {"when": now, "until": grant.expires_at, "writes": grant.writes}
        tell_administrators(db, MailKind.SUPPORT_ENTERED, grant, **values)
    actor, details = support_actor(grant.staff), {"grant": grant.id, "visit": row.id}
    note_change(db, Change.SUPPORT_ENTERED, actor=actor, subject=actor)
    record(db, Event.SUPPORT_ENTERED, origin, actor=actor, details=details)
    return secret


def find_visit(db: Session, secret: bytes) -> FoundVisit | None:
    """Return the visit a cookie's secret stands for, over or not."""
    row: Any = db.execute(_FIND, {"secret_hash": hash_secret(secret)}).one_or_none()
    return None if row is None else FoundVisit(*row)


def end_visit(db: Session, visit_id: str, actor: str, reason: str, origin: Origin) -> None:
    """End a visit, once."""
    alive = (SupportVisit.id == visit_id) & SupportVisit.ended_at.is_(None)
    ended = update(SupportVisit).where(alive).values(ended_at=utc_now(), end_reason=reason)
    if db.execute(ended).rowcount == 1:  # type: ignore[attr-defined]
        note_change(db, Change.SUPPORT_LEFT, actor=actor, subject=actor)
        record(db, Event.SUPPORT_LEFT, origin, actor=actor, details={"visit": visit_id, "reason": reason})


def note_page(
    db: Session, visit_id: str, actor: str, page: dict[str, str], *, subject: str, refused: bool, origin: Origin
) -> None:
    """Record a page that is about to be shown, or was refused; the visit goes on."""
    db.execute(update(SupportVisit).where(SupportVisit.id == visit_id).values(last_seen_at=utc_now()))
    event = Event.SUPPORT_PAGE_REFUSED if refused else Event.SUPPORT_VIEWED
    outcome = Outcome.REFUSED if refused else Outcome.OK
    record(db, event, origin, actor=actor, subject=subject, outcome=outcome, details={"visit": visit_id, **page})


def _mac(keys: TenantKeys, token: bytes) -> bytes:
    # The tenant's key is what makes a token, or a row, worthless at another one.
    return keys.mac("support-link", token)
