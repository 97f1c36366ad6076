"""Rows that nobody needs any more: links, sessions, challenges and counters, some time after their end.

Whatever they led to is in the logs, which have days of their own, and when somebody was here last is on the account.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Column, ColumnElement, delete, func, select
from sqlalchemy.orm import Session

from extranet.models import Invitation, Login, OneTimeLink, PendingSignIn, UsedChallenge, throttle_table
from tenants.throttle import KEEP_SECONDS

KEPT = timedelta(days=30)
"""How long an invitation, a link and a session are kept after their end: for questions about them."""

BATCH = 1_000
"""How many rows of a table go in one transaction."""

# Longer than either is good for, whatever the clocks of two machines say.
_MOMENTARY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class _Old:
    key: Column[Any]
    condition: ColumnElement[bool]


def has_old_rows(db: Session, now: datetime) -> bool:
    """Tell whether there is something to forget: mostly there is not, and nobody needs to write."""
    return any(db.execute(select(old.key).where(old.condition).limit(1)).first() is not None for old in _old(now))


def forget_rows(db: Session, now: datetime) -> bool:
    """Delete old rows, at most ``BATCH`` of each kind; tell whether there may be more."""
    return max([_forget(db, old) for old in _old(now)]) == BATCH


def _forget(db: Session, old: _Old) -> int:
    some = select(old.key).where(old.condition).limit(BATCH)
    result: Any = db.execute(delete(old.key.table).where(old.key.in_(some)))
    return int(result.rowcount)


def _old(now: datetime) -> Iterator[_Old]:
    for model in (Invitation, OneTimeLink, Login):
        table: Any = model.__table__
        yield _Old(table.c.id, func.coalesce(table.c.ended_at, table.c.expires_at) < now - KEPT)
    pending: Any = PendingSignIn.__table__
    yield _Old(pending.c.id, pending.c.expires_at < now - _MOMENTARY)
    used: Any = UsedChallenge.__table__
    yield _Old(used.c.challenge_hash, used.c.at < int((now - _MOMENTARY).timestamp()))
    yield _Old(throttle_table.c.bucket, throttle_table.c.until < int(now.timestamp()) - KEEP_SECONDS)
