"""Making, listing and verifying backups, of tenants in SQLite files and of tenants on a PostgreSQL server."""

from __future__ import annotations

import os
import resource
import secrets
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch
from uuid import uuid4

import pytest
from sqlalchemy import select, update

from tenants import schema, stores
from tenants.backups import making, verifying
from tenants.backups.archive import read_header
from tenants.backups.catalogue import Backup, Catalogue, catalogue_of
from tenants.backups.contents import Contents
from tenants.backups.making import back_up, make_backup
from tenants.backups.verifying import choose, verify_backup
from tenants.errors import (
    BackupFailed,
    BadArchive,
    Busy,
    IllegalTransition,
    NoSuchBackup,
    NoSuchTenant,
    ServerUnusable,
    TenantUnavailable,
    WrongStamp,
)
from tenants.registry_tables import backup_table, tombstone_table
from tenants.settings import Settings
from tenants.stores import copies, scratch, store_of
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.backups import kill_at, left_over, notes, path_of, state_of, write
from tests.tenants.world import HISTORY, Note, in_children, killed_in_child, note

both = pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"])
on_postgresql = pytest.mark.parametrize("kept_on", ["postgresql"])


@both
def test_a_backup_holds_what_there_is_and_is_for_its_owner_alone(tenancy: Tenancy, acme: Tenant) -> None:
    name = tenancy.files_of(acme).store(b"picture")
    write(tenancy, "acme", "one")
    backup, deleted = back_up(tenancy, "acme")
    path = path_of(tenancy, backup)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == path.parent.parent.stat().st_mode & 0o777 == 0o700
    assert path.parent == tenancy.settings.backups_of(acme.uuid)
    assert (backup.bytes, backup.schema_version, deleted) == (path.stat().st_size, schema.head(HISTORY), [])
    manifest = verify_backup(tenancy, "acme")
    assert (manifest.id, manifest.slug, manifest.server) == (backup.id, "acme", acme.server)
    assert manifest.moment.rows["company_version"] == 2
    assert manifest.moment.rows["user"] == 0
    assert manifest.moment.journals["security_event"][0] == 1
    assert manifest.moment.journals["activity"][0] == 0
    assert f"files/{name}" in manifest.contents
    assert left_over(tenancy, acme) == []


def test_nothing_in_an_archive_can_be_read_without_the_key(tenancy: Tenancy, acme: Tenant) -> None:
    write(tenancy, "acme", "a secret nobody may see")
    raw = path_of(tenancy, make_backup(tenancy, acme)).read_bytes()
    for word in (b"secret", b"acme", b"SQLite", b"PGDMP", b"manifest", b"company"):
        assert word not in raw


