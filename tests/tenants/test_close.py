"""A closed tenant can be read and not changed; a reopened one has everything but its old cookies."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from sqlalchemy import select, update

from extranet.models import User
from tenants import lifecycle
from tenants.databases import TenantSession
from tenants.errors import Busy, IllegalTransition, NoSuchTenant, TenantClosed, TenantUnavailable
from tenants.registry import Registry
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.platform import Platform
from tests.tenants.lives import everything_of, killed_after, killed_before, rows_of
from tests.tenants.world import HISTORY, kill_this_process, killed_in_child


class Listener:
    """Notes what is told, and in which state the tenant is meanwhile."""

    def __init__(self, tenancy: Tenancy) -> None:
        self.tenancy = tenancy
        self.told: list[tuple[State, Mapping[str, Any]]] = []

    def __call__(self, db: TenantSession, details: Mapping[str, Any]) -> None:
        db.execute(update(User).values(theme="dark"))
        self.told.append((self.tenancy.registry.by_uuid(db.tenant.uuid).state, details))


def test_closing_and_reopening_are_repeatable_and_touch_one_tenant(platform: Platform) -> None:
    tenancy = platform.tenancy
    globex, rows = everything_of(tenancy, "globex"), rows_of(tenancy, platform.tenant("acme"))
    for _ in range(2):
        assert lifecycle.close_tenant(tenancy, "acme").state is State.CLOSED
    for _ in range(2):
        assert lifecycle.reopen_tenant(tenancy, "acme").state is State.ACTIVE
    assert rows_of(tenancy, platform.tenant("acme")) == rows
    assert everything_of(tenancy, "globex") == globex


def test_a_closed_tenant_is_read_and_not_changed(platform: Platform) -> None:
    tenant = lifecycle.close_tenant(platform.tenancy, "acme")
    with platform.tenancy.open_db(tenant) as db:
        assert len(db.scalars(select(User)).all()) == 3
    with pytest.raises(TenantClosed, match="can be read"), platform.tenancy.open_db(tenant, writing=True):
        pass


@pytest.mark.parametrize("suspended_first", [False, True])
def test_no_old_cookie_opens_a_reopened_tenant(platform: Platform, suspended_first: bool) -> None:
    tenancy, anna, neighbour = platform.tenancy, platform.signed_in("acme"), platform.signed_in("globex")
    if suspended_first:
        lifecycle.suspend_tenant(tenancy, "acme")
    lifecycle.close_tenant(tenancy, "acme")
    tenancy.generation.forget()
    assert anna.get("/").status_code == 410
    lifecycle.reopen_tenant(tenancy, "acme")
    tenancy.generation.forget()
    assert anna.get("/").status_code == 303
    assert platform.signed_in("acme").get("/").status_code == 200
    assert neighbour.get("/").status_code == 200


def test_its_people_are_told_before_it_happens_and_not_twice(platform: Platform) -> None:
    listener = Listener(platform.tenancy)
    for change in (lifecycle.close_tenant, lifecycle.close_tenant, lifecycle.reopen_tenant, lifecycle.reopen_tenant):
        change(platform.tenancy, "acme", listener)
    assert listener.told == [(State.ACTIVE, {"was": "active"}), (State.CLOSED, {})]
    with platform.db("acme", writing=False) as db:
        assert set(db.scalars(select(User.theme))) == {"dark"}


def test_a_suspension_comes_first_and_is_told_afterwards_once(platform: Platform) -> None:
    listener = Listener(platform.tenancy)
    for change in (lifecycle.suspend_tenant, lifecycle.resume_tenant):
        for _ in range(2):
            change(platform.tenancy, "acme", listener)
    assert listener.told == [(State.SUSPENDED, {"was": "active"}), (State.ACTIVE, {"was": "suspended"})]


def test_what_has_to_stop_stops_even_when_its_database_takes_no_word_of_it(platform: Platform) -> None:
    def fail(*_: object) -> None:
        raise TenantUnavailable("It is damaged.")

    assert lifecycle.suspend_tenant(platform.tenancy, "acme", fail).state is State.SUSPENDED
    assert lifecycle.resume_tenant(platform.tenancy, "acme", fail).state is State.ACTIVE


def test_what_nobody_could_be_told_of_does_not_happen(platform: Platform) -> None:
    def fail(*_: object) -> None:
        raise ValueError

    with pytest.raises(ValueError):
        lifecycle.close_tenant(platform.tenancy, "acme", fail)
    assert platform.tenant("acme").state is State.ACTIVE


def test_each_state_is_left_in_its_own_way(platform: Platform) -> None:
    tenancy = platform.tenancy
    lifecycle.suspend_tenant(tenancy, "acme")
    with pytest.raises(IllegalTransition, match="run extranet tenant resume acme"):
        lifecycle.reopen_tenant(tenancy, "acme")
    lifecycle.close_tenant(tenancy, "acme")
    for change in (lifecycle.suspend_tenant, lifecycle.resume_tenant):
        with pytest.raises(IllegalTransition, match="closed: run extranet tenant reopen acme"):
            change(tenancy, "acme")
    tenancy.registry.move_to(platform.tenant("acme"), State.PURGED)
    for other in (lifecycle.suspend_tenant, lifecycle.resume_tenant, lifecycle.close_tenant, lifecycle.reopen_tenant):
        with pytest.raises(IllegalTransition, match="does not come back"):
            other(tenancy, "acme")
        with pytest.raises(NoSuchTenant):
            other(tenancy, "nobody")


def test_what_was_never_finished_is_neither_closed_nor_reopened(platform: Platform) -> None:
    def create() -> None:
        with Tenancy.open(platform.settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", kill_this_process)

    assert killed_in_child(create)
    for change in (lifecycle.close_tenant, lifecycle.reopen_tenant):
        with pytest.raises(IllegalTransition, match="never finished: run extranet tenant create initech"):
            change(platform.tenancy, "initech")


def test_what_has_to_stop_stops_while_a_long_command_is_at_work(platform: Platform) -> None:
    tenancy = platform.tenancy
    with tenancy.locks.hold("acme"):
        assert lifecycle.suspend_tenant(tenancy, "acme").state is State.SUSPENDED
        assert lifecycle.resume_tenant(tenancy, "acme").state is State.ACTIVE
        for change in (lifecycle.close_tenant, lifecycle.reopen_tenant):
            with pytest.raises(Busy):
                change(tenancy, "acme")


def test_of_two_that_change_a_state_at_once_the_second_is_told(platform: Platform) -> None:
    def meanwhile(_db: TenantSession, _details: Mapping[str, Any]) -> None:
        lifecycle.suspend_tenant(platform.tenancy, "acme")

    with pytest.raises(IllegalTransition, match="changed meanwhile"):
        lifecycle.close_tenant(platform.tenancy, "acme", meanwhile)
    assert platform.tenant("acme").state is State.SUSPENDED


@pytest.mark.parametrize("wrap", [killed_before, killed_after])
@pytest.mark.parametrize(("owner", "name"), [(TenantSession, "commit"), (Registry, "move_to")])
def test_a_kill_leaves_one_state_or_the_other_and_the_next_try_succeeds(
    home_settings: Settings, owner: Any, name: str, wrap: Any
) -> None:
    def tell(_db: TenantSession, _details: Mapping[str, Any]) -> None:
        pass

    def change(kind: Any) -> Tenant:
        with Tenancy.open(home_settings, HISTORY) as tenancy:
            changed: Tenant = kind(tenancy, "acme", tell)
            return changed

    def die(kind: Any) -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        change(kind)

    for kind, state in ((lifecycle.close_tenant, State.CLOSED), (lifecycle.reopen_tenant, State.ACTIVE)):
        assert killed_in_child(lambda kind=kind: die(kind))
        assert change(kind).state is state
