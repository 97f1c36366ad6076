from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from sqlalchemy import text

from tenants.errors import HostTaken, IllegalTransition, NoSuchHost, NoSuchTenant, ReadOnlyDatabase, SlugTaken
from tenants.keys import PLATFORM
from tenants.registry import WrappedKey
from tenants.registry_tables import tenant_table
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant

KEPT_ON = ("sqlite", "postgresql")


@pytest.fixture
def begun(tenancy: Tenancy) -> Tenant:
    tenant = Tenant(uuid4(), "begun", "Begun", State.PROVISIONING, 1, 1, EMBEDDED)
    tenancy.registry.add(tenant, WrappedKey(1, "mk1", bytes(40)))
    return tenant


def test_tenants_are_found_by_slug_and_uuid(tenancy: Tenancy, acme: Tenant, globex: Tenant, kept_on: str) -> None:
    registry = tenancy.registry
    assert registry.by_slug("acme") == registry.by_uuid(acme.uuid) == acme
    assert registry.all() == [acme, globex]
    server = EMBEDDED if kept_on == "sqlite" else "pg1"
    assert (acme.state, acme.epoch, acme.key_version, acme.server) == (State.ACTIVE, 1, 1, server)


def test_what_is_not_there_is_refused(tenancy: Tenancy) -> None:
    registry = tenancy.registry
    for look in (registry.by_slug, registry.by_host, registry.by_former_slug):
        with pytest.raises(NoSuchTenant, match="nobody"):
            look("nobody")
    with pytest.raises(NoSuchTenant):
        registry.by_uuid(uuid4())


def test_every_change_raises_the_generation_and_nothing_else_does(tenancy: Tenancy, acme: Tenant) -> None:
    registry = tenancy.registry
    before = registry.generation()
    registry.all(), registry.keys_of(acme.uuid), registry.hosts_of(acme), registry.dates_of(acme)
    with registry.writing():
        pass
    assert registry.generation() == before
    registry.add_host(acme, "extranet.acme.example")
    registry.remove_host(acme, "extranet.acme.example")
    registry.raise_epoch(acme)
    registry.rename(acme, "apex")
    registry.move_to(acme, State.SUSPENDED)
    assert registry.generation() == before + 5


