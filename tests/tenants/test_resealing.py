from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from extranet.models import Base, User
from tenants import registry_tables, schema
from tenants.errors import BadSeal, NoSuchFile
from tenants.files import Files
from tenants.keys import TenantKeys
from tenants.registry_tables import database_login_table
from tenants.resealing import Resealing, from_to, reseal, reseal_files, resealed, to_newest
from tenants.sealed_columns import Sealed, sealed_columns
from tenants.sealing import key_version_of
from tenants.settings import Settings
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.servers import create
from tests.tenants.world import HISTORY, entries, journal_of

ACME, GLOBEX = UUID(int=1), UUID(int=2)
FIRST, SECOND = bytes(32), bytes([1]) * 32
OLD = TenantKeys(ACME, {1: FIRST})
NEW = TenantKeys(ACME, {1: FIRST, 2: SECOND})
OTHER = TenantKeys(GLOBEX, {1: SECOND})

# Hashes, MACs, signed text and wrapped keys: nothing of it is sealed with a tenant's key.
NOT_SEALED = {
    "activity.body",
    "activity.mac",
    "activity_base.mac",
    "activity_base.signature",
    "activity_head.mac",
    "invitation.token_mac",
    "known_browser.device_hash",
    "known_browser.previous_hash",
    "login.secret_hash",
    "one_time_link.token_mac",
    "passkey.credential_id",
    "passkey.public_key",
    "pending_sign_in.secret_hash",
    "recovery_code.code_mac",
    "security_event.body",
    "security_event.mac",
    "security_event_base.mac",
    "security_event_base.signature",
    "security_event_head.mac",
    "support_visit.secret_hash",
    "throttle.bucket",
    "used_challenge.challenge_hash",
    "user.passkey_handle",
}
NOT_SEALED_IN_THE_REGISTRY = {
    "backup.digest",
    "operator_event.body",
    "operator_event.mac",
    "operator_event_base.mac",
    "operator_event_base.signature",
    "operator_event_head.mac",
    "throttle.bucket",
    "wrapped_key.wrapped",
}


def undeclared(metadata: MetaData, not_sealed: set[str]) -> set[str]:
    """Which columns of bytes say neither that they are sealed nor that they are not; and which say both."""
    columns = [column for table in metadata.sorted_tables for column in table.columns]
    held = {str(column) for column in columns if isinstance(column.type, LargeBinary)}
    sealed = {str(column) for table in metadata.sorted_tables for column in sealed_columns(table)}
    return (held - sealed) ^ not_sealed


def test_every_column_of_bytes_says_whether_it_is_sealed() -> None:
    assert undeclared(schema.tables_of(HISTORY), NOT_SEALED) == set()
    assert undeclared(registry_tables.metadata, NOT_SEALED_IN_THE_REGISTRY) == set()


def test_a_column_of_bytes_that_says_nothing_is_found() -> None:
    metadata = MetaData()
    Table("note", metadata, Column("id", Integer, primary_key=True), Column("secret", LargeBinary))
    assert undeclared(metadata, set()) == {"note.secret"}
    assert undeclared(metadata, {"note.secret"}) == set()


def test_every_seal_is_bound_to_a_column_that_does_not_change() -> None:
    for metadata in (schema.tables_of(HISTORY), registry_tables.metadata):
        for table in metadata.sorted_tables:
            for seal in sealed_columns(table).values():
                column = table.c[seal.context]
                # The row itself, or whose it is: rows are never given to anybody else.
                assert column.primary_key or "user.id" in {key.target_fullname for key in column.foreign_keys}, (
                    table.name
                )


def test_the_tables_of_a_history_are_those_of_its_models() -> None:
    assert schema.tables_of(HISTORY) is Base.metadata
    with pytest.raises(ModuleNotFoundError):
        schema.tables_of("extranet.nothing")


# -- one row, on its way to another tenant ----------------------------------------------------------------------------

user_table: Any = User.__table__


def test_a_row_for_another_tenant_opens_with_that_tenant_s_keys_alone() -> None:
    row = {"id": "anna", "username": "anna", "password": OLD.seal("password", b"hash", b"anna")}
    copied = resealed(user_table, row, OLD, OTHER)
    assert OTHER.open("password", copied["password"], b"anna") == b"hash"
    with pytest.raises(BadSeal):
        OLD.open("password", copied["password"], b"anna")
    assert {**copied, "password": row["password"]} == row


