from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select

from tenants import databases, lifecycle, schema, sqlite_files
from tenants.errors import (
    BadHost,
    BadName,
    BadSlug,
    Busy,
    HostTaken,
    IllegalTransition,
    NoSuchTenant,
    SlugTaken,
    UnknownHost,
)
from tenants.keys import PLATFORM
from tenants.lifecycle import creating
from tenants.locks import Locks
from tenants.registry import Registry
from tenants.registry_tables import wrapped_key_table
from tenants.settings import Settings
from tenants.stores import embedded
from tenants.stores.embedded import EmbeddedStore
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.world import (
    HISTORY,
    Note,
    in_children,
    journal_of,
    kill_this_process,
    killed_in_child,
    open_files_under,
    prepare,
)


def assert_nothing_is_left_over(tenancy: Tenancy) -> None:
    known = {tenant.uuid for tenant in tenancy.registry.all()}
    assert {UUID(name) for name in os.listdir(tenancy.settings.home / "tenants")} == known
    with tenancy.registry.engine.connect() as connection:
        keys = set(connection.execute(select(wrapped_key_table.c.tenant_uuid)).scalars())
    assert keys == known | {PLATFORM}


def assert_served(tenancy: Tenancy, slug: str) -> None:
    tenant = tenancy.resolver.resolve(f"{slug}.localhost")
    with tenancy.open_db(tenant) as db:
        assert db.scalars(select(Note.changes)).one() == f"hello {slug}"
        assert journal_of(tenancy.keys_of(tenant)).verify(db) == 0


def test_a_new_tenant_is_served_with_what_was_prepared(tenancy: Tenancy, settings: Settings) -> None:
    tenant, prepared = lifecycle.create_tenant(tenancy, "initech", " Initech ", prepare)
    assert (tenant.slug, tenant.name, tenant.state, prepared) == (
        "initech",
        "Initech",
        State.ACTIVE,
        "prepared initech",
    )
    assert_served(tenancy, "initech")
    assert_served(tenancy, "acme")
    assert_nothing_is_left_over(tenancy)
    folder = settings.folder_of(tenant.uuid)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / f"{tenant.uuid}.sqlite3").stat().st_mode & 0o777 == 0o600


def test_a_new_tenant_is_whole_in_its_one_file_before_it_is_served(tenancy: Tenancy, settings: Settings) -> None:
    tenant, _ = lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    assert os.listdir(settings.folder_of(tenant.uuid)) == [f"{tenant.uuid}.sqlite3"]


def test_a_file_stored_while_preparing_is_kept(tenancy: Tenancy) -> None:
    tenant, name = lifecycle.create_tenant(
        tenancy, "initech", "Initech", lambda db: tenancy.files_of(db.tenant).store(b"logo")
    )
    assert tenancy.files_of(tenant).read(name) == b"logo"


def test_two_tenants_never_share_a_uuid_or_a_key(tenancy: Tenancy) -> None:
    made = [lifecycle.create_tenant(tenancy, slug, "T", prepare)[0] for slug in ("one1", "two2")]
    wrapped = [tenancy.registry.keys_of(tenant.uuid)[0].wrapped for tenant in made]
    assert len({tenant.uuid for tenant in made}) == len(set(wrapped)) == 2


@pytest.mark.parametrize(
    ("slug", "name", "error"),
    [
        ("acme", "Again", SlugTaken),
        ("admin", "Admin", BadSlug),
        ("../acme", "Up", BadSlug),
        ("initech", "", BadName),
    ],
)
def test_a_refused_creation_leaves_nothing(tenancy: Tenancy, slug: str, name: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        lifecycle.create_tenant(tenancy, slug, name, prepare)
    assert_nothing_is_left_over(tenancy)
    assert_served(tenancy, "acme")


def test_a_slug_that_was_renamed_away_is_refused(tenancy: Tenancy) -> None:
    lifecycle.rename_tenant(tenancy, "acme", "apex")
    with pytest.raises(SlugTaken, match="belonged"):
        lifecycle.create_tenant(tenancy, "acme", "Acme", prepare)
    assert_nothing_is_left_over(tenancy)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_preparation_undoes_everything(tenancy: Tenancy, error: type[BaseException]) -> None:
    def fail(_db: object) -> None:
        raise error

    with pytest.raises(error):
        lifecycle.create_tenant(tenancy, "initech", "Initech", fail)
    assert_nothing_is_left_over(tenancy)
    lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    assert_served(tenancy, "initech")


def test_an_interrupt_after_the_tenant_is_served_undoes_nothing(
    tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It once destroyed the key and files of a tenant that stayed active in the registry.
    move_to = Registry.move_to

    def interrupted(registry: Registry, tenant: Tenant, state: State) -> Tenant:
        move_to(registry, tenant, state)
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "move_to", interrupted)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    assert_nothing_is_left_over(tenancy)
    assert_served(tenancy, "initech")


STEPS: list[tuple[ModuleType | type, str]] = [
    (Locks, "hold"),
    (creating, "_undo_unfinished"),
    (creating, "_register"),
    (Registry, "add"),
    (creating, "_make_folder"),
    (EmbeddedStore, "create"),
    (schema, "template_file"),
    (sqlite_files, "copy_template"),
    (EmbeddedStore, "filling"),
    (embedded, "write_stamp"),
    (databases.TenantSession, "commit"),
    (embedded, "sync"),
    (Registry, "move_to"),
]


def _killed_before(step: Callable[..., Any]) -> Callable[..., Any]:
    return kill_this_process


def _killed_after(step: Callable[..., Any]) -> Callable[..., Any]:
    def then_die(*arguments: Any, **options: Any) -> None:
        step(*arguments, **options)
        kill_this_process()

    return then_die


@pytest.mark.parametrize("wrap", [_killed_before, _killed_after])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_kill_at_any_step_leaves_nothing_that_is_served_and_the_next_try_succeeds(
    settings: Settings, owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]]
) -> None:
    def create() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)

    assert killed_in_child(create)
    with Tenancy.open(settings, HISTORY) as tenancy:
        if (name, wrap) == ("move_to", _killed_after):
            assert_served(tenancy, "initech")
        else:
            with pytest.raises(UnknownHost):
                tenancy.resolver.resolve("initech.localhost")
            lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert_served(tenancy, "initech")
        assert_served(tenancy, "acme")
        assert_nothing_is_left_over(tenancy)


