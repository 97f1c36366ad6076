from __future__ import annotations

import os
import threading
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import text

from tenants import lifecycle, registry_database
from tenants import tenancy as tenancy_module
from tenants.errors import BadSettings, KeyUnavailable, NotInitialised, SchemaBehind, TenantUnavailable
from tenants.keys import TenantKeys, create_master_key
from tenants.registry_database import registry_file
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, in_children, kill_this_process, killed_in_child, open_files_under, prepare


@pytest.fixture
def empty(tmp_path: Path) -> Settings:
    return read_settings({"EXTRANET_HOME": str(tmp_path / "empty")})


def contents(settings: Settings) -> dict[str, bytes]:
    return {name: (settings.home / name).read_bytes() for name in ("master.key", "registry.sqlite3")}


def test_an_initialised_home_is_private_and_opens(empty: Settings) -> None:
    initialise(empty)
    assert empty.home.stat().st_mode & 0o777 == 0o700
    assert registry_file(empty).stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(empty.home)) == [
        "initialise.lock",
        "master.key",
        "registry.sqlite3",
        "templates",
        "tenants",
    ]
    with Tenancy.open(empty, HISTORY) as tenancy:
        assert tenancy.registry.all() == []


def test_initialising_again_changes_nothing(settings: Settings) -> None:
    before = contents(settings)
    initialise(settings)
    assert contents(settings) == before


def test_many_that_initialise_at_once_make_one_registry(empty: Settings) -> None:
    # Each used to put its own in place: the tenants of the first were gone.
    def initialise_and_create(number: int) -> None:
        initialise(empty)
        with Tenancy.open(empty, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, f"tenant{number}", "T", prepare)

    in_children([partial(initialise_and_create, number) for number in range(5)])
    with Tenancy.open(empty, HISTORY) as tenancy:
        assert [tenant.slug for tenant in tenancy.registry.all()] == [f"tenant{number}" for number in range(5)]


@pytest.mark.parametrize("step", ["create_master_key", "drafting_registry", "_fill_registry", "sync"])
def test_initialising_after_a_kill_finishes_what_was_begun(empty: Settings, step: str) -> None:
    def initialise_and_die() -> None:
        # Only the registry's own file is synced in a module of its own.
        setattr(registry_database if step == "sync" else tenancy_module, step, kill_this_process)
        initialise(empty)

    assert killed_in_child(initialise_and_die)
    with pytest.raises(NotInitialised, match="extranet init"):
        Tenancy.open(empty, HISTORY)
    initialise(empty)
    with Tenancy.open(empty, HISTORY) as tenancy:
        lifecycle.create_tenant(tenancy, "acme", "Acme", prepare)
    assert "registry.sqlite3.part" not in os.listdir(empty.home)


def test_a_lost_master_key_is_never_made_anew(settings: Settings) -> None:
    settings.master_key_file.unlink()
    for step in (lambda: initialise(settings), lambda: Tenancy.open(settings, HISTORY)):
        with pytest.raises(KeyUnavailable):
            step()
    assert not settings.master_key_file.exists()


def test_another_homes_master_key_opens_nothing(settings: Settings) -> None:
    settings.master_key_file.unlink()
    create_master_key(settings.master_key_file)
    with pytest.raises(KeyUnavailable, match="does not open"):
        Tenancy.open(settings, HISTORY)
    assert open_files_under(settings.home) == []


def test_a_lost_registry_is_never_made_anew_beside_its_tenants(settings: Settings) -> None:
    # A new one has none of their keys, and would have been filled with others of the same names.
    registry_file(settings).unlink()
    with pytest.raises(NotInitialised, match="Put the registry back"):
        initialise(settings)
    assert not registry_file(settings).exists()


def test_a_stale_log_beside_a_new_registry_is_refused(empty: Settings) -> None:
    # It would bring the rows of a registry that was deleted back to life.
    empty.home.mkdir()
    (empty.home / "registry.sqlite3-wal").touch()
    with pytest.raises(TenantUnavailable, match="-wal is in the way"):
        initialise(empty)


def test_a_master_key_can_be_made_beforehand(empty: Settings) -> None:
    empty.home.mkdir()
    create_master_key(empty.master_key_file)
    before = empty.master_key_file.read_bytes()
    initialise(empty)
    assert empty.master_key_file.read_bytes() == before


def test_registry_and_key_can_live_elsewhere(tmp_path: Path) -> None:
    settings = read_settings(
        {
            "EXTRANET_HOME": str(tmp_path / "home"),
            "EXTRANET_REGISTRY_URL": f"sqlite:///{tmp_path}/else?where/registry",
            "EXTRANET_MASTER_KEY_FILE": str(tmp_path / "secrets" / "key"),
        }
    )
    initialise(settings)
    with Tenancy.open(settings, HISTORY) as tenancy:
        lifecycle.create_tenant(tenancy, "acme", "Acme", prepare)
    assert (tmp_path / "else?where" / "registry").exists()
    assert (tmp_path / "secrets" / "key").exists()