def test_an_entry_of_a_journal_keeps_all_but_the_seal_of_its_private_part() -> None:
    row = {"sequence": 3, "body": b"{}", "private": OLD.seal("journal/security_event", b"{}", (3).to_bytes(8))}
    copied = resealed(entries, row, OLD, OTHER)
    assert OTHER.open("journal/security_event", copied["private"], (3).to_bytes(8)) == b"{}"
    assert (copied["sequence"], copied["body"]) == (3, b"{}")


def test_what_is_empty_stays_empty() -> None:
    assert resealed(user_table, {"id": "anna", "password": b""}, OLD, OTHER)["password"] == b""
    assert resealed(entries, {"sequence": 1, "private": None}, OLD, OTHER)["private"] is None


def test_a_row_whose_seal_does_not_hold_is_not_copied() -> None:
    moved = {"id": "ben", "password": OLD.seal("password", b"hash", b"anna")}
    with pytest.raises(BadSeal):
        resealed(user_table, moved, OLD, OTHER)


def test_a_table_without_anything_sealed_is_copied_as_it_is() -> None:
    table: Any = Base.metadata.tables["company_version"]
    assert resealed(table, {"id": "1", "changes": "[]"}, OLD, OTHER) == {"id": "1", "changes": "[]"}


# -- a table in place --------------------------------------------------------------------------------------------------

metadata = MetaData()
pair_table = Table(
    "pair",
    metadata,
    Column("left", String, primary_key=True),
    Column("right", Integer, primary_key=True),
    Column("one", LargeBinary, info=Sealed("one", context="left").info),
    Column("two", LargeBinary, info=Sealed("two", context="right").info),
)
PAIRS = [(left, right) for left in ("a", "b", "c") for right in (1, 2, 3)]


@contextmanager
def pairs() -> Iterator[Connection]:
    engine = create_engine("sqlite://", poolclass=StaticPool)
    with engine.connect() as connection:
        metadata.create_all(connection)
        for left, right in PAIRS:
            sealed = {"one": OLD.seal("one", b"1", left.encode()), "two": OLD.seal("two", b"2", right.to_bytes(8))}
            connection.execute(insert(pair_table).values(left=left, right=right, **sealed))
        yield connection
    engine.dispose()


def versions(connection: Connection) -> list[tuple[int, int]]:
    rows = connection.execute(select(pair_table).order_by(pair_table.c.left, pair_table.c.right))
    return [(key_version_of(row.one), key_version_of(row.two)) for row in rows]


@pytest.mark.parametrize("batch", [1, 2, 3, 9, 100])
def test_all_rows_are_sealed_anew_whatever_a_step_may_hold(batch: int) -> None:
    with pairs() as connection:
        work = Resealing(metadata, to_newest(NEW), batch)
        steps = 0
        while not work.is_done:
            work.go_on(connection)
            steps += 1
        assert versions(connection) == [(2, 2)] * len(PAIRS)
        for row in connection.execute(select(pair_table)):
            assert NEW.open("one", row.one, row.left.encode()) == b"1"
            assert NEW.open("two", row.two, row.right.to_bytes(8)) == b"2"
    assert steps >= len(PAIRS) / batch
    assert (work.tally.resealed, work.tally.unreadable) == (2 * len(PAIRS), 0)


def test_what_has_the_newest_key_already_is_not_touched() -> None:
    with pairs() as connection:
        reseal(connection, metadata, to_newest(NEW))
        before = connection.execute(select(pair_table)).all()
        assert reseal(connection, metadata, to_newest(NEW)).resealed == 0
        assert connection.execute(select(pair_table)).all() == before


def test_what_a_retired_key_sealed_is_sealed_anew_too() -> None:
    ring = NEW.with_retired()._look(False)
    retired = TenantKeys(ACME, ring.keys, lambda _at_once: type(ring)(ring.keys, {1: 0.0}))
    with pairs() as connection:
        assert reseal(connection, metadata, to_newest(retired)).resealed == 2 * len(PAIRS)
        with pytest.raises(BadSeal, match="retired"):
            retired.open("one", OLD.seal("one", b"1"))


