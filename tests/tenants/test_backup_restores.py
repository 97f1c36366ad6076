"""Restoring: a tenant is as it was, or nothing has changed; nothing of what was replaced comes back."""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as trying
from hypothesis import strategies as st
from sqlalchemy import delete, select, text, update

from extranet.models import Base
from tenants import lifecycle, rotation, schema, sqlite, unfinished
from tenants.backups import making, restoring, staging, verifying
from tenants.backups.archive import read_header
from tenants.backups.catalogue import Backup, Catalogue, catalogue_of
from tenants.backups.making import make_backup
from tenants.backups.placing import Placing
from tenants.backups.renewing import rehearse_as_new, restore_as_new
from tenants.backups.restoring import Restored, rehearse, restore_tenant
from tenants.backups.staging import Return
from tenants.backups.verifying import verify_backup
from tenants.databases import TenantSession
from tenants.errors import (
    BackupFailed,
    BadArchive,
    Busy,
    IllegalTransition,
    NoSuchTenant,
    SlugTaken,
    TenantUnavailable,
)
from tenants.registry import Registry
from tenants.registry_tables import tenant_table
from tenants.servers import database_name
from tenants.settings import Settings
from tenants.stores import copies, postgresql, store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.services.postgresql import Cluster
from tests.tenants.backups import (
    RESTORED,
    files_of,
    kill_at,
    left_over,
    notes,
    path_of,
    prepare_restored,
    state_of,
    write,
)
from tests.tenants.fleets import ADDED, LATER, NOW
from tests.tenants.world import HISTORY, Note, journal_of, killed_in_child, note

both = pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"])
BEFORE = ["hello acme", "one"]


def restored(tenancy: Tenancy, slug: str = "acme", **options: Any) -> Restored:
    return restore_tenant(tenancy, slug, prepare_restored, **options)


def backed_up(tenancy: Tenancy) -> Backup:
    """Back acme up with two notes, then save one more."""
    write(tenancy, "acme", "one")
    backup = make_backup(tenancy, tenancy.registry.by_slug("acme"))
    write(tenancy, "acme", "two")
    return backup


@both
def test_a_tenant_is_as_it_was_and_the_others_as_they_are(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    files = tenancy.files_of(acme)
    kept, removed = files.store(b"kept"), files.store(b"removed")
    backup = backed_up(tenancy)
    files.remove(removed)
    later = files.store(b"later")
    others = make_backup(tenancy, globex)
    done = restored(tenancy, backup_id=backup.id.hex)
    assert (done.backup_id, done.made_at) == (backup.id, backup.made_at)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert (files.read(kept), files.read(removed), files.names()) == (b"kept", b"removed", sorted([kept, removed]))
    assert done.tenant == replace(acme, epoch=acme.epoch + 1) == tenancy.registry.by_slug("acme")
    assert notes(tenancy, "globex") == ["hello globex"]
    assert catalogue_of(tenancy).of(globex.uuid) == [others]
    assert left_over(tenancy, acme) == []
    # And back again: nothing of what was replaced is lost.
    assert done.safety
    restored(tenancy, backup_id=str(done.safety))
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED, "two"]
    assert files.names() == sorted([kept, later])
    write(tenancy, "acme", "three")
    verify_backup(tenancy, "acme")


def test_whoever_prepares_learns_what_is_left_and_what_it_is_brought_back_to(tenancy: Tenancy, acme: Tenant) -> None:
    backup, seen = backed_up(tenancy), []
    done = restore_tenant(tenancy, "acme", lambda _db, back_to: seen.append(back_to), backup_id=backup.id.hex)
    (back_to,) = seen
    assert (back_to.header.id, back_to.safety) == (backup.id, done.safety)
    assert back_to.manifest.moment.journals["security_event"][0] == 1
    assert back_to.left["security_event"][0] == 2
    with tenancy.open_db(acme) as db:
        assert journal_of(tenancy.keys_of(acme)).head(db) == back_to.manifest.moment.journals["security_event"]


def test_a_closed_or_suspended_tenant_is_restored_as_such(tenancy: Tenancy) -> None:
    backup = backed_up(tenancy)
    for state in (State.SUSPENDED, State.CLOSED):
        tenancy.registry.move_to(tenancy.registry.by_slug("acme"), state)
        assert restored(tenancy, backup_id=backup.id.hex).tenant.state is state
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


