from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest

from tenants.errors import NoSuchFile, TenantUnavailable
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant


def test_a_stored_file_reads_back_and_is_sealed_on_the_disk(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    name = files.store(b"a portrait")
    assert files.read(name) == b"a portrait"
    path = settings.folder_of(acme.uuid) / "files" / name
    assert b"portrait" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == [name]


def test_an_empty_file_is_a_file(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    assert files.read(files.store(b"")) == b""


def test_the_same_content_is_never_the_same_file(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    assert files.store(b"x") != files.store(b"x")


def test_another_tenants_file_is_no_file(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    name = tenancy.files_of(acme).store(b"secret")
    with pytest.raises(NoSuchFile):
        tenancy.files_of(globex).read(name)


def test_a_file_put_into_another_tenants_folder_does_not_open(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    name, ours = tenancy.files_of(acme).store(b"secret"), tenancy.files_of(globex).store(b"ours")
    theirs = settings.folder_of(globex.uuid) / "files"
    shutil.copy(settings.folder_of(acme.uuid) / "files" / name, theirs / name)
    with pytest.raises(NoSuchFile):
        tenancy.files_of(globex).read(name)
    assert tenancy.files_of(globex).read(ours) == b"ours"


def test_a_file_under_another_name_or_changed_does_not_open(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    files, folder = tenancy.files_of(acme), settings.folder_of(acme.uuid) / "files"
    one, other = files.store(b"one"), files.store(b"other")
    shutil.copy(folder / one, folder / other)
    with pytest.raises(NoSuchFile):
        files.read(other)
    with (folder / one).open("r+b") as file:
        file.truncate(10)
    with pytest.raises(NoSuchFile):
        files.read(one)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../../tenant.sqlite3", "/etc/passwd", "A" * 32, "a" * 31, "a" * 32 + "\n"]
)
def test_a_name_we_did_not_make_is_refused(tenancy: Tenancy, acme: Tenant, name: str) -> None:
    with pytest.raises(NoSuchFile):
        tenancy.files_of(acme).read(name)
    with pytest.raises(NoSuchFile):
        tenancy.files_of(acme).remove(name)


def test_a_removed_file_is_gone_and_removing_it_again_is_no_error(tenancy: Tenancy, acme: Tenant) -> None:
    files = tenancy.files_of(acme)
    name = files.store(b"x")
    files.remove(name)
    files.remove(name)
    with pytest.raises(NoSuchFile):
        files.read(name)


def test_removing_where_nothing_was_ever_stored_is_no_error(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    tenancy.files_of(acme).remove("0" * 32)
    assert not (settings.folder_of(acme.uuid) / "files").exists()


def test_files_are_counted_and_measured_and_one_removed_meanwhile_takes_nothing(
    tenancy: Tenancy, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = tenancy.files_of(acme)
    assert files.measure() == (0, 0)
    names = [files.store(b"x" * 1000), files.store(b"y" * 500)]
    count, size = files.measure()
    assert count == 2
    assert 1500 < size < 1800, "sealed, each takes a little more"
    monkeypatch.setattr(files, "names", lambda: [*names, "0" * 32])
    assert files.measure() == (2, size)


def test_storing_never_brings_back_the_folder_of_a_purged_tenant(
    tenancy: Tenancy, settings: Settings, acme: Tenant
) -> None:
    files = tenancy.files_of(acme)
    shutil.rmtree(settings.folder_of(acme.uuid))
    with pytest.raises(TenantUnavailable):
        files.store(b"x")
    assert not settings.folder_of(acme.uuid).exists()


def test_storing_never_follows_a_link_into_another_tenants_folder(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    tenancy.files_of(globex).store(b"theirs")
    theirs: Path = settings.folder_of(globex.uuid) / "files"
    (settings.folder_of(acme.uuid) / "files").symlink_to(theirs)
    with pytest.raises(TenantUnavailable):
        tenancy.files_of(acme).store(b"ours")
    assert len(os.listdir(theirs)) == 1
