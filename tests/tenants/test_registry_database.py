"""A registry on PostgreSQL; that on SQLite is made and opened in test_tenancy."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import select, text

from tenants import postgresql_pool, schema
from tenants import tenancy as tenancy_module
from tenants.errors import KeyUnavailable, NotInitialised, SchemaBehind, TenantUnavailable
from tenants.keys import create_master_key
from tenants.registry_database import registry_exists
from tenants.registry_tables import generation_table
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import Tenant
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned
from tests.tenants.world import HISTORY, in_children, kill_this_process, killed_in_child


@pytest.fixture
def database(cluster: Cluster) -> Iterator[str]:
    """An empty database of a role of its own."""
    with cleaned(cluster):
        cluster.execute("CREATE ROLE registrar LOGIN PASSWORD 'registrar'")
        cluster.execute("CREATE DATABASE the_registry OWNER registrar")
        yield cluster.url("the_registry", "registrar", "registrar")


@pytest.fixture
def empty(database: str, tmp_path: Path) -> Settings:
    return settings_at(tmp_path / "home", database)


def settings_at(home: Path, url: str) -> Settings:
    return read_settings({"EXTRANET_HOME": str(home), "EXTRANET_REGISTRY_URL": url})


def test_a_registry_is_made_once_and_opens(empty: Settings) -> None:
    assert not registry_exists(empty)
    for _ in range(2):
        initialise(empty)
        assert registry_exists(empty)
        with Tenancy.open(empty, HISTORY) as tenancy:
            assert tenancy.registry.all() == []
            assert tenancy.registry.generation() == 1
            assert tenancy.registry.engine.dialect.name == "postgresql"
    assert sorted(os.listdir(empty.home)) == ["initialise.lock", "master.key", "tenants"]


@pytest.mark.parametrize("scheme", ["postgresql://", "postgres://"])
def test_both_spellings_of_the_scheme_lead_there(database: str, tmp_path: Path, scheme: str) -> None:
    initialise(settings_at(tmp_path / "home", database.replace("postgresql://", scheme)))


def test_an_empty_database_is_not_initialised(empty: Settings) -> None:
    with pytest.raises(NotInitialised, match=r"is empty\. Run: extranet init"):
        Tenancy.open(empty, HISTORY)


def test_a_registry_that_cannot_be_reached_is_said_and_nothing_is_made(cluster: Cluster, tmp_path: Path) -> None:
    for url in (cluster.url("absent"), "postgresql://nobody@127.0.0.1:1/registry"):
        settings = settings_at(tmp_path / "home", url)
        for act in (lambda: initialise(settings), lambda: Tenancy.open(settings, HISTORY)):  # noqa: B023
            with pytest.raises(TenantUnavailable, match="cannot be reached"):
                act()
    assert not (tmp_path / "home" / "master.key").exists()


def test_an_older_registry_is_refused_until_it_is_upgraded(
    empty: Settings, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    initialise(empty)
    cluster.execute("DROP TABLE tombstone", dbname="the_registry")
    cluster.execute("UPDATE alembic_version SET version_num = '0001'", dbname="the_registry")
    with pytest.raises(SchemaBehind, match="schema 1, this code needs"):
        Tenancy.open(empty, HISTORY)
    upgraded: list[str] = []

    def upgrade(connection: object, history: str) -> None:
        upgraded.append(history)
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))  # type: ignore[attr-defined]

    monkeypatch.setattr(schema, "upgrade", upgrade)
    for _ in range(2):
        initialise(empty)
    assert upgraded == [schema.REGISTRY_HISTORY]
    Tenancy.open(empty, HISTORY).close()


def test_an_upgrade_that_fails_changes_nothing(empty: Settings, cluster: Cluster) -> None:
    initialise(empty)
    # What the second revision is about to make is in its way.
    cluster.execute("UPDATE alembic_version SET version_num = '0001'", dbname="the_registry")
    with pytest.raises(Exception, match="already exists"):
        initialise(empty)
    assert cluster.execute("SELECT version_num FROM alembic_version", dbname="the_registry") == [("0001",)]


@pytest.mark.parametrize("step", ["create_master_key", "changing_registry", "_fill_registry"])
def test_initialising_after_a_kill_finishes_what_was_begun(empty: Settings, step: str) -> None:
    def initialise_and_die() -> None:
        setattr(tenancy_module, step, kill_this_process)
        initialise(empty)

    assert killed_in_child(initialise_and_die)
    with pytest.raises(NotInitialised):
        Tenancy.open(empty, HISTORY)
    initialise(empty)
    Tenancy.open(empty, HISTORY).close()


def test_many_that_initialise_at_once_make_one_registry(empty: Settings) -> None:
    def make() -> int:
        initialise(empty)
        with Tenancy.open(empty, HISTORY) as tenancy:
            return tenancy.registry.generation()

    assert in_children([make] * 5) == [1] * 5


def test_another_key_opens_nothing_and_a_lost_one_is_not_made_anew(empty: Settings) -> None:
    initialise(empty)
    empty.master_key_file.unlink()
    with pytest.raises(KeyUnavailable, match="in its PostgreSQL database exists but its master key"):
        initialise(empty)
    create_master_key(empty.master_key_file)
    with pytest.raises(KeyUnavailable):
        Tenancy.open(empty, HISTORY)


def test_a_lost_registry_is_never_made_anew_beside_its_tenants(empty: Settings) -> None:
    (empty.home / "tenants" / "one").mkdir(parents=True, mode=0o700)
    empty.home.chmod(0o700)
    with pytest.raises(NotInitialised, match="no registry in its PostgreSQL database"):
        initialise(empty)


def test_nobody_but_its_role_may_connect_once_it_is_made(empty: Settings, cluster: Cluster) -> None:
    # A tenant's login on the same server could connect to it.
    cluster.execute("CREATE ROLE stranger LOGIN PASSWORD 'x'")
    url = cluster.url("the_registry", "stranger", "x")
    psycopg.connect(url).close()
    initialise(empty)
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(url)
    Tenancy.open(empty, HISTORY).close()


def test_who_does_not_own_the_database_can_make_a_registry_in_it_all_the_same(cluster: Cluster, tmp_path: Path) -> None:
    with cleaned(cluster):
        cluster.execute("CREATE ROLE guest LOGIN PASSWORD 'x'")
        cluster.execute("CREATE DATABASE hosted")
        cluster.execute("GRANT CREATE ON SCHEMA public TO guest", dbname="hosted")
        initialise(settings_at(tmp_path / "home", cluster.url("hosted", "guest", "x")))
        cluster.execute("SELECT * FROM generation", dbname="hosted")


def test_of_many_changes_at_once_none_is_lost(empty: Settings) -> None:
    initialise(empty)
    with Tenancy.open(empty, HISTORY) as tenancy:

        def change() -> None:
            for _ in range(10):
                with tenancy.registry.changing():
                    pass

        threads = [threading.Thread(target=change) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert tenancy.registry.generation() == 81


def test_what_is_told_apart_is_one_moment(empty: Settings) -> None:
    initialise(empty)
    with Tenancy.open(empty, HISTORY) as tenancy, tenancy.registry.engine.connect() as reader:
        before = reader.execute(select(generation_table.c.number)).scalar_one()
        with tenancy.registry.changing():
            pass
        assert reader.execute(select(generation_table.c.number)).scalar_one() == before


@pytest.mark.parametrize("kept_on", ["postgresql"])
def test_whoever_looks_up_a_tenants_password_needs_one_connection_to_the_registry_at_a_time(
    tenancy: Tenancy, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_pool, "WAIT_SECONDS", 0.2)
    with ExitStack() as others:
        for _ in range(postgresql_pool.MOST_CONNECTIONS - 1):
            others.enter_context(tenancy.registry.engine.connect())
        # As after half a second, or a change: the keys are looked at anew.
        tenancy.generation.forget()
        assert tenancy.servers.password_of(acme)


def test_the_journal_of_operators_is_not_changed_even_by_the_registrys_own_role(empty: Settings, database: str) -> None:
    initialise(empty)
    with Tenancy.open(empty, HISTORY) as tenancy, tenancy.registry.writing() as connection:
        tenancy.operator_journal.append(
            connection, "test", "ok", actor="a", subject="s", details={}, private={"who": "me"}
        )
    with psycopg.connect(database) as raw:
        for statement in (
            "UPDATE operator_event SET actor = 'b'",
            "DELETE FROM operator_event",
            "TRUNCATE operator_event",
        ):
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"), raw.transaction():
                raw.execute(statement.encode())
        raw.execute("UPDATE operator_event SET private = NULL")


def test_the_tables_are_those_that_the_code_declares(empty: Settings) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    initialise(empty)
    with Tenancy.open(empty, HISTORY) as tenancy, tenancy.registry.engine.connect() as connection:
        context = MigrationContext.configure(connection)
        from tenants.registry_tables import metadata

        assert compare_metadata(context, metadata) == []