def test_a_rehearsal_changes_nothing_and_says_what_would_come(tenancy: Tenancy) -> None:
    backup = backed_up(tenancy)
    before = state_of(tenancy)
    assert rehearse(tenancy, "acme").header.id == backup.id
    assert rehearse(tenancy, "acme", path=path_of(tenancy, backup)).manifest.moment.rows["company_version"] == 2
    assert state_of(tenancy) == before


# -- refused, with nothing changed --


def refused(tenancy: Tenancy, error: type[Exception], **options: Any) -> str:
    before = state_of(tenancy)
    with pytest.raises(error) as refusal:
        restored(tenancy, **options)
    assert state_of(tenancy) == before
    assert left_over(tenancy, tenancy.registry.by_slug("acme")) == []
    return str(refusal.value)


def test_any_changed_byte_is_refused_with_nothing_changed(tenancy: Tenancy, acme: Tenant, tmp_path: Path) -> None:
    tenancy.files_of(acme).store(os.urandom(150_000))
    raw = path_of(tenancy, backed_up(tenancy)).read_bytes()
    catalogue_of(tenancy).prune(acme.uuid, 0)
    before = state_of(tenancy)
    damaged = tmp_path / "damaged"

    @trying(suppress_health_check=list(HealthCheck))
    @given(at=st.integers(0, len(raw) - 1), bit=st.integers(0, 7))
    def flip(at: int, bit: int) -> None:
        changed = bytearray(raw)
        changed[at] ^= 1 << bit
        damaged.write_bytes(changed)
        with pytest.raises(BadArchive):
            restored(tenancy, path=damaged)

    flip()
    assert state_of(tenancy) == before


def test_an_archive_that_was_cut_off_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.files_of(acme).store(os.urandom(150_000))
    path = path_of(tenancy, backed_up(tenancy))
    before = state_of(tenancy)
    raw = path.read_bytes()
    for length in (0, 50, 92, 93, 5000, 92 + 65_552, 92 + 2 * 65_552, len(raw) - 1):
        path.write_bytes(raw[:length])
        with pytest.raises(BadArchive):
            restored(tenancy)
    path.write_bytes(raw)
    assert state_of(tenancy) == before


def test_another_tenants_archive_is_refused_under_any_name(tenancy: Tenancy, globex: Tenant, tmp_path: Path) -> None:
    ours, theirs = backed_up(tenancy), make_backup(tenancy, globex)
    sentence = "This is a backup of globex, not of acme."
    assert refused(tenancy, BadArchive, path=path_of(tenancy, theirs)) == sentence
    shutil.copy(path_of(tenancy, theirs), path_of(tenancy, ours))
    assert refused(tenancy, BadArchive) == sentence
    header = path_of(tenancy, theirs).read_bytes()
    disguised = tmp_path / "disguised"
    disguised.write_bytes(header[:34] + tenancy.registry.by_slug("acme").uuid.bytes + header[50:])
    assert "part 1 does not open" in refused(tenancy, BadArchive, path=disguised)


def test_an_archive_of_a_newer_release_is_refused(tenancy: Tenancy) -> None:
    backed_up(tenancy)
    real = verifying.read_moment

    def newer(*arguments: Any) -> Any:
        return replace(real(*arguments), schema_version=99)

    with patch.object(making, "read_moment", newer):
        make_backup(tenancy, tenancy.registry.by_slug("acme"))
    with patch.object(verifying, "read_moment", newer):
        assert "This backup has schema 99: a newer release made it." in refused(tenancy, BadArchive)


def test_nothing_is_restored_into_a_tenant_that_has_no_data(tenancy: Tenancy, acme: Tenant) -> None:
    backed_up(tenancy)
    for state in (State.PROVISIONING, State.PURGED):
        with tenancy.registry.changing() as connection:
            connection.execute(update(tenant_table).where(tenant_table.c.uuid == acme.uuid).values(state=state))
        before = files_of(tenancy.settings.home)
        with pytest.raises(IllegalTransition):
            restored(tenancy)
        assert files_of(tenancy.settings.home) == before
    with pytest.raises(NoSuchTenant):
        restored(tenancy, "nobody")
    with tenancy.locks.hold("acme"), pytest.raises(Busy):
        restored(tenancy)


def test_while_something_else_is_unfinished_nothing_is_restored(tenancy: Tenancy, acme: Tenant) -> None:
    backed_up(tenancy)
    with tenancy.registry.writing() as connection:
        unfinished.begin(connection, acme.uuid, "move", "copying")
    assert refused(tenancy, IllegalTransition) == "There is an unfinished move of acme: run that again first."
    with pytest.raises(IllegalTransition):
        rehearse(tenancy, "acme")


