"""What a run is going to do: which tenants, in which waves, and when it is to stop. Decided once, written down."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

from tenants.fleet.census import Census
from tenants.fleet.journal import Step, StepState
from tenants.tenant import State, Tenant

_SECOND_WAVE_PERCENT = 5
_MOST_FAILURES_PERCENT = 2


@dataclass(frozen=True, slots=True)
class Options:
    """What the operator asked for; what is empty or None is decided by ``make_plan``."""

    canary: str = ""
    wave: int | None = None
    max_failures: int | None = None
    jobs: int | None = None
    only_failed: bool = False
    snapshot: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A run's plan, as the registry keeps it.

    ``waves`` are sizes, the canary's first. More than ``max_failures`` failures, or one of the canary, stop the run.
    """

    target: int
    canary: str
    waves: tuple[int, ...]
    max_failures: int
    jobs: int
    only_failed: bool
    snapshot: bool

    def document(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> Plan:
        """Return the plan that ``document`` returned these values of."""
        return cls(**{**document, "waves": tuple(document["waves"])})


def make_plan(census: Census, options: Options, only: Collection[UUID] | None = None) -> tuple[Plan, list[Step]]:
    """Plan for all tenants that are behind, or those of them in ``only``; return the plan and its steps."""
    behind = [tenant for tenant in census.behind if only is None or tenant.uuid in only]
    ordered = _canary_first(behind, options.canary)
    waves = _waves(len(ordered), options.wave)
    total = len(ordered)
    plan = Plan(
        target=census.target,
        canary=ordered[0].slug if ordered else "",
        waves=waves,
        max_failures=_share(total, _MOST_FAILURES_PERCENT) if options.max_failures is None else options.max_failures,
        jobs=processes(options.jobs),
        only_failed=options.only_failed,
        snapshot=options.snapshot,
    )
    return plan, [*_steps(census, ordered, waves), *_skipped(census, only)]


def processes(asked: int | None) -> int:
    """Return how many processes work at once: as many as asked, else one a processor."""
    return asked or os.cpu_count() or 1


def _canary_first(tenants: Sequence[Tenant], asked: str) -> list[Tenant]:
    # One that was asked for and is not behind has sung already; another one takes its place.
    named = [tenant for tenant in tenants if tenant.slug == asked]
    active = [tenant for tenant in tenants if tenant.state is State.ACTIVE]
    first = (named or active or tenants)[:1]
    return [*first, *(tenant for tenant in tenants if tenant not in first)]


def _waves(total: int, size: int | None) -> tuple[int, ...]:
    waves, left = [1], total - 1
    while left > 0:
        growing = _share(total, _SECOND_WAVE_PERCENT) if len(waves) == 1 else left
        waves.append(min(left, size or growing))
        left -= waves[-1]
    return tuple(waves) if total else ()


def _share(total: int, percent: int) -> int:
    return max(1, total * percent // 100)


def _steps(census: Census, ordered: Sequence[Tenant], waves: Sequence[int]) -> list[Step]:
    numbers = [number for number, size in enumerate(waves) for _ in range(size)]
    return [
        Step(tenant.uuid, number, StepState.PLANNED, census.versions[tenant.uuid], census.target)
        for tenant, number in zip(ordered, numbers, strict=True)
    ]


def _skipped(census: Census, only: Collection[UUID] | None) -> list[Step]:
    missing = [] if only is not None else census.missing
    return [Step(tenant.uuid, 0, StepState.SKIPPED, error="It has no database.") for tenant in missing]
