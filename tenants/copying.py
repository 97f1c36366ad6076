"""The rows of a tenant's database, read from one engine and written to another, and proof that they are the same.

Values pass as the types of their columns say: UUIDs, moments, bytes and truth values mean the same on both sides.
Memory does not grow with the number of rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, func, insert, select

from tenants import schema
from tenants.errors import CopyFailed, SchemaBehind
from tenants.journal import BATCH, Journal
from tenants.journal_tables import base_of, journals_in
from tenants.keys import TenantKeys
from tenants.marks import is_of_one_tenant
from tenants.resealing import resealed

Change = Callable[[Table, Mapping[str, Any]], Mapping[str, Any]]
"""From a row as it was read to the row that is written."""

Progress = Callable[[int, int], None]
"""Told now and then how many rows are done, of how many."""

_EVERY_DIGEST = 2**256


@dataclass(slots=True)
class Sum:
    """How many rows a table has, and a digest of what is in them, in whichever order they come."""

    rows: int = 0
    digest: int = 0

    def add(self, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Count rows in."""
        for row in rows:
            values = repr([row[column.name] for column in table.columns])
            self.digest = (self.digest + int.from_bytes(hashlib.sha256(values.encode()).digest())) % _EVERY_DIGEST
        self.rows += len(rows)


def copy_all(source: Connection, target: Connection, history: str, keys: TenantKeys, progress: Progress) -> None:
    """Copy every row of a tenant's database to an empty one of the same tenant, and prove it.

    Raises SchemaBehind, CopyFailed, or BrokenJournal for a journal that does not hold.
    """
    _check_schema(source, history)
    metadata = schema.tables_of(history)
    tables = metadata.sorted_tables
    _copy(source, target, tables, lambda _table, row: row, _Counter(source, tables, progress))
    for entries, head in journals_in(metadata):
        Journal(entries, head, keys).verify(target)


def copy_resealed(
    source: Connection, target: Connection, history: str, keys: tuple[TenantKeys, TenantKeys], progress: Progress
) -> dict[str, str]:
    """Copy a tenant's rows to an empty database of another tenant, whose keys are the second, and prove it.

    What concerns one tenant alone stays behind; journals become chains of their own. Returns the heads of those that
    were copied, by journal. Raises SchemaBehind, CopyFailed, BrokenJournal, or BadSeal for a value that does not open.
    """
    _check_schema(source, history)
    old, new = keys
    metadata = schema.tables_of(history)
    journals = journals_in(metadata)
    tables = cloned_tables(metadata)
    counter = _Counter(source, [*tables, *(entries for entries, _ in journals)], progress)
    _copy(source, target, tables, lambda table, row: resealed(table, row, old, new), counter)
    heads = {}
    for entries, head in journals:
        original, copy = Journal(entries, head, old), Journal(entries, head, new)
        copy.take_over(target, original, source, counter.add)
        copy.verify(target)
        heads[entries.name] = "{}:{}".format(*original.head(source))
    return heads


def cloned_tables(metadata: MetaData) -> list[Table]:
    """Return the tables whose rows another tenant may have too: no journals, and nothing of one tenant alone."""
    journals = {table for entries, head in journals_in(metadata) for table in (entries, head, base_of(entries))}
    return [table for table in metadata.sorted_tables if table not in journals and not is_of_one_tenant(table)]


def count_rows(connection: Connection, tables: Sequence[Table]) -> int:
    """Return how many rows some tables have together."""
    return sum(connection.execute(select(func.count()).select_from(table)).scalar_one() for table in tables)


class _Counter:
    def __init__(self, source: Connection, tables: Sequence[Table], progress: Progress) -> None:
        self._total = count_rows(source, tables)
        self._done = 0
        self._progress = progress
        progress(0, self._total)

    def add(self, rows: int) -> None:
        self._done += rows
        self._progress(self._done, self._total)


def _copy(source: Connection, target: Connection, tables: Sequence[Table], change: Change, counter: _Counter) -> None:
    written = {}
    # In the order in which tables refer to each other.
    for table in tables:
        written[table] = Sum()
        for rows in _batches(source, table):
            changed = [change(table, row) for row in rows]
            target.execute(insert(table), changed)
            written[table].add(table, changed)
            counter.add(len(changed))
    for table, expected in written.items():
        if (found := sum_of(target, table)) != expected:
            raise CopyFailed(
                f"The copy of the table {table.name} is not what was read: {found.rows} rows for {expected.rows}, "
                "or others. Nothing was changed."
            )


def sum_of(connection: Connection, table: Table) -> Sum:
    """Return a table's sum as it is now."""
    found = Sum()
    for rows in _batches(connection, table):
        found.add(table, rows)
    return found


def _batches(connection: Connection, table: Table) -> Iterator[Sequence[Mapping[str, Any]]]:
    # Streamed: a server hands the rows over batch by batch.
    with connection.execute(select(table), execution_options={"yield_per": BATCH}) as result:
        for rows in result.partitions():
            yield [row._asdict() for row in rows]


def _check_schema(connection: Connection, history: str) -> None:
    found = schema.version_of(connection)
    if found != schema.head(history):
        raise SchemaBehind(
            f"The database has schema {found}, this code copies schema {schema.head(history)}: bring it there first."
        )
