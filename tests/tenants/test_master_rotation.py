from __future__ import annotations

import base64
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update

from tenants import durable, lifecycle, master_rotation
from tenants.errors import Busy, IllegalTransition, KeyUnavailable
from tenants.keys import PLATFORM, MasterKeys, read_master_keys
from tenants.master_rotation import add_master_key, drop_old_master_keys, rewrap_keys
from tenants.registry import Registry
from tenants.registry_tables import wrapped_key_table
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.world import HISTORY, journal_of, kill_this_process, killed_in_child, prepare

Step = Callable[..., Any]


def ids_in(settings: Settings) -> list[str]:
    return read_master_keys(settings.master_key_file).ids


def masters_of_rows(tenancy: Tenancy) -> set[str]:
    with tenancy.registry.engine.connect() as connection:
        return set(connection.execute(select(wrapped_key_table.c.master_id)).scalars())


def add_keys(tenancy: Tenancy, count: int) -> None:
    for number in range(count):
        uuid = UUID(int=1000 + number)
        tenant = Tenant(uuid, f"tenant{number}", "T", State.SUSPENDED, 1, 1, "embedded")
        tenancy.registry.add(tenant, tenancy.make_key(uuid, 1))


def test_another_line_is_added_and_every_key_wrapped_under_it(tenancy: Tenancy, settings: Settings) -> None:
    before = settings.master_key_file.read_text()
    assert add_master_key(tenancy)
    assert ids_in(settings) == ["mk1", "mk2"]
    assert settings.master_key_file.read_text().startswith(before)
    assert stat.S_IMODE(settings.master_key_file.stat().st_mode) == 0o400
    assert masters_of_rows(tenancy) == {"mk1"}
    done = rewrap_keys(tenancy)
    # Two tenants and the platform.
    assert (done.newest, done.keys, done.faults) == ("mk2", 3, [])
    assert masters_of_rows(tenancy) == {"mk2"}
    assert os.listdir(settings.master_key_file.parent).count("master.key") == 1
    assert not [name for name in os.listdir(settings.home) if name.endswith(".part")]


