"""Where a journal begins once its oldest entries were removed: a signed row for each time that was done.

Each row says how many entries went, up to which, and the MAC that the first of those that stay follows from. The rows
add up from the first entry there ever was: one that is changed, added or taken away shows, as an entry does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, Row, Table, delete, insert, select
from sqlalchemy.orm import Session

from tenants.errors import BrokenJournal
from tenants.journal_tables import as_stored, base_of
from tenants.keys import TenantKeys, same

_GENESIS: Final = bytes(32)


@dataclass(frozen=True, slots=True)
class Base:
    """What was removed at one time: ``sequence`` and ``mac`` are those of the last entry that went."""

    sequence: int
    mac: bytes
    removed: int
    at: str

    @property
    def moment(self) -> datetime:
        """When it was removed."""
        return datetime.fromisoformat(self.at)


START: Final = Base(0, _GENESIS, 0, "")
"""Where a journal begins from which nothing was ever removed."""


class Bases:
    """Reads and writes the bases of one journal. ``kept`` is False for a database from before there were any."""

    def __init__(self, entries: Table, keys: TenantKeys, *, kept: bool = True) -> None:
        self._table = base_of(entries)
        self._keys = keys
        self._purpose = f"journal/{entries.name}/base"
        self._kept = kept

    def newest(self, db: Session | Connection) -> Base:
        """Return where the journal begins; raise BrokenJournal when what is noted of it does not hold."""
        found = self.every(db)
        return found[-1] if found else START

    def every(self, db: Session | Connection) -> list[Base]:
        """Return all of them, the oldest first; raise BrokenJournal."""
        found: list[Base] = []
        rows = select(*as_stored(self._table)).order_by(self._table.c.sequence)
        for row in db.execute(rows) if self._kept else ():
            found.append(self._checked(row, found[-1] if found else START))
        return found

    def add(self, db: Session | Connection, base: Base) -> None:
        """Sign one and write it."""
        values = {"sequence": base.sequence, "mac": base.mac, "removed": base.removed, "at": base.at}
        db.execute(insert(self._table).values(**values, signature=self._signature(base)))

    def replace_after(self, db: Session | Connection, since: int, base: Base) -> None:
        """Write one in place of all that are newer than the one up to ``since``: it covers what they did."""
        db.execute(delete(self._table).where(self._table.c.sequence > since))
        self.add(db, base)

    def _checked(self, row: Row[Any], before: Base) -> Base:
        match tuple(row):
            case (int(sequence), bytes(mac), int(removed), str(at), bytes(signature)):
                base = Base(sequence, mac, removed, at)
            case _:
                raise _broken(before)
        adds_up = (
            base.removed > 0 and base.sequence == before.sequence + base.removed and len(base.mac) == len(_GENESIS)
        )
        if not adds_up or not same(signature, self._signature(base)):
            raise _broken(before)
        return base

    def _signature(self, base: Base) -> bytes:
        numbers = base.sequence.to_bytes(8, signed=True) + base.removed.to_bytes(8, signed=True)
        return self._keys.mac(self._purpose, numbers + base.mac + base.at.encode())


def _broken(before: Base) -> BrokenJournal:
    return BrokenJournal(before.sequence + 1, "the signed note of what was removed from there on does not hold")
