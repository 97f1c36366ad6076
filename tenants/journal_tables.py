"""A journal's two tables, and the statements that every append says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final

from sqlalchemy import (
    Column,
    ColumnElement,
    Insert,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    String,
    Table,
    Update,
    bindparam,
    insert,
    select,
    type_coerce,
    update,
)
from sqlalchemy.types import NullType

from tenants.sealed_columns import Sealed

_TECHNICAL: Final = {"personal": False}
_HEAD: Final = "_head"
_BASE: Final = "_base"


def journal_tables(metadata: MetaData, name: str, private_info: Mapping[str, Any]) -> tuple[Table, Table]:
    """Declare a journal's entry table ``name`` and head table ``name``_head.

    ``private_info`` classifies the columns that concern a person.
    """
    personal = dict(private_info)
    seal = Sealed(f"journal/{name}", context="sequence")
    entries = Table(
        name,
        metadata,
        Column("sequence", Integer, primary_key=True, autoincrement=False, info=_TECHNICAL),
        Column("at", String(27), nullable=False, index=True, info=_TECHNICAL),
        Column("event", String(64), nullable=False, info=_TECHNICAL),
        Column("outcome", String(16), nullable=False, info=_TECHNICAL),
        Column("actor", String(64), nullable=False, info=personal),
        Column("subject", String(64), nullable=False, index=True, info=personal),
        Column("body", LargeBinary, nullable=False, info=personal),
        Column("private", LargeBinary, nullable=True, info={**personal, **seal.info}),
        Column("mac", LargeBinary(32), nullable=False, info=_TECHNICAL),
    )
    head = Table(
        f"{name}{_HEAD}",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False, info=_TECHNICAL),
        Column("sequence", Integer, nullable=False, info=_TECHNICAL),
        Column("mac", LargeBinary(32), nullable=False, info=_TECHNICAL),
    )
    # What was removed because it had grown old: up to which entry, and the MAC that the next one follows from.
    Table(
        f"{name}{_BASE}",
        metadata,
        Column("sequence", Integer, primary_key=True, autoincrement=False, info=_TECHNICAL),
        Column("mac", LargeBinary(32), nullable=False, info=_TECHNICAL),
        Column("removed", Integer, nullable=False, info=_TECHNICAL),
        Column("at", String(27), nullable=False, info=_TECHNICAL),
        Column("signature", LargeBinary(32), nullable=False, info=_TECHNICAL),
    )
    return entries, head


def base_of(entries: Table) -> Table:
    """Return the table of a journal's bases, a row for each time its oldest entries were removed."""
    return entries.metadata.tables[f"{entries.name}{_BASE}"]


def journals_in(metadata: MetaData) -> list[tuple[Table, Table]]:
    """Return the two tables of every journal that ``journal_tables`` declared."""
    tables = metadata.tables
    return [(tables[name.removesuffix(_HEAD)], tables[name]) for name in sorted(tables) if name.endswith(_HEAD)]


@dataclass(frozen=True, slots=True)
class Statements:
    """What every append says, built once: building costs as much as running it."""

    read_head: Select[Any]
    lock_head: Select[Any]
    append: Insert
    advance: Update


@lru_cache(maxsize=8)
def statements_for(entries: Table, head: Table) -> Statements:
    """Return the statements of one journal."""
    read_head = select(*as_stored(head))
    return Statements(
        read_head,
        # SQLite's writers hold the one write lock from their beginning; elsewhere the row is what they queue for.
        read_head.with_for_update(),
        insert(entries),
        update(head).values(sequence=bindparam("to"), mac=bindparam("by")),
    )


def as_written(moment: datetime) -> str:
    """Return a moment as entries have theirs: what is later is later in the alphabet, too."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def as_stored(table: Table) -> list[ColumnElement[Any]]:
    """Return a table's columns without conversion: a forged entry must reach the checks, not trip before them."""
    return [type_coerce(column, NullType()).label(column.name) for column in table.c]