def test_a_refused_change_leaves_the_generation_as_it_was(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    before = tenancy.registry.generation()
    with pytest.raises(SlugTaken):
        tenancy.registry.rename(acme, "globex")
    assert tenancy.registry.generation() == before
    assert tenancy.registry.all() == [acme, globex]


def test_only_changing_and_writing_write(tenancy: Tenancy) -> None:
    with tenancy.registry.engine.connect() as connection, pytest.raises(ReadOnlyDatabase):
        connection.execute(text("DELETE FROM wrapped_key"))


def test_of_two_changes_that_began_from_the_same_state_the_second_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    # The state used to be checked on the copy in hand: a closed tenant could be suspended, and so resumed.
    tenancy.registry.move_to(acme, State.CLOSED)
    with pytest.raises(IllegalTransition, match="meanwhile"):
        tenancy.registry.move_to(acme, State.SUSPENDED)
    assert tenancy.registry.by_uuid(acme.uuid).state is State.CLOSED


def test_a_rename_of_a_tenant_renamed_meanwhile_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.registry.rename(acme, "apex")
    with pytest.raises(IllegalTransition, match="meanwhile"):
        tenancy.registry.rename(acme, "zenith")
    assert tenancy.registry.former_slugs_of(acme) == ["acme"]


def test_an_illegal_transition_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    with pytest.raises(IllegalTransition, match="cannot become purged"):
        tenancy.registry.move_to(acme, State.PURGED)


def test_a_change_of_state_is_dated(tenancy: Tenancy, acme: Tenant) -> None:
    created = tenancy.registry.dates_of(acme)
    suspended = tenancy.registry.dates_of(tenancy.registry.move_to(acme, State.SUSPENDED))
    assert created.created_at == suspended.created_at
    assert created.created_at <= created.changed_at < suspended.changed_at
    assert datetime.now(UTC).replace(tzinfo=None) - suspended.changed_at < timedelta(minutes=1)


def test_a_raised_epoch_is_one_tenants_alone(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    assert tenancy.registry.raise_epoch(acme) == replace(acme, epoch=2)
    assert tenancy.registry.raise_epoch(acme) == replace(acme, epoch=3)
    assert tenancy.registry.by_slug("globex") == globex


def test_a_taken_slug_is_refused(tenancy: Tenancy, acme: Tenant) -> None:
    with pytest.raises(SlugTaken, match="'acme'"):
        tenancy.registry.add(replace(acme, uuid=uuid4()), WrappedKey(1, "mk1", bytes(40)))


def test_a_slug_left_behind_is_its_owners_for_ever(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    registry = tenancy.registry
    apex = registry.rename(acme, "apex")
    assert registry.by_former_slug("acme") == apex
    with pytest.raises(SlugTaken, match="belonged"):
        registry.rename(globex, "acme")
    with pytest.raises(SlugTaken, match="belonged"):
        registry.add(replace(acme, uuid=uuid4()), WrappedKey(1, "mk1", bytes(40)))
    assert registry.rename(apex, "acme") == acme
    assert registry.former_slugs_of(acme) == ["apex"]
    with pytest.raises(NoSuchTenant):
        registry.by_former_slug("acme")


def test_a_host_leads_to_one_tenant(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    registry = tenancy.registry
    registry.add_host(acme, "b.example")
    registry.add_host(acme, "a.example")
    assert registry.by_host("a.example") == acme
    assert (registry.hosts_of(acme), registry.hosts_of(globex)) == (["a.example", "b.example"], [])
    for tenant in (acme, globex):
        with pytest.raises(HostTaken):
            registry.add_host(tenant, "a.example")


def test_a_host_is_taken_from_its_owner_alone(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    tenancy.registry.add_host(acme, "a.example")
    with pytest.raises(NoSuchHost):
        tenancy.registry.remove_host(globex, "a.example")
    tenancy.registry.remove_host(acme, "a.example")
    with pytest.raises(NoSuchHost):
        tenancy.registry.remove_host(acme, "a.example")


def test_an_unfinished_tenant_is_discarded_with_its_key(tenancy: Tenancy, begun: Tenant, acme: Tenant) -> None:
    assert tenancy.registry.unfinished() == [begun]
    tenancy.registry.discard(begun)
    assert tenancy.registry.unfinished() == []
    assert tenancy.registry.keys_of(begun.uuid) == []
    assert len(tenancy.registry.keys_of(acme.uuid)) == len(tenancy.registry.keys_of(PLATFORM)) == 1


def test_discarding_an_active_tenant_leaves_its_key(tenancy: Tenancy, begun: Tenant) -> None:
    # The key used to go even when the row stayed: one wrong call destroyed a live tenant's data for good.
    tenancy.registry.move_to(begun, State.ACTIVE)
    with pytest.raises(IllegalTransition, match="left as it is"):
        tenancy.registry.discard(begun)
    assert len(tenancy.registry.keys_of(begun.uuid)) == 1


def test_the_table_holds_what_a_tenant_is() -> None:
    assert set(Tenant.__slots__) | {"created_at", "changed_at"} == set(tenant_table.c.keys())


def test_counters_do_not_wait_for_the_disk_and_everything_else_does(tenancy: Tenancy, kept_on: str) -> None:
    registry = tenancy.registry
    asked, full, normal = {
        "sqlite": ("PRAGMA synchronous", 2, 1),
        "postgresql": ("SHOW synchronous_commit", "on", "off"),
    }[kept_on]
    for _ in range(2):
        with registry.counting() as connection:
            assert connection.exec_driver_sql(asked).scalar_one() == normal
        for durable in (registry.writing, registry.changing):
            with durable() as connection:
                assert connection.exec_driver_sql(asked).scalar_one() == full
