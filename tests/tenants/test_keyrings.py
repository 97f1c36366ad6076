from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import delete, event, update

from tenants.errors import BadSeal, KeyUnavailable
from tenants.generation import Generation
from tenants.keyrings import Keyrings
from tenants.keys import MasterKeys, TenantKeys, new_key, read_master_keys
from tenants.registry import add_key
from tenants.registry_tables import wrapped_key_table
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, Clock


@pytest.fixture
def asked(tenancy: Tenancy) -> list[str]:
    statements: list[str] = []

    @event.listens_for(tenancy.registry.engine, "before_cursor_execute")
    def _note(_connection: object, _cursor: object, statement: str, *_rest: object) -> None:
        statements.append(statement.partition("FROM")[2].split()[0])

    return statements


@pytest.fixture
def generation(tenancy: Tenancy, clock: Clock) -> Generation:
    return Generation(tenancy.registry, clock)


@pytest.fixture
def keys(tenancy: Tenancy, generation: Generation, acme: Tenant) -> TenantKeys:
    """A tenant's keys in a process that has known them for a moment."""
    keys = Keyrings(tenancy.registry, tenancy.master_keys, generation).of(acme.uuid)
    keys.seal("x", b"")
    return keys


@pytest.fixture
def operator(settings: Settings) -> Iterator[Tenancy]:
    with Tenancy.open(settings, HISTORY) as operator:
        yield operator


def add_version(operator: Tenancy, tenant: Tenant, version: int) -> TenantKeys:
    """Give a tenant another key and return its keys as another process has them."""
    with operator.registry.changing() as connection:
        add_key(connection, tenant.uuid, operator.make_key(tenant.uuid, version))
    operator.generation.forget()
    return operator.keys_of(tenant)


def version_of(token: bytes) -> int:
    return int.from_bytes(token[1:3])


def test_the_generation_is_asked_for_once_in_half_a_second(
    generation: Generation, clock: Clock, asked: list[str]
) -> None:
    numbers = {generation.number() for _ in range(10)}
    clock.now += 0.4
    numbers.add(generation.number())
    assert asked == ["generation"]
    clock.now += 0.2
    numbers.add(generation.number())
    assert asked == ["generation"] * 2
    assert len(numbers) == 1


def test_an_answer_that_was_long_under_way_is_old_when_it_comes(
    tenancy: Tenancy, clock: Clock, monkeypatch: pytest.MonkeyPatch, asked: list[str]
) -> None:
    generation = Generation(tenancy.registry, clock)
    asking = tenancy.registry.generation

    def slow() -> int:
        number = asking()
        clock.now += 0.6
        return number

    monkeypatch.setattr(tenancy.registry, "generation", slow)
    generation.number()
    generation.number()
    assert asked == ["generation"] * 2


