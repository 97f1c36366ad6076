"""Rows go from one engine to another and are proved to be the same, in little memory whatever their number."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import Connection, delete, event, insert, update

from extranet.models import Base, CompanyVersion, User, security_event_table, throttle_table
from tenants import copying, schema
from tenants.copying import copy_all, count_rows, sum_of
from tenants.databases import TenantSession
from tenants.errors import BrokenJournal, CopyFailed, SchemaBehind
from tenants.journal_tables import journals_in
from tenants.marks import is_of_one_tenant
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, Tenant
from tests.tenants.lives import TABLES
from tests.tenants.world import HISTORY


def nobody_is_told(_done: int, _total: int) -> None:
    pass


@pytest.fixture
def acme(movable: Tenancy) -> Tenant:
    return movable.registry.by_slug("acme")


@contextmanager
def target_of(tenancy: Tenancy, tenant: Tenant, server: str = "pg1") -> Iterator[TenantSession]:
    store = store_of(tenancy, server)
    store.create(tenant)
    with store.filling(tenant) as db:
        yield db


def copied(tenancy: Tenancy, tenant: Tenant, progress: Any = nobody_is_told) -> None:
    with store_of(tenancy, tenant.server).reading(tenant) as source, target_of(tenancy, tenant) as db:
        copy_all(source, db.connection(), HISTORY, tenancy.keys_of(tenant), progress)


def add_versions(tenancy: Tenancy, tenant: Tenant, rows: list[dict[str, Any]]) -> None:
    with tenancy.open_db(tenant, writing=True) as db:
        db.execute(insert(CompanyVersion), rows)
        db.commit()


def version(key: str, changes: str) -> dict[str, Any]:
    return {"id": key, "changed_by": "anna", "at": datetime(2026, 2, 28, 23, 59, 59, 999999, UTC), "changes": changes}


def test_letters_moments_bytes_truth_and_nothing_mean_the_same_on_the_other_side(
    movable: Tenancy, acme: Tenant
) -> None:
    add_versions(movable, acme, [version("1", "日本 é \U0001f600 ' \" \\ %s :x \n\t"), version("2", "")])
    with movable.open_db(acme, writing=True) as db:
        db.execute(update(User).where(User.username == "ben").values(reduce_motion=True, password=bytes(range(256))))
        db.execute(insert(throttle_table).values(bucket=bytes(32), count=2**31 - 1, until=0, strikes=0))
        db.commit()
    copied(movable, acme)
    with store_of(movable, EMBEDDED).reading(acme) as here, store_of(movable, "pg1").reading(acme) as there:
        for table in TABLES:
            asked = table.select().order_by(*table.primary_key)
            assert here.execute(asked).all() == there.execute(asked).all(), table


def test_progress_begins_at_nothing_and_ends_at_all_rows(movable: Tenancy, acme: Tenant) -> None:
    add_versions(movable, acme, [version(str(number), "x") for number in range(copying.BATCH + 1)])
    told: list[tuple[int, int]] = []
    copied(movable, acme, lambda done, total: told.append((done, total)))
    with store_of(movable, EMBEDDED).reading(acme) as source:
        total = count_rows(source, TABLES)
    assert told[0] == (0, total)
    assert told[-1] == (total, total)
    assert [done for done, _ in told] == sorted({done for done, _ in told})


def test_memory_does_not_grow_with_the_number_of_rows(movable: Tenancy, acme: Tenant) -> None:
    add_versions(movable, acme, [version(str(number), "x" * 10_000) for number in range(3_000)])
    tracemalloc.start()
    try:
        copied(movable, acme)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * 1024**2


def drop_a_row(target: Connection) -> None:
    target.execute(delete(CompanyVersion).where(CompanyVersion.id == "1"))


def change_a_row(target: Connection) -> None:
    target.execute(update(CompanyVersion).where(CompanyVersion.id == "1").values(changes="y"))


@pytest.mark.parametrize("spoil", [drop_a_row, change_a_row])
def test_a_copy_that_differs_in_one_row_is_no_copy(
    movable: Tenancy, acme: Tenant, spoil: Callable[[Connection], None]
) -> None:
    add_versions(movable, acme, [version("1", "x"), version("2", "x")])
    with store_of(movable, EMBEDDED).reading(acme) as source, target_of(movable, acme) as db:
        connection = db.connection()

        def spoiled(done: int, total: int) -> None:
            if done == total:
                spoil(connection)

        with pytest.raises(CopyFailed, match="company_version"):
            copy_all(source, connection, HISTORY, movable.keys_of(acme), spoiled)


def test_a_sum_tells_rows_apart_and_not_their_order(movable: Tenancy, acme: Tenant) -> None:
    add_versions(movable, acme, [version("1", "x"), version("2", "y")])
    table: Any = CompanyVersion.__table__
    with store_of(movable, EMBEDDED).reading(acme) as source:
        whole = sum_of(source, table)
        rows = [row._asdict() for row in source.execute(table.select())]
    backwards, swapped = copying.Sum(), copying.Sum()
    backwards.add(table, rows[::-1])
    rows[0]["changes"], rows[1]["changes"] = rows[1]["changes"], rows[0]["changes"]
    swapped.add(table, rows)
    assert backwards == whole != swapped


def test_a_journal_that_does_not_hold_is_not_copied(movable: Tenancy, acme: Tenant) -> None:
    with movable.open_db(acme, writing=True) as db:
        db.connection().exec_driver_sql("DROP TRIGGER security_event_no_update")
        db.execute(update(security_event_table).where(security_event_table.c.sequence == 2).values(mac=bytes(32)))
        db.commit()
    with pytest.raises(BrokenJournal) as broken:
        copied(movable, acme)
    assert broken.value.sequence == 2


@pytest.mark.parametrize("found", ["0000", "9999"])
def test_a_database_of_another_schema_is_not_copied(movable: Tenancy, acme: Tenant, found: str) -> None:
    with movable.open_db(acme, writing=True) as db:
        db.connection().exec_driver_sql("UPDATE alembic_version SET version_num = ?", (found,))
        db.commit()
    with pytest.raises(SchemaBehind, match=f"schema {int(found)}"):
        copied(movable, acme)


def test_a_server_hands_the_rows_over_batch_by_batch(movable: Tenancy, acme: Tenant) -> None:
    moved = store_of(movable, "pg1")
    copied(movable, acme)
    with moved.reading(acme) as source:
        kinds = []
        event.listen(source, "after_cursor_execute", lambda *arguments: kinds.append(type(arguments[1]).__name__))
        sum_of(source, TABLES[0])
    assert kinds == ["ServerCursor"]


def test_no_table_counts_its_rows_by_itself() -> None:
    # A counter on a server would begin at 1 again after the rows were copied there.
    for table in TABLES:
        assert table.autoincrement_column is None, table


def test_every_journal_is_known_for_one() -> None:
    names = {entries.name for entries, _ in journals_in(schema.tables_of(HISTORY))}
    assert names == {name.removesuffix("_head") for name in Base.metadata.tables if name.endswith("_head")}
    assert "security_event" in names


def test_what_signs_in_or_counts_against_somebody_is_of_one_tenant() -> None:
    marked = {table.name for table in TABLES if is_of_one_tenant(table)}
    assert marked == {
        "identity",
        "identity_provider",
        "invitation",
        "known_browser",
        "login",
        "mail",
        "one_time_link",
        "passkey",
        "pending_sign_in",
        "previous_password",
        "recovery_code",
        "support_grant",
        "support_visit",
        "throttle",
        "totp",
        "used_challenge",
    }
