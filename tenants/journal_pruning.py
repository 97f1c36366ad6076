"""Removing a journal's oldest entries, batch by batch; what went is in a signed base, written in the same transaction.

Every entry is checked once more before it goes: of a chain that does not hold nothing is removed, for it is evidence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, select

from tenants.guards import lifted
from tenants.journal import Journal
from tenants.journal_bases import Base
from tenants.journal_tables import as_stored, as_written

BATCH = 2_000
"""How many entries go in one transaction: a quarter of a second, for which whoever writes to this database waits."""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one transaction took away, and whether there is more."""

    removed: int
    more: bool


def remove_some(connection: Connection, journal: Journal, before: datetime, *, since: int, most: int = BATCH) -> Batch:
    """Remove the oldest entries, at most so many, that are all older than a moment; raise BrokenJournal.

    In the caller's transaction, as the owner of the tables. ``since`` is where the journal began before this run: the
    bases of its batches become one.
    """
    journal.lock(connection)
    base = journal.bases.newest(connection)
    rows = _oldest(connection, journal, most + 1)
    old = _old(rows, journal, base, as_written(before))
    going = old[:most]
    if going:
        _remove(connection, journal, going[-1], since)
    return Batch(len(going), len(old) > most)


def count_older(connection: Any, journal: Journal, before: datetime) -> int:
    """Return how many entries ``remove_some`` would remove in the end; raise BrokenJournal."""
    columns = journal.entries.c
    base = journal.bases.newest(connection)
    first_kept = select(func.min(columns.sequence)).where(columns.at >= as_written(before))
    kept = connection.execute(first_kept).scalar_one()
    last = kept - 1 if kept is not None else journal.head(connection)[0]
    return int(last) - base.sequence


def _oldest(connection: Connection, journal: Journal, count: int) -> Sequence[Row[Any]]:
    entries = journal.entries
    return connection.execute(select(*as_stored(entries)).order_by(entries.c.sequence).limit(count)).all()


def _old(rows: Sequence[Row[Any]], journal: Journal, base: Base, before: str) -> list[Row[Any]]:
    """Return those at the beginning that are old, checked; the first that is not is checked as well."""
    old: list[Row[Any]] = []
    sequence, previous = base.sequence, base.mac
    for row in rows:
        sequence += 1
        journal.check(row, sequence, previous)
        if row.at >= before:
            break
        previous = row.mac
        old.append(row)
    return old


def _remove(connection: Connection, journal: Journal, last: Row[Any], since: int) -> None:
    base = Base(last.sequence, last.mac, last.sequence - since, as_written(datetime.now(UTC)))
    journal.bases.replace_after(connection, since, base)
    entries = journal.entries
    with lifted(connection, entries, "no_delete"):
        connection.execute(delete(entries).where(entries.c.sequence <= last.sequence))
