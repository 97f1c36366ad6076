"""How long a tenant keeps its logs: as many days as its administrators chose, and never less than half a year."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, select
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.activity.operations import TENANT, note_change
from extranet.models import Company, activity_table, security_event_table
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event
from extranet.security_log.operations import record
from extranet.security_log.origin import OPERATOR, Origin

SHORTEST_DAYS, LONGEST_DAYS = 180, 365
"""What the CNIL recommends of logs (2021-122): six months to a year."""


def log_days(db: Session) -> int:
    """Return for how many days a tenant keeps its logs."""
    chosen = db.execute(select(Company.log_days).where(Company.id == THE_COMPANY)).scalar_one()
    return max(chosen, SHORTEST_DAYS)


def old_since(db: Session, now: datetime, at_least: int = 0) -> datetime:
    """Return the moment before which entries are old; ``at_least`` so many days are kept whatever was chosen."""
    return now - timedelta(days=max(log_days(db), at_least))


def note_pruned(
    db: Session, origin: Origin, removed: Mapping[str, int], begins_at: Mapping[str, int], before: datetime
) -> None:
    """Say in both logs how many of their oldest entries operators removed, those from before a moment."""
    events, changes = (removed.get(table.name, 0) for table in (security_event_table, activity_table))
    after: dict[str, Any] = {"removed_events": events, "removed_changes": changes, "kept_since": f"{before:%Y-%m-%d}"}
    details = {"removed": dict(removed), "begins_at": dict(begins_at), "before": before.isoformat()}
    note_change(db, Change.LOG_PRUNED, actor=OPERATOR, subject=TENANT, after=after)
    record(db, Event.LOG_PRUNED, origin, actor=OPERATOR, details=details)


def reaches_back_to(db: Session | Connection, table: Table) -> datetime | None:
    """Return the moment of a log's first entry; None for an empty log."""
    first = select(table.c.at).order_by(table.c.sequence).limit(1)
    at: str | None = db.execute(first).scalar_one_or_none()
    return datetime.fromisoformat(at) if at else None
