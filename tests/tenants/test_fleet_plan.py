"""What a run is going to do: who goes first, in which waves, and how much may fail."""

from __future__ import annotations

import os
from uuid import UUID

import pytest

from tenants.fleet.census import Census
from tenants.fleet.journal import StepState
from tenants.fleet.plan import Options, Plan, make_plan
from tenants.tenant import EMBEDDED, State, Tenant


def fleet(count: int, **states: State) -> Census:
    """As many tenants as wanted, by slug, all at schema 1 under code that needs 2."""
    tenants = [
        Tenant(UUID(int=number), f"t{number:04}", "T", states.get(f"t{number:04}", State.ACTIVE), 1, 1, EMBEDDED)
        for number in range(count)
    ]
    return Census(2, tenants, {tenant.uuid: 1 for tenant in tenants}, [], {})


def planned(census: Census, options: Options | None = None) -> Plan:
    return make_plan(census, options or Options())[0]


@pytest.mark.parametrize(
    ("count", "size", "waves"),
    [
        (0, None, ()),
        (1, None, (1,)),
        (2, None, (1, 1)),
        (10, None, (1, 1, 8)),
        (1000, None, (1, 50, 949)),
        (1, 5, (1,)),
        (12, 5, (1, 5, 5, 1)),
    ],
)
def test_waves_grow_unless_their_size_was_given(count: int, size: int | None, waves: tuple[int, ...]) -> None:
    census = fleet(count)
    plan, steps = make_plan(census, Options(wave=size))
    assert plan.waves == waves
    assert tuple(sum(step.wave == number for step in steps) for number in range(len(waves))) == waves
    assert {step.tenant_uuid for step in steps} == {tenant.uuid for tenant in census.tenants}


@pytest.mark.parametrize(
    ("asked", "states", "canary"),
    [
        ("", {}, "t0000"),
        ("", {"t0000": State.SUSPENDED, "t0001": State.CLOSED}, "t0002"),
        ("", dict.fromkeys(["t0000", "t0001", "t0002"], State.SUSPENDED), "t0000"),
        ("t0002", {}, "t0002"),
        ("t0002", {"t0002": State.SUSPENDED}, "t0002"),
        ("nobody", {}, "t0000"),
    ],
)
def test_the_canary_is_the_first_active_tenant_unless_another_was_named(
    asked: str, states: dict[str, State], canary: str
) -> None:
    census = fleet(3, **states)
    plan, steps = make_plan(census, Options(canary=asked))
    assert plan.canary == canary
    slugs = {tenant.uuid: tenant.slug for tenant in census.tenants}
    assert [slugs[step.tenant_uuid] for step in steps if step.wave == 0] == [canary]


@pytest.mark.parametrize(("count", "asked", "allowed"), [(1, None, 1), (99, None, 1), (1000, None, 20), (1000, 0, 0)])
def test_two_percent_may_fail_and_at_least_one(count: int, asked: int | None, allowed: int) -> None:
    assert planned(fleet(count), Options(max_failures=asked)).max_failures == allowed


def test_as_many_are_migrated_at_once_as_there_are_processors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 12)
    assert planned(fleet(1)).jobs == 12
    assert planned(fleet(1), Options(jobs=3)).jobs == 3
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert planned(fleet(1)).jobs == 1


def test_only_who_is_behind_is_planned_for() -> None:
    census = fleet(4)
    census.versions[UUID(int=1)] = 2
    census.versions[UUID(int=2)] = 3
    plan, steps = make_plan(census, Options())
    assert [(step.tenant_uuid.int, step.from_version, step.to_version) for step in steps] == [(0, 1, 2), (3, 1, 2)]
    assert planned(census, Options(canary="t0001")).canary == "t0000"
    assert (plan.target, plan.waves) == (2, (1, 1))


def test_who_has_no_database_is_written_down_and_skipped() -> None:
    census = fleet(2)
    del census.versions[UUID(int=0)]
    _plan, steps = make_plan(census, Options())
    assert [(step.tenant_uuid.int, step.state, step.error) for step in steps] == [
        (1, StepState.PLANNED, ""),
        (0, StepState.SKIPPED, "It has no database."),
    ]


def test_a_plan_can_be_for_some_tenants_alone() -> None:
    census = fleet(4)
    del census.versions[UUID(int=3)]
    _plan, steps = make_plan(census, Options(only_failed=True), {UUID(int=2), UUID(int=1)})
    assert [step.tenant_uuid.int for step in steps] == [1, 2]


def test_a_plan_is_read_as_it_was_written() -> None:
    plan = planned(fleet(30), Options("t0003", 7, 4, 3, True, True))
    assert Plan.read(plan.document()) == plan
