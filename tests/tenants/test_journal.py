from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, insert, select, text
from sqlalchemy.pool import StaticPool

from tenants.errors import BadSeal, BrokenJournal
from tenants.keys import TenantKeys
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.platform import SQLITE_ONLY
from tests.tenants.world import HISTORY, entries, head, in_children, journal_of

ACME, GLOBEX = TenantKeys(UUID(int=1), {1: bytes(32)}), TenantKeys(UUID(int=2), {1: bytes(32)})
LENGTH = 5

KEPT_ON = ("sqlite", "postgresql")

Raw = sqlite3.Connection


@contextmanager
def journal_with(count: int, keys: TenantKeys = ACME) -> Iterator[tuple[Connection, Raw]]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as db:
        entries.metadata.create_all(db)
        journal_of(keys).start(db)
        for number in range(1, count + 1):
            append(db, keys, number)
        db.commit()
        raw: Any = db.connection.dbapi_connection
        yield db, raw
    engine.dispose()


def append(db: Any, keys: TenantKeys, number: int) -> int:
    return journal_of(keys).append(
        db,
        "note.changed",
        "done",
        actor=f"actor{number}",
        subject=f"subject{number}",
        details={"number": number},
        private={"address": f"192.0.2.{number}"},
    )


def test_entries_read_back_as_they_were_written() -> None:
    with journal_with(2) as (db, _):
        read = list(journal_of(ACME).read(iter(db.execute(select(entries).order_by(entries.c.sequence)))))
    assert [entry.sequence for entry in read] == [1, 2]
    assert (read[1].event, read[1].outcome, read[1].actor, read[1].subject) == (
        "note.changed",
        "done",
        "actor2",
        "subject2",
    )
    assert read[1].details == {"number": 2}
    assert read[1].private == {"address": "192.0.2.2"}
    assert read[1].at.tzinfo is not None


def test_a_whole_chain_holds_and_passes_through_every_head_seen_earlier() -> None:
    with journal_with(0) as (db, _):
        journal = journal_of(ACME)
        seen = [journal.head(db)]
        for number in range(1, LENGTH + 1):
            append(db, ACME, number)
            seen.append(journal.head(db))
        assert journal.verify(db) == LENGTH
        assert [journal.verify(db, anchor) for anchor in seen] == [LENGTH] * (LENGTH + 1)


def test_a_lone_surrogate_in_a_header_is_an_entry_like_any_other() -> None:
    with journal_with(0) as (db, _):
        journal = journal_of(ACME)
        journal.append(db, "e", "done", actor="a", subject="s", details={"x": "\ud800"}, private={"agent": "\udfff"})
        (entry,) = journal.read(iter(db.execute(select(entries))))
        assert (entry.details["x"], entry.private["agent"]) == ("\ud800", "\udfff")
        assert journal.verify(db) == 1


def test_the_address_is_not_in_the_file_and_can_be_erased_without_breaking_the_chain() -> None:
    with journal_with(2) as (db, raw):
        assert all(
            b"192.0.2" not in value for row in raw.execute("SELECT body, private FROM security_event") for value in row
        )
        raw.execute("UPDATE security_event SET private = NULL WHERE sequence = 1")
        assert journal_of(ACME).verify(db) == 2
        first, second = journal_of(ACME).read(iter(db.execute(select(entries).order_by(entries.c.sequence))))
        assert (first.private, second.private) == ({}, {"address": "192.0.2.2"})


def test_another_tenants_key_neither_verifies_nor_reads_a_journal() -> None:
    with journal_with(2) as (db, _):
        with pytest.raises(BrokenJournal):
            journal_of(GLOBEX).verify(db)
        with pytest.raises(BadSeal):
            list(journal_of(GLOBEX).read(iter(db.execute(select(entries)))))


def test_an_entry_written_with_another_tenants_key_is_found() -> None:
    with journal_with(2) as (db, _):
        append(db, GLOBEX, 3)
        with pytest.raises(BrokenJournal, match="entry 3"):
            journal_of(ACME).verify(db)


@pytest.mark.parametrize("body", [b"not json", b"{}", b"[]"])
def test_reading_an_entry_without_its_form_is_a_broken_journal(body: bytes) -> None:
    with journal_with(2) as (db, raw):
        raw.execute("UPDATE security_event SET body = ? WHERE sequence = 2", (body,))
        with pytest.raises(BrokenJournal, match="entry 2"):
            list(journal_of(ACME).read(iter(db.execute(select(entries).order_by(entries.c.sequence)))))


