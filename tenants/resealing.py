"""Values that were sealed with one key, sealed with another: in place, column by column, or while rows are copied.

What is sealed is declared where it is stored (``sealed_columns``, ``files.PURPOSE``) and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, MetaData, Table, and_, bindparam, select, tuple_, update

from tenants.errors import BadSeal, NoSuchFile
from tenants.files import PURPOSE, Files
from tenants.guards import lifted
from tenants.keys import TenantKeys
from tenants.sealed_columns import sealed_columns
from tenants.sealing import key_version_of

Change = Callable[[str, bytes, bytes], bytes]
"""From a purpose, a sealed value and its context to the value sealed anew; raises BadSeal for one that was altered."""

# 2,000 rows take 0.1 s, for which other writers of the same database wait.
_BATCH = 2_000


@dataclass(slots=True)
class Tally:
    """What came of it: how many values were sealed anew, and how many do not open with any key and were left."""

    resealed: int = 0
    unreadable: int = 0

    def add(self, other: Tally) -> None:
        """Count what came of another part too."""
        self.resealed += other.resealed
        self.unreadable += other.unreadable


def from_to(old: TenantKeys, new: TenantKeys) -> Change:
    """Return what opens with one tenant's keys and seals with another's, or with others of the same tenant."""

    def change(purpose: str, sealed: bytes, context: bytes) -> bytes:
        return new.seal(purpose, old.open(purpose, sealed, context), context)

    return change


def to_newest(keys: TenantKeys) -> Change:
    """Return what seals a tenant's values with its newest key, whichever of its keys they were sealed with."""
    everything = keys.with_retired()
    anew = from_to(everything, everything)

    def change(purpose: str, sealed: bytes, context: bytes) -> bytes:
        return sealed if key_version_of(sealed) == everything.newest else anew(purpose, sealed, context)

    return change


def resealed(table: Table, row: Mapping[str, Any], old: TenantKeys, new: TenantKeys) -> dict[str, Any]:
    """Return a whole row, by column names, as it has to be stored for another tenant; raise BadSeal."""
    change = from_to(old, new)
    return {**row, **{name: change(*sealed) for name, sealed in _sealed_values(table, row).items()}}


def reseal(connection: Connection, metadata: MetaData, change: Change) -> Tally:
    """Re-seal every declared column of a database, in the caller's transaction, as the owner of its schema."""
    work = Resealing(metadata, change)
    while not work.is_done:
        work.go_on(connection)
    return work.tally


def reseal_files(files: Files, change: Change) -> Tally:
    """Re-seal a tenant's files, each durable and then in its old one's place. They are read meanwhile."""
    tally = Tally()
    files.sweep()
    for name in files.names():
        try:
            sealed = files.sealed(name)
            anew = change(PURPOSE, sealed, name.encode())
            if anew != sealed:
                files.put_back(name, anew)
                tally.resealed += 1
        except BadSeal:
            tally.unreadable += 1
        except NoSuchFile:
            # Its owner has deleted it since the names were read.
            continue
    return tally


class Resealing:
    """Re-seals a database in bounded steps, each on whichever connection it is given, in its transaction."""

    def __init__(self, metadata: MetaData, change: Change, batch: int = _BATCH) -> None:
        self.tally = Tally()
        self._tables = [table for table in metadata.sorted_tables if sealed_columns(table)]
        self._change = change
        self._batch = batch
        self._after: tuple[Any, ...] | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing is left."""
        return not self._tables

    def go_on(self, connection: Connection) -> None:
        """Re-seal as many rows as one step may hold."""
        room = self._batch
        while room > 0 and self._tables:
            room -= self._next_rows(connection, self._tables[0], room)

    def _next_rows(self, connection: Connection, table: Table, most: int) -> int:
        rows = [row._asdict() for row in connection.execute(_following(table, self._after, most))]
        changes = [self._changed(table, row) for row in rows]
        if updates := [change for change in changes if change]:
            # The one trigger that keeps a journal's sealed part from being replaced.
            with lifted(connection, table, "no_update"):
                connection.execute(_update(table), updates)
        if len(rows) < most:
            del self._tables[0]
            self._after = None
        else:
            self._after = tuple(rows[-1][column.name] for column in table.primary_key)
        return len(rows)

    def _changed(self, table: Table, row: Mapping[str, Any]) -> dict[str, Any]:
        """Return the parameters of the row's update; none when it stays as it is."""
        anew: dict[str, bytes] = {}
        for name, sealed in _sealed_values(table, row).items():
            try:
                anew[name] = self._change(*sealed)
            except BadSeal:
                # It does not open as it is, and will be found by whoever verifies; it must not hold up the rest.
                self.tally.unreadable += 1
        changed = {name for name, value in anew.items() if value != row[name]}
        self.tally.resealed += len(changed)
        if not changed:
            return {}
        keys = {_old(column.name): row[column.name] for column in table.primary_key}
        return {
            **keys,
            **{_new(column.name): anew.get(column.name, row[column.name]) for column in sealed_columns(table)},
        }


def _sealed_values(table: Table, row: Mapping[str, Any]) -> dict[str, tuple[str, bytes, bytes]]:
    """Return what is sealed in a row: by column its purpose, value and context."""
    return {
        column.name: (seal.purpose, row[column.name], seal.bound_to(row[seal.context]))
        for column, seal in sealed_columns(table).items()
        if row[column.name]
    }


def _following(table: Table, after: tuple[Any, ...] | None, most: int) -> Any:
    key, seals = list(table.primary_key), sealed_columns(table)
    wanted = dict.fromkeys([*key, *seals, *(table.c[seal.context] for seal in seals.values())])
    rows = select(*wanted).order_by(*key).limit(most)
    return rows if after is None else rows.where(tuple_(*key) > tuple_(*after, types=[column.type for column in key]))


def _update(table: Table) -> Any:
    same = and_(*(column == bindparam(_old(column.name)) for column in table.primary_key))
    values: dict[str, Any] = {column.name: bindparam(_new(column.name)) for column in sealed_columns(table)}
    return update(table).where(same).values(values)


def _old(name: str) -> str:
    return f"old_{name}"


def _new(name: str) -> str:
    return f"new_{name}"