@pytest.mark.parametrize(
    "url", ["mysql://localhost/registry", "sqlite://", "sqlite:///", "sqlite:///:memory:", "mysqlite:///x", "x"]
)
def test_a_registry_that_is_neither_a_file_nor_postgresql_is_refused(tmp_path: Path, url: str) -> None:
    settings = read_settings({"EXTRANET_HOME": str(tmp_path), "EXTRANET_REGISTRY_URL": url})
    for step in (lambda: initialise(settings), lambda: Tenancy.open(settings, HISTORY)):
        with pytest.raises(BadSettings, match="EXTRANET_REGISTRY_URL"):
            step()
    assert os.listdir(tmp_path) == []


def test_a_home_without_a_registry_is_not_initialised(empty: Settings) -> None:
    with pytest.raises(NotInitialised):
        Tenancy.open(empty, HISTORY)
    assert not empty.home.exists()


def test_a_damaged_or_old_registry_is_refused(settings: Settings) -> None:
    path = registry_file(settings)
    content = path.read_bytes()
    path.write_bytes(content[:60] + (1).to_bytes(4) + content[64:])
    with pytest.raises(SchemaBehind, match="extranet init"):
        Tenancy.open(settings, HISTORY)
    path.write_bytes(content[:5000])
    with pytest.raises(TenantUnavailable):
        Tenancy.open(settings, HISTORY)


def test_a_registry_without_the_platforms_key_is_refused(settings: Settings, tenancy: Tenancy) -> None:
    with tenancy.registry.writing() as connection:
        connection.execute(text("DELETE FROM wrapped_key WHERE tenant_uuid = :id"), {"id": "0" * 32})
    with pytest.raises(KeyUnavailable, match="no key"):
        Tenancy.open(settings, HISTORY)


def test_keys_are_unwrapped_once_and_are_the_tenants_own(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    assert tenancy.keys_of(acme) is tenancy.keys_of(acme)
    assert tenancy.keys_of(acme).mac("x", b"y") != tenancy.keys_of(globex).mac("x", b"y")


def test_a_lost_or_foreign_key_fails_closed_for_that_tenant_alone(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant
) -> None:
    with tenancy.registry.changing() as connection:
        connection.execute(
            text(
                "UPDATE wrapped_key SET wrapped = (SELECT wrapped FROM wrapped_key WHERE tenant_uuid = :other) "
                "WHERE tenant_uuid = :one"
            ),
            {"one": acme.uuid.hex, "other": globex.uuid.hex},
        )
    for _ in range(2):
        with pytest.raises(KeyUnavailable), tenancy.open_db(acme):
            pass
        with pytest.raises(KeyUnavailable):
            tenancy.files_of(acme)
    with tenancy.open_db(globex) as db:
        assert db.tenant == globex


def test_many_threads_get_the_right_keys_at_once(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    got: list[tuple[Tenant, TenantKeys]] = []

    def ask() -> None:
        got.extend((tenant, tenancy.keys_of(tenant)) for tenant in (acme, globex) * 20)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    expected = {tenant: tenancy.keys_of(tenant).mac("x", b"y") for tenant in (acme, globex)}
    assert all(keys.mac("x", b"y") == expected[tenant] for tenant, keys in got)
    assert len(got) == 320


def test_closing_closes_every_file(settings: Settings, acme: Tenant, globex: Tenant) -> None:
    with Tenancy.open(settings, HISTORY) as another:
        for tenant in (acme, globex):
            with another.open_db(tenant) as db:
                db.execute(text("SELECT 1"))
        assert any(name.endswith(".sqlite3") for name in open_files_under(settings.home / "tenants"))
    assert open_files_under(settings.home / "tenants") == []


def test_a_child_process_uses_what_its_parent_opened(tenancy: Tenancy, acme: Tenant) -> None:
    with tenancy.open_db(acme) as db:
        db.execute(text("SELECT 1"))

    def in_child() -> tuple[list[str], str]:
        inherited = open_files_under(tenancy.settings.home)
        return inherited, tenancy.resolver.resolve("acme.localhost").slug

    assert in_children([in_child]) == [([], "acme")]


def test_a_home_folder_that_others_can_enter_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    home = tmp_path / "open"
    home.mkdir(mode=0o755)
    home.chmod(0o755)
    with pytest.raises(BadSettings, match="chmod 0700"):
        initialise(read_settings({"EXTRANET_HOME": str(home)}))
    assert not (home / "master.key").exists()


def test_tenants_without_a_registry_are_refused_before_a_key_is_made(tmp_path: Path) -> None:
    (tmp_path / "home" / "tenants" / "somebody").mkdir(parents=True)
    (tmp_path / "home").chmod(0o700)
    with pytest.raises(NotInitialised, match="Put the registry back"):
        initialise(read_settings({"EXTRANET_HOME": str(tmp_path / "home")}))
    assert not (tmp_path / "home" / "master.key").exists()
