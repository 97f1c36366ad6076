from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, inspect, select, text, update
from sqlalchemy.orm import Session

from tenants import lifecycle, schema
from tenants.databases import Databases, TenantSession, _Slot, tenant_of
from tenants.errors import NoTenant, ReadOnlyDatabase, SchemaBehind, TenantUnavailable, WrongStamp, WrongTenant
from tenants.settings import Settings
from tenants.sqlite import make_engine
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, Note, note, open_files_under, prepare


def first_note(tenancy: Tenancy, tenant: Tenant) -> Note:
    with tenancy.open_db(tenant) as db:
        return db.scalars(select(Note)).one()


def text_of(databases: Databases, tenant: Tenant) -> str:
    with databases.open(tenant) as db:
        return db.scalars(select(Note.changes)).one()


def test_each_tenant_reads_its_own_rows(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    assert first_note(tenancy, acme).changes == "hello acme"
    assert first_note(tenancy, globex).changes == "hello globex"


def test_a_db_knows_whose_it_is_and_brings_its_keys(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    with tenancy.open_db(acme) as one, tenancy.open_db(globex) as other:
        assert (one.tenant, other.tenant) == (acme, globex)
        assert one.info["keys"] is tenancy.keys_of(acme)
        assert other.info["keys"] is tenancy.keys_of(globex)


def test_a_session_without_a_tenant_has_none() -> None:
    with Session() as db, pytest.raises(NoTenant):
        tenant_of(db)
    with TenantSession() as db, pytest.raises(NoTenant):
        _ = db.tenant


def test_what_is_not_committed_is_rolled_back(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.open_db(acme, writing=True) as db:
        db.add(note("draft", "2"))
        db.flush()
    with tenancy.open_db(acme, writing=True) as db:
        assert db.get(Note, "2") is None
        db.add(note("kept", "2"))
        db.commit()
    with tenancy.open_db(acme) as db:
        assert db.get_one(Note, "2").changes == "kept"


def _add(db: TenantSession) -> None:
    db.add(note("x", "2"))
    db.flush()


def _change(db: TenantSession) -> None:
    db.get_one(Note, "1").changes = "x"
    db.flush()


def _delete(db: TenantSession) -> None:
    db.delete(db.get_one(Note, "1"))
    db.flush()


def _commit(db: TenantSession) -> None:
    db.add(note("x", "2"))
    db.commit()


WRITES: dict[str, Callable[[TenantSession], object]] = {
    "orm add": _add,
    "orm change": _change,
    "orm delete": _delete,
    "orm commit": _commit,
    "orm bulk": lambda db: db.bulk_save_objects([note("x", "2")]),
    "orm mappings": lambda db: db.bulk_update_mappings(inspect(Note), [{"id": "1", "changes": "x"}]),
    "core insert": lambda db: db.execute(insert(Note).values(id="2")),
    "core update": lambda db: db.execute(update(Note).values(changes="x")),
    "core delete": lambda db: db.execute(delete(Note)),
    "text": lambda db: db.execute(text("UPDATE company_version SET changes = 'x'")),
    "driver": lambda db: db.connection().exec_driver_sql("DELETE FROM company_version"),
    "schema": lambda db: db.execute(text("DROP TABLE company_version")),
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_db_opened_for_reading_refuses_every_write(tenancy: Tenancy, acme: Tenant, kind: str) -> None:
    # Text and driver statements once went through and could be committed.
    with tenancy.open_db(acme) as db, pytest.raises(ReadOnlyDatabase):
        WRITES[kind](db)
    assert first_note(tenancy, acme).changes == "hello acme"


GIFTS: dict[str, Callable[[TenantSession, Note], object]] = {
    "add": lambda db, gift: db.add(gift),
    "add all": lambda db, gift: db.add_all([note("x", "2"), gift]),
    "delete": lambda db, gift: db.delete(gift),
    "merge": lambda db, gift: db.merge(gift),
    "merge without loading": lambda db, gift: db.merge(gift, load=False),
    "merge all": lambda db, gift: db.merge_all([gift]),
    "bulk save": lambda db, gift: db.bulk_save_objects([gift]),
    "add beneath": lambda db, gift: db.add(_above(gift)),
    "merge beneath": lambda db, gift: db.merge(_above(gift)),
    "append": lambda db, gift: _append(db.get_one(Note, "1"), gift),
}


def _append(parent: Note, gift: Note) -> None:
    parent.answers.append(gift)


def _above(gift: Note) -> Note:
    parent = note("parent", "2")
    parent.answers.append(gift)
    return parent


@pytest.mark.parametrize("kind", GIFTS)
def test_an_object_of_one_tenant_given_to_another_is_refused(
    tenancy: Tenancy, acme: Tenant, globex: Tenant, kind: str
) -> None:
    # A merge once copied the other tenant's values without a word.
    theirs = first_note(tenancy, acme)
    with tenancy.open_db(globex, writing=True) as db, pytest.raises(WrongTenant):
        GIFTS[kind](db, theirs)
    assert text_of(tenancy.databases, globex) == "hello globex"


def test_an_object_just_stored_for_one_tenant_is_refused_by_another(
    tenancy: Tenancy, acme: Tenant, globex: Tenant
) -> None:
    new = note("new", "2")
    with tenancy.open_db(acme, writing=True) as db:
        db.add(new)
        db.commit()
    with tenancy.open_db(globex, writing=True) as db, pytest.raises(WrongTenant):
        db.add(new)


def test_an_object_comes_back_to_its_own_tenant(tenancy: Tenancy, acme: Tenant) -> None:
    ours, other = first_note(tenancy, acme), note("other", "2")
    ours.changes = "merged"
    with tenancy.open_db(acme, writing=True) as db:
        (merged,) = db.merge_all([ours])
        db.bulk_save_objects([other])
        db.commit()
        assert merged.changes == "merged"
        assert db.get_one(Note, "2").changes == "other"
    with tenancy.open_db(acme, writing=True) as db:
        db.add(ours)
        assert ours in db


def damaged(settings: Settings, tenant: Tenant) -> Path:
    return settings.folder_of(tenant.uuid) / f"{tenant.uuid}.sqlite3"


def _stamped_for_another(settings: Settings, one: Tenant, other: Tenant) -> None:
    shutil.copy(damaged(settings, other), damaged(settings, one))


def _older(settings: Settings, one: Tenant, _other: Tenant) -> None:
    with damaged(settings, one).open("r+b") as file:
        file.seek(60)
        file.write(bytes(4))


def _linked_to_another(settings: Settings, one: Tenant, other: Tenant) -> None:
    shutil.rmtree(settings.folder_of(one.uuid))
    settings.folder_of(one.uuid).symlink_to(settings.folder_of(other.uuid))


DAMAGES: dict[str, tuple[Callable[[Settings, Tenant, Tenant], object], type[Exception]]] = {
    "missing file": (lambda settings, one, _: damaged(settings, one).unlink(), TenantUnavailable),
    "missing folder": (lambda settings, one, _: shutil.rmtree(settings.folder_of(one.uuid)), TenantUnavailable),
    "empty": (lambda settings, one, _: os.truncate(damaged(settings, one), 0), SchemaBehind),
    "truncated": (lambda settings, one, _: os.truncate(damaged(settings, one), 5000), TenantUnavailable),
    "garbage": (lambda settings, one, _: damaged(settings, one).write_bytes(b"x" * 9000), TenantUnavailable),
    "stamped for another": (_stamped_for_another, WrongStamp),
    "old schema": (_older, SchemaBehind),
    "linked folder": (_linked_to_another, TenantUnavailable),
    "group-readable folder": (lambda settings, one, _: settings.folder_of(one.uuid).chmod(0o750), TenantUnavailable),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_tenant_is_unavailable_and_only_that_one(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant, kind: str
) -> None:
    damage, error = DAMAGES[kind]
    damage(settings, acme, globex)
    for _ in range(2):
        with pytest.raises(error) as caught:
            text_of(tenancy.databases, acme)
        assert isinstance(caught.value, TenantUnavailable)
        assert text_of(tenancy.databases, globex) == "hello globex"


def test_a_repaired_tenant_is_served_again(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    settings.folder_of(acme.uuid).chmod(0o750)
    with pytest.raises(TenantUnavailable):
        text_of(tenancy.databases, acme)
    settings.folder_of(acme.uuid).chmod(0o700)
    assert text_of(tenancy.databases, acme) == "hello acme"


def test_another_tenants_file_put_in_place_of_a_served_one_is_refused(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant, tmp_path: Path
) -> None:
    shutil.copy(damaged(settings, globex), tmp_path / "copy")
    assert text_of(tenancy.databases, acme) == "hello acme"
    os.replace(tmp_path / "copy", damaged(settings, acme))
    with pytest.raises(WrongStamp):
        text_of(tenancy.databases, acme)


def test_a_tenant_on_a_server_nobody_knows_is_unavailable(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    elsewhere = Tenant(acme.uuid, "acme", "Acme", acme.state, 1, 1, "pg1")
    databases = Databases(settings, schema.head(HISTORY), tenancy.servers)
    with pytest.raises(TenantUnavailable, match="'pg1'"), databases.open(elsewhere):
        pass
    assert len(databases) == 0


class OvertakenLock:
    """A lock after each holder of which somebody with an older record of a tenant comes first."""

    def __init__(self, databases: Databases, tenant: Tenant, stale: Any) -> None:
        self._lock = databases._lock
        self._come = lambda: databases._slots.setdefault(tenant.uuid, stale)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._come()
        self._lock.release()


def test_nobody_is_given_the_engine_of_where_the_tenant_was(tenancy: Tenancy, acme: Tenant, tmp_path: Path) -> None:
    databases = tenancy.databases
    engine = make_engine(tmp_path / "left", 0, lambda _connection: None)
    databases._lock = OvertakenLock(databases, acme, _Slot("where it was", engine, engine))  # type: ignore[assignment]
    assert text_of(databases, acme) == "hello acme"


@pytest.fixture
def twenty(tenancy: Tenancy) -> list[Tenant]:
    return [lifecycle.create_tenant(tenancy, f"tenant{number}", "T", prepare)[0] for number in range(20)]


def test_the_least_recently_used_engine_goes_first(tenancy: Tenancy, settings: Settings, twenty: list[Tenant]) -> None:
    databases = Databases(settings, schema.head(HISTORY), tenancy.servers, kept_engines=3)
    a, b, c, d = twenty[:4]
    for tenant in (a, b, c, a, d):
        text_of(databases, tenant)
    assert len(databases) == 3
    assert open_files_under(settings.folder_of(b.uuid)) == []
    assert all(open_files_under(settings.folder_of(tenant.uuid)) for tenant in (a, c, d))
    databases.close()
    assert open_files_under(settings.home / "tenants") == []


def test_an_engine_in_use_is_never_disposed(tenancy: Tenancy, settings: Settings, twenty: list[Tenant]) -> None:
    databases = Databases(settings, schema.head(HISTORY), tenancy.servers, kept_engines=2)
    with databases.open(twenty[0], writing=True) as db:
        db.add(note("while others come and go", "2"))
        db.flush()
        raw = db.connection().connection.dbapi_connection
        for tenant in twenty[1:]:
            text_of(databases, tenant)
        assert len(databases) == 2
        assert db.connection().connection.dbapi_connection is raw
        db.commit()
        assert db.get_one(Note, "2").changes == "while others come and go"
    databases.close()


def test_more_tenants_in_use_than_engines_kept_are_all_served(
    tenancy: Tenancy, settings: Settings, twenty: list[Tenant]
) -> None:
    databases = Databases(settings, schema.head(HISTORY), tenancy.servers, kept_engines=2)
    opened = [databases.open(tenant) for tenant in twenty[:5]]
    assert [manager.__enter__().scalars(select(Note.changes)).one() for manager in opened] == [
        f"hello tenant{number}" for number in range(5)
    ]
    assert len(databases) == 5
    for manager in opened:
        manager.__exit__(None, None, None)
    text_of(databases, twenty[0])
    assert len(databases) == 2
    databases.close()


def test_a_forgotten_tenants_files_are_closed_when_the_last_user_is_done(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    # A connection given back to a disposed engine once stayed open until the garbage collector came by.
    folder = settings.folder_of(acme.uuid)
    text_of(tenancy.databases, globex)
    with tenancy.open_db(acme) as db:
        db.scalars(select(Note)).all()
        tenancy.databases.forget(acme)
        assert db.scalars(select(Note.changes)).one() == "hello acme"
        with tenancy.open_db(acme) as newer:
            newer.scalars(select(Note)).all()
        assert len(tenancy.databases) == 2
    tenancy.databases.forget(acme)
    tenancy.databases.forget(acme)
    assert open_files_under(folder) == []
    assert open_files_under(settings.folder_of(globex.uuid))


def test_a_connection_never_leads_to_another_file(tenancy: Tenancy, settings: Settings, twenty: list[Tenant]) -> None:
    databases = Databases(settings, schema.head(HISTORY), tenancy.servers, kept_engines=5)
    wrong: list[str] = []

    def visit(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(75):
            tenant = dice.choice(twenty)
            with databases.open(tenant, writing=dice.random() < 0.2) as db:
                found = db.execute(text("SELECT file FROM pragma_database_list")).scalars().all()
                stamped = db.execute(text("SELECT tenant_uuid FROM stamp")).scalars().all()
                said = db.scalars(select(Note.changes)).one()
            if (found, stamped, said) != ([str(databases.path_of(tenant))], [tenant.uuid.hex], f"hello {tenant.slug}"):
                wrong.append(tenant.slug)

    threads = [threading.Thread(target=visit, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    databases.close()
    assert open_files_under(settings.home / "tenants") == []
