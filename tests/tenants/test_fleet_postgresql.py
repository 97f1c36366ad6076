"""A fleet on both engines: one run, one census, the same promises."""

from __future__ import annotations

from collections import Counter

import psycopg
import pytest

from tenants.errors import Busy
from tenants.fleet import waves
from tenants.fleet.census import take_census
from tenants.fleet.journal import StepState
from tenants.fleet.migration import migrate_tenant
from tenants.fleet.plan import Options
from tenants.fleet.run import migrate, resume
from tenants.fleet.status import status_of
from tenants.locks import FLEET
from tenants.servers import database_name
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.fleets import ADDED, FORGETFUL, LATER, NOW, REBUILT, STRICT, InlineCrew, last_steps, later, silent
from tests.tenants.servers import create, login
from tests.tenants.world import note


@pytest.fixture
def kept_on() -> str:
    """Where registry and tenants are when a test asks for ``settings``."""
    return "postgresql"


@pytest.fixture
def mixed(pg_tenancy: Tenancy, pg_settings: Settings) -> Settings:
    """Two tenants on each engine."""
    for slug, server in (("acme", EMBEDDED), ("globex", EMBEDDED), ("initech", "pg1"), ("umbrella", "pg1")):
        create(pg_tenancy, slug, server)
    return pg_settings


def ask(cluster: Cluster, tenant: Tenant, question: str) -> list[tuple[object, ...]]:
    return cluster.execute(question, dbname=database_name(tenant.uuid))


def test_one_run_migrates_both_kinds_with_one_connection_a_job(mixed: Settings, cluster: Cluster) -> None:
    with later(mixed, ADDED) as tenancy:
        assert take_census(tenancy).counts() == {EMBEDDED: {NOW: 2}, "pg1": {NOW: 2}}
        assert migrate(tenancy, Options(jobs=2), "somebody", silent).is_well
        assert {step.attempts for step in last_steps(tenancy).values()} == {1}
        status = status_of(tenancy)
        assert status.census.counts() == {EMBEDDED: {LATER: 2}, "pg1": {LATER: 2}}
        assert not status.needs_attention
        initech = tenancy.registry.by_slug("initech")
        assert ask(cluster, initech, "SELECT motto FROM company") == []
        # The tenant's own login may use what is new, and still own nothing.
        with login(tenancy, cluster, initech) as connection:
            assert connection.execute("SELECT motto FROM company").fetchall() == []
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute("ALTER TABLE company ADD COLUMN mine text")


def test_a_tenant_that_fails_is_as_it_was_and_is_tried_again(
    mixed: Settings, pg_tenancy: Tenancy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    initech = pg_tenancy.registry.by_slug("initech")
    with pg_tenancy.open_db(initech, writing=True) as db:
        db.add(note("anna@initech.example", "2"))
        db.commit()
    monkeypatch.setattr(waves, "Crew", InlineCrew)
    with later(mixed, STRICT) as tenancy:
        migrate(tenancy, Options(canary="initech", jobs=1), "somebody", silent)
        failed = last_steps(tenancy)["initech"]
        assert failed.state is StepState.FAILED
        assert failed.error.startswith(
            "UniqueViolation: company_version.uq_company_version_changed_by (0004_strict.py,"
        )
        assert take_census(tenancy).counts() == {EMBEDDED: {NOW: 2}, "pg1": {NOW: 2}}
        changes = ask(cluster, initech, "SELECT changes FROM company_version ORDER BY id")
        assert changes == [("hello initech",), ("anna@initech.example",)]
        ask(cluster, initech, "DELETE FROM company_version WHERE id = '2'")
        assert resume(tenancy, silent).is_well
        assert Counter(step.attempts for step in last_steps(tenancy).values()) == {1: 3, 2: 1}


def test_a_journal_keeps_its_protection_or_nothing_is_changed(mixed: Settings, cluster: Cluster) -> None:
    with later(mixed, FORGETFUL) as tenancy:
        report = migrate_tenant(tenancy, tenancy.registry.by_slug("initech"), None)
        assert "would lose security_event_no_update" in report.error
    with later(mixed, REBUILT) as tenancy:
        initech = tenancy.registry.by_slug("initech")
        assert migrate_tenant(tenancy, initech, None).state is StepState.DONE
        assert migrate_tenant(tenancy, initech, None).from_version is None
        with login(tenancy, cluster, initech) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DELETE FROM security_event")
    protected = ask(cluster, initech, "SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'security_event_no%'")
    assert protected == [(2,)]


def test_a_database_of_no_tenant_is_found_on_a_server(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    with pg_tenancy.registry.changing() as connection:
        connection.exec_driver_sql("UPDATE tenant SET server = 'embedded'")
    census = take_census(pg_tenancy)
    assert [(stray.server, stray.uuid) for stray in census.strays] == [("pg1", pg_acme.uuid)]
    assert [tenant.uuid for tenant in census.missing] == [pg_acme.uuid]


def test_a_registry_on_a_server_journals_a_run_as_well(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        with tenancy.locks.hold(FLEET), pytest.raises(Busy):
            migrate(tenancy, Options(), "somebody", silent)
        assert migrate(tenancy, Options(jobs=1), "somebody", silent).is_well
        steps = last_steps(tenancy)
        assert not status_of(tenancy).needs_attention
    assert {slug: (step.state, step.attempts) for slug, step in steps.items()} == {
        "acme": (StepState.DONE, 1),
        "globex": (StepState.DONE, 1),
    }