def test_a_value_that_was_altered_is_counted_and_left_and_holds_nothing_up() -> None:
    with pairs() as connection:
        spoilt = update(pair_table).where(pair_table.c.left == "b", pair_table.c.right == 2)
        connection.execute(spoilt.values(one=b"spoilt"))
        connection.execute(update(pair_table).where(pair_table.c.left == "a").values(two=None))
        tally = reseal(connection, metadata, to_newest(NEW))
        rows = {(row.left, row.right): row for row in connection.execute(select(pair_table))}
    assert (tally.resealed, tally.unreadable) == (2 * len(PAIRS) - 3 - 1, 1)
    assert rows["b", 2].one == b"spoilt"
    assert key_version_of(rows["b", 2].two) == 2
    assert rows["a", 1].two is None


def test_a_whole_table_can_be_sealed_for_another_tenant() -> None:
    with pairs() as connection:
        reseal(connection, metadata, from_to(OLD, OTHER))
        row = connection.execute(select(pair_table)).first()
        assert row is not None
        assert OTHER.open("one", row.one, row.left.encode()) == b"1"


def test_a_registry_table_with_a_key_of_two_columns_is_sealed_anew(tenancy: Tenancy, acme: Tenant) -> None:
    keys = tenancy.keys_of(acme)
    with tenancy.registry.writing() as connection:
        for server in ("pg1", "pg2", "pg3"):
            sealed = keys.seal("database-login", b"secret", server.encode())
            values = {"tenant_uuid": acme.uuid, "server": server, "password": sealed}
            connection.execute(insert(database_login_table).values(**values))
        work = Resealing(registry_tables.metadata, from_to(keys, OTHER), 2)
        while not work.is_done:
            work.go_on(connection)
        rows = connection.execute(select(database_login_table)).all()
    assert [OTHER.open("database-login", row.password, row.server.encode()) for row in rows] == [b"secret"] * 3


# -- a tenant's database -----------------------------------------------------------------------------------------------


def write_entries(tenancy: Tenancy, tenant: Tenant, count: int) -> None:
    with tenancy.open_db(tenant, writing=True) as db:
        for number in range(count):
            journal_of(db.info["keys"]).append(
                db, "event", "ok", actor="a", subject="s", details={}, private={"number": number}
            )
        db.commit()


def sealed_parts(tenancy: Tenancy, tenant: Tenant) -> list[bytes]:
    with tenancy.open_db(tenant) as db:
        return list(db.execute(select(entries.c.private).order_by(entries.c.sequence)).scalars())


def guards(connection: Connection) -> list[Any]:
    """Everything that keeps a journal as it is, exactly as the database has it."""
    if connection.dialect.name == "sqlite":
        asked = "SELECT name, tbl_name, sql FROM sqlite_schema WHERE type = 'trigger' ORDER BY name"
    else:
        asked = "SELECT tgname, tgenabled, pg_get_triggerdef(oid) FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1"
    return list(connection.execute(text(asked)))


@pytest.fixture(params=["sqlite", "postgresql"])
def written(request: pytest.FixtureRequest) -> tuple[Tenancy, Tenant]:
    """A tenant with five entries in its journal, on either engine."""
    if request.param == "sqlite":
        tenancy = request.getfixturevalue("tenancy")
        tenant = tenancy.registry.by_slug("acme")
    else:
        tenancy = request.getfixturevalue("pg_tenancy")
        tenant = create(tenancy, "acme")
    write_entries(tenancy, tenant, 5)
    return tenancy, tenant


def newer(tenancy: Tenancy, tenant: Tenant) -> TenantKeys:
    return TenantKeys(tenant.uuid, {**tenancy.keys_of(tenant)._look(False).keys, 2: SECOND})


def test_a_journal_is_sealed_anew_and_guarded_as_before(written: tuple[Tenancy, Tenant]) -> None:
    tenancy, tenant = written
    before, keys = sealed_parts(tenancy, tenant), newer(tenancy, tenant)
    with store_of(tenancy, tenant.server).changing_schema(tenant) as connection:
        guarded = guards(connection)
        work = Resealing(schema.tables_of(HISTORY), to_newest(keys), 2)
        while not work.is_done:
            work.go_on(connection)
        assert guards(connection) == guarded
    after = sealed_parts(tenancy, tenant)
    assert [key_version_of(part) for part in before + after] == [1] * 5 + [2] * 5
    with tenancy.open_db(tenant) as db:
        assert journal_of(keys).verify(db) == 5
    with pytest.raises(DBAPIError, match="never"), tenancy.open_db(tenant, writing=True) as db:
        db.execute(update(entries).values(private=before[0]))


