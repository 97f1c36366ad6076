"""Writing and reading the security log. An event is written in the transaction of its cause, as its last statement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from extranet.models.security_event import security_event_head_table, security_event_table
from extranet.security_log.events import Event, Outcome, TenantEvent
from extranet.security_log.origin import EVERYBODY, NOBODY, OPERATOR, Origin, printable
from tenants.journal import Entry, Journal
from tenants.keys import TenantKeys


def journal(keys: TenantKeys) -> Journal:
    """Return a tenant's security log."""
    return Journal(security_event_table, security_event_head_table, keys)


def record(
    db: Session,
    event: Event | TenantEvent,
    origin: Origin,
    *,
    actor: str = NOBODY,
    subject: str = "",
    outcome: Outcome = Outcome.OK,
    details: dict[str, Any] | None = None,
    typed: str = "",
    sealed: Mapping[str, str] | None = None,
) -> None:
    """Append one event to the log of the tenant whose ``db`` this is.

    ``typed`` is what a stranger typed as a name: it goes into the sealed part, for it is often a password. So does
    whatever else is ``sealed``, because it may have to be erased one day.
    """
    private: dict[str, Any] = {
        **{name: printable(text) for name, text in (sealed or {}).items()},
        "address": origin.address,
        "port": origin.port,
        "user_agent": printable(origin.user_agent),
        "browser": origin.browser_ref,
        "login": origin.login_ref,
    }
    if typed:
        private["typed"] = printable(typed, 64)
    journal(db.info["keys"]).append(
        db,
        event,
        outcome,
        actor=actor,
        subject=subject or actor,
        details={"request": origin.request_id, **(details or {})},
        private=private,
    )


# Somebody looked at entries about everyone: that concerns everyone.
_ABOUT_EVERYONE = (
    Event.LOG_VIEWED,
    Event.LOG_EXPORTED,
    Event.ALL_SIGNED_OUT,
    Event.RESTORED,
    Event.SUPPORT_ENTERED,
)

# Unless it was at those about one person.
_ABOUT_SOME = (Event.LOG_VIEWED, Event.LOG_EXPORTED)


def count_about(db: Session, user_id: str) -> int:
    """Return how many entries concern one person."""
    return db.execute(select(func.count()).select_from(security_event_table).where(_concerns(user_id))).scalar_one()


def read_about(db: Session, user_id: str, *, offset: int = 0, limit: int | None = None) -> Iterator[Entry]:
    """Yield what concerns one person, newest first; who looked at everybody's entries is part of it."""
    entries = select(security_event_table).where(_concerns(user_id))
    newest_first = entries.order_by(security_event_table.c.sequence.desc()).offset(offset).limit(limit)
    return journal(db.info["keys"]).read(iter(db.execute(newest_first)))


def last_report(db: Session, user_id: str) -> datetime | None:
    """Return when a stranger was last reported in somebody's account; None when never."""
    columns = security_event_table.c
    reports = (columns.subject == user_id) & (columns.event == Event.STRANGER_REPORTED)
    at = db.execute(select(func.max(columns.at)).where(reports)).scalar_one()
    return datetime.fromisoformat(at) if at else None


def _concerns(user_id: str) -> ColumnElement[bool]:
    columns = security_event_table.c
    about_others = columns.event.in_(_ABOUT_SOME) & columns.subject.not_in((OPERATOR, EVERYBODY))
    return or_(columns.subject == user_id, columns.event.in_(_ABOUT_EVERYONE) & ~about_others)


def read_last(db: Session, limit: int) -> list[Entry]:
    """Return the newest entries of the whole log, oldest of them first."""
    newest = select(security_event_table).order_by(security_event_table.c.sequence.desc()).limit(limit)
    return list(journal(db.info["keys"]).read(iter(db.execute(newest).all()[::-1])))


def read_all(db: Session) -> Iterator[Entry]:
    """Yield the whole log in order, a few hundred rows at a time."""
    entries = select(security_event_table).order_by(security_event_table.c.sequence)
    return journal(db.info["keys"]).read(iter(db.execute(entries.execution_options(yield_per=500))))