def test_an_answer_from_before_a_change_is_forgotten_although_it_comes_after_it(
    generation: Generation, tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asking = tenancy.registry.generation

    def overtaken() -> int:
        number = asking()
        monkeypatch.undo()
        with tenancy.registry.changing():
            pass
        generation.forget()
        return number

    monkeypatch.setattr(tenancy.registry, "generation", overtaken)
    before = generation.number()
    assert generation.number() == before + 1


def test_what_a_process_changed_itself_it_knows_at_once(generation: Generation, tenancy: Tenancy) -> None:
    before = generation.number()
    with tenancy.registry.changing():
        pass
    assert generation.number() == before
    generation.forget()
    assert generation.number() == before + 1


def test_warm_keys_ask_the_registry_nothing(keys: TenantKeys, asked: list[str]) -> None:
    for _ in range(10):
        keys.open("x", keys.seal("x", b"y"))
        keys.mac("x", b"y")
    assert asked == []


def test_a_change_of_the_registry_has_the_keys_read_once_more(
    keys: TenantKeys, operator: Tenancy, clock: Clock, asked: list[str]
) -> None:
    with operator.registry.changing():
        pass
    clock.now += 0.6
    for _ in range(10):
        keys.seal("x", b"y")
    assert asked == ["generation", "wrapped_key"]


def test_half_a_second_after_a_key_was_made_nothing_is_sealed_with_an_older_one(
    keys: TenantKeys, operator: Tenancy, acme: Tenant, clock: Clock
) -> None:
    add_version(operator, acme, 2)
    assert version_of(keys.seal("x", b"")) == 1
    clock.now += 0.5
    assert version_of(keys.seal("x", b"")) == 2
    assert keys.newest == 2


def test_what_another_process_sealed_with_a_new_key_opens_at_once(
    keys: TenantKeys, operator: Tenancy, acme: Tenant, asked: list[str]
) -> None:
    token = add_version(operator, acme, 2).seal("x", b"y")
    assert keys.open("x", token) == b"y"
    assert asked == ["wrapped_key"]
    # And what was learned is kept.
    assert version_of(keys.seal("x", b"")) == 2


def test_a_version_nobody_has_is_asked_for_and_refused(keys: TenantKeys, asked: list[str]) -> None:
    token = bytearray(keys.seal("x", b"y"))
    token[2] = 9
    with pytest.raises(BadSeal, match="does not have"):
        keys.open("x", bytes(token))
    assert asked == ["wrapped_key"]


def test_a_retired_version_opens_nothing_from_its_moment_on_and_still_signs(
    keys: TenantKeys, operator: Tenancy, acme: Tenant, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    token, signed = keys.seal("x", b"y"), keys.mac("x", b"y")
    add_version(operator, acme, 2)
    moment = datetime.now(UTC) + timedelta(days=1)
    with operator.registry.changing() as connection:
        retire = update(wrapped_key_table).where(wrapped_key_table.c.version == 1)
        connection.execute(retire.values(retired_at=moment.replace(tzinfo=None)))
    clock.now += 1
    assert keys.open("x", token) == b"y"
    monkeypatch.setattr("tenants.keys.time.time", moment.timestamp)
    with pytest.raises(BadSeal, match="retired"):
        keys.open("x", token)
    assert keys.with_retired().open("x", token) == b"y"
    assert keys.mac("x", b"y") == signed
    assert keys.open("x", keys.seal("x", b"new")) == b"new"


def test_a_destroyed_key_does_nothing_any_more_half_a_second_later(
    keys: TenantKeys, operator: Tenancy, acme: Tenant, clock: Clock
) -> None:
    token = keys.seal("x", b"y")
    with operator.registry.changing() as connection:
        connection.execute(delete(wrapped_key_table).where(wrapped_key_table.c.tenant_uuid == acme.uuid))
    clock.now += 0.5
    for step in (lambda: keys.open("x", token), lambda: keys.seal("x", b""), lambda: keys.mac("x", b"")):
        with pytest.raises(KeyUnavailable, match="no key"):
            step()


def test_keys_are_one_object_however_many_ask_for_them_first(tenancy: Tenancy, acme: Tenant) -> None:
    rings = Keyrings(tenancy.registry, tenancy.master_keys, tenancy.generation)
    first = rings.of(acme.uuid)
    assert rings.of(acme.uuid) is first


# -- the master key file, read again -----------------------------------------------------------------------------------


def line(number: int, key: bytes) -> str:
    return f"mk{number}:{base64.b64encode(key).decode()}\n"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(line(1, bytes(32)))
    path.chmod(0o400)
    return path


def rewrite(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)
    path.chmod(0o400)


def test_a_line_that_was_added_since_is_found(file: Path, acme: Tenant) -> None:
    masters, second, key = read_master_keys(file), new_key(), new_key()
    wrapped = MasterKeys({"mk2": second}).wrap(acme.uuid, 1, key)
    rewrite(file, line(1, bytes(32)) + line(2, second))
    assert masters.unwrap("mk2", acme.uuid, 1, wrapped) == key
    assert (masters.ids, masters.newest) == (["mk1", "mk2"], "mk2")


def test_a_line_that_was_dropped_since_opens_nothing_once_the_file_was_read(file: Path, acme: Tenant) -> None:
    masters = read_master_keys(file)
    wrapped = masters.wrap(acme.uuid, 1, new_key())
    rewrite(file, line(2, new_key()))
    masters.unwrap("mk1", acme.uuid, 1, wrapped)
    masters.read_again()
    with pytest.raises(KeyUnavailable, match="no key mk1"):
        masters.unwrap("mk1", acme.uuid, 1, wrapped)


def test_a_line_that_is_missing_has_the_file_read_once_a_second(
    file: Path, acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    masters, clock = read_master_keys(file), Clock()
    monkeypatch.setattr("tenants.keys.time.monotonic", clock)
    read = []
    monkeypatch.setattr(masters, "read_again", lambda: read.append(1) or MasterKeys.read_again(masters))
    for expected in (1, 1, 2):
        with pytest.raises(KeyUnavailable, match="no key mk7"):
            masters.unwrap("mk7", acme.uuid, 1, bytes(40))
        assert len(read) == expected
        clock.now += 0.6


def test_master_keys_without_a_file_have_none_to_read(acme: Tenant) -> None:
    masters = MasterKeys({"mk1": bytes(32)})
    masters.read_again()
    with pytest.raises(KeyUnavailable):
        masters.unwrap("mk2", acme.uuid, 1, bytes(40))
    assert masters.ids == ["mk1"]


def test_a_new_key_is_wrapped_under_the_line_that_was_added_a_moment_ago(
    tenancy: Tenancy, settings: Settings, acme: Tenant
) -> None:
    path = settings.master_key_file
    rewrite(path, path.read_text() + line(2, new_key()))
    made = tenancy.make_key(acme.uuid, 2)
    assert (made.version, made.master_id, made.retired_at) == (2, "mk2", None)