def test_a_password_is_sealed_anew_where_nothing_guards_it(written: tuple[Tenancy, Tenant]) -> None:
    tenancy, tenant = written
    keys = newer(tenancy, tenant)
    with tenancy.open_db(tenant, writing=True) as db:
        for name, sealed in (("anna", tenancy.keys_of(tenant).seal("password", b"hash", b"anna")), ("ben", b"")):
            person = {"first_name": name, "last_name": name, "role": "member", "state": "active"}
            look = {"language": "en", "time_zone": "UTC"}
            db.add(User(id=name, username=name, email=f"{name}@acme.example", password=sealed, **person, **look))
        db.commit()
    with store_of(tenancy, tenant.server).changing_schema(tenant) as connection:
        reseal(connection, schema.tables_of(HISTORY), to_newest(keys))
    with tenancy.open_db(tenant) as db:
        anna, ben = db.scalars(select(User).order_by(User.id))
    assert keys.open("password", anna.password, b"anna") == b"hash"
    assert key_version_of(anna.password) == 2
    assert ben.password == b""


def test_a_resealing_that_fails_leaves_all_as_it_was(written: tuple[Tenancy, Tenant]) -> None:
    tenancy, tenant = written
    before = sealed_parts(tenancy, tenant)
    calls = []

    def fail(purpose: str, sealed: bytes, context: bytes) -> bytes:
        calls.append(purpose)
        if len(calls) > 3:
            raise ValueError
        return sealed[::-1]

    store = store_of(tenancy, tenant.server)
    with store.changing_schema(tenant) as connection:
        guarded = guards(connection)
    work = Resealing(schema.tables_of(HISTORY), fail, 2)

    def go_on_to_the_end() -> None:
        with store.changing_schema(tenant) as connection:
            while not work.is_done:
                work.go_on(connection)

    with pytest.raises(ValueError):
        go_on_to_the_end()
    assert sealed_parts(tenancy, tenant) == before
    with store.changing_schema(tenant) as connection:
        assert guards(connection) == guarded


# -- files -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def folder(settings: Settings, acme: Tenant) -> Path:
    return settings.folder_of(acme.uuid) / "files"


@pytest.fixture
def files(folder: Path) -> Files:
    return Files(folder, NEW)


@pytest.fixture
def stored(folder: Path) -> list[str]:
    return sorted(Files(folder, OLD).store(content) for content in (b"one", b"two", b""))


def test_files_keep_their_names_their_content_and_their_modes(files: Files, folder: Path, stored: list[str]) -> None:
    contents = [files.read(name) for name in stored]
    assert reseal_files(files, to_newest(NEW)).resealed == 3
    assert files.names() == stored
    assert sorted(path.name for path in folder.iterdir()) == stored
    assert [files.read(name) for name in stored] == contents
    assert {key_version_of(files.sealed(name)) for name in stored} == {2}
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert reseal_files(files, to_newest(NEW)).resealed == 0


def test_a_tenant_without_a_file_has_nothing_to_reseal(files: Files, folder: Path) -> None:
    assert reseal_files(files, to_newest(NEW)).resealed == 0
    assert not folder.exists()


def test_a_file_that_does_not_open_is_left_and_counted(files: Files, folder: Path, stored: list[str]) -> None:
    (folder / stored[0]).write_bytes(b"spoilt")
    tally = reseal_files(files, to_newest(NEW))
    assert (tally.resealed, tally.unreadable) == (2, 1)
    assert (folder / stored[0]).read_bytes() == b"spoilt"


def test_a_file_that_was_deleted_meanwhile_does_not_come_back(files: Files, stored: list[str]) -> None:
    anew = to_newest(NEW)

    def delete_first(purpose: str, sealed: bytes, context: bytes) -> bytes:
        files.remove(stored[1])
        files.remove(stored[2])
        return anew(purpose, sealed, context)

    assert reseal_files(files, delete_first).resealed == 1
    assert files.names() == stored[:1]
    with pytest.raises(NoSuchFile):
        files.put_back(stored[1], b"anything")
    assert files.names() == stored[:1]


def test_what_a_crash_left_half_written_is_removed(files: Files, folder: Path, stored: list[str]) -> None:
    draft = folder / f"{stored[0]}.0123456789abcdef.part"
    draft.write_bytes(b"half")
    reseal_files(files, to_newest(NEW))
    assert not draft.exists()
