"""A purged tenant is gone: database, roles, files, backups, keys, and its slug is nobody's before that is proved."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, text, update

from tenants import lifecycle, slugs, unfinished
from tenants.backups.making import back_up
from tenants.backups.verifying import verify_backup
from tenants.databases import Databases
from tenants.durable import sync
from tenants.errors import (
    BadArchive,
    Busy,
    HostMoved,
    IllegalTransition,
    KeyUnavailable,
    NoSuchTenant,
    ServerUnusable,
    SlugTaken,
    TenantUnavailable,
    UnknownHost,
)
from tenants.lifecycle import purging
from tenants.registry import Registry, WrappedKey, add_key
from tenants.registry_tables import metadata, tenant_table, tombstone_table
from tenants.settings import Settings, read_settings
from tenants.stores import store_of
from tenants.stores.administration import Administration
from tenants.stores.embedded import EmbeddedStore
from tenants.stores.postgresql import PostgresqlStore
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.lives import everything_of, killed_after, killed_before, nothing_is_unfinished
from tests.tenants.servers import cleaned, create
from tests.tenants.world import HISTORY, killed_in_child, prepare


def purge(tenancy: Tenancy, slug: str = "acme") -> UUID:
    return lifecycle.purge_tenant(tenancy, slug, at_once=True).tenant_uuid


def close(tenancy: Tenancy, slug: str = "acme", *, days_ago: int = 0) -> Tenant:
    tenant = lifecycle.close_tenant(tenancy, slug)
    with tenancy.registry.writing() as connection:
        long_ago = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago)
        connection.execute(update(tenant_table).where(tenant_table.c.uuid == tenant.uuid).values(changed_at=long_ago))
    return tenant


def rest(tenancy: Tenancy, days: int) -> None:
    """Let so many days pass over all graves."""
    with tenancy.registry.writing() as connection:
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days)
        connection.execute(update(tombstone_table).values(purged_at=then))


def mentions(tenancy: Tenancy, tenant_uuid: UUID) -> set[str]:
    """The tables of the registry in which a tenant still stands."""
    found = set()
    with tenancy.registry.engine.connect() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(select(table)):
                if tenant_uuid in row or str(tenant_uuid) in map(str, row):
                    found.add(table.name)
    return found


def assert_gone(tenancy: Tenancy, tenant_uuid: UUID) -> None:
    assert lifecycle.what_is_left(tenancy, tenant_uuid) == []
    assert mentions(tenancy, tenant_uuid) == {"tombstone"}
    assert [str(path) for path in tenancy.settings.home.rglob(f"*{tenant_uuid}*")] == []
    assert nothing_is_unfinished(tenancy)
    with pytest.raises(NoSuchTenant):
        tenancy.registry.by_slug("acme")


@pytest.fixture
def acme(tenancy: Tenancy) -> Tenant:
    """A tenant with everything that there can be of one."""
    tenant = tenancy.registry.by_slug("acme")
    tenancy.files_of(tenant).store(b"a picture")
    lifecycle.add_host(tenancy, "acme", "extranet.acme.example")
    lifecycle.rename_tenant(tenancy, "acme", "apex")
    lifecycle.rename_tenant(tenancy, "apex", "acme")
    back_up(tenancy, "acme")
    return tenancy.registry.by_uuid(tenant.uuid)


def test_nothing_of_it_is_left_anywhere_and_nobody_else_is_touched(tenancy: Tenancy, acme: Tenant) -> None:
    globex = everything_of(tenancy, "globex")
    assert mentions(tenancy, acme.uuid) == {"tenant", "host", "former_slug", "wrapped_key", "backup"}
    close(tenancy)
    assert purge(tenancy) == acme.uuid
    assert_gone(tenancy, acme.uuid)
    assert everything_of(tenancy, "globex") == globex


def test_nothing_that_its_key_sealed_opens_again(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    token = tenancy.keys_of(acme).seal("cookie", b"somebody")
    (archive,) = settings.backups_of(acme.uuid).iterdir()
    elsewhere = Path(shutil.copy(archive, settings.home.parent / "kept elsewhere"))
    close(tenancy)
    purge(tenancy)
    with Tenancy.open(settings, HISTORY) as later:
        with pytest.raises(KeyUnavailable):
            later.keyrings.of(acme.uuid)
        rest(later, 101)
        again, _ = lifecycle.create_tenant(later, "acme", "Acme", prepare)
        with pytest.raises(Exception, match="seal"):
            later.keys_of(again).open("cookie", token)
        for slug in ("acme", "globex"):
            with pytest.raises(BadArchive):
                verify_backup(later, slug, path=elsewhere)


def wrapped_keys_in(settings: Settings, keys: list[WrappedKey]) -> list[str]:
    """Return the registry's files in which the bytes of a wrapped key stand."""
    files = sorted(settings.home.glob("registry.sqlite3*"))
    return [file.name for file in files if any(key.wrapped in file.read_bytes() for key in keys)]


