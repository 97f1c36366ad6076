"""What becomes of the mails in one tenant's outbox. Several workers share it: whoever leases a mail sends it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, case, delete, func, or_, select, update
from sqlalchemy.orm import Session

from extranet.models import Mail
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import record
from extranet.security_log.origin import OPERATOR, Origin

# Longer than handing over one mail can take: PATIENCE_SECONDS for each of a dozen answers.
LEASE = timedelta(minutes=8)
FIRST_PAUSE, LONGEST_PAUSE = timedelta(minutes=1), timedelta(hours=6)
GIVE_UP_AFTER, _FEWEST_ATTEMPTS = timedelta(days=3), 5
KEPT = timedelta(days=30)
"""How long the row of a mail says what became of it."""

_ORIGIN = Origin(address="", port=0, user_agent="mail worker", request_id="")


@dataclass(frozen=True, slots=True)
class Leased:
    """One mail that this worker, and no other, sends before ``until``."""

    id: str
    kind: str
    user_id: str
    content: bytes
    created_at: datetime
    attempts: int
    until: datetime


def lease(db: Session, now: datetime) -> Leased | None:
    """Lease the mail that has been due for longest; None when there is none. The caller commits before it sends."""
    free = or_(Mail.leased_until.is_(None), Mail.leased_until <= now)
    # Writers of one database wait for each other: nobody leases it between these two statements.
    mail = db.scalars(
        select(Mail).where(Mail.due_at <= now, free).order_by(Mail.due_at, Mail.id).limit(1)
    ).one_or_none()
    if mail is None:
        return None
    until = now + LEASE
    mail.leased_until, mail.attempts = until, mail.attempts + 1
    return Leased(mail.id, mail.kind, mail.user_id, mail.content, mail.created_at, mail.attempts, until)


def note_sent(db: Session, mail_id: str, now: datetime) -> None:
    """Note that a mail has left, and empty it. Whoever leased it since: it has."""
    unsent = (Mail.id == mail_id) & Mail.sent_at.is_(None)
    sent = {"sent_at": now, "given_up_at": None, "due_at": None, "leased_until": None, "content": b"", "fault": ""}
    db.execute(update(Mail).where(unsent).values(sent))


def postpone(db: Session, mail: Leased, now: datetime, fault: str) -> bool:
    """Note that a mail did not leave this time; tell whether it will be tried again."""
    pause = min(FIRST_PAUSE * 2 ** min(mail.attempts - 1, 16), LONGEST_PAUSE)
    # One that was written days ago, while no worker ran, is not given up the first time a server says "later".
    if mail.attempts >= _FEWEST_ATTEMPTS and now + pause > mail.created_at + GIVE_UP_AFTER:
        give_up(db, mail, now, fault)
        return False
    db.execute(update(Mail).where(_held(mail)).values(due_at=now + pause, leased_until=None, fault=fault[:200]))
    return True


def give_up(db: Session, mail: Leased, now: datetime, fault: str) -> None:
    """Note that a mail will never leave, empty it, and say so in the security log."""
    ended = {"given_up_at": now, "due_at": None, "leased_until": None, "content": b"", "fault": fault[:200]}
    if db.execute(update(Mail).where(_held(mail)).values(ended)).rowcount:  # type: ignore[attr-defined]
        details = {"kind": mail.kind, "fault": fault[:200]}
        refused = Outcome.REFUSED
        record(db, Event.MAIL_GIVEN_UP, _ORIGIN, actor=OPERATOR, subject=mail.user_id, outcome=refused, details=details)


def release(db: Session, mail: Leased) -> None:
    """Give a mail back as it was: it was not its turn after all."""
    db.execute(update(Mail).where(_held(mail)).values(leased_until=None, attempts=mail.attempts - 1))


def next_look(db: Session) -> datetime | None:
    """Return when there is something to do again; None when the outbox is empty."""
    free_at = case((Mail.leased_until > Mail.due_at, Mail.leased_until), else_=Mail.due_at)
    earliest: datetime | None = db.execute(select(func.min(free_at)).where(Mail.due_at.is_not(None))).scalar_one()
    return earliest


def forget_old(db: Session, now: datetime) -> None:
    """Delete the rows of mails that have left, or were given up, long ago."""
    db.execute(delete(Mail).where(_over(now - KEPT)))


def has_old(db: Session, now: datetime) -> bool:
    """Tell whether there is something to forget: most days there is not, and nobody needs to write."""
    return db.execute(select(Mail.id).where(_over(now - KEPT)).limit(1)).first() is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """How many mails have been waiting since before a moment, and how many were given up after another."""

    waiting: int
    given_up: int


def standing(db: Session, waiting_since: datetime, given_up_after: datetime) -> Standing:
    """Return how a tenant's mails stand."""
    waiting = select(func.count()).where(Mail.due_at.is_not(None), Mail.created_at < waiting_since)
    # What a restored backup ended was no mail's fault.
    lost = select(func.count()).where(Mail.given_up_at >= given_up_after, Mail.fault != "restored")
    return Standing(db.execute(waiting).scalar_one(), db.execute(lost).scalar_one())


def _held(mail: Leased) -> ColumnElement[bool]:
    return and_(Mail.id == mail.id, Mail.leased_until == mail.until)


def _over(before: datetime) -> ColumnElement[bool]:
    return or_(Mail.sent_at < before, Mail.given_up_at < before)
