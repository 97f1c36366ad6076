"""Writing the activity log. An entry is written in the transaction of its change: both happen, or neither."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.activity.changes import Change
from extranet.models.activity import activity_head_table, activity_table
from tenants.journal import Entry, Journal
from tenants.keys import TenantKeys

TENANT = "tenant"
COMPANY = "company"
"""Subjects that are nobody's id: the tenant as a whole, and its registration."""

_DONE = "ok"


def activity_journal(keys: TenantKeys) -> Journal:
    """Return a tenant's activity log."""
    return Journal(activity_table, activity_head_table, keys)


def note_change(
    db: Session,
    change: Change,
    *,
    actor: str,
    subject: str,
    label: str = "",
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
) -> None:
    """Append one change to the activity log of the tenant whose ``db`` this is.

    ``actor`` is a user's id or ``operator``; ``subject`` the id of what was changed, ``label`` how people call it.
    ``before`` and ``after`` are plain values by field. They lie in the sealed part, so that erasing a person can empty
    them, and hold no secret, no address and no user agent.
    """
    activity_journal(db.info["keys"]).append(
        db,
        change,
        _DONE,
        actor=actor,
        subject=subject,
        details={},
        private={"label": label, "before": dict(before or {}), "after": dict(after or {})},
    )


def read_last(db: Session, limit: int) -> list[Entry]:
    """Return the newest entries, oldest of them first."""
    newest = select(activity_table).order_by(activity_table.c.sequence.desc()).limit(limit)
    return list(activity_journal(db.info["keys"]).read(iter(db.execute(newest).all()[::-1])))


def read_all(db: Session) -> Iterator[Entry]:
    """Yield the whole log in order, a few hundred rows at a time."""
    entries = select(activity_table).order_by(activity_table.c.sequence)
    return activity_journal(db.info["keys"]).read(iter(db.execute(entries.execution_options(yield_per=500))))