def test_a_backup_is_listed_and_the_newest_is_meant(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    first, other, second = (make_backup(tenancy, tenant) for tenant in (acme, globex, acme))
    catalogue = catalogue_of(tenancy)
    assert catalogue.all() == [second, other, first]
    assert catalogue.of(acme.uuid) == [second, first]
    assert choose(tenancy, acme).backup == second
    assert choose(tenancy, acme, first.id.hex[:12]).backup == first
    assert choose(tenancy, acme, str(first.id).upper()).path == path_of(tenancy, first)
    assert choose(tenancy, acme, path=path_of(tenancy, first)).backup == first


def test_a_backup_that_is_not_there_is_refused(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    with pytest.raises(NoSuchBackup, match=r"acme has no backup\. Make one with: extranet backup create acme"):
        verify_backup(tenancy, "acme")
    others = make_backup(tenancy, globex)
    with pytest.raises(NoSuchBackup, match="acme has no backup"):
        verify_backup(tenancy, "acme", str(others.id))
    for _ in range(17):
        # Two of seventeen begin with the same of sixteen digits.
        catalogue_of(tenancy).add(replace(others, id=uuid4(), tenant_uuid=acme.uuid))
    beginnings = [backup.id.hex[0] for backup in catalogue_of(tenancy).of(acme.uuid)]
    twice = max(beginnings, key=beginnings.count)
    with pytest.raises(NoSuchBackup, match=f"backups of acme begin with {twice}"):
        verify_backup(tenancy, "acme", twice)
    with pytest.raises(NoSuchTenant):
        verify_backup(tenancy, "nobody")
    with pytest.raises(BadArchive, match="cannot be read: No such file or directory"):
        verify_backup(tenancy, "acme", path=Path("nowhere"))


def test_a_tenant_without_data_is_not_backed_up(tenancy: Tenancy, acme: Tenant) -> None:
    for state in (State.PROVISIONING, State.PURGED):
        with pytest.raises(IllegalTransition):
            make_backup(tenancy, replace(acme, state=state))
    assert not (tenancy.settings.home / "backups").exists()
    with tenancy.locks.hold("acme"), pytest.raises(Busy):
        back_up(tenancy, "acme")
    with pytest.raises(NoSuchTenant):
        back_up(tenancy, "nobody")


def test_older_backups_go_but_never_the_newest_verified_one(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    others = make_backup(tenancy, globex)
    first, second = (make_backup(tenancy, acme) for _ in range(2))
    verify_backup(tenancy, "acme", first.id.hex)
    verify_backup(tenancy, "acme", second.id.hex)
    third = make_backup(tenancy, acme)
    fourth, deleted = back_up(tenancy, "acme", keep=1)
    assert [backup.id for backup in deleted] == [third.id, first.id]
    assert [backup.id for backup in catalogue_of(tenancy).of(acme.uuid)] == [fourth.id, second.id]
    assert {path.name for path in path_of(tenancy, fourth).parent.iterdir()} == {
        path_of(tenancy, fourth).name,
        path_of(tenancy, second).name,
    }
    assert catalogue_of(tenancy).of(globex.uuid) == [others]


def test_a_backup_whose_file_is_gone_already_is_only_forgotten(tenancy: Tenancy, acme: Tenant) -> None:
    first, second = (make_backup(tenancy, acme) for _ in range(2))
    path_of(tenancy, first).unlink()
    assert catalogue_of(tenancy).prune(acme.uuid, 1) == [first]
    shutil.rmtree(path_of(tenancy, second).parent)
    assert catalogue_of(tenancy).prune(acme.uuid, 0) == [second]
    assert catalogue_of(tenancy).all() == []


@both
def test_a_verification_is_noted_well_or_with_what_is_wrong(tenancy: Tenancy, acme: Tenant) -> None:
    catalogue, backup = catalogue_of(tenancy), make_backup(tenancy, acme)
    assert catalogue.newest_verified() == {}
    verify_backup(tenancy, "acme")
    verified = catalogue.by_id(backup.id)
    assert verified
    assert verified.verified_at
    assert catalogue.newest_verified() == {acme.uuid: backup.made_at}
    os.truncate(path_of(tenancy, backup), backup.bytes - 1)
    with pytest.raises(BadArchive, match="damaged or cut off"):
        verify_backup(tenancy, "acme")
    faulty = catalogue.by_id(backup.id)
    assert faulty
    assert (faulty.verified_at, faulty.fault[:40]) == (None, "This backup is damaged or cut off: part ")
    assert catalogue.newest_verified() == {}
    path_of(tenancy, backup).unlink()
    with pytest.raises(BadArchive, match="cannot be read"):
        verify_backup(tenancy, "acme")


def test_a_copy_elsewhere_is_verified_too_and_the_list_knows_it(tenancy: Tenancy, acme: Tenant, tmp_path: Path) -> None:
    backup = make_backup(tenancy, acme)
    copy = shutil.copy(path_of(tenancy, backup), tmp_path / "copy")
    verify_backup(tenancy, "acme", path=copy)
    assert catalogue_of(tenancy).newest_verified() == {acme.uuid: backup.made_at}
    with tenancy.registry.writing() as connection:
        connection.execute(backup_table.delete())
    assert verify_backup(tenancy, "acme", path=copy).id == backup.id
    os.truncate(copy, backup.bytes - 1)
    with pytest.raises(BadArchive, match="damaged or cut off"):
        verify_backup(tenancy, "acme", path=copy)


def test_another_archive_than_the_listed_one_is_refused_however_good(tenancy: Tenancy, acme: Tenant) -> None:
    first, second = (make_backup(tenancy, acme) for _ in range(2))
    shutil.copy(path_of(tenancy, first), path_of(tenancy, second))
    with pytest.raises(BadArchive, match="another backup than the one that is listed"):
        verify_backup(tenancy, "acme")


def test_another_tenants_backup_is_refused_by_name(tenancy: Tenancy, globex: Tenant) -> None:
    path = path_of(tenancy, make_backup(tenancy, globex))
    with pytest.raises(BadArchive, match=r"This is a backup of globex, not of acme\."):
        verify_backup(tenancy, "acme", path=path)
    # That was no fault of the backup's own.
    assert not catalogue_of(tenancy).of(globex.uuid)[0].verified_at


def test_a_backup_of_another_platform_is_refused(tenancy: Tenancy, acme: Tenant, tmp_path: Path) -> None:
    raw = bytearray(path_of(tenancy, make_backup(tenancy, acme)).read_bytes())
    stranger = uuid4()
    raw[34:50] = stranger.bytes
    (tmp_path / "foreign").write_bytes(raw)
    with pytest.raises(BadArchive, match=f"a tenant that is not known here .{stranger}"):
        verify_backup(tenancy, "acme", path=tmp_path / "foreign")


def test_the_backup_of_a_purged_tenant_is_refused_and_says_why(
    tenancy: Tenancy, acme: Tenant, globex: Tenant, tmp_path: Path
) -> None:
    copy = shutil.copy(path_of(tenancy, make_backup(tenancy, acme)), tmp_path / "copy")
    sentence = "This is a backup of acme, which was purged: its key was destroyed, so nothing can open it any more."
    with patch.object(tenancy.registry, "by_uuid", return_value=replace(acme, state=State.PURGED)):
        with pytest.raises(BadArchive) as refusal:
            verify_backup(tenancy, "acme", path=copy)
        assert str(refusal.value) == sentence
    with tenancy.registry.writing() as connection:
        values = {"tenant_uuid": acme.uuid, "slug": "acme", "purged_at": catalogue_of(tenancy).all()[0].made_at}
        connection.execute(tombstone_table.insert().values(**values))
    for slug in ("acme", "globex", "nobody"):
        with pytest.raises(BadArchive) as refusal:
            verify_backup(tenancy, slug, path=copy)
        assert str(refusal.value) == sentence


# -- one moment --


@both
def test_a_backup_of_a_tenant_in_use_is_of_one_moment(tenancy: Tenancy, acme: Tenant) -> None:
    with writing_all_the_time(tenancy, acme) as busy:
        backups = []
        for _ in range(4):
            before = busy["saved"]
            backups.append(make_backup(tenancy, acme))
            assert not busy["faults"]
            while busy["saved"] < before + 3:
                assert busy["thread"].is_alive()
    for backup in backups:
        verify_backup(tenancy, "acme", backup.id.hex)
        rows, names = look_into(tenancy, acme, backup)
        # Each transaction saves both; the second names the one file that there is then.
        assert rows["left"] == rows["right"]
        assert rows["file"] in names


@contextmanager
def writing_all_the_time(tenancy: Tenancy, tenant: Tenant) -> Iterator[dict[str, Any]]:
    """Save pairs of rows, the second of which names a new file, as a new picture replaces an older one."""
    with tenancy.open_db(tenant, writing=True) as db:
        db.add_all([note("0", "left"), note("0", "right"), note(tenancy.files_of(tenant).store(b"0"), "file")])
        db.commit()
    state: dict[str, Any] = {"saved": 0, "faults": [], "stop": False}

    def work() -> None:
        files = tenancy.files_of(tenant)
        try:
            while not state["stop"]:
                text = secrets.token_hex(4)
                stored = files.store(text.encode())
                with tenancy.open_db(tenant, writing=True) as db:
                    replaced = db.get_one(Note, "file").changes
                    for key, value in (("left", text), ("right", text), ("file", stored)):
                        db.execute(update(Note).where(Note.id == key).values(changes=value))
                    db.commit()
                files.remove(replaced)
                state["saved"] += 1
        except Exception as error:  # noqa: BLE001 - told to whoever waits
            state["faults"].append(error)

    state["thread"] = threading.Thread(target=work)
    state["thread"].start()
    try:
        yield state
    finally:
        state["stop"] = True
        state["thread"].join()


def look_into(tenancy: Tenancy, tenant: Tenant, backup: Backup) -> tuple[dict[str, str], list[str]]:
    with open(path_of(tenancy, backup), "rb") as source:
        contents = Contents(source, read_header(source), tenancy.keys_of(tenant))
        _, dump = contents.database()
        with store_of(tenancy, tenant.server).scratch(dump) as rows:
            found = {row.id: row.changes for row in rows.execute(select(Note.id, Note.changes))}
        return found, [name for name, _ in contents.files()]


@both
def test_the_counts_are_of_the_same_moment_as_the_dump(tenancy: Tenancy, acme: Tenant) -> None:
    real = making.read_moment

    def late(*arguments: Any) -> Any:
        write(tenancy, "acme", "while it is looked at")
        return real(*arguments)

    with patch.object(making, "read_moment", late):
        make_backup(tenancy, acme)
    assert verify_backup(tenancy, "acme").moment.rows["company_version"] == 1
    assert len(notes(tenancy, "acme")) == 2


def test_a_file_that_goes_while_it_is_linked_is_not_missed(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    names = [files.store(b"one"), files.store(b"two")]
    real = os.link

    def gone(source: Any, target: Any, **options: Any) -> None:
        os.unlink(source)
        with patch.object(os, "link", real):
            real(source, target, **options)

    with patch.object(os, "link", gone):
        make_backup(tenancy, acme)
    assert not any(f"files/{name}" in verify_backup(tenancy, "acme").contents for name in names)


def test_what_is_no_file_of_the_tenant_is_left_out(tenancy: Tenancy, acme: Tenant, settings: Settings) -> None:
    name = tenancy.files_of(acme).store(b"one")
    folder = settings.folder_of(acme.uuid) / "files"
    (folder / f"{name}.0.part").write_bytes(b"half")
    (folder / ("b" * 32)).symlink_to(settings.master_key_file)
    (folder / ("c" * 32)).mkdir()
    make_backup(tenancy, acme)
    assert [name for name in verify_backup(tenancy, "acme").contents if name.startswith("files/")] == [f"files/{name}"]


# -- what is found by restoring --


def test_a_file_that_does_not_open_is_found(tenancy: Tenancy, acme: Tenant, settings: Settings) -> None:
    name = tenancy.files_of(acme).store(b"one")
    file = settings.folder_of(acme.uuid) / "files" / name
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    make_backup(tenancy, acme)
    with pytest.raises(BadArchive, match=f"The file {name} in this backup does not open with the tenant's key"):
        verify_backup(tenancy, "acme")


def test_a_file_too_large_to_be_opened_is_known_by_its_digest(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.files_of(acme).store(b"x" * 5000)
    make_backup(tenancy, acme)
    with patch.object(verifying, "_LARGEST_OPENED", 1000):
        verify_backup(tenancy, "acme")


@both
def test_a_journal_that_was_broken_before_the_backup_is_found(tenancy: Tenancy, acme: Tenant) -> None:
    write(tenancy, "acme", "one")
    with store_of(tenancy, acme.server).changing_schema(acme) as connection:
        of_table = "" if connection.dialect.name == "sqlite" else " ON security_event"
        connection.exec_driver_sql(f"DROP TRIGGER security_event_no_update{of_table}")
        connection.exec_driver_sql("UPDATE security_event SET actor = 'mallory'")
    make_backup(tenancy, acme)
    with pytest.raises(BadArchive, match="A journal in this backup is broken at entry 1"):
        verify_backup(tenancy, "acme")


def test_rows_that_are_not_what_the_manifest_says_are_found(tenancy: Tenancy, acme: Tenant) -> None:
    real = making.read_moment

    def another(*arguments: Any) -> Any:
        moment = real(*arguments)
        return replace(moment, rows={**moment.rows, "company_version": 7})

    with patch.object(making, "read_moment", another):
        make_backup(tenancy, acme)
    with pytest.raises(BadArchive, match="The database in this backup is not what its manifest says"):
        verify_backup(tenancy, "acme")


@both
def test_a_dump_that_is_no_database_is_found(tenancy: Tenancy, acme: Tenant) -> None:
    class Nonsense:
        def write(self, content: bytes) -> int:
            return self.target.write(content[::-1])  # type: ignore[attr-defined, no-any-return]

    def reversed_dump(real: Any, tenant: Tenant, target: Any, at_moment: Any) -> Any:
        nonsense = Nonsense()
        nonsense.target = target  # type: ignore[attr-defined]
        return real(tenant, nonsense, at_moment)

    store = store_of(tenancy, acme.server)
    with patch.object(store, "dumping", lambda *arguments, real=store.dumping, **_: reversed_dump(real, *arguments)):
        make_backup(tenancy, acme)
    with pytest.raises(BadArchive, match="The database in this backup cannot be restored: "):
        verify_backup(tenancy, "acme")
    assert left_over(tenancy, acme) == []


def test_a_database_of_another_tenant_is_neither_backed_up_nor_verified(tenancy: Tenancy, acme: Tenant) -> None:
    make_backup(tenancy, acme)
    real, foreign = verifying.read_moment, str(uuid4())

    def stamped(*arguments: Any) -> Any:
        return replace(real(*arguments), stamps=[foreign])

    with (
        patch.object(verifying, "read_moment", stamped),
        pytest.raises(BadArchive, match=f"is stamped for .*{foreign}.*, not for {acme.uuid}"),
    ):
        verify_backup(tenancy, "acme")
    with patch.object(making, "read_moment", stamped), pytest.raises(WrongStamp, match=f"is stamped for .*{foreign}"):
        make_backup(tenancy, acme)
    assert left_over(tenancy, acme) == []
    assert len(catalogue_of(tenancy).all()) == 1


def test_damage_that_no_query_meets_is_found(tenancy: Tenancy, acme: Tenant) -> None:
    write(tenancy, "acme", "one")
    path = tenancy.databases.path_of(acme)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (page,) = connection.execute(
            "SELECT rootpage FROM sqlite_schema WHERE name = 'ix_security_event_at'"
        ).fetchone()
    with open(path, "r+b") as file:
        file.seek((page - 1) * 4096)
        index = file.read(4096)
        file.seek((page - 1) * 4096)
        file.write(index.replace(b"20", b"30"))
    make_backup(tenancy, acme)
    with pytest.raises(BadArchive, match="The database in this backup is damaged: "):
        verify_backup(tenancy, "acme")


@on_postgresql
def test_without_a_server_a_dump_of_one_is_not_called_bad(tenancy: Tenancy, acme: Tenant) -> None:
    backup = make_backup(tenancy, acme)
    unreachable = ServerUnusable("The server pg1 cannot be reached.")
    with patch.object(verifying, "store_of", side_effect=unreachable), pytest.raises(ServerUnusable):
        verify_backup(tenancy, "acme")
    assert catalogue_of(tenancy).by_id(backup.id) == backup


# -- when it goes wrong --


@pytest.mark.parametrize("limit", [60_000, 400_000])
def test_a_full_disk_leaves_no_half_archive_and_says_so(settings: Settings, limit: int) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        tenancy.files_of(acme).store(os.urandom(500_000))
        before = state_of(tenancy)

    def back_up_within_limit() -> str:
        with Tenancy.open(settings, HISTORY) as tenancy:
            # The kernel refuses to let a file grow beyond it, as a full disk does.
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            try:
                back_up(tenancy, "acme")
            except (BackupFailed, TenantUnavailable) as error:
                return str(error)
        return "made"

    (said,) = in_children([back_up_within_limit])
    expected = {
        60_000: "cannot be copied: ",
        400_000: "The backup of acme could not be written: File too large. Nothing of it is left.",
    }
    assert expected[limit] in said
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert state_of(tenancy) == before
        assert left_over(tenancy, acme) == []


@pytest.mark.parametrize(
    ("place", "kept_on"),
    [("dump", "sqlite"), ("dump", "postgresql"), ("files", "sqlite"), ("rename", "sqlite"), ("list", "sqlite")],
)
def test_a_killed_backup_leaves_nothing_once_the_next_is_made(settings: Settings, place: str) -> None:
    steps: dict[str, tuple[Any, str]] = {
        "dump": (making, "read_moment"),
        "files": (shutil, "copyfileobj"),
        "rename": (Path, "replace"),
        "list": (Catalogue, "add"),
    }

    def cut_short() -> None:
        with Tenancy.open(settings, HISTORY) as tenancy, kill_at(*steps[place]):
            back_up(tenancy, "acme")

    with Tenancy.open(settings, HISTORY) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        tenancy.files_of(acme).store(b"one")
    assert killed_in_child(cut_short)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert catalogue_of(tenancy).all() == []
        back_up(tenancy, "acme")
        verify_backup(tenancy, "acme")
        assert left_over(tenancy, acme) == []
        assert notes(tenancy, "acme") == ["hello acme"]


@both
def test_what_a_killed_verification_restored_goes_with_the_next(settings: Settings, kept_on: str) -> None:
    def cut_short() -> None:
        with Tenancy.open(settings, HISTORY) as tenancy, kill_at(verifying, "read_moment"):
            verify_backup(tenancy, "acme")

    with Tenancy.open(settings, HISTORY) as tenancy:
        acme = tenancy.registry.by_slug("acme")
        make_backup(tenancy, acme)
    assert killed_in_child(cut_short)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert len(scratch_of(tenancy, acme)) == 1
        # One that is in use just now stays.
        real = verifying.read_moment

        def look(*arguments: Any) -> Any:
            with patch.object(verifying, "read_moment", real):
                verify_backup(tenancy, "acme")
                # Another process knows no more of it than that somebody holds it.
                with patch.object(scratch, "_ours", set()), Tenancy.open(settings, HISTORY) as another:
                    verify_backup(another, "acme")
            return real(*arguments)

        with patch.object(verifying, "read_moment", look):
            verify_backup(tenancy, "acme")
        assert scratch_of(tenancy, acme) == []


def scratch_of(tenancy: Tenancy, tenant: Tenant) -> list[str]:
    if tenant.server == "embedded":
        return os.listdir(tenancy.settings.home / "scratch")
    store: Any = store_of(tenancy, tenant.server)
    with store._administration.server() as admin:
        rows = admin.execute("SELECT datname FROM pg_database WHERE datname LIKE 'scratch%'").fetchall()
        return [name for (name,) in rows]


def test_a_database_that_is_locked_or_missing_is_said_to_be(tenancy: Tenancy, acme: Tenant) -> None:
    path = tenancy.databases.path_of(acme)
    impatient = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        return impatient(*arguments, timeout=0, **options)

    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with (
            patch.object(copies.sqlite3, "connect", connect),
            pytest.raises(TenantUnavailable, match="cannot be locked: database is locked"),
        ):
            make_backup(tenancy, acme)
    path.unlink()
    with pytest.raises(TenantUnavailable, match="is missing"):
        make_backup(tenancy, acme)
    assert left_over(tenancy, acme) == []
    shutil.rmtree(path.parent)
    with pytest.raises(TenantUnavailable, match="is missing"):
        make_backup(tenancy, acme)
    assert not path.parent.exists()


def test_an_archive_of_any_size_is_made_and_verified_in_little_memory(settings: Settings) -> None:
    def work() -> tuple[int, int]:
        with Tenancy.open(settings, HISTORY) as tenancy:
            acme = tenancy.registry.by_slug("acme")
            tenancy.files_of(acme).store(b"small")
            verify_backup(tenancy, "acme", make_backup(tenancy, acme).id.hex)
            with open(settings.folder_of(acme.uuid) / "files" / ("a" * 32), "wb") as file:
                file.truncate(200 * 1024**2)
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            backup = make_backup(tenancy, acme)
            verify_backup(tenancy, "acme", backup.id.hex)
            return backup.bytes, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before

    ((size, grown),) = in_children([work])
    assert size > 200 * 1024**2
    assert grown < 40 * 1024


def test_old_moments_stay_in_order(tenancy: Tenancy, acme: Tenant) -> None:
    first, second = (make_backup(tenancy, acme) for _ in range(2))
    with tenancy.registry.writing() as connection:
        ours = backup_table.c.id == second.id
        connection.execute(update(backup_table).where(ours).values(made_at=first.made_at - timedelta(days=1)))
    assert [backup.id for backup in catalogue_of(tenancy).all()] == [first.id, second.id]


def test_stores_are_what_backups_are_made_from() -> None:
    assert making.store_of is verifying.store_of is stores.store_of
