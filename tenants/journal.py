"""Append-only journals whose entries are chained by HMAC, so that an edit, a hole or a reordering shows.

A journal is two tables: entries, and one head row that every writer locks in turn. The hashed bytes are stored as
they are (``body``); what could identify a person's whereabouts is sealed beside it (``private``) and enters the chain
only as a salted commitment, so it can be erased one day without breaking the chain. Entries that have grown old are
removed from the beginning (``journal_pruning``); a signed base (``journal_bases``) says where the chain goes on from.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from sqlalchemy import Connection, Result, Row, Select, Table, insert, select
from sqlalchemy.orm import Session

from tenants.errors import AnchorPruned, BadSeal, BrokenJournal, CutOff
from tenants.journal_bases import START, Bases
from tenants.journal_tables import as_stored, as_written, statements_for
from tenants.keys import TenantKeys, same
from tenants.sealed_columns import seal_of

BATCH: Final = 500
"""How many rows are in memory at once."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, unsealed. ``actor`` did it, ``subject`` is whom or what it concerns; both are opaque ids."""

    sequence: int
    at: datetime
    event: str
    outcome: str
    actor: str
    subject: str
    details: Mapping[str, Any]
    private: Mapping[str, Any]


class Journal:
    """Writes, reads and verifies one journal of one tenant (or of the platform)."""

    def __init__(self, entries: Table, head: Table, keys: TenantKeys, *, has_bases: bool = True) -> None:
        self.entries = entries
        self.bases = Bases(entries, keys, kept=has_bases)
        self._head = head
        self._statements = statements_for(entries, head)
        self._keys = keys
        self._seal = seal_of(entries.c.private)

    def append(
        self,
        db: Session | Connection,
        event: str,
        outcome: str,
        *,
        actor: str,
        subject: str,
        details: Mapping[str, Any],
        private: Mapping[str, Any],
    ) -> int:
        """Append one entry in the caller's transaction and return its sequence number.

        Call it last: from here to the commit, every other writer of this journal waits.
        """
        last, previous = self._head_row(db, self._statements.lock_head)
        sequence = last + 1
        salt = secrets.token_bytes(16)
        private_bytes = salt + _canonical(private)
        columns = {
            "at": as_written(datetime.now(UTC)),
            "event": event,
            "outcome": outcome,
            "actor": actor,
            "subject": subject,
        }
        body = _canonical(
            {
                **columns,
                "sequence": sequence,
                "details": details,
                "private": hashlib.sha256(private_bytes).hexdigest(),
            }
        )
        mac = self._mac(previous, sequence, body)
        sealed = self._sealed(private_bytes, sequence)
        db.execute(
            self._statements.append, {"sequence": sequence, "body": body, "private": sealed, "mac": mac, **columns}
        )
        db.execute(self._statements.advance, {"to": sequence, "by": mac})
        return sequence

    def start(self, db: Session | Connection) -> None:
        """Write the head row of an empty journal. Once, when the database is made."""
        db.execute(insert(self._head).values(id=1, sequence=0, mac=START.mac))

    def head(self, db: Session | Connection) -> tuple[int, str]:
        """Return the last sequence number and its MAC in hex: keep it elsewhere to prove nothing was cut off."""
        sequence, mac = self._head_row(db, self._statements.read_head)
        return sequence, mac.hex()

    def read(self, rows: Iterator[Row[Any]]) -> Iterator[Entry]:
        """Unseal rows selected from the entry table; raise BrokenJournal or BadSeal at one that was tampered with."""
        for row in rows:
            try:
                entry = self._entry(row)
            except (KeyError, TypeError, ValueError) as error:
                raise BrokenJournal(row.sequence, "it is not in the form of an entry") from error
            yield entry

    def lock(self, db: Session | Connection) -> None:
        """Let nobody append until the end of the caller's transaction."""
        self._head_row(db, self._statements.lock_head)

    def verify(self, db: Session | Connection, anchor: tuple[int, str] | None = None) -> int:
        """Check every entry against the chain, from the newest base on, and return how many there are.

        ``anchor`` is a head seen earlier: the chain must still pass through it.
        Raises BrokenJournal naming the first entry that does not hold, CutOff when the anchor lies behind the last
        one, and AnchorPruned, when all of them hold, for an anchor that lies before the first.
        """
        bases = self.bases.every(db)
        base = bases[-1] if bases else START
        count, previous = base.sequence, base.mac
        _compare(anchor, count, previous)
        with self._stored(db) as rows:
            for row in rows:
                count += 1
                self.check(row, count, previous)
                previous = row.mac
                _compare(anchor, count, previous)
        if anchor is not None and anchor[0] > count:
            raise CutOff(count + 1, "it is missing: the chain was cut off since the head was noted")
        last, mac = self._head_row(db, self._statements.read_head)
        if (last, mac) != (count, previous):
            raise BrokenJournal(min(last, count) + 1, "the head row does not match the last entry")
        if anchor is not None and anchor[0] < base.sequence:
            raise AnchorPruned(next(one for one in bases if one.sequence >= anchor[0]).moment, base.sequence + 1)
        return count - base.sequence

    def take_over(
        self,
        db: Session | Connection,
        original: Journal,
        original_db: Session | Connection,
        each: Callable[[int], None],
    ) -> None:
        """Fill this journal, which was never started, with all entries of another one: a new chain, under its own keys.

        What was signed stays as it is, byte for byte, and what was erased or removed stays so. The original is verified
        first.
        ``each`` is told how many entries came with each batch. Raises BrokenJournal.
        """
        original.verify(original_db)
        base = START
        for base in original.bases.every(original_db):
            self.bases.add(db, base)
        last, mac = base.sequence, base.mac
        with original._stored(original_db) as stored:
            for rows in stored.partitions():
                taken = []
                for row in rows:
                    last, mac = row.sequence, self._mac(mac, row.sequence, row.body)
                    taken.append({**row._asdict(), "private": self._sealed_anew(original, row), "mac": mac})
                db.execute(insert(self.entries), taken)
                each(len(taken))
        db.execute(insert(self._head).values(id=1, sequence=last, mac=mac))

    def _stored(self, db: Session | Connection) -> Result[Any]:
        stored = select(*as_stored(self.entries)).order_by(self.entries.c.sequence)
        return db.execute(stored.execution_options(yield_per=BATCH))

    def _sealed_anew(self, original: Journal, row: Row[Any]) -> bytes | None:
        raw, _ = original._open_private(row)
        return self._sealed(raw, row.sequence) if raw else None

    def _sealed(self, private: bytes, sequence: int) -> bytes:
        return self._keys.seal(self._seal.purpose, private, context=self._seal.bound_to(sequence))

    def _entry(self, row: Row[Any]) -> Entry:
        return Entry(
            sequence=row.sequence,
            at=datetime.fromisoformat(row.at),
            event=row.event,
            outcome=row.outcome,
            actor=row.actor,
            subject=row.subject,
            details=json.loads(row.body)["details"],
            private=self._open_private(row)[1],
        )

    def check(self, row: Row[Any], expected: int, previous: bytes) -> None:
        """Raise BrokenJournal unless a row, selected as it is stored, is the expected entry after the previous MAC."""
        if row.sequence != expected:
            raise BrokenJournal(expected, "it is missing")
        if not (isinstance(row.body, bytes) and isinstance(row.mac, bytes)):
            raise BrokenJournal(expected, "it is not in the form of an entry")
        if not same(row.mac, self._mac(previous, row.sequence, row.body)):
            raise BrokenJournal(expected, "it does not follow from the entry before it: changed, moved or forged")
        body = json.loads(row.body)
        for column in ("sequence", "at", "event", "outcome", "actor", "subject"):
            if body[column] != getattr(row, column):
                raise BrokenJournal(expected, f"its column {column} differs from what was signed")
        try:
            raw, _ = self._open_private(row)
        except (BadSeal, TypeError) as error:
            raise BrokenJournal(expected, "its sealed part was changed") from error
        if raw and hashlib.sha256(raw).hexdigest() != body["private"]:
            raise BrokenJournal(expected, "its sealed part is not the one that was signed")

    def _open_private(self, row: Row[Any]) -> tuple[bytes, dict[str, Any]]:
        if row.private is None:
            return b"", {}
        raw = self._keys.open(self._seal.purpose, row.private, context=self._seal.bound_to(row.sequence))
        return raw, json.loads(raw[16:])

    def _head_row(self, db: Session | Connection, statement: Select[Any]) -> tuple[int, bytes]:
        match [tuple(row) for row in db.execute(statement)]:
            case [(_, int(sequence), bytes(mac))]:
                return sequence, mac
        raise BrokenJournal(0, "the head row is missing or malformed")

    def _mac(self, previous: bytes, sequence: int, body: bytes) -> bytes:
        return self._keys.mac(self._seal.purpose, previous + sequence.to_bytes(8) + hashlib.sha256(body).digest())


def _compare(anchor: tuple[int, str] | None, sequence: int, mac: bytes) -> None:
    if anchor is not None and anchor[0] == sequence and anchor[1] != mac.hex():
        raise BrokenJournal(sequence, "it does not match the head noted earlier: the chain was rewritten")


def _canonical(value: Mapping[str, Any]) -> bytes:
    # ASCII, so that a lone surrogate in a client's header is an entry like any other.
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
