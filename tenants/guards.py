"""The triggers that keep a journal as it is (``migrating.make_append_only``), lifted for a statement of the owner's."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Table


@contextmanager
def lifted(connection: Connection, table: Table, what: str) -> Iterator[None]:
    """Suspend one trigger of a journal, ``no_update`` or ``no_delete``; it is back before the commit.

    An error ends the transaction, and the suspension with it. A table that has no such trigger is left as it is.
    """
    guard = f"{table.name}_{what}"
    suspend = _without_sqlite if connection.dialect.name == "sqlite" else _without_postgresql
    with suspend(connection, table.name, guard):
        yield


@contextmanager
def _without_sqlite(connection: Connection, table: str, guard: str) -> Iterator[None]:
    asked = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = ? AND name = ?"
    written = connection.exec_driver_sql(asked, (table, guard)).scalar_one_or_none()
    if written:
        connection.exec_driver_sql(f'DROP TRIGGER "{guard}"')
    yield
    if written:
        connection.exec_driver_sql(written)


@contextmanager
def _without_postgresql(connection: Connection, table: str, guard: str) -> Iterator[None]:
    asked = "SELECT 1 FROM pg_trigger WHERE tgrelid = to_regclass(%s) AND tgname = %s AND tgenabled = 'O'"
    guarded = connection.exec_driver_sql(asked, (f'"{table}"', guard)).scalar_one_or_none()
    if guarded:
        connection.exec_driver_sql(f'ALTER TABLE "{table}" DISABLE TRIGGER "{guard}"')
    yield
    if guarded:
        connection.exec_driver_sql(f'ALTER TABLE "{table}" ENABLE TRIGGER "{guard}"')