def refused_at(db: Connection, anchor: tuple[int, str] | None = None) -> int:
    with pytest.raises(BrokenJournal) as caught:
        journal_of(ACME).verify(db, anchor)
    return caught.value.sequence


numbers = st.integers(1, LENGTH)
columns = st.sampled_from(["at", "event", "outcome", "actor", "subject"])
blobs = st.sampled_from(["body", "mac", "private"])


@given(numbers, columns, st.text(st.characters(codec="ascii", exclude_characters="\0"), max_size=10))
def test_an_edited_column_is_found(number: int, column: str, value: str) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute(f"UPDATE security_event SET {column} = ? WHERE sequence = ?", (value, number))
        assert refused_at(db) == number


@given(numbers, blobs, st.integers(0))
def test_a_flipped_bit_is_found(number: int, column: str, where: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        (stored,) = raw.execute(f"SELECT {column} FROM security_event WHERE sequence = ?", (number,)).fetchone()
        changed = bytearray(stored)
        where %= len(changed) * 8
        changed[where // 8] ^= 1 << where % 8
        raw.execute(f"UPDATE security_event SET {column} = ? WHERE sequence = ?", (bytes(changed), number))
        assert refused_at(db) == number


@given(numbers, blobs, st.sampled_from(["text", 7, 1.5]))
def test_a_value_of_another_type_is_found_and_trips_nothing(number: int, column: str, value: object) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute(f"UPDATE security_event SET {column} = ? WHERE sequence = ?", (value, number))
        assert refused_at(db) == number


@given(numbers)
def test_a_deleted_entry_is_found(number: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute("DELETE FROM security_event WHERE sequence = ?", (number,))
        assert refused_at(db) == number


@given(numbers)
def test_a_deletion_closed_up_by_renumbering_is_found(number: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute("DELETE FROM security_event WHERE sequence = ?", (number,))
        raw.execute("UPDATE security_event SET sequence = sequence - 1 WHERE sequence > ?", (number,))
        assert refused_at(db) == number


@given(numbers, st.sampled_from([0, LENGTH + 1, LENGTH + 2]))
def test_an_inserted_entry_is_found(number: int, place: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute(
            "INSERT INTO security_event SELECT ?, at, event, outcome, actor, subject, body, private, mac "
            "FROM security_event WHERE sequence = ?",
            (place, number),
        )
        assert refused_at(db) in {1, LENGTH + 1}


@given(st.permutations(range(1, LENGTH + 1)).filter(lambda order: order != sorted(order)))
def test_reordered_entries_are_found(order: list[int]) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute("UPDATE security_event SET sequence = -sequence")
        for place, number in enumerate(order, 1):
            raw.execute("UPDATE security_event SET sequence = ? WHERE sequence = ?", (place, -number))
        assert refused_at(db) == next(place for place, number in enumerate(order, 1) if place != number)


@given(st.lists(numbers, min_size=2, max_size=2, unique=True))
def test_swapped_sealed_parts_are_found(pair: list[int]) -> None:
    with journal_with(LENGTH) as (db, raw):
        one, other = pair
        sealed = dict(raw.execute("SELECT sequence, private FROM security_event"))
        raw.execute("UPDATE security_event SET private = ? WHERE sequence = ?", (sealed[other], one))
        raw.execute("UPDATE security_event SET private = ? WHERE sequence = ?", (sealed[one], other))
        assert refused_at(db) == min(pair)


def test_a_sealed_part_that_holds_but_was_not_the_one_signed_is_found() -> None:
    with journal_with(2) as (db, raw):
        forged = ACME.seal("journal/security_event", bytes(16) + b"{}", context=(1).to_bytes(8))
        raw.execute("UPDATE security_event SET private = ? WHERE sequence = 1", (forged,))
        assert refused_at(db) == 1


@given(st.integers(0, LENGTH - 1))
def test_a_head_rolled_back_alone_is_found(kept: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        roll_head_back(raw, kept)
        assert refused_at(db) == kept + 1


@given(st.integers(0, LENGTH - 1))
def test_a_tail_cut_off_alone_is_found(kept: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        raw.execute("DELETE FROM security_event WHERE sequence > ?", (kept,))
        assert refused_at(db) == kept + 1


@given(st.integers(0, LENGTH - 1))
def test_a_tail_cut_off_with_its_head_is_found_by_a_head_noted_elsewhere(kept: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        anchor = journal_of(ACME).head(db)
        roll_head_back(raw, kept)
        raw.execute("DELETE FROM security_event WHERE sequence > ?", (kept,))
        assert journal_of(ACME).verify(db) == kept
        assert refused_at(db, anchor) == kept + 1


@given(numbers)
def test_a_tail_written_anew_is_found_by_a_head_noted_elsewhere(kept: int) -> None:
    with journal_with(LENGTH) as (db, raw):
        anchor = journal_of(ACME).head(db)
        roll_head_back(raw, kept - 1)
        raw.execute("DELETE FROM security_event WHERE sequence >= ?", (kept,))
        for number in range(kept, LENGTH + 1):
            append(db, ACME, number + 100)
        assert journal_of(ACME).verify(db) == LENGTH
        assert refused_at(db, anchor) == LENGTH


def roll_head_back(raw: Raw, kept: int) -> None:
    (mac,) = raw.execute("SELECT mac FROM security_event WHERE sequence = ?", (kept,)).fetchone() or (bytes(32),)
    raw.execute("UPDATE security_event_head SET sequence = ?, mac = ?", (kept, mac))


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM security_event_head",
        "INSERT INTO security_event_head VALUES (2, 0, zeroblob(32))",
        "UPDATE security_event_head SET mac = 'text'",
        "UPDATE security_event_head SET sequence = 'text'",
    ],
)
def test_a_missing_doubled_or_malformed_head_is_a_broken_journal(damage: str) -> None:
    with journal_with(2) as (db, raw):
        raw.execute(damage)
        journal = journal_of(ACME)
        refused: list[Callable[[], object]] = [
            lambda: journal.verify(db),
            lambda: journal.head(db),
            lambda: append(db, ACME, 3),
        ]
        for step in refused:
            with pytest.raises(BrokenJournal, match="head row"):
                step()


def test_six_writing_processes_make_one_unbroken_line(settings: Settings) -> None:
    def write(writer: int) -> None:
        with Tenancy.open(settings, HISTORY) as tenancy:
            for number in range(10):
                for slug in ("acme", "globex"):
                    tenant = tenancy.registry.by_slug(slug)
                    with tenancy.open_db(tenant, writing=True) as db:
                        append(db, tenancy.keys_of(tenant), writer * 100 + number)
                        db.commit()

    in_children([partial(write, writer) for writer in range(6)])
    with Tenancy.open(settings, HISTORY) as tenancy:
        for slug in ("acme", "globex"):
            tenant = tenancy.registry.by_slug(slug)
            with tenancy.open_db(tenant) as db:
                assert journal_of(tenancy.keys_of(tenant)).verify(db) == 60


def test_an_entry_of_a_rolled_back_change_leaves_no_gap(tenancy: Tenancy, acme: Tenant) -> None:
    journal = journal_of(tenancy.keys_of(acme))
    with tenancy.open_db(acme, writing=True) as db:
        append(db, tenancy.keys_of(acme), 1)
    with tenancy.open_db(acme, writing=True) as db:
        assert append(db, tenancy.keys_of(acme), 2) == 1
        db.commit()
    with tenancy.open_db(acme) as db:
        assert journal.verify(db) == 1


@SQLITE_ONLY
@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM security_event",
        "UPDATE security_event SET event = 'x'",
        "UPDATE security_event SET private = x'00'",
        "REPLACE INTO security_event VALUES (1, 'at', 'e', 'o', 'a', 's', x'00', NULL, x'00')",
    ],
)
def test_the_database_itself_refuses_to_change_an_entry(tenancy: Tenancy, acme: Tenant, statement: str) -> None:
    with tenancy.open_db(acme, writing=True) as db:
        append(db, tenancy.keys_of(acme), 1)
        db.commit()
    with tenancy.open_db(acme, writing=True) as db, pytest.raises(Exception, match="journal entries are never"):
        db.execute(text(statement))


def test_the_database_lets_the_sealed_part_of_an_entry_be_erased(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.open_db(acme, writing=True) as db:
        append(db, tenancy.keys_of(acme), 1)
        db.execute(text("UPDATE security_event SET private = NULL"))
        db.commit()
        assert journal_of(tenancy.keys_of(acme)).verify(db) == 1


def test_the_platforms_own_journal_works_the_same_way(tenancy: Tenancy) -> None:
    with tenancy.registry.writing() as connection:
        tenancy.operator_journal.append(
            connection, "tenant.created", "done", actor="root", subject="acme", details={}, private={}
        )
    with tenancy.registry.engine.connect() as connection:
        assert tenancy.operator_journal.verify(connection) == 1


def test_starting_a_journal_twice_is_refused() -> None:
    with journal_with(0) as (db, _), pytest.raises(Exception, match="UNIQUE"):
        db.execute(insert(head).values(id=1, sequence=0, mac=bytes(32)))
