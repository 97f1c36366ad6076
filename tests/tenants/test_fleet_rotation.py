from __future__ import annotations

import pytest
from sqlalchemy import text

from tenants import fleet_rotation, lifecycle, rotation, unfinished
from tenants.errors import Busy
from tenants.fleet_rotation import Outcome, plan_rotation, rotate_fleet
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant
from tests.tenants.world import HISTORY, kill_this_process, killed_in_child, prepare


@pytest.fixture(autouse=True)
def _nobody_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)


def rotate_all(tenancy: Tenancy) -> dict[str, Outcome]:
    return {outcome.slug: outcome for outcome in rotate_fleet(tenancy, plan_rotation(tenancy), lambda _db: 0)}


def versions(tenancy: Tenancy) -> dict[str, int]:
    return {tenant.slug: tenant.key_version for tenant in tenancy.registry.all()}


def test_every_tenant_gets_a_new_key_each_time(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.registry.move_to(acme, State.CLOSED)
    for version in (2, 3):
        assert set(rotate_all(tenancy)) == {"acme", "globex"}
        assert versions(tenancy) == {"acme": version, "globex": version}


def test_a_tenant_that_fails_does_not_hold_up_the_others(tenancy: Tenancy, acme: Tenant) -> None:
    tenancy.databases.path_of(acme).rename(tenancy.databases.path_of(acme).with_name("aside"))
    outcomes = rotate_all(tenancy)
    assert outcomes["acme"].rotated is None
    assert "missing" in outcomes["acme"].fault
    assert outcomes["globex"].rotated is not None
    assert versions(tenancy) == {"acme": 1, "globex": 2}


def test_a_tenant_in_the_making_or_gone_is_passed_over(tenancy: Tenancy, globex: Tenant) -> None:
    def meanwhile(db: object) -> None:
        assert set(rotate_all(tenancy)) == {"acme", "globex"}

    lifecycle.create_tenant(tenancy, "initech", "Initech", meanwhile)
    with tenancy.registry.changing() as connection:
        connection.execute(text("UPDATE tenant SET state = 'purged' WHERE slug = 'globex'"))
    assert set(rotate_all(tenancy)) == {"acme", "initech"}


def test_one_that_was_cut_short_goes_on_with_the_tenants_that_are_left(settings: Settings) -> None:
    def rotate_two() -> None:
        fleet_rotation._AT_ONCE = 1
        with Tenancy.open(settings, HISTORY) as tenancy:
            lifecycle.create_tenant(tenancy, "initech", "Initech", prepare)
            for outcome in rotate_fleet(tenancy, plan_rotation(tenancy), lambda _db: 0):
                if outcome.slug == "acme":
                    rotation._retire = kill_this_process  # type: ignore[assignment]

    assert killed_in_child(rotate_two)
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert versions(tenancy) == {"acme": 2, "globex": 2, "initech": 1}
        lifecycle.create_tenant(tenancy, "newcomer", "Newcomer", prepare)
        plan = plan_rotation(tenancy)
        # What was begun is gone on with, whoever is new gets a key like all others.
        assert (sorted(plan.slugs), plan.done) == (["globex", "initech", "newcomer"], 1)
        outcomes = {outcome.slug: outcome for outcome in rotate_fleet(tenancy, plan, lambda _db: 0)}
        rotated = outcomes["globex"].rotated
        assert rotated is not None
        assert rotated.resumed
        assert set(versions(tenancy).values()) == {2}
        assert plan_rotation(tenancy).done == 0


def test_one_that_ended_is_not_gone_on_with(tenancy: Tenancy) -> None:
    rotate_all(tenancy)
    with tenancy.registry.engine.connect() as connection:
        assert unfinished.find_all(connection) == []


def test_whoever_stops_listening_has_no_more_of_them_begun(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_rotation, "_AT_ONCE", 1)
    for number in range(5):
        lifecycle.create_tenant(tenancy, f"tenant{number}", "T", prepare)
    outcomes = rotate_fleet(tenancy, plan_rotation(tenancy), lambda _db: 0)
    next(outcomes)
    outcomes.close()
    assert 1 in versions(tenancy).values()
    assert plan_rotation(tenancy).done >= 1


def test_one_rotation_of_all_at_a_time(tenancy: Tenancy) -> None:
    with tenancy.locks.hold("fleet.keys"), pytest.raises(Busy):
        rotate_all(tenancy)
    assert versions(tenancy) == {"acme": 1, "globex": 1}