@pytest.mark.parametrize(("error", "kept_on"), [(ValueError, "sqlite"), (KeyboardInterrupt, "postgresql")])
def test_a_failure_while_it_is_made_ready_changes_nothing(tenancy: Tenancy, error: type[BaseException]) -> None:
    backup = backed_up(tenancy)

    def fail(_db: TenantSession, _back_to: Return) -> None:
        raise error

    with pytest.raises(error):
        restore_tenant(tenancy, "acme", fail, backup_id=backup.id.hex)
    acme = tenancy.registry.by_slug("acme")
    assert (acme.epoch, notes(tenancy, "acme")) == (1, [*BEFORE, "two"])
    assert left_over(tenancy, acme) == []
    assert store_of(tenancy, acme.server).aside().remains(acme.uuid) == []
    with tenancy.registry.engine.connect() as connection:
        assert unfinished.find_all(connection) == []


def test_without_room_for_a_backup_of_what_there_is_nothing_is_restored(tenancy: Tenancy) -> None:
    backed_up(tenancy)
    with patch.object(making, "_write", side_effect=OSError(28, "No space left on device")):
        assert "No space left on device. Nothing of it is left." in refused(tenancy, BackupFailed)
        assert "No space left" in refused(tenancy, BackupFailed, damaged=True)


# -- what is there is damaged, or gone --


def test_what_is_too_damaged_to_be_kept_is_replaced_when_told_to(tenancy: Tenancy, acme: Tenant) -> None:
    backed_up(tenancy)
    with patch.object(restoring, "make", side_effect=TenantUnavailable("It is malformed.")):
        refusal = refused(tenancy, TenantUnavailable)
        assert refusal == (
            "What there is now cannot be backed up first: It is malformed. To replace it all the same, say --damaged."
        )
        done = restored(tenancy, damaged=True)
    assert done.safety is None
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


def _cut_off(path: Path) -> None:
    os.truncate(path, 5000)


def _nonsense(path: Path) -> None:
    path.write_bytes(b"no database" * 1000)


def _gone(path: Path) -> None:
    path.unlink()


def _nowhere(path: Path) -> None:
    shutil.rmtree(path.parent)


def _a_link(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "elsewhere")


@pytest.mark.parametrize("damage", [_cut_off, _nonsense, _gone, _nowhere, _a_link])
def test_whatever_became_of_the_file_it_is_restored(
    tenancy: Tenancy, acme: Tenant, damage: Callable[[Path], None]
) -> None:
    name = tenancy.files_of(acme).store(b"picture")
    backup = backed_up(tenancy)
    tenancy.databases.forget(acme)
    damage(tenancy.databases.path_of(acme))
    with pytest.raises(TenantUnavailable, match="say --damaged"):
        restored(tenancy, backup_id=backup.id.hex)
    restored(tenancy, backup_id=backup.id.hex, damaged=True)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert tenancy.files_of(acme).read(name) == b"picture"
    assert left_over(tenancy, acme) == []


