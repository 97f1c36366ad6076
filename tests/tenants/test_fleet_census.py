"""The fleet seen without opening a database: who is where, at which schema, and what does not fit together."""

from __future__ import annotations

import os
import shutil
from uuid import uuid4

import pytest

from tenants import sqlite
from tenants.databases import database_file
from tenants.errors import ServerUnusable
from tenants.fleet.census import Stray, take_census
from tenants.fleet.journal import RunJournal, RunState
from tenants.fleet.migration import migrate_tenant
from tenants.fleet.plan import Options
from tenants.fleet.run import MIGRATE, migrate
from tenants.fleet.status import status_of
from tenants.locks import FLEET
from tenants.servers import Server
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State
from tests.tenants.fleets import ADDED, LATER, NOW, file_of, later, silent, tenant_of
from tests.tenants.world import HISTORY


def test_every_tenant_is_counted_by_server_and_schema(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        migrate_tenant(tenancy, tenancy.registry.by_slug("acme"), None)
        census = take_census(tenancy)
    assert census.target == LATER
    assert census.counts() == {EMBEDDED: {NOW: 1, LATER: 1}}
    assert [tenant.slug for tenant in census.behind] == ["globex"]
    assert (census.missing, census.strays, census.faults) == ([], [], {})


def test_code_of_before_finds_nobody_behind(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        migrate_tenant(tenancy, tenancy.registry.by_slug("acme"), None)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert take_census(tenancy).behind == []


def test_no_database_is_opened(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for slug in ("acme", "globex"):
        # Nothing but the header is left of it.
        path = file_of(settings, slug)
        path.write_bytes(path.read_bytes()[:100] + os.urandom(1000))
    before = {str(file) for file in settings.home.joinpath("tenants").rglob("*")}
    with later(settings, ADDED) as tenancy:
        monkeypatch.setattr(sqlite, "make_engine", None)
        status = status_of(tenancy)
    assert status.census.counts() == {EMBEDDED: {NOW: 2}}
    assert {str(file) for file in settings.home.joinpath("tenants").rglob("*")} == before


def test_what_does_not_fit_together_is_found(settings: Settings) -> None:
    stray = uuid4()
    path = database_file(settings, stray)
    path.parent.mkdir()
    shutil.copy(file_of(settings, "acme"), path)
    file_of(settings, "acme").unlink()
    with later(settings, HISTORY) as tenancy:
        status = status_of(tenancy)
        assert [tenant.slug for tenant in status.census.missing] == ["acme"]
        assert status.census.strays == [Stray(EMBEDDED, stray)]
        assert status.needs_attention
        # A run cannot repair it, and does not stop for it.
        assert migrate(tenancy, Options(), "somebody", silent).is_well


def test_a_damaged_database_is_behind_whatever_it_was(settings: Settings) -> None:
    file_of(settings, "acme").write_bytes(b"x" * 4096)
    with later(settings, HISTORY) as tenancy:
        assert take_census(tenancy).counts() == {EMBEDDED: {0: 1, NOW: 1}}


def test_a_tenant_that_is_being_made_or_is_gone_is_not_counted(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        for slug, state in (("acme", State.PROVISIONING), ("globex", State.PURGED)):
            with tenancy.registry.changing() as connection:
                connection.exec_driver_sql("UPDATE tenant SET state = ? WHERE slug = ?", (str(state), slug))
        census = take_census(tenancy)
    assert (census.tenants, census.behind, census.missing) == ([], [], [])
    # What a purge should have destroyed and has not belongs to nobody.
    assert census.strays == [Stray(EMBEDDED, tenant_of(settings, "globex").uuid)]


def test_a_server_that_cannot_be_asked_is_said_and_stops_a_run_only_when_it_holds_tenants(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        tenancy.servers.add(Server("pg9", "host=127.0.0.1 port=1", False, 10))
        census = take_census(tenancy)
        assert "credential" in census.faults["pg9"]
        assert status_of(tenancy).needs_attention
        with tenancy.registry.changing() as connection:
            connection.exec_driver_sql("UPDATE tenant SET server = 'pg9' WHERE slug = 'acme'")
        moved = take_census(tenancy)
        assert (moved.missing, [tenant.slug for tenant in moved.behind]) == ([], ["globex"])
        with pytest.raises(ServerUnusable, match="credential"):
            migrate(tenancy, Options(), "somebody", silent)
        assert RunJournal(tenancy.registry, MIGRATE).last() is None


# -- status ------------------------------------------------------------------------------------------------------------


def test_a_fleet_at_this_schema_without_a_run_needs_nothing(settings: Settings) -> None:
    with later(settings, HISTORY) as tenancy:
        status = status_of(tenancy)
    assert (status.run, status.steps, status.alive, status.needs_attention) == (None, [], False, False)


def test_a_tenant_that_is_behind_needs_attention(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        assert status_of(tenancy).needs_attention


def test_a_run_that_nobody_is_at_was_killed(settings: Settings) -> None:
    with later(settings, HISTORY) as tenancy:
        journal = RunJournal(tenancy.registry, MIGRATE)
        run = journal.begin({}, "somebody", [])
        with tenancy.locks.hold(FLEET):
            running = status_of(tenancy)
        killed = status_of(tenancy)
        journal.settle(run, RunState.DONE)
        ended = status_of(tenancy)
    assert (running.alive, running.needs_attention) == (True, False)
    assert (killed.alive, killed.needs_attention) == (False, True)
    assert (ended.alive, ended.needs_attention) == (False, False)


def test_runs_of_another_kind_are_none_of_these(settings: Settings) -> None:
    with later(settings, HISTORY) as tenancy:
        RunJournal(tenancy.registry, "backup").begin({}, "somebody", [])
        assert RunJournal(tenancy.registry, MIGRATE).last() is None
