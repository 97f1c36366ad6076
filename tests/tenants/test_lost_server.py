"""A database server goes away, in the middle of things or for good: nothing waits for it that need not."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tenants import lifecycle, unfinished
from tenants.backups import rescuing
from tenants.backups.catalogue import catalogue_of
from tenants.backups.making import make_backup
from tenants.backups.renewing import rehearse_as_new, restore_as_new
from tenants.backups.rescuing import choose_rescue, rehearse_rescue, rescue_tenant
from tenants.backups.restoring import restore_tenant
from tenants.backups.verifying import verify_backup
from tenants.databases import TenantSession
from tenants.errors import (
    IllegalTransition,
    NoSuchServer,
    NoSuchTenant,
    ServerUnusable,
    TenantUnavailable,
)
from tenants.registry import Registry
from tenants.settings import Settings
from tenants.stores import store_of
from tenants.stores.administration import Administration
from tenants.stores.placement import least_filled
from tenants.stores.postgresql import PostgresqlStore
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.backups import RESTORED, notes, prepare_restored, write
from tests.tenants.lives import killed_after, killed_before, nothing_is_unfinished
from tests.tenants.servers import cleaned, create, register
from tests.tenants.world import HISTORY, killed_in_child

BEFORE = ["hello acme", "one"]


@contextmanager
def down(cluster: Cluster) -> Iterator[None]:
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


@pytest.fixture
def two(pg_settings: Settings, cluster: Cluster, second_cluster: Cluster) -> Iterator[Settings]:
    """A closed home: acme on pg1, with a backup of before its last note; globex on pg2."""
    with cleaned(cluster), cleaned(second_cluster):
        with Tenancy.open(pg_settings, HISTORY) as tenancy:
            register(tenancy, second_cluster, "pg2")
            acme = create(tenancy, "acme")
            create(tenancy, "globex", "pg2")
            tenancy.files_of(acme).store(b"picture")
            write(tenancy, "acme", "one")
            make_backup(tenancy, acme)
            write(tenancy, "acme", "two")
        yield pg_settings


@pytest.fixture
def tenancy(two: Settings) -> Iterator[Tenancy]:
    with Tenancy.open(two, HISTORY) as tenancy:
        yield tenancy


@pytest.fixture
def acme(tenancy: Tenancy) -> Tenant:
    return tenancy.registry.by_slug("acme")


def rescue(tenancy: Tenancy, server: str = "pg2", **options: Any) -> Tenant:
    return rescue_tenant(tenancy, "acme", server, prepare_restored, **options).tenant


def assert_rescued(tenancy: Tenancy, before: Tenant, server: str = "pg2") -> None:
    acme = tenancy.registry.by_slug("acme")
    assert (acme.uuid, acme.server, acme.key_version) == (before.uuid, server, before.key_version)
    assert acme.epoch > before.epoch
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert len(tenancy.files_of(acme).names()) == 1
    assert nothing_is_unfinished(tenancy)
    with tenancy.registry.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT server FROM database_login ORDER BY server").scalars().all() == [
            "pg2"
        ] * (2 if server == "pg2" else 1)


# -- where a new one goes ----------------------------------------------------------------------------------------------


def test_a_new_tenant_passes_over_who_does_not_answer(tenancy: Tenancy, cluster: Cluster) -> None:
    create(tenancy, "initech", "pg2")
    assert least_filled(tenancy) == "pg1"
    told: list[str] = []
    with down(cluster):
        assert least_filled(tenancy, told.append) == "pg2"
        assert len(told) == 1
        assert told[0].startswith("The server pg1 ")


def test_when_none_answers_that_is_said_and_without_any_there_is_the_home_folder(
    tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_administration: Administration) -> None:
        raise ServerUnusable("It is away.")

    with monkeypatch.context() as patch:
        patch.setattr(Administration, "server", fail)
        with pytest.raises(ServerUnusable, match=r"No server answers\. It is away\. It is away\."):
            least_filled(tenancy)
    monkeypatch.setattr(tenancy.servers, "by_room", list)
    assert least_filled(tenancy) == EMBEDDED


# -- making ------------------------------------------------------------------------------------------------------------


def folders(tenancy: Tenancy) -> set[str]:
    return {path.name for path in (tenancy.settings.home / "tenants").iterdir()}


def test_what_cannot_begin_leaves_nothing(tenancy: Tenancy, cluster: Cluster) -> None:
    before = tenancy.registry.all(), folders(tenancy)
    with down(cluster), pytest.raises(ServerUnusable, match="pg1"):
        create(tenancy, "initech")
    assert (tenancy.registry.all(), folders(tenancy)) == before


def test_what_was_half_made_on_a_server_that_is_lost_is_said_and_made_elsewhere(
    tenancy: Tenancy, cluster: Cluster
) -> None:
    def lose(_db: TenantSession) -> None:
        cluster.stop()

    try:
        with pytest.raises(ServerUnusable, match="What was made of initech before is still there"):
            lifecycle.create_tenant(tenancy, "initech", "Initech", lose, "pg1")
        (half,) = tenancy.registry.unfinished()
        with pytest.raises(ServerUnusable, match="pg1"):
            create(tenancy, "initech")
        assert create(tenancy, "initech", "pg2").state is State.ACTIVE
    finally:
        cluster.start()
    assert tenancy.registry.unfinished() == []
    # The doctor says what is to become of that.
    assert len(store_of(tenancy, "pg1").remains(half.uuid)) == 3
    assert half.uuid not in {tenant.uuid for tenant in tenancy.registry.all()}


def test_what_was_half_made_is_taken_back_by_whoever_goes_elsewhere(two: Settings) -> None:
    def go() -> None:
        setattr(PostgresqlStore, "filling", killed_before(PostgresqlStore.filling))  # noqa: B010
        with Tenancy.open(two, HISTORY) as tenancy:
            create(tenancy, "initech")

    assert killed_in_child(go)
    with Tenancy.open(two, HISTORY) as tenancy:
        (half,) = tenancy.registry.unfinished()
        create(tenancy, "initech", EMBEDDED)
        assert store_of(tenancy, "pg1").remains(half.uuid) == []


# -- moving ------------------------------------------------------------------------------------------------------------


def test_a_move_from_a_server_that_is_down_is_not_begun(tenancy: Tenancy, cluster: Cluster, acme: Tenant) -> None:
    with down(cluster), pytest.raises(ServerUnusable):
        lifecycle.move_tenant(tenancy, "acme", "pg2")
    assert nothing_is_unfinished(tenancy)
    assert store_of(tenancy, "pg2").remains(acme.uuid) == []
    assert lifecycle.move_tenant(tenancy, "acme", "pg2").server == "pg2"


# The cursor that reads rows dies with its connection, and says so when it is collected.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_move_whose_source_dies_while_rows_are_copied_is_undone_without_it(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant
) -> None:
    stopped: list[int] = []

    def lose(_done: int, _total: int) -> None:
        if not stopped:
            stopped.append(1)
            cluster.kill()

    try:
        with pytest.raises(TenantUnavailable):
            lifecycle.move_tenant(tenancy, "acme", "pg2", progress=lose)
        assert nothing_is_unfinished(tenancy)
    finally:
        if not cluster.is_running:
            cluster.start()
        gc.collect()
    assert store_of(tenancy, "pg2").remains(acme.uuid) == []
    assert notes(tenancy, "acme") == [*BEFORE, "two"]


def killed_moving(settings: Settings, owner: Any, name: str, wrap: Any = killed_before) -> None:
    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.move_tenant(tenancy, "acme", "pg2")

    assert killed_in_child(go)


@pytest.mark.parametrize(("name", "wrap"), [("changing_schema", killed_before), ("fence", killed_after)])
def test_a_killed_move_is_taken_back_without_the_target(
    two: Settings, second_cluster: Cluster, name: str, wrap: Any
) -> None:
    killed_moving(two, PostgresqlStore, name, wrap)
    with Tenancy.open(two, HISTORY) as tenancy, down(second_cluster):
        with pytest.raises(ServerUnusable):
            lifecycle.move_tenant(tenancy, "acme", "pg2")
        assert lifecycle.move_tenant(tenancy, "acme", "pg1").server == "pg1"
        assert notes(tenancy, "acme") == [*BEFORE, "two"]
        assert nothing_is_unfinished(tenancy)
    with Tenancy.open(two, HISTORY) as tenancy:
        # Left there for the doctor, and in the way until somebody has looked at it.
        with pytest.raises(TenantUnavailable, match=r"database t_.*, role .* on pg2 are in the way; nothing was moved"):
            lifecycle.move_tenant(tenancy, "acme", "pg2")
        with pytest.raises(TenantUnavailable, match="has no login on the server pg2"):
            tenancy.servers.password_of(Tenant(*_values(tenancy, server="pg2")))


def _values(tenancy: Tenancy, **changes: Any) -> list[Any]:
    acme = tenancy.registry.by_slug("acme")
    return [changes.get(name, getattr(acme, name)) for name in Tenant.__slots__]


def test_a_move_of_the_release_before_is_taken_to_be_fenced(two: Settings) -> None:
    killed_moving(two, PostgresqlStore, "fence", killed_after)
    with Tenancy.open(two, HISTORY) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        with tenancy.registry.writing() as connection:
            found = unfinished.find(connection, acme.uuid)
            assert found
            unfinished.advance(connection, found, "copying")
        lifecycle.move_tenant(tenancy, "acme", "pg1")
        assert notes(tenancy, "acme") == [*BEFORE, "two"]


def test_a_move_that_had_arrived_ends_without_where_it_came_from(two: Settings, cluster: Cluster) -> None:
    killed_moving(two, PostgresqlStore, "destroy")
    with Tenancy.open(two, HISTORY) as tenancy, down(cluster):
        assert lifecycle.move_tenant(tenancy, "acme", "pg2").server == "pg2"
        assert nothing_is_unfinished(tenancy)
        assert notes(tenancy, "acme") == [*BEFORE, "two"]
        # Nothing is held by the lost one any more.
        tenancy.servers.remove("pg1")


# -- restoring ---------------------------------------------------------------------------------------------------------


def test_a_backup_is_verified_and_made_a_new_tenant_of_while_its_own_server_is_down(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant
) -> None:
    with down(cluster):
        verify_backup(tenancy, "acme")
        for place in ("", "pg1"):
            with pytest.raises(ServerUnusable, match="To make it elsewhere, name another server with --server"):
                restore_as_new(tenancy, "acme", "twin", prepare_restored, server=place)
        with pytest.raises(NoSuchServer):
            rehearse_as_new(tenancy, "acme", "twin", server="pg9")
        rehearse_as_new(tenancy, "acme", "twin", server="pg2")
        for number, place in enumerate(("pg2", EMBEDDED)):
            twin, _ = restore_as_new(tenancy, "acme", f"twin{number}", prepare_restored, server=place)
            assert (twin.server, notes(tenancy, twin.slug)) == (place, [*BEFORE, RESTORED])
            assert [tenancy.files_of(twin).read(name) for name in tenancy.files_of(twin).names()] == [b"picture"]
    assert tenancy.registry.by_slug("acme") == acme


def test_without_any_server_a_backup_of_one_is_not_opened(
    tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch, cluster: Cluster
) -> None:
    monkeypatch.setattr(tenancy.servers, "by_room", list)
    with down(cluster), pytest.raises(ServerUnusable, match="none is known here to open it on"):
        verify_backup(tenancy, "acme")


@pytest.mark.parametrize("server", ["pg2", EMBEDDED])
def test_a_tenant_whose_server_is_lost_is_served_from_another_one(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant, server: str
) -> None:
    with down(cluster):
        assert rehearse_rescue(tenancy, "acme", server).manifest.moment.rows["company_version"] == 2
        assert rescue(tenancy, server).server == server
        assert_rescued(tenancy, acme, server)
    # It comes back with what it had: nobody is served from there, and nothing leads there.
    assert_rescued(tenancy, acme, server)
    assert len(store_of(tenancy, "pg1").remains(acme.uuid)) == 3
    with pytest.raises(TenantUnavailable, match="are in the way"):
        lifecycle.move_tenant(tenancy, "acme", "pg1")
    tenancy.servers.remove("pg1")


def test_while_its_server_answers_a_tenant_is_restored_there(tenancy: Tenancy, acme: Tenant) -> None:
    with pytest.raises(IllegalTransition, match=r"pg1, where acme is, answers.*extranet tenant move acme --to pg2"):
        rescue(tenancy)
    with pytest.raises(NoSuchServer):
        rescue(tenancy, "pg9")
    with pytest.raises(NoSuchTenant):
        rescue_tenant(tenancy, "nobody", "pg2", prepare_restored)
    assert tenancy.registry.by_slug("acme") == acme
    assert nothing_is_unfinished(tenancy)


def test_what_is_in_the_way_is_not_destroyed(tenancy: Tenancy, cluster: Cluster, acme: Tenant) -> None:
    store_of(tenancy, "pg2").create(acme)
    with down(cluster), pytest.raises(TenantUnavailable, match="are in the way; nothing was restored"):
        rescue(tenancy)
    assert len(store_of(tenancy, "pg2").remains(acme.uuid)) == 3


@pytest.mark.parametrize("owner", [rescuing, Registry], ids=["finish", "change_server"])
def test_a_rescue_that_fails_leaves_nothing(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant, monkeypatch: pytest.MonkeyPatch, owner: Any
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ValueError

    with down(cluster):
        with monkeypatch.context() as patch:
            patch.setattr(owner, "finish" if owner is rescuing else "change_server", fail)
            with pytest.raises(ValueError):
                rescue(tenancy)
        assert nothing_is_unfinished(tenancy)
        assert store_of(tenancy, "pg2").remains(acme.uuid) == []
        rescue(tenancy)
        assert_rescued(tenancy, acme)


def test_an_interrupt_after_the_registry_was_changed_undoes_nothing(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_server = Registry.change_server

    def interrupted(*arguments: Any) -> None:
        change_server(*arguments)
        raise KeyboardInterrupt

    with down(cluster):
        with monkeypatch.context() as patch:
            patch.setattr(Registry, "change_server", interrupted)
            with pytest.raises(KeyboardInterrupt):
                rescue(tenancy)
        rescue(tenancy)
        assert_rescued(tenancy, acme)


KILLS = [
    (rescuing, "stage"),
    (rescuing, "finish"),
    (PostgresqlStore, "swap"),
    (Registry, "raise_epoch"),
    (Registry, "change_server"),
    (unfinished, "end"),
]


def killed_rescuing(settings: Settings, owner: Any, name: str, wrap: Any) -> None:
    def go() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            rescue(tenancy)

    assert killed_in_child(go)


@pytest.mark.parametrize("wrap", [killed_before, killed_after])
@pytest.mark.parametrize(("owner", "name"), KILLS)
def test_a_rescue_that_was_killed_at_any_step_goes_on(
    two: Settings, cluster: Cluster, owner: Any, name: str, wrap: Any
) -> None:
    with Tenancy.open(two, HISTORY) as tenancy:
        before = tenancy.registry.by_slug("acme")
    with down(cluster):
        killed_rescuing(two, owner, name, wrap)
        with Tenancy.open(two, HISTORY) as tenancy:
            with pytest.raises(IllegalTransition, match="unfinished rescue of acme"):
                restore_tenant(tenancy, "acme", prepare_restored)
            assert choose_rescue(tenancy, before).backup
            rescue(tenancy)
            assert_rescued(tenancy, before)


def test_a_rescue_that_was_killed_may_go_elsewhere_or_be_given_up(two: Settings, cluster: Cluster) -> None:
    with Tenancy.open(two, HISTORY) as tenancy:
        before = tenancy.registry.by_slug("acme")
    with down(cluster):
        killed_rescuing(two, Registry, "change_server", killed_before)
        with Tenancy.open(two, HISTORY) as tenancy:
            # By now another one is the newest: what was begun is gone on with.
            catalogue, (begun,) = catalogue_of(tenancy), catalogue_of(tenancy).of(before.uuid)
            assert choose_rescue(tenancy, before, backup_id=begun.id.hex).backup == begun
            assert len(catalogue.all()) == 1
            rescue(tenancy, EMBEDDED)
            assert_rescued(tenancy, before, EMBEDDED)
            assert store_of(tenancy, "pg2").remains(before.uuid) == []


def test_a_rescue_that_was_killed_is_given_up_when_the_server_is_back(two: Settings, cluster: Cluster) -> None:
    with down(cluster):
        killed_rescuing(two, Registry, "raise_epoch", killed_before)
    with Tenancy.open(two, HISTORY) as tenancy:
        with pytest.raises(IllegalTransition, match="answers"):
            rescue(tenancy)
        acme = tenancy.registry.by_slug("acme")
        assert nothing_is_unfinished(tenancy)
        assert store_of(tenancy, "pg2").remains(acme.uuid) == []
        assert notes(tenancy, "acme") == [*BEFORE, "two"]


@pytest.mark.parametrize("verb", ["move", "restore"])
def test_what_the_lost_server_cut_short_is_given_up(
    two: Settings, cluster: Cluster, second_cluster: Cluster, verb: str
) -> None:
    with Tenancy.open(two, HISTORY) as tenancy:
        before = tenancy.registry.by_slug("acme")
    if verb == "move":
        killed_moving(two, Registry, "change_server")
    else:
        with Tenancy.open(two, HISTORY) as tenancy, tenancy.registry.writing() as connection:
            unfinished.begin(connection, before.uuid, "restore", "staging")
    with down(cluster), Tenancy.open(two, HISTORY) as tenancy:
        rescue(tenancy)
        assert_rescued(tenancy, before)


def test_what_does_not_end_with_the_server_is_ended_first(tenancy: Tenancy, cluster: Cluster, acme: Tenant) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.begin(connection, acme.uuid, "rotate-keys", "first")
    with down(cluster), pytest.raises(IllegalTransition, match="unfinished rotate-keys of acme"):
        rescue(tenancy)


def test_a_closed_tenant_is_rescued_as_such_from_a_file(
    tenancy: Tenancy, cluster: Cluster, acme: Tenant, tmp_path: Path
) -> None:
    (backup,) = catalogue_of(tenancy).of(acme.uuid)
    copy = tmp_path / "copy"
    copy.write_bytes(catalogue_of(tenancy).path_of(backup).read_bytes())
    tenancy.registry.move_to(acme, State.CLOSED)
    with down(cluster):
        assert rescue(tenancy, path=copy).state is State.CLOSED