def test_a_database_that_is_gone_with_its_roles_is_restored(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    backed_up(pg_tenancy)
    store_of(pg_tenancy, pg_acme.server).destroy(pg_acme.uuid)
    with pytest.raises(TenantUnavailable, match="say --damaged"):
        restored(pg_tenancy)
    restored(pg_tenancy, damaged=True)
    assert notes(pg_tenancy, "acme") == [*BEFORE, RESTORED]


def test_a_file_that_was_changed_is_put_back_and_one_that_is_whole_stays(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    changed, whole = files.store(b"changed"), files.store(b"whole")
    backup = backed_up(tenancy)
    folder = tenancy.settings.folder_of(acme.uuid) / "files"
    (folder / changed).write_bytes(b"nonsense")
    before = (folder / whole).stat()
    restored(tenancy, backup_id=backup.id.hex)
    assert files.read(changed) == b"changed"
    assert (folder / whole).stat().st_ino == before.st_ino


def test_a_file_that_is_removed_while_the_rows_are_replaced_is_put_back(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    name = files.store(b"replaced just now")
    backup = backed_up(tenancy)
    real = restoring._take_place

    def removed(*arguments: Any) -> Any:
        done = real(*arguments)
        files.remove(name)
        return done

    with patch.object(restoring, "_take_place", removed):
        restored(tenancy, backup_id=backup.id.hex)
    assert files.read(name) == b"replaced just now"


def _no_head(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.open_db(acme, writing=True) as db:
        db.execute(text("DELETE FROM security_event_head"))
        db.commit()


def _no_version(tenancy: Tenancy, acme: Tenant) -> None:
    with store_of(tenancy, acme.server).changing_schema(acme) as connection:
        connection.execute(text("DELETE FROM alembic_version"))


@pytest.mark.parametrize("damage", [_no_head, _no_version])
@both
def test_whatever_became_of_the_rows_they_are_restored(
    tenancy: Tenancy, acme: Tenant, damage: Callable[[Tenancy, Tenant], None]
) -> None:
    backup = backed_up(tenancy)
    damage(tenancy, acme)
    with pytest.raises(TenantUnavailable, match="say --damaged"):
        restored(tenancy, backup_id=backup.id.hex)
    restored(tenancy, backup_id=backup.id.hex, damaged=True)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


def test_a_file_that_comes_after_the_backup_of_what_there_is_stays(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    backup = backed_up(tenancy)
    kept = files.store(b"in that backup")
    come: list[str] = []
    real = restoring.finish

    def finish(*arguments: Any) -> Any:
        come.append(files.store(b"in no backup"))
        return real(*arguments)

    with patch.object(restoring, "finish", finish):
        restored(tenancy, backup_id=backup.id.hex)
    assert (kept in files.names(), files.read(come[0])) == (False, b"in no backup")


# -- nothing comes back --


@pytest.mark.parametrize("side_file", ["-wal", "-journal", ""])
def test_nothing_of_the_replaced_database_comes_back(
    tenancy: Tenancy, acme: Tenant, side_file: str, tmp_path: Path
) -> None:
    backup = backed_up(tenancy)
    path = tenancy.databases.path_of(acme)
    # Somebody has it open all the time: its log stays beside it, with rows that are nowhere else.
    with closing(sqlite3.connect(path, isolation_level=None)) as kept:
        kept.execute("PRAGMA wal_autocheckpoint=0")
        kept.execute("INSERT INTO company_version VALUES ('9', 'x', '2026-01-01', 'from the old log')")
        shutil.copy(f"{path}-wal", tmp_path / "wal")
        if side_file:
            shutil.copy(tmp_path / "wal", f"{path}{side_file}.stale")
        restored(tenancy, backup_id=backup.id.hex)
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
        # What the old connection still writes, it writes where nobody looks.
        kept.execute("INSERT INTO company_version VALUES ('10', 'x', '2026-01-01', 'too late')")
        write(tenancy, "acme", "three")
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED, "three"]
    tenancy.databases.forget(acme)
    with closing(sqlite3.connect(path)) as fresh:
        assert fresh.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED, "three"]


def test_a_stale_log_beside_a_missing_database_brings_nothing_back(
    tenancy: Tenancy, acme: Tenant, tmp_path: Path
) -> None:
    backup = backed_up(tenancy)
    path = tenancy.databases.path_of(acme)
    tenancy.databases.forget(acme)
    with closing(sqlite3.connect(path, isolation_level=None)) as kept:
        kept.execute("PRAGMA wal_autocheckpoint=0")
        kept.execute("INSERT INTO company_version VALUES ('9', 'x', '2026-01-01', 'from the old log')")
        shutil.copy(f"{path}-wal", tmp_path / "wal")
    path.unlink()
    shutil.copy(tmp_path / "wal", f"{path}-wal")
    restored(tenancy, backup_id=backup.id.hex, damaged=True)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


def until_told(stop: threading.Event, faults: list[BaseException], work: Callable[[], None]) -> threading.Thread:
    """Work in a thread, again and again; what finds the tenant unavailable tries again, as a visitor would."""

    def run() -> None:
        while not stop.is_set() and not faults:
            try:
                work()
            except TenantUnavailable:
                continue
            except BaseException as error:  # noqa: BLE001 - told to whoever waits
                faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


@both
def test_whoever_reads_and_writes_meanwhile_meets_one_or_the_other(tenancy: Tenancy, acme: Tenant) -> None:
    backup = backed_up(tenancy)
    old, new = [*BEFORE, "two"], [*BEFORE, RESTORED]
    seen: list[list[str]] = []

    def read() -> None:
        with tenancy.open_db(acme) as db:
            seen.append(sorted(db.scalars(select(Note.changes).where(Note.id != "busy"))))

    def change() -> None:
        with tenancy.open_db(acme, writing=True) as db:
            db.execute(delete(Note).where(Note.id == "busy"))
            db.add(note("busy", "busy"))
            db.commit()

    stop, faults = threading.Event(), list[BaseException]()
    threads = [until_told(stop, faults, work) for work in (read, change)]
    try:
        restored(tenancy, backup_id=backup.id.hex)
        while len(seen) < 20 or seen[-1] == old:
            assert not faults
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not faults
    assert [moment for moment in seen if moment not in (old, new)] == []
    assert old not in seen[seen.index(new) :]


@both
def test_whatever_is_saved_while_a_restore_is_under_way_is_in_the_backup_of_what_there_was(
    tenancy: Tenancy, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "_BUSY_TIMEOUT_SECONDS", 0.2)
    tenancy.databases.forget(acme)
    backup = backed_up(tenancy)
    saved, refused = [], []

    def save(where: str) -> None:
        try:
            write(tenancy, "acme", where)
        except TenantUnavailable:
            refused.append(where)
        else:
            saved.append(where)

    steps = [(restoring, name) for name in ("stage", "_stopped", "make", "_take_place")]
    with ExitStack() as stack:
        for module, name in steps:
            real = getattr(module, name)

            def then_save(*arguments: Any, _real: Any = real, _name: str = name, **named: Any) -> Any:
                save(f"before {_name}")
                return _real(*arguments, **named)

            stack.enter_context(patch.object(module, name, then_save))
        done = restored(tenancy, backup_id=backup.id.hex)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert saved == ["before stage", "before _stopped"]
    assert refused == ["before make", "before _take_place"]
    restored(tenancy, backup_id=str(done.safety))
    assert sorted(notes(tenancy, "acme")) == sorted([*BEFORE, "two", *saved, RESTORED])


def test_a_restore_that_cannot_take_its_place_leaves_the_tenant_as_it_was(
    pg_tenancy: Tenancy, pg_acme: Tenant, cluster: Cluster
) -> None:
    backup = backed_up(pg_tenancy)
    with psycopg.connect(cluster.url(), dbname=database_name(pg_acme.uuid)):
        with pytest.raises(TenantUnavailable, match="Somebody else is connected to the database"):
            restored(pg_tenancy, backup_id=backup.id.hex)
        write(pg_tenancy, "acme", "three")
        assert sorted(notes(pg_tenancy, "acme")) == sorted([*BEFORE, "two", "three"])
        assert store_of(pg_tenancy, "pg1").aside().remains(pg_acme.uuid) == []
    restored(pg_tenancy, backup_id=backup.id.hex)
    assert notes(pg_tenancy, "acme") == [*BEFORE, RESTORED]


@both
def test_a_restore_that_fails_once_it_has_taken_its_place_is_finished_by_the_next(
    tenancy: Tenancy, acme: Tenant, kept_on: str
) -> None:
    backup = backed_up(tenancy)
    real = (postgresql.drop_database, copies._remove)[kept_on == "sqlite"]
    seen: list[str] = []

    def fails_the_second_time(*arguments: Any) -> None:
        name = str(arguments[-1])
        if name.endswith(("_old", ".fenced")):
            seen.append(name)
            if len(seen) == (2 if kept_on == "postgresql" else 1):
                raise OSError(5, "Input/output error")
        real(*arguments)

    where, name = (postgresql, "drop_database") if kept_on == "postgresql" else (copies, "_remove")
    with patch.object(where, name, fails_the_second_time), pytest.raises(OSError, match="Input/output"):
        restored(tenancy, backup_id=backup.id.hex)
    done = restored(tenancy)
    assert done.backup_id == backup.id
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert left_over(tenancy, acme) == []


def test_a_restore_that_fails_as_it_takes_its_place_gives_back_what_was_only_in_the_log(
    tenancy: Tenancy, acme: Tenant
) -> None:
    backup = backed_up(tenancy)
    with closing(sqlite3.connect(tenancy.databases.path_of(acme), isolation_level=None)) as kept:
        kept.execute("PRAGMA wal_autocheckpoint=0")
        kept.execute("INSERT INTO company_version VALUES ('9', 'x', '2026-01-01', 'in the log')")
        full = OSError(28, "No space left on device")
        with patch.object(copies, "keep_owner", side_effect=full), pytest.raises(OSError, match="No space left"):
            restored(tenancy, backup_id=backup.id.hex)
    assert sorted(notes(tenancy, "acme")) == sorted([*BEFORE, "two", "in the log"])
    assert left_over(tenancy, acme) == []


def test_a_database_that_is_not_fenced_is_not_replaced(tenancy: Tenancy, acme: Tenant) -> None:
    path = tenancy.databases.path_of(acme)
    tenancy.databases.forget(acme)
    shutil.copy(path, f"{path}.next")
    with pytest.raises(TenantUnavailable, match="can still be written to"):
        store_of(tenancy, EMBEDDED).swap(acme)
    assert notes(tenancy, "acme") == ["hello acme"]


def test_a_file_that_cannot_be_copied_makes_the_tenant_unavailable(tenancy: Tenancy, acme: Tenant) -> None:
    def fails() -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with pytest.raises(TenantUnavailable, match="cannot be copied: disk I/O error"):
        store_of(tenancy, EMBEDDED).dumping(acme, io.BytesIO(), fails).__enter__()


def test_a_copy_that_was_not_closed_whole_never_takes_a_place(tenancy: Tenancy, acme: Tenant) -> None:
    backup = backed_up(tenancy)
    path = tenancy.databases.path_of(acme)
    real = restoring._advance

    def somebody_reads(*arguments: Any) -> Any:
        Path(f"{path}.next-wal").write_bytes(b"")
        return real(*arguments)

    with patch.object(restoring, "_advance", somebody_reads), pytest.raises(TenantUnavailable, match="is not whole"):
        restored(tenancy, backup_id=backup.id.hex)
    assert notes(tenancy, "acme") == [*BEFORE, "two"]
    restored(tenancy, backup_id=backup.id.hex)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


def test_a_writer_that_does_not_end_is_waited_for_and_then_nothing_changes(tenancy: Tenancy, acme: Tenant) -> None:
    backup = backed_up(tenancy)
    path = tenancy.databases.path_of(acme)
    impatient = copies.open_raw

    def open_raw(path: Path) -> sqlite3.Connection:
        connection = impatient(path)
        connection.execute("PRAGMA busy_timeout=0")
        return connection

    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with (
            patch.object(copies, "open_raw", open_raw),
            pytest.raises(TenantUnavailable, match="cannot be locked: database is locked"),
        ):
            restored(tenancy, backup_id=backup.id.hex)
        assert notes(tenancy, "acme") == [*BEFORE, "two"]
    # The same command ends what is ready.
    restored(tenancy, backup_id=backup.id.hex)
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


# -- cut short --

SQLITE_STEPS: list[tuple[Any, str, int]] = [
    (copies, "_finish_swap", 1),
    (copies, "sync", 1),
    (copies, "sync", 2),
    (copies, "_remove", 3),
]
POSTGRESQL_STEPS: list[tuple[Any, str, int]] = [
    (postgresql.PostgresqlStore, "filling", 1),
    (postgresql, "put_in_place", 1),
    (postgresql, "drop_database", 3),
]
STEPS: list[tuple[Any, str, int]] = [
    (restoring, "examine", 1),
    (unfinished, "begin", 1),
    (restoring, "_stopped", 1),
    (restoring, "make", 1),
    (Catalogue, "add", 1),
    (restoring, "stage", 1),
    (restoring, "finish", 1),
    (staging, "Contents", 1),
    (Placing, "put_back", 1),
    (Placing, "finish", 1),
    (restoring, "_advance", 1),
    (Registry, "raise_epoch", 1),
    *SQLITE_STEPS,
    (restoring, "_end", 1),
]


def cut_short(settings: Settings, step: tuple[Any, str, int], backup: Backup) -> bool:
    def work() -> None:
        with Tenancy.open(settings, HISTORY) as tenancy, kill_at(*step):
            restored(tenancy, backup_id=backup.id.hex)

    return killed_in_child(work)


@pytest.mark.parametrize(
    ("step", "kept_on"),
    [*((step, "sqlite") for step in STEPS), *((step, "postgresql") for step in POSTGRESQL_STEPS)],
    ids=lambda value: value if isinstance(value, str) else f"{value[1]}-{value[2]}",
)
def test_a_restore_that_was_killed_goes_on_where_it_was(settings: Settings, step: tuple[Any, str, int]) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        tenancy.files_of(tenancy.registry.by_slug("acme")).store(b"picture")
        backup = backed_up(tenancy)
    assert cut_short(settings, step, backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        # Nobody ever meets anything half done.
        try:
            seen = notes(tenancy, "acme")
        except TenantUnavailable:
            assert step[1] in {"_advance", "raise_epoch", "_finish_swap", "sync", "put_in_place"}
        else:
            assert seen in ([*BEFORE, "two"], [*BEFORE, RESTORED])
        done = restored(tenancy, backup_id=backup.id.hex)
        assert done.backup_id == backup.id
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
        acme = tenancy.registry.by_slug("acme")
        assert acme.epoch in {2, 3}
        assert left_over(tenancy, acme) == []
        store = store_of(tenancy, acme.server)
        assert store.aside().remains(acme.uuid) == []
        with tenancy.registry.engine.connect() as connection:
            assert unfinished.find_all(connection) == []
        write(tenancy, "acme", "three")
        verify_backup(tenancy, "acme")


def test_a_restore_that_fails_at_its_last_step_and_is_killed_while_it_is_undone_is_not_taken_for_done(
    settings: Settings,
) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        backup = backed_up(tenancy)
    real = restoring._advance

    def interrupted(*arguments: Any) -> None:
        real(*arguments)
        raise KeyboardInterrupt

    with patch.object(restoring, "_advance", interrupted):
        assert cut_short(settings, (restoring, "_end", 1), backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        restored(tenancy, backup_id=backup.id.hex)
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED]


@pytest.mark.parametrize("step", [(Registry, "raise_epoch", 1), (restoring, "put_missing_back", 1)])
def test_a_file_that_is_removed_before_a_restore_goes_on_is_put_back(
    settings: Settings, step: tuple[Any, str, int]
) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        name = tenancy.files_of(tenancy.registry.by_slug("acme")).store(b"picture")
        backup = backed_up(tenancy)
    assert cut_short(settings, step, backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        files = tenancy.files_of(tenancy.registry.by_slug("acme"))
        # Who did it saw rows that name another one, or none.
        files.remove(name)
        assert restored(tenancy).backup_id == backup.id
        assert files.read(name) == b"picture"


def _no_more(_other: Path, archive: Path) -> str:
    archive.unlink()
    return "cannot be read"


def _another(other: Path, archive: Path) -> str:
    other.replace(archive)
    return "is another backup now"


@pytest.mark.parametrize("lose", [_no_more, _another])
def test_a_restore_whose_archive_is_gone_ends_all_the_same_and_says_so(
    settings: Settings, lose: Callable[[Path, Path], str]
) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        other, backup = path_of(tenancy, backed_up(tenancy)), make_backup(tenancy, tenancy.registry.by_slug("acme"))
    assert cut_short(settings, (Registry, "raise_epoch", 1), backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        said = lose(other, path_of(tenancy, backup))
        with pytest.raises(BadArchive, match=f"acme is restored, but whether all its files are .* known: .*{said}"):
            restored(tenancy)
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED, "two"]
        with tenancy.registry.engine.connect() as connection:
            assert unfinished.find_all(connection) == []


def test_a_restore_that_was_cut_short_goes_on_with_the_same_archive(settings: Settings) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        backup = backed_up(tenancy)
    assert cut_short(settings, (restoring, "_advance", 1), backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        # By now the newest is what was made of what there is.
        assert catalogue_of(tenancy).all()[0].id != backup.id
        assert rehearse(tenancy, "acme").header.id == backup.id
        assert restored(tenancy).backup_id == backup.id


def test_what_was_saved_after_the_last_step_is_not_undone_by_going_on(settings: Settings) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        backup = backed_up(tenancy)
    assert cut_short(settings, (restoring, "_end", 1), backup)
    with Tenancy.open(settings, HISTORY) as tenancy:
        write(tenancy, "acme", "three")
        other = make_backup(tenancy, tenancy.registry.by_slug("acme"))
        for options in ({"backup_id": other.id.hex}, {"path": path_of(tenancy, other)}):
            with pytest.raises(IllegalTransition, match=f"The restore of backup {backup.id} was cut short"):
                restored(tenancy, **options)
        for options in ({}, {"backup_id": backup.id.hex}, {"path": path_of(tenancy, backup)}):
            done = restored(tenancy, **options)
            if not options:
                assert notes(tenancy, "acme") == [*BEFORE, RESTORED, "three"]
                assert done.tenant.epoch == 2
                break


# -- since then --


@both
def test_an_archive_of_an_older_release_is_brought_to_this_one(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "tables_of", lambda _history: Base.metadata)
    with Tenancy.open(settings, HISTORY) as tenancy:
        backup = backed_up(tenancy)
    with Tenancy.open(settings, ADDED) as tenancy:
        assert verify_backup(tenancy, "acme").moment.schema_version == NOW
        restored(tenancy, backup_id=backup.id.hex)
        assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
        acme = tenancy.registry.by_slug("acme")
        with tenancy.open_db(acme) as db:
            assert db.connection().exec_driver_sql("SELECT count(motto) FROM company").scalar_one() == 0
        assert verify_backup(tenancy, "acme", make_backup(tenancy, acme).id.hex).moment.schema_version == LATER
        made = restore_as_new(tenancy, "acme", "initech", lambda _db, _back_to: None, backup_id=backup.id.hex)[0]
        assert made.server == acme.server


def test_what_an_older_key_sealed_is_sealed_anew(tenancy: Tenancy, acme: Tenant, monkeypatch: Any) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)
    gone, there = (tenancy.files_of(acme).store(text) for text in (b"gone", b"there"))
    backup = backed_up(tenancy)
    tenancy.files_of(acme).remove(gone)
    rotation.rotate_keys(tenancy, "acme", lambda _db: 0, logout=True)
    assert backup.id == verify_backup(tenancy, "acme", backup.id.hex).id
    restored(tenancy, backup_id=backup.id.hex)
    acme = tenancy.registry.by_slug("acme")
    assert acme.key_version == 2
    # The first key opens nothing any more: all that opens was sealed with the second.
    assert notes(tenancy, "acme") == [*BEFORE, RESTORED]
    assert tenancy.files_of(acme).read(gone) == b"gone"
    assert tenancy.files_of(acme).read(there) == b"there"


@pytest.mark.parametrize("way", [(EMBEDDED, "pg1"), ("pg1", EMBEDDED)])
def test_a_tenant_that_has_moved_since_is_restored_where_it_is(movable: Tenancy, way: tuple[str, str]) -> None:
    origin, target = way
    if origin != EMBEDDED:
        lifecycle.move_tenant(movable, "acme", origin)
    backup = make_backup(movable, movable.registry.by_slug("acme"))
    before = verify_backup(movable, "acme").moment.rows
    lifecycle.move_tenant(movable, "acme", target)
    with movable.open_db(movable.registry.by_slug("acme"), writing=True) as db:
        db.add(note("later", "later"))
        db.commit()
    done = restore_tenant(movable, "acme", lambda _db, _back_to: None, backup_id=backup.id.hex)
    assert done.tenant.server == target
    again = make_backup(movable, done.tenant)
    assert verify_backup(movable, "acme", again.id.hex).moment.rows == before
    assert left_over(movable, done.tenant) == []


# -- as a new tenant --


@both
def test_a_new_tenant_is_made_of_a_backup_under_its_own_key(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    picture = files.store(b"picture")
    backup = backed_up(tenancy)
    files.remove(picture)
    assert rehearse_as_new(tenancy, "acme", "initech", backup_id=backup.id.hex).header.id == backup.id
    seen = []
    tenant, back_to = restore_as_new(
        tenancy, "acme", "initech", lambda db, back_to: seen.append((db.tenant.slug, back_to)), backup_id=backup.id.hex
    )
    assert seen == [("initech", back_to)]
    assert (tenant.name, tenant.server, tenant.state, tenant.epoch) == (acme.name, acme.server, State.ACTIVE, 1)
    assert tenant.uuid != acme.uuid
    assert notes(tenancy, "initech") == BEFORE
    assert tenancy.files_of(tenant).read(picture) == b"picture"
    assert notes(tenancy, "acme") == [*BEFORE, "two"]
    assert files.names() == []
    path = path_of(tenancy, make_backup(tenancy, tenant))
    with open(path, "rb") as source:
        assert read_header(source).tenant_uuid == tenant.uuid
    with pytest.raises(BadArchive, match="This is a backup of initech, not of acme"):
        verify_backup(tenancy, "acme", path=path)


def test_a_new_tenant_under_a_slug_that_is_taken_is_refused(tenancy: Tenancy) -> None:
    backed_up(tenancy)
    before = state_of(tenancy)
    for attempt in (rehearse_as_new, lambda *arguments: restore_as_new(*arguments, prepare_restored)):
        with pytest.raises(SlugTaken):
            attempt(tenancy, "acme", "globex")
        assert state_of(tenancy) == before


def test_a_new_tenant_of_a_damaged_archive_is_not_made(tenancy: Tenancy) -> None:
    path = path_of(tenancy, backed_up(tenancy))
    os.truncate(path, path.stat().st_size - 1)
    before = state_of(tenancy)
    for damaged in (path, Path("nowhere")):
        with pytest.raises(BadArchive):
            restore_as_new(tenancy, "acme", "initech", prepare_restored, path=damaged)
    assert state_of(tenancy) == before
