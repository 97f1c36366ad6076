"""What every store promises, held against each of them."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import replace
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, inspect, select, text
from sqlalchemy.exc import DatabaseError

from tenants import schema
from tenants.databases import TenantSession
from tenants.errors import NoSuchServer, SchemaBehind, TenantUnavailable, WrongStamp
from tenants.registry import WrappedKey
from tenants.stores import store_of
from tenants.stores.store import Store
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.tenants.servers import create
from tests.tenants.world import HISTORY, Note, in_children, note

HEAD = schema.head(HISTORY)


@pytest.fixture(params=[EMBEDDED, "pg1"])
def where(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def here(where: str, request: pytest.FixtureRequest) -> Tenancy:
    """A platform on which tenants can be made where this test looks."""
    found: Tenancy = request.getfixturevalue("pg_tenancy" if where != EMBEDDED else "tenancy")
    return found


@pytest.fixture
def store(here: Tenancy, where: str) -> Store:
    return store_of(here, where)


@pytest.fixture
def initech(here: Tenancy, where: str) -> Tenant:
    return create(here, "initech", where)


@pytest.fixture
def hooli(here: Tenancy, where: str) -> Tenant:
    return create(here, "hooli", where)


@pytest.fixture
def begun(here: Tenancy, where: str) -> Tenant:
    """A tenant with a key and no database."""
    tenant = Tenant(uuid4(), "begun", "Begun", State.PROVISIONING, 1, 1, where)
    masters = here.master_keys
    here.registry.add(tenant, WrappedKey(1, masters.newest, masters.wrap(tenant.uuid, 1, bytes(32))))
    return tenant


def said(here: Tenancy, tenant: Tenant) -> str:
    with here.open_db(tenant) as db:
        return db.scalars(select(Note.changes).where(Note.id == "1")).one()


def change(here: Tenancy, tenant: Tenant, to: str) -> None:
    with here.open_db(tenant, writing=True) as db:
        db.get_one(Note, "1").changes = to
        db.commit()


def dumped(store: Store, tenant: Tenant) -> io.BytesIO:
    target = io.BytesIO()
    store.dump(tenant, target)
    target.seek(0)
    return target


def stamps(connection: Connection) -> list[UUID]:
    return [UUID(str(found)) for found in connection.execute(text("SELECT tenant_uuid FROM stamp")).scalars()]


def test_a_store_is_named_after_its_server_and_opened_once(here: Tenancy, store: Store, where: str) -> None:
    assert store.name == where
    assert store_of(here, where) is store


def test_an_unknown_server_has_no_store(tenancy: Tenancy) -> None:
    with pytest.raises(NoSuchServer, match="'nowhere'"):
        store_of(tenancy, "nowhere")


def test_what_is_created_is_closed_until_it_is_filled(here: Tenancy, store: Store, begun: Tenant) -> None:
    store.create(begun)
    assert store.remains(begun.uuid)
    with pytest.raises(TenantUnavailable):
        said(here, begun)
    with store.filling(begun) as db:
        db.add(note("filled"))
        with pytest.raises(TenantUnavailable):
            said(here, begun)
    assert said(here, begun) == "filled"


def fill_half(db: TenantSession) -> None:
    db.add(note("half"))
    db.flush()
    raise ZeroDivisionError


def test_what_was_not_filled_to_the_end_stays_closed_and_can_be_filled_again(
    here: Tenancy, store: Store, begun: Tenant
) -> None:
    store.create(begun)
    with pytest.raises(ZeroDivisionError), store.filling(begun) as db:
        fill_half(db)
    with pytest.raises(TenantUnavailable):
        said(here, begun)
    with store.filling(begun) as db:
        db.add(note("whole"))
    assert said(here, begun) == "whole"


def test_what_is_there_already_is_never_made_again(here: Tenancy, store: Store, initech: Tenant) -> None:
    before = store.remains(initech.uuid)
    for _ in range(2):
        with pytest.raises(TenantUnavailable, match="in the way"):
            store.create(initech)
    assert store.remains(initech.uuid) == before
    assert said(here, initech) == "hello initech"


def test_what_is_destroyed_leaves_nothing_and_touches_nobody_else(
    here: Tenancy, store: Store, initech: Tenant, hooli: Tenant
) -> None:
    said(here, initech)
    here.databases.forget(initech)
    for _ in range(2):
        store.destroy(initech.uuid)
        assert store.remains(initech.uuid) == []
    store.destroy(uuid4())
    with pytest.raises(TenantUnavailable):
        said(here, initech)
    assert said(here, hooli) == "hello hooli"


def test_versions_are_told_of_all_databases_known_or_not(
    here: Tenancy, store: Store, initech: Tenant, hooli: Tenant, begun: Tenant
) -> None:
    store.create(begun)
    here.databases.close()
    versions = {uuid: version for uuid, version in store.versions().items() if uuid in {initech.uuid, hooli.uuid}}
    assert versions == {initech.uuid: HEAD, hooli.uuid: HEAD}
    assert begun.uuid in store.versions()


def change_half(connection: Connection) -> None:
    connection.execute(text("ALTER TABLE company_version DROP COLUMN extra"))
    raise ZeroDivisionError


def test_a_change_of_schema_is_seen_whole_or_not_at_all(here: Tenancy, store: Store, initech: Tenant) -> None:
    with store.changing_schema(initech) as connection:
        connection.execute(text("ALTER TABLE company_version ADD COLUMN extra VARCHAR(9)"))
        connection.execute(text("CREATE TABLE fresh (id INTEGER PRIMARY KEY)"))
    with here.open_db(initech, writing=True) as db:
        db.execute(text("UPDATE company_version SET extra = 'x'"))
        # What came with the change can be written to as well.
        db.execute(text("INSERT INTO fresh VALUES (1)"))
        db.commit()
    with pytest.raises(ZeroDivisionError), store.changing_schema(initech) as connection:
        change_half(connection)
    with here.open_db(initech) as db:
        assert db.execute(text("SELECT extra FROM company_version")).scalar_one() == "x"


def test_while_a_schema_changes_nobody_writes(here: Tenancy, store: Store, initech: Tenant) -> None:
    thread = threading.Thread(target=change, args=(here, initech, "later"))
    with store.changing_schema(initech) as connection:
        connection.execute(text("UPDATE company_version SET changes = 'migrated'"))
        thread.start()
        thread.join(0.2)
        assert thread.is_alive()
    thread.join(10)
    assert said(here, initech) == "later"


def test_a_newer_version_is_noted_where_a_fleet_is_counted(here: Tenancy, store: Store, initech: Tenant) -> None:
    with store.changing_schema(initech) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA user_version = 9999")
        else:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    here.databases.close()
    assert store.versions()[initech.uuid] == 9999


@pytest.mark.parametrize("where", ["pg1"], indirect=True)
def test_the_schema_of_another_tenants_database_is_not_changed(
    here: Tenancy, store: Store, initech: Tenant, hooli: Tenant
) -> None:
    with store.changing_schema(initech) as connection:
        connection.execute(text("UPDATE stamp SET tenant_uuid = :other"), {"other": hooli.uuid})
    with pytest.raises(WrongStamp), store.changing_schema(initech):
        pass


def test_a_fenced_database_is_never_written_again_by_whoever_has_it_open(
    here: Tenancy, store: Store, initech: Tenant
) -> None:
    outcomes: list[str] = []

    def wait_and_write() -> None:
        try:
            change(here, initech, "lost")
        except TenantUnavailable as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("written")

    assert said(here, initech) == "hello initech"
    thread = threading.Thread(target=wait_and_write)
    with store.changing_schema(initech) as connection:
        thread.start()
        time.sleep(0.2)
        store.fence(initech)
        assert connection.execute(text("SELECT changes FROM company_version")).scalar_one() == "hello initech"
    thread.join(20)
    assert outcomes in (["TenantUnavailable"], ["Unreachable"])
    for _ in range(2):
        with pytest.raises(TenantUnavailable):
            said(here, initech)
    store.destroy(initech.uuid)
    assert store.remains(initech.uuid) == []


def test_a_dump_is_one_moment_and_brings_everything_back(here: Tenancy, store: Store, initech: Tenant) -> None:
    dump = dumped(store, initech)
    change(here, initech, "after the dump")
    assert said(here, initech) == "after the dump"
    here.databases.forget(initech)
    store.destroy(initech.uuid)
    store.load(initech, dump)
    with pytest.raises(WrongStamp), store.filling(initech, origin=uuid4()):
        pass
    with store.filling(initech, origin=initech.uuid) as db:
        db.add(note("restored", "2"))
    assert said(here, initech) == "hello initech"
    with here.open_db(initech) as db:
        assert db.get_one(Note, "2").changes == "restored"
        journal_length = db.execute(text("SELECT sequence FROM security_event_head")).scalar_one()
        assert journal_length == 0
    here.databases.close()
    assert store.versions()[initech.uuid] == HEAD


def test_a_database_can_be_dumped_while_it_is_written_to(here: Tenancy, store: Store, initech: Tenant) -> None:
    with here.open_db(initech, writing=True) as db:
        db.get_one(Note, "1").changes = "not saved yet"
        db.flush()
        if store.name == EMBEDDED:
            # Here whoever dumps waits for the writer.
            db.rollback()
        dump = dumped(store, initech)
    with store.scratch(dump) as connection:
        assert connection.execute(text("SELECT changes FROM company_version")).scalar_one() == "hello initech"


def test_another_tenants_dump_is_refused_by_its_stamp_and_nothing_is_left(
    here: Tenancy, store: Store, initech: Tenant, begun: Tenant
) -> None:
    dump = dumped(store, initech)
    with pytest.raises(WrongStamp):
        store.load(begun, dump)
    assert store.remains(begun.uuid) == []
    with pytest.raises(TenantUnavailable):
        said(here, begun)
    assert said(here, initech) == "hello initech"


@pytest.mark.parametrize("content", [b"", b"no dump at all" * 1000, b"no dump at all" * 100_000])
def test_what_is_no_dump_is_refused_and_nothing_is_left(
    here: Tenancy, store: Store, begun: Tenant, content: bytes
) -> None:
    with pytest.raises(TenantUnavailable):
        store.load(begun, io.BytesIO(content))
    assert store.remains(begun.uuid) == []
    # An empty file is an empty database to SQLite.
    with pytest.raises((TenantUnavailable, DatabaseError)), store.scratch(io.BytesIO(content)) as connection:
        stamps(connection)


def load_and_look(here: Tenancy, store: Store, tenant: Tenant, part: bytes) -> None:
    store.load(tenant, io.BytesIO(part))
    # A file cut between two pages is only found out when somebody looks at it.
    said(here, tenant)


@pytest.mark.parametrize("cut", [0.2, 0.5, 0.9])
def test_a_dump_cut_short_is_refused_and_nothing_is_left(
    here: Tenancy, store: Store, initech: Tenant, begun: Tenant, cut: float
) -> None:
    whole = dumped(store, initech).read()
    part = whole[: int(len(whole) * cut)]
    here.databases.forget(initech)
    store.destroy(initech.uuid)
    with pytest.raises(TenantUnavailable):
        load_and_look(here, store, initech, part)
    if store.name != EMBEDDED:
        assert store.remains(initech.uuid) == []


def test_a_source_that_breaks_off_leaves_nothing(here: Tenancy, store: Store, initech: Tenant, begun: Tenant) -> None:
    class Broken(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() > 0:
                raise InterruptedError("the archive is damaged")
            return super().read(1000)

    whole = dumped(store, initech).read()
    with pytest.raises(InterruptedError):
        store.load(begun, Broken(whole))
    assert store.remains(begun.uuid) == []


def test_a_dump_nobody_can_take_is_an_error(store: Store, initech: Tenant) -> None:
    class Full(io.BytesIO):
        def write(self, _data: object) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.dump(initech, Full())


def test_a_missing_database_cannot_be_dumped(store: Store, initech: Tenant) -> None:
    store.destroy(initech.uuid)
    with pytest.raises(TenantUnavailable):
        dumped(store, initech)
    assert store.remains(initech.uuid) == []


def test_a_dump_can_be_looked_at_in_a_place_of_no_tenant(here: Tenancy, store: Store, initech: Tenant) -> None:
    dump = dumped(store, initech)
    with store.scratch(dump) as connection:
        assert stamps(connection) == [initech.uuid]
        assert "security_event" in inspect(connection).get_table_names()
        assert connection.execute(text("SELECT changes FROM company_version")).scalar_one() == "hello initech"
    with pytest.raises(ZeroDivisionError), store.scratch(io.BytesIO(dump.getvalue())):
        raise ZeroDivisionError
    if store.name == EMBEDDED:
        assert list((here.settings.home / "scratch").iterdir()) == []


def test_a_database_takes_room(store: Store, initech: Tenant) -> None:
    assert 50_000 < store.size(initech) < 100_000_000


def test_a_database_older_than_the_code_is_not_served(here: Tenancy, store: Store, initech: Tenant) -> None:
    with store.changing_schema(initech) as connection:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA user_version = 0")
        else:
            connection.exec_driver_sql("UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaBehind):
        said(here, replace(initech))


def test_several_who_look_into_dumps_at_once_do_not_sweep_away_what_another_is_removing(
    tenancy: Tenancy, acme: Tenant
) -> None:
    store, dump = store_of(tenancy, EMBEDDED), io.BytesIO()
    store.dump(acme, dump)

    def look() -> int:
        for _ in range(40):
            with store.scratch(io.BytesIO(dump.getvalue())):
                pass
        return 40

    assert in_children([look] * 3) == [40] * 3