@pytest.mark.parametrize(("owner", "name"), [(shutil, "rmtree"), (Registry, "discard")])
def test_a_kill_while_undoing_is_undone_by_the_next_try(settings: Settings, owner: Any, name: str) -> None:
    def fail(_db: object) -> None:
        raise ValueError

    def create() -> None:
        setattr(owner, name, kill_this_process)
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", fail)

    assert killed_in_child(create)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert [tenant.slug for tenant in lifecycle.unfinished(tenancy)] == ["initech"]
        lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
        assert lifecycle.unfinished(tenancy) == []
        assert_served(tenancy, "initech")
        assert_nothing_is_left_over(tenancy)


def test_a_creation_leaves_alone_what_another_is_still_making(tenancy: Tenancy) -> None:
    def fail(_db: object) -> None:
        raise ValueError

    def meanwhile(db: databases.TenantSession) -> str:
        lifecycle.create_tenant(tenancy, "apex", "Apex", prepare)
        with pytest.raises(ValueError):
            lifecycle.create_tenant(tenancy, "zenith", "Zenith", fail)
        return prepare(db)

    lifecycle.create_tenant(tenancy, "initech", "Initech", meanwhile)
    for slug in ("initech", "apex"):
        assert_served(tenancy, slug)
    assert_nothing_is_left_over(tenancy)


def test_an_unfinished_tenant_is_neither_resumed_suspended_nor_renamed(settings: Settings) -> None:
    def create() -> None:
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", kill_this_process)

    assert killed_in_child(create)
    with Tenancy.open(settings, HISTORY) as tenancy:
        for move in (lifecycle.resume_tenant, lifecycle.suspend_tenant):
            with pytest.raises(IllegalTransition, match="never finished"):
                move(tenancy, "initech")
        with pytest.raises(IllegalTransition, match="cannot be renamed"):
            lifecycle.rename_tenant(tenancy, "initech", "apex")


def test_of_many_that_create_the_same_slug_one_wins(settings: Settings) -> None:
    def create() -> str:
        with Tenancy.open(settings, HISTORY) as tenancy:
            try:
                lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
            except (Busy, SlugTaken) as error:
                return type(error).__name__
        return "won"

    outcomes = in_children([create] * 6)
    assert outcomes.count("won") == 1
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert_served(tenancy, "initech")
        assert_nothing_is_left_over(tenancy)


def test_many_that_create_different_slugs_all_succeed(settings: Settings) -> None:
    def create(number: int) -> None:
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, f"tenant{number}", "T", prepare)

    in_children([partial(create, number) for number in range(6)])
    with Tenancy.open(settings, HISTORY) as tenancy:
        for number in range(6):
            assert_served(tenancy, f"tenant{number}")
        assert_nothing_is_left_over(tenancy)


def test_a_tenant_held_by_one_command_is_busy_for_another(tenancy: Tenancy, settings: Settings) -> None:
    def others(_db: object) -> None:
        with pytest.raises(Busy, match="initech"):
            lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
        with pytest.raises(Busy, match="initech"):
            lifecycle.rename_tenant(tenancy, "acme", "initech")
        lifecycle.suspend_tenant(tenancy, "globex")

    lifecycle.create_tenant(tenancy, "initech", "Initech", others)
    assert tenancy.registry.by_slug("initech").state is State.ACTIVE


def test_a_killed_command_holds_nothing(settings: Settings, tmp_path: Path) -> None:
    def hold_for_ever(_db: object) -> None:
        (tmp_path / "held").touch()
        time.sleep(60)

    process = os.fork()
    if process == 0:
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", hold_for_ever)
        os._exit(1)
    while not (tmp_path / "held").exists():
        time.sleep(0.01)
    with Tenancy.open(settings, HISTORY) as tenancy:
        with pytest.raises(Busy):
            lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
        assert_served(tenancy, "initech")
        assert_nothing_is_left_over(tenancy)