def test_keys_are_the_same_after_it(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    token = tenancy.keys_of(acme).seal("x", b"y")
    signed = tenancy.platform_keys.mac("x", b"y")
    add_master_key(tenancy)
    rewrap_keys(tenancy)
    with Tenancy.open(settings, HISTORY) as another:
        assert another.keys_of(acme).open("x", token) == b"y"
        assert another.platform_keys.mac("x", b"y") == signed
        with another.open_db(acme) as db:
            assert journal_of(another.keys_of(acme)).verify(db) == 0


def test_a_process_that_was_there_before_needs_no_restart(settings: Settings) -> None:
    with Tenancy.open(settings, HISTORY) as worker, Tenancy.open(settings, HISTORY) as operator:
        acme, globex = (worker.registry.by_slug(slug) for slug in ("acme", "globex"))
        token = worker.keys_of(acme).seal("x", b"y")
        add_master_key(operator)
        rewrap_keys(operator)
        assert worker.master_keys.ids == ["mk1"]
        # One that it had unwrapped already, and one that it meets for the first time.
        assert worker.keys_of(acme).open("x", token) == b"y"
        assert worker.keys_of(globex).seal("x", b"y")
        assert worker.master_keys.ids == ["mk1", "mk2"]


def test_after_dropping_the_old_master_key_opens_nothing(tenancy: Tenancy, settings: Settings, acme: Tenant) -> None:
    old = MasterKeys({"mk1": base64.b64decode(settings.master_key_file.read_text().partition(":")[2])})
    (wrapped,) = tenancy.registry.keys_of(acme.uuid)
    assert old.unwrap("mk1", acme.uuid, 1, wrapped.wrapped)
    add_master_key(tenancy)
    rewrap_keys(tenancy)
    assert drop_old_master_keys(tenancy) == ["mk1"]
    assert ids_in(settings) == ["mk2"] == tenancy.master_keys.ids
    assert stat.S_IMODE(settings.master_key_file.stat().st_mode) == 0o400
    for owner in (acme.uuid, PLATFORM):
        for key in tenancy.registry.keys_of(owner):
            with pytest.raises(KeyUnavailable):
                old.unwrap(key.master_id, owner, key.version, key.wrapped)
            with pytest.raises(KeyUnavailable):
                old.unwrap("mk1", owner, key.version, key.wrapped)
    with Tenancy.open(settings, HISTORY) as another:
        assert another.keys_of(acme).seal("x", b"y")
    assert drop_old_master_keys(tenancy) == []


def test_an_old_master_key_that_still_wraps_something_is_not_dropped(tenancy: Tenancy, settings: Settings) -> None:
    add_master_key(tenancy)
    with pytest.raises(IllegalTransition, match="3 keys are not wrapped under mk2 yet"):
        drop_old_master_keys(tenancy)
    rewrap_keys(tenancy)
    with tenancy.registry.writing() as connection:
        one = wrapped_key_table.c.tenant_uuid == PLATFORM
        connection.execute(update(wrapped_key_table).where(one).values(master_id="mk1"))
    with pytest.raises(IllegalTransition, match="1 key is not"):
        drop_old_master_keys(tenancy)
    assert ids_in(settings) == ["mk1", "mk2"]


def test_numbers_go_on_after_older_ones_were_dropped(tenancy: Tenancy, settings: Settings) -> None:
    for _ in range(2):
        add_master_key(tenancy)
        rewrap_keys(tenancy)
        drop_old_master_keys(tenancy)
    assert ids_in(settings) == ["mk3"]


def test_a_second_line_is_not_added_before_the_first_wraps_everything(tenancy: Tenancy, settings: Settings) -> None:
    assert add_master_key(tenancy)
    assert not add_master_key(tenancy)
    assert ids_in(settings) == ["mk1", "mk2"]
    rewrap_keys(tenancy)
    assert add_master_key(tenancy)
    assert ids_in(settings) == ["mk1", "mk2", "mk3"]


@pytest.mark.parametrize("batch", [1, 2, 4, 8, 100])
def test_each_transaction_holds_few_keys(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    add_keys(tenancy, 5)
    add_master_key(tenancy)
    monkeypatch.setattr(master_rotation, "_BATCH", batch)
    assert rewrap_keys(tenancy).keys == 8
    assert masters_of_rows(tenancy) == {"mk2"}
    assert rewrap_keys(tenancy).keys == 0


def test_a_key_that_does_not_open_is_told_of_and_holds_nothing_up(
    tenancy: Tenancy, settings: Settings, acme: Tenant, globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tenancy.registry.writing() as connection:
        spoil = update(wrapped_key_table).where(wrapped_key_table.c.tenant_uuid == acme.uuid)
        connection.execute(spoil.values(wrapped=bytes(40)))
    monkeypatch.setattr(master_rotation, "_BATCH", 1)
    add_master_key(tenancy)
    done = rewrap_keys(tenancy)
    assert done.keys == 2
    (fault,) = done.faults
    assert str(acme.uuid) in fault
    assert tenancy.keys_of(globex).seal("x", b"")
    with pytest.raises(IllegalTransition, match="1 key is not"):
        drop_old_master_keys(tenancy)


def test_one_rotation_at_a_time(tenancy: Tenancy, settings: Settings) -> None:
    with tenancy.locks.hold("master.key"):
        for step in (add_master_key, rewrap_keys, drop_old_master_keys):
            with pytest.raises(Busy):
                step(tenancy)
    assert ids_in(settings) == ["mk1"]


def test_a_file_that_cannot_be_written_is_one_sentence_and_stays_as_it_is(
    tenancy: Tenancy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(durable.os, "fchmod", refuse)
    with pytest.raises(KeyUnavailable, match=r"cannot be written to .*: Read-only"):
        add_master_key(tenancy)
    assert ids_in(settings) == ["mk1"]
    assert not [name for name in os.listdir(settings.home) if name.endswith(".part")]


# -- killed at any step ------------------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (master_rotation, "add_master_key"),
    (master_rotation, "_write"),
    (master_rotation, "replace"),
    (master_rotation, "rewrap_keys"),
    (master_rotation, "_older"),
    (master_rotation, "_rewrap"),
    (master_rotation, "drop_old_master_keys"),
    (MasterKeys, "read_again"),
    (Registry, "changing"),
]


def whole_rotation(tenancy: Tenancy) -> None:
    master_rotation.add_master_key(tenancy)
    master_rotation.rewrap_keys(tenancy)
    master_rotation.drop_old_master_keys(tenancy)


@pytest.mark.parametrize("call", [1, 2, 3])
@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[name for _, name in STEPS])
def test_a_rotation_killed_at_any_step_locks_nobody_out_and_goes_on(
    settings: Settings, owner: Any, name: str, after: bool, call: int
) -> None:
    def work() -> None:
        step, calls = getattr(owner, name), []

        def perhaps_die(*arguments: Any, **options: Any) -> Any:
            calls.append(1)
            if len(calls) == call and not after:
                kill_this_process()
            answer = step(*arguments, **options)
            if len(calls) == call:
                kill_this_process()
            return answer

        setattr(owner, name, perhaps_die)
        master_rotation._BATCH = 2
        with Tenancy.open(settings, HISTORY) as tenancy:
            whole_rotation(tenancy)

    killed_in_child(work)
    with Tenancy.open(settings, HISTORY) as tenancy:
        for tenant in tenancy.registry.all():
            assert tenancy.keys_of(tenant).seal("x", b"")
        before = tenancy.master_keys.ids
        if masters_of_rows(tenancy) != {tenancy.master_keys.newest}:
            assert not add_master_key(tenancy)
            assert tenancy.master_keys.ids == before
        rewrap_keys(tenancy)
        drop_old_master_keys(tenancy)
        assert len(tenancy.master_keys.ids) == 1
        for tenant in tenancy.registry.all():
            assert tenancy.keys_of(tenant).seal("x", b"")


# -- a file in the place of another ------------------------------------------------------------------------------------


def test_a_replaced_file_keeps_its_mode_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o640)
    durable.replace(path, b"new")
    assert path.read_bytes() == b"new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert os.listdir(tmp_path) == ["file"]


def test_a_file_that_is_not_there_is_not_replaced(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.replace(tmp_path / "file", b"new")
    assert os.listdir(tmp_path) == []


def test_a_replaced_file_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # As when root rotates what the service's own account has to read.
    path = tmp_path / "file"
    path.write_bytes(b"old")
    fstat, mine = os.fstat, (os.geteuid(), os.getegid())
    given: list[tuple[int, int]] = []

    def made_by_root(descriptor: int) -> os.stat_result:
        seen = list(fstat(descriptor))
        seen[stat.ST_UID] += 1
        return os.stat_result(seen)

    monkeypatch.setattr(durable.os, "fstat", made_by_root)
    monkeypatch.setattr(durable.os, "fchown", lambda _file, user, group: given.append((user, group)))
    durable.replace(path, b"new")
    assert given == [mine]


def test_a_tenant_made_while_its_master_key_is_dropped_is_refused_and_leaves_nothing(
    tenancy: Tenancy, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = tenancy.registry.add

    def overtaken(tenant: Tenant, key: Any) -> None:
        with Tenancy.open(settings, HISTORY) as operator:
            whole_rotation(operator)
        add(tenant, key)

    monkeypatch.setattr(tenancy.registry, "add", overtaken)
    with pytest.raises(KeyUnavailable, match="mk1 was dropped"):
        lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    monkeypatch.undo()
    assert masters_of_rows(tenancy) == {"mk2"}
    lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
    with Tenancy.open(settings, HISTORY) as another:
        assert another.keys_of(another.registry.by_slug("initech")).seal("x", b"")