def test_the_bytes_of_its_wrapped_keys_are_in_no_file_of_the_registry(
    tenancy: Tenancy, settings: Settings, acme: Tenant
) -> None:
    # Among so many others that the table has been split and joined over several pages.
    with tenancy.registry.writing() as connection:
        for number in range(300):
            other = uuid4() if number % 30 else acme.uuid
            add_key(connection, other, WrappedKey(number + 2, "mk1", uuid4().bytes + uuid4().bytes + b"12345678"))
    keys = tenancy.registry.keys_of(acme.uuid)
    assert len(keys) == 11
    assert wrapped_keys_in(settings, keys) != []
    close(tenancy)
    purge(tenancy)
    assert wrapped_keys_in(settings, keys) == []
    tenancy.close()
    assert wrapped_keys_in(settings, keys) == []


def test_keys_that_somebody_who_reads_keeps_in_the_log_stop_the_purge(
    tenancy: Tenancy, settings: Settings, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tenancy.registry.keys_of(acme.uuid)
    close(tenancy)
    monkeypatch.setattr("tenants.sqlite._BUSY_TIMEOUT_SECONDS", 0.05)
    with closing(sqlite3.connect(settings.home / "registry.sqlite3")) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM wrapped_key").fetchall()
        with (
            Tenancy.open(settings, HISTORY) as hurried,
            pytest.raises(TenantUnavailable, match="log cannot be emptied"),
        ):
            purge(hurried)
    assert tenancy.registry.by_uuid(acme.uuid).state is State.PURGED
    purge(tenancy)
    assert_gone(tenancy, acme.uuid)
    assert wrapped_keys_in(settings, keys) == []


def test_from_outside_it_never_existed(tenancy: Tenancy, acme: Tenant) -> None:
    hosts = ["acme.localhost", "apex.localhost", "extranet.acme.example"]
    with pytest.raises(HostMoved):
        tenancy.resolver.resolve("apex.localhost")
    close(tenancy)
    purge(tenancy)
    tenancy.generation.forget()
    answers = set()
    for host in [*hosts, "never.localhost", "never.example"]:
        with pytest.raises(UnknownHost) as unknown:
            tenancy.resolver.resolve(host)
        answers.add(str(unknown.value))
    assert len(answers) == 1


# -- when ------------------------------------------------------------------------------------------------------------


def test_only_a_closed_tenant_is_purged(tenancy: Tenancy) -> None:
    for state in (State.ACTIVE, State.SUSPENDED):
        with pytest.raises(IllegalTransition, match=state):
            purge(tenancy)
        with pytest.raises(IllegalTransition, match=state):
            lifecycle.plan_purge(tenancy, "acme")
        lifecycle.suspend_tenant(tenancy, "acme")
    with pytest.raises(NoSuchTenant):
        purge(tenancy, "nobody")


@pytest.mark.parametrize(("days_ago", "purged"), [(29, False), (31, True)])
def test_it_is_purged_when_it_has_been_closed_for_thirty_days(tenancy: Tenancy, days_ago: int, purged: bool) -> None:
    tenant = close(tenancy, days_ago=days_ago)
    if purged:
        lifecycle.purge_tenant(tenancy, "acme")
        assert_gone(tenancy, tenant.uuid)
    else:
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        with pytest.raises(IllegalTransition, match=f"from {tomorrow:%Y-%m-%d} on"):
            lifecycle.purge_tenant(tenancy, "acme")
        assert lifecycle.reopen_tenant(tenancy, "acme").state is State.ACTIVE


def test_a_purge_waits_for_nobody_who_is_at_work_on_it(tenancy: Tenancy) -> None:
    tenant = close(tenancy)
    with tenancy.locks.hold("acme"), pytest.raises(Busy):
        purge(tenancy)
    with tenancy.registry.writing() as connection:
        unfinished.begin(connection, tenant.uuid, "move", "copying")
    with pytest.raises(IllegalTransition, match="unfinished move"):
        purge(tenancy)
    assert lifecycle.reopen_tenant(tenancy, "acme").state is State.ACTIVE


def test_a_plan_names_exactly_what_will_go_and_changes_nothing(
    tenancy: Tenancy, settings: Settings, acme: Tenant
) -> None:
    closed = close(tenancy)
    before = everything_of(tenancy, "acme")
    plan = lifecycle.plan_purge(tenancy, "acme")
    folders = [settings.folder_of(acme.uuid), settings.backups_of(acme.uuid)]
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert plan.databases == store_of(tenancy, "embedded").remains(acme.uuid)
    assert plan.folders == folders
    assert (plan.files, plan.bytes) == (len(files), sum(file.stat().st_size for file in files))
    assert plan.backups == [files[-1].name]
    assert (plan.keys, plan.hosts, plan.former_slugs) == (1, ["extranet.acme.example"], ["apex"])
    assert plan.due == tenancy.registry.dates_of(closed).changed_at + lifecycle.GRACE
    assert everything_of(tenancy, "acme") == before


# -- the slug --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("slug", ["acme", "apex"])
def test_its_slugs_are_nobodys_for_as_long_as_a_browser_may_keep_its_cookies(
    tenancy: Tenancy, acme: Tenant, slug: str
) -> None:
    close(tenancy)
    purge(tenancy)
    free = datetime.now(UTC) + timedelta(days=100)
    for take in (
        lambda: lifecycle.create_tenant(tenancy, slug, "New", prepare),
        lambda: lifecycle.rename_tenant(tenancy, "globex", slug),
    ):
        with pytest.raises(SlugTaken, match=f"free from {free:%Y-%m-%d} on"):
            take()
    rest(tenancy, 99)
    with pytest.raises(SlugTaken):
        lifecycle.create_tenant(tenancy, slug, "New", prepare)
    rest(tenancy, 101)
    again, _ = lifecycle.create_tenant(tenancy, slug, "New", prepare)
    assert again.uuid != acme.uuid
    assert tenancy.registry.by_slug(slug) == again


def test_a_slug_of_which_an_old_copy_came_back_is_not_given_away(
    tenancy: Tenancy, settings: Settings, acme: Tenant
) -> None:
    close(tenancy)
    purge(tenancy)
    rest(tenancy, 101)
    settings.folder_of(acme.uuid).mkdir()
    with pytest.raises(SlugTaken, match=f"there is still: .*{acme.uuid}"):
        lifecycle.create_tenant(tenancy, "acme", "New", prepare)
    with pytest.raises(TenantUnavailable, match="there is again"):
        purge(tenancy)
    settings.folder_of(acme.uuid).rmdir()
    lifecycle.create_tenant(tenancy, "acme", "New", prepare)


def test_a_slug_can_be_purged_again_and_its_last_owner_is_the_one_that_is_told_of(tenancy: Tenancy) -> None:
    close(tenancy)
    first = purge(tenancy)
    rest(tenancy, 101)
    second, _ = lifecycle.create_tenant(tenancy, "acme", "New", prepare)
    close(tenancy)
    assert purge(tenancy) == second.uuid != first
    assert purge(tenancy) == second.uuid


# -- on a server -----------------------------------------------------------------------------------------------------


def test_its_database_and_roles_on_a_server_go_too_and_a_neighbours_stay(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    create(pg_tenancy, "globex")
    globex = everything_of(pg_tenancy, "globex")
    close(pg_tenancy)
    plan = lifecycle.plan_purge(pg_tenancy, "acme")
    assert [what.partition(" ")[0] for what in plan.databases] == ["database", "role", "role"]
    purge(pg_tenancy)
    assert_gone(pg_tenancy, pg_acme.uuid)
    assert everything_of(pg_tenancy, "globex") == globex


def test_a_copy_that_was_left_in_another_store_goes_too(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    store_of(pg_tenancy, "embedded").create(pg_acme)
    close(pg_tenancy)
    purge(pg_tenancy)
    assert_gone(pg_tenancy, pg_acme.uuid)


def test_a_server_that_cannot_be_asked_stops_the_purge_until_it_can(
    pg_tenancy: Tenancy, pg_acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(pg_tenancy)

    def unreachable(*_: object) -> None:
        raise ServerUnusable("The server pg1 cannot be reached.")

    with monkeypatch.context() as patch:
        patch.setattr(Administration, "server", unreachable)
        with pytest.raises(ServerUnusable, match="pg1"):
            purge(pg_tenancy)
    assert pg_tenancy.registry.by_slug("acme").state is State.PURGED
    assert pg_tenancy.registry.keys_of(pg_acme.uuid) != []
    with pytest.raises(SlugTaken):
        lifecycle.create_tenant(pg_tenancy, "acme", "New", prepare)
    purge(pg_tenancy)
    assert_gone(pg_tenancy, pg_acme.uuid)


def test_a_registry_on_a_server_forgets_the_keys_as_well(cluster: Cluster, tmp_path: Path) -> None:
    with cleaned(cluster):
        cluster.execute("CREATE ROLE registrar LOGIN PASSWORD 'registrar'")
        cluster.execute("CREATE DATABASE the_registry OWNER registrar")
        url = cluster.url("the_registry", "registrar", "registrar")
        settings = read_settings({"EXTRANET_HOME": str(tmp_path / "home"), "EXTRANET_REGISTRY_URL": url})
        initialise(settings)
        with Tenancy.open(settings, HISTORY) as tenancy:
            acme = create(tenancy, "acme", "embedded")
            (key,) = tenancy.registry.keys_of(acme.uuid)
            before = file_of_keys(cluster)
            assert key.wrapped in before.read_bytes()
            close(tenancy)
            purge(tenancy)
            assert_gone(tenancy, acme.uuid)
            after = file_of_keys(cluster)
            assert key.wrapped not in after.read_bytes()
            # The server empties the old file at once, and removes it at its next checkpoint.
            assert after != before
            assert not before.exists() or before.stat().st_size == 0


def file_of_keys(cluster: Cluster) -> Path:
    cluster.execute("CHECKPOINT")
    ((path,),) = cluster.execute("SELECT pg_relation_filepath('wrapped_key')", dbname="the_registry")
    return cluster.data / str(path)


# -- kill -9 ---------------------------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (Registry, "move_to"),
    (purging, "_note"),
    (Databases, "forget"),
    (EmbeddedStore, "destroy"),
    (shutil, "rmtree"),
    (purging, "sync"),
    (purging, "forget_deleted"),
    (purging, "_prove"),
    (slugs, "bury"),
    (unfinished, "end"),
    (purging, "_bury"),
]


@pytest.mark.parametrize("wrap", [killed_before, killed_after])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_purge_that_was_killed_at_any_step_serves_nothing_and_is_finished_by_the_next(
    settings: Settings, owner: Any, name: str, wrap: Any
) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        acme = close(tenancy)
        globex = everything_of(tenancy, "globex")
        back_up(tenancy, "acme")

    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            purge(tenancy)

    assert killed_in_child(go)
    with Tenancy.open(settings, HISTORY) as tenancy:
        if (name, wrap) != ("move_to", killed_before):
            with pytest.raises(UnknownHost):
                tenancy.resolver.resolve("acme.localhost")
            with pytest.raises((IllegalTransition, NoSuchTenant)):
                lifecycle.reopen_tenant(tenancy, "acme")
        with pytest.raises(SlugTaken):
            lifecycle.create_tenant(tenancy, "acme", "New", prepare)
        assert purge(tenancy) == acme.uuid
        assert_gone(tenancy, acme.uuid)
        assert everything_of(tenancy, "globex") == globex


@pytest.mark.parametrize("name", ["destroy", "remains"])
def test_a_purge_that_was_killed_at_a_server_is_finished_by_the_next(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_settings: Settings, name: str
) -> None:
    close(pg_tenancy)

    def go() -> None:
        setattr(PostgresqlStore, name, killed_after(getattr(PostgresqlStore, name)))
        with Tenancy.open(pg_settings, HISTORY) as tenancy:
            purge(tenancy)

    assert killed_in_child(go)
    purge(pg_tenancy)
    assert_gone(pg_tenancy, pg_acme.uuid)


def test_what_is_put_back_while_it_is_purged_is_found(
    tenancy: Tenancy, settings: Settings, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    close(tenancy)

    def put_back(folder: Path) -> None:
        sync(folder)
        settings.folder_of(acme.uuid).mkdir(exist_ok=True)

    with monkeypatch.context() as patch:
        patch.setattr(purging, "sync", put_back)
        with pytest.raises(TenantUnavailable, match="there is still"):
            purge(tenancy)
    purge(tenancy)
    assert_gone(tenancy, acme.uuid)


def test_what_is_left_is_told_in_words(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.registry.writing() as connection:
        connection.execute(text("INSERT INTO database_login VALUES (:uuid, 'pg1', x'00')"), {"uuid": acme.uuid.hex})
    left = " and ".join(lifecycle.what_is_left(tenancy, acme.uuid))
    for what in (".sqlite3", "/backups/", "1 wrapped key in", "1 database login in", "1 backup in"):
        assert what in left