def test_suspending_and_resuming_are_repeatable_and_touch_one_tenant(tenancy: Tenancy, globex: Tenant) -> None:
    for _ in range(2):
        assert lifecycle.suspend_tenant(tenancy, "acme").state is State.SUSPENDED
    for _ in range(2):
        assert lifecycle.resume_tenant(tenancy, "acme").state is State.ACTIVE
    assert tenancy.registry.by_slug("globex") == globex
    assert_served(tenancy, "acme")


def test_suspending_closes_the_tenants_files(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    assert_served(tenancy, "acme")
    lifecycle.suspend_tenant(tenancy, "acme")
    assert open_files_under(settings.folder_of(acme.uuid)) == []


def test_a_closed_tenant_is_neither_resumed_nor_suspended(tenancy: Tenancy, acme: Tenant) -> None:
    # Resuming used to reopen it: a contract that has ended is not a suspension.
    tenancy.registry.move_to(acme, State.CLOSED)
    for move in (lifecycle.resume_tenant, lifecycle.suspend_tenant):
        with pytest.raises(IllegalTransition, match="closed"):
            move(tenancy, "acme")


@pytest.mark.parametrize("slug", ["nobody", "../nobody", "a/b", ""])
def test_a_slug_nobody_has_is_refused_and_names_no_file(tenancy: Tenancy, settings: Settings, slug: str) -> None:
    # The lock file used to be made first, wherever the name led.
    before = sorted(settings.home.parent.rglob("*.lock"))
    for move in (lifecycle.suspend_tenant, lifecycle.resume_tenant):
        with pytest.raises(NoSuchTenant):
            move(tenancy, slug)
    with pytest.raises(NoSuchTenant):
        lifecycle.rename_tenant(tenancy, slug, "apex")
    assert sorted(settings.home.parent.rglob("*.lock")) == before


def test_a_renamed_tenant_keeps_its_uuid_its_keys_and_its_data(tenancy: Tenancy, acme: Tenant) -> None:
    token = tenancy.keys_of(acme).seal("login", b"somebody")
    apex = lifecycle.rename_tenant(tenancy, "acme", "apex")
    assert apex.uuid == acme.uuid
    assert tenancy.keys_of(apex).open("login", token) == b"somebody"
    with tenancy.open_db(apex) as db:
        assert db.scalars(select(Note.changes)).one() == "hello acme"


def test_renaming_a_tenant_to_what_it_is_called_changes_nothing(tenancy: Tenancy, acme: Tenant) -> None:
    before = tenancy.registry.generation()
    assert lifecycle.rename_tenant(tenancy, "acme", "acme") == acme
    assert tenancy.registry.generation() == before


@pytest.mark.parametrize(("slug", "error"), [("globex", SlugTaken), ("admin", BadSlug), ("A", BadSlug)])
def test_a_rename_to_a_taken_or_bad_slug_is_refused(
    tenancy: Tenancy, acme: Tenant, slug: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        lifecycle.rename_tenant(tenancy, "acme", slug)
    assert tenancy.registry.by_slug("acme") == acme


def test_a_closed_tenant_is_not_renamed(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.registry.move_to(acme, State.CLOSED)
    with pytest.raises(IllegalTransition, match="cannot be renamed"):
        lifecycle.rename_tenant(tenancy, "acme", "apex")


def test_two_tenants_that_swap_slugs_at_once_never_both_win(settings: Settings) -> None:
    def rename(slug: str, other: str) -> bool:
        with Tenancy.open(settings, HISTORY) as tenancy:
            try:
                lifecycle.rename_tenant(tenancy, slug, other)
            except (Busy, SlugTaken):
                return False
        return True

    assert in_children([lambda: rename("acme", "globex"), lambda: rename("globex", "acme")]) == [False, False]


def test_a_custom_host_is_stored_as_it_will_be_looked_up(tenancy: Tenancy, acme: Tenant) -> None:
    assert lifecycle.add_host(tenancy, "acme", "Extranet.Acme.Example") == "extranet.acme.example"
    assert tenancy.resolver.resolve("extranet.acme.example") == acme


@pytest.mark.parametrize(
    ("host", "error"),
    [
        ("extranet.acme.example:443", BadHost),
        ("intranet", BadHost),
        ("192.0.2.1", BadHost),
        ("not a host", BadHost),
        ("localhost", BadHost),
        ("acme.localhost", HostTaken),
        ("globex.LOCALHOST", HostTaken),
        ("a.b.localhost", HostTaken),
    ],
)
def test_a_host_that_is_malformed_or_belongs_to_a_slug_is_refused(
    tenancy: Tenancy, host: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        lifecycle.add_host(tenancy, "acme", host)


def test_a_host_is_not_added_to_nobody_or_twice(tenancy: Tenancy) -> None:
    with pytest.raises(NoSuchTenant):
        lifecycle.add_host(tenancy, "nobody", "a.example")
    lifecycle.add_host(tenancy, "acme", "a.example")
    with pytest.raises(HostTaken):
        lifecycle.add_host(tenancy, "globex", "a.example")
