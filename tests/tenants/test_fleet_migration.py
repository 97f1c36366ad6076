"""One tenant's migration: all of it or nothing, and nothing that anybody saved is lost."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path
from threading import Thread

import psycopg
import pytest
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from tenants import unfinished
from tenants.errors import TenantUnavailable
from tenants.faults import fault_of
from tenants.fleet import migration
from tenants.fleet.journal import Report, StepState
from tenants.fleet.migration import migrate_tenant
from tenants.registry_tables import tenant_table
from tenants.settings import Settings
from tenants.sqlite_files import read_schema_version
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.fleets import (
    ADDED,
    COUNTED,
    FORGETFUL,
    LATER,
    NOW,
    ORPHANING,
    REBUILT,
    STRICT,
    asked,
    dump_of,
    file_of,
    forbid,
    later,
    tenant_of,
    version_of,
)
from tests.tenants.world import HISTORY, Note, note

COLUMNS = (
    "id, username, email, first_name, last_name, role, state, password, password_changed_at, must_change_password,"
    " avatar, language, time_zone, date_format, clock, theme, density, rows_per_page, reduce_motion, created_at"
)
PERSON = ["p" * 32, "anna", "a@acme.example", "Anna", "M", "admin", "active", b"", None, 0, "", "", "", "", "", "", ""]


@pytest.fixture
def filled(settings: Settings) -> Settings:
    """Acme has people, to whom rows in other tables refer, and entries in its journal."""
    with closing(sqlite3.connect(file_of(settings, "acme"))) as raw, raw:
        raw.execute(f"INSERT INTO user ({COLUMNS}) VALUES ({', '.join('?' * 20)})", [*PERSON, 20, 0, "2026-01-01"])
        profile = ["p" * 32, *[""] * 16]
        raw.execute(f"INSERT INTO profile VALUES ({', '.join('?' * 17)})", profile)
        raw.executemany("INSERT INTO profile_version VALUES (?, ?, '', '2026-01-01', '')", [("1", "p" * 32)])
        raw.execute("INSERT INTO security_event VALUES (1, 'at', 'e', 'o', 'a', 's', x'00', x'00', x'00')")
    return settings


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COUNTED_LOG", str(tmp_path / "counted.log"))
    return tmp_path / "counted.log"


def migrate(settings: Settings, history: str, slug: str = "acme") -> Report:
    with later(settings, history) as tenancy:
        return migrate_tenant(tenancy, tenancy.registry.by_slug(slug), None)


def test_a_tenant_is_brought_to_the_schema_of_the_code(settings: Settings) -> None:
    report = migrate(settings, ADDED)
    assert (report.state, report.from_version, report.error) == (StepState.DONE, NOW, "")
    assert asked(settings, "acme", "SELECT version_num FROM alembic_version") == [(f"{LATER:04}",)]
    assert "motto" in [row[1] for row in asked(settings, "acme", "PRAGMA table_info(company)")]
    assert version_of(settings, "globex") == NOW


def test_its_version_is_in_the_file_s_header_when_it_is_done(settings: Settings) -> None:
    migrate(settings, ADDED)
    assert read_schema_version(file_of(settings, "acme")) == LATER


def test_who_is_at_that_schema_already_is_left_alone(settings: Settings, log: Path) -> None:
    migrate(settings, COUNTED)
    before = dump_of(settings, "acme")
    report = migrate(settings, COUNTED)
    assert (report.state, report.from_version) == (StepState.DONE, None)
    assert dump_of(settings, "acme") == before
    assert len(log.read_text().splitlines()) == 1


def test_a_table_that_is_made_anew_keeps_what_refers_to_it_and_a_journal_what_protects_it(filled: Settings) -> None:
    triggers = asked(filled, "acme", "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    tables = ("user", "profile", "profile_version", "security_event", "company_version", "stamp")
    before = {table: asked(filled, "acme", f"SELECT * FROM {table}") for table in tables}
    assert all(before.values())
    report = migrate(filled, REBUILT)
    assert report.error == ""
    assert {table: asked(filled, "acme", f"SELECT * FROM {table}") for table in tables} == before
    after = asked(filled, "acme", "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' ORDER BY name")
    assert after == triggers
    with pytest.raises(sqlite3.IntegrityError, match="never changed"):
        asked(filled, "acme", "DELETE FROM security_event")


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (STRICT, "IntegrityError: UNIQUE constraint failed: company_version.changed_by (0004_strict.py, line 13)"),
        (FORGETFUL, "A journal would lose security_event_no_delete, security_event_no_replace, security_event_no_u"),
        (ORPHANING, "after the change, rows of profile"),
    ],
)
def test_a_tenant_that_fails_is_exactly_as_it_was(filled: Settings, history: str, why: str) -> None:
    forbid(filled, "acme")
    before = dump_of(filled, "acme")
    report = migrate(filled, history)
    assert report.state is StepState.FAILED
    assert why in report.error
    assert dump_of(filled, "acme") == before
    assert version_of(filled, "acme") == read_schema_version(file_of(filled, "acme")) == NOW
    with Tenancy.open(filled, HISTORY) as tenancy, tenancy.open_db(tenant_of(filled, "acme")) as db:
        assert len(db.scalars(select(Note)).all()) == 2


def test_what_is_saved_while_a_tenant_is_migrated_waits_and_is_kept(
    settings: Settings, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTED_SECONDS", "0.3")
    with Tenancy.open(settings, HISTORY) as old, old.open_db(tenant_of(settings, "acme"), writing=True) as db:
        migrating = Thread(target=migrate, args=(settings, COUNTED))
        migrating.start()
        while not log.exists():
            time.sleep(0.01)
        # Old code, with a connection from before, in the middle of the change.
        db.add(note("saved meanwhile", "2"))
        db.commit()
        assert old.registry.by_slug("acme")
        migrating.join()
    assert version_of(settings, "acme") == LATER
    assert asked(settings, "acme", "SELECT changes FROM company_version WHERE id = '2'") == [("saved meanwhile",)]


def test_code_of_before_works_on_the_schema_of_after(settings: Settings) -> None:
    with Tenancy.open(settings, HISTORY) as old:
        acme = old.registry.by_slug("acme")
        with old.open_db(acme) as db:
            assert db.scalars(select(Note.changes)).all() == ["hello acme"]
        assert migrate(settings, ADDED).state is StepState.DONE
        with old.open_db(acme, writing=True) as db:
            db.add(note("after", "2"))
            db.commit()
    with Tenancy.open(settings, HISTORY) as another, another.open_db(acme) as db:
        assert db.scalars(select(Note.changes).order_by(Note.id)).all() == ["hello acme", "after"]


def test_a_snapshot_is_taken_before_and_without_one_nothing_is_changed(settings: Settings) -> None:
    seen = []

    def look(_tenancy: Tenancy, tenant: Tenant) -> None:
        seen.append((tenant.slug, version_of(settings, "acme")))

    def fail(_tenancy: Tenancy, _tenant: Tenant) -> None:
        raise OSError(28, "No space left on device")

    with later(settings, ADDED) as tenancy:
        acme, globex = tenancy.registry.by_slug("acme"), tenancy.registry.by_slug("globex")
        assert migrate_tenant(tenancy, acme, look).state is StepState.DONE
        failed = migrate_tenant(tenancy, globex, fail)
    assert seen == [("acme", NOW)]
    assert (failed.state, failed.error) == (StepState.FAILED, "OSError: No space left on device")
    assert version_of(settings, "globex") == NOW


# -- what changed since the plan was made ------------------------------------------------------------------------------


def test_a_tenant_that_was_renamed_is_migrated_under_its_new_lock(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        known = tenancy.registry.by_slug("acme")
        tenancy.registry.rename(known, "apex")
        assert migrate_tenant(tenancy, known, None).state is StepState.DONE
        with tenancy.locks.hold("acme"), tenancy.locks.hold("apex"):
            pass


def set_state(tenancy: Tenancy, tenant: Tenant, state: State) -> None:
    with tenancy.registry.changing() as connection:
        connection.execute(tenant_table.update().where(tenant_table.c.uuid == tenant.uuid).values(state=state))


@pytest.mark.parametrize("state", [State.PROVISIONING, State.PURGED])
def test_a_tenant_without_a_database_of_its_own_is_skipped(settings: Settings, state: State) -> None:
    with later(settings, ADDED) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        set_state(tenancy, acme, state)
        report = migrate_tenant(tenancy, acme, None)
    assert (report.state, report.error) == (StepState.SKIPPED, f"It is {state}.")


def test_a_tenant_that_has_left_the_registry_is_skipped(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        set_state(tenancy, acme, State.PROVISIONING)
        tenancy.registry.discard(acme)
        report = migrate_tenant(tenancy, acme, None)
    assert (report.state, report.error) == (StepState.SKIPPED, "It is no longer in the registry.")


def test_a_tenant_with_which_something_else_is_unfinished_is_skipped(settings: Settings) -> None:
    with later(settings, ADDED) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        with tenancy.registry.writing() as connection:
            unfinished.begin(connection, acme.uuid, "move", "copied")
        report = migrate_tenant(tenancy, acme, None)
    assert (report.state, report.error) == (StepState.SKIPPED, "Its move was begun and is not finished.")
    assert version_of(settings, "acme") == NOW


@pytest.mark.parametrize("state", [State.SUSPENDED, State.CLOSED])
def test_a_tenant_that_is_not_served_is_migrated_all_the_same(settings: Settings, state: State) -> None:
    with later(settings, ADDED) as tenancy:
        acme = tenancy.registry.move_to(tenancy.registry.by_slug("acme"), state)
        assert migrate_tenant(tenancy, acme, None).state is StepState.DONE


def test_a_command_that_is_at_work_on_the_tenant_is_waited_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with later(settings, ADDED) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        monkeypatch.setattr(migration, "_PATIENCE_SECONDS", 0.1)
        with tenancy.locks.hold("acme"):
            failed = migrate_tenant(tenancy, acme, None)
        assert (failed.state, "at work on acme" in failed.error) == (StepState.FAILED, True)
        held = tenancy.locks.hold("acme")
        held.__enter__()
        monkeypatch.setattr(migration, "_PATIENCE_SECONDS", 10)
        monkeypatch.setattr(time, "sleep", lambda _seconds: held.__exit__(None, None, None))
        assert migrate_tenant(tenancy, acme, None).state is StepState.DONE


# -- what is told of a failure -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (TenantUnavailable("One line.\nAnd another."), "One line."),
        (TenantUnavailable("x" * 400), "x" * 300),
        (ValueError("anna@acme.example"), "ValueError"),
        (
            sqlite3.IntegrityError("NOT NULL constraint failed: user.email"),
            "IntegrityError: NOT NULL constraint failed: user.email",
        ),
        (
            DBAPIError("UPDATE", {}, sqlite3.OperationalError("no such column: x")),
            "OperationalError: no such column: x",
        ),
        (
            DBAPIError("UPDATE", {}, psycopg.errors.InvalidTextRepresentation('invalid input syntax: "anna"')),
            "InvalidTextRepresentation",
        ),
        (OSError(28, "No space left on device", "anna.png"), "OSError: No space left on device"),
        (OSError("anna.png"), "OSError"),
    ],
)
def test_a_fault_is_one_short_line_without_anybody_s_rows(error: BaseException, told: str) -> None:
    assert fault_of(error) == told
