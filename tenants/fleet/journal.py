"""Runs over the fleet and their steps, a row a tenant: what a killed run had done is known to the next one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Row, bindparam, func, insert, select, update

from tenants.moments import now
from tenants.registry import Registry
from tenants.registry_tables import fleet_run_table, fleet_step_table


class RunState(StrEnum):
    """What became of a run. One that says RUNNING while nobody holds the fleet's lock was killed."""

    RUNNING = "running"
    STOPPED = "stopped"
    DONE = "done"
    ABANDONED = "abandoned"


UNFINISHED = frozenset({RunState.RUNNING, RunState.STOPPED})


class StepState(StrEnum):
    """What became of one tenant in a run. RUNNING stays when the run is killed."""

    PLANNED = "planned"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Step:
    """One tenant in a run. ``error`` says why it failed or was skipped."""

    tenant_uuid: UUID
    wave: int
    state: StepState
    from_version: int | None = None
    to_version: int | None = None
    attempts: int = 0
    ms: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of one attempt at a tenant."""

    tenant_uuid: UUID
    state: StepState
    ms: int = 0
    from_version: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One run."""

    id: int
    state: RunState
    plan: Mapping[str, Any]
    started_at: datetime
    started_by: str
    ended_at: datetime | None


class RunJournal:
    """The runs of one verb."""

    def __init__(self, registry: Registry, verb: str) -> None:
        self._registry = registry
        self._verb = verb

    def begin(self, plan: Mapping[str, Any], started_by: str, steps: Iterable[Step]) -> Run:
        """Write down a run with all its steps before the first of them is taken."""
        values = {"verb": self._verb, "plan": json.dumps(plan), "started_by": started_by}
        with self._registry.writing() as connection:
            begun = insert(fleet_run_table).values(state=RunState.RUNNING, started_at=now(), **values)
            run = _run(connection.execute(begun.returning(fleet_run_table)).one())
            if rows := [{"run_id": run.id, **_values(step)} for step in steps]:
                connection.execute(insert(fleet_step_table), rows)
        return run

    def last(self) -> Run | None:
        """Return the newest run, if there ever was one."""
        ours = select(fleet_run_table).where(fleet_run_table.c.verb == self._verb)
        with self._registry.engine.connect() as connection:
            row = connection.execute(ours.order_by(fleet_run_table.c.id.desc()).limit(1)).one_or_none()
        return None if row is None else _run(row)

    def steps(self, run: Run) -> list[Step]:
        """Return a run's steps, wave by wave."""
        ours = select(fleet_step_table).where(fleet_step_table.c.run_id == run.id)
        with self._registry.engine.connect() as connection:
            rows = connection.execute(ours.order_by(fleet_step_table.c.wave, fleet_step_table.c.tenant_uuid))
            return [_read_step(row) for row in rows]

    def write(self, run: Run, *, ended: Iterable[Report] = (), begun: Iterable[UUID] = ()) -> None:
        """Note what came of tenants, and which are being worked on from now on."""
        # After a power cut the tenant's own version tells what the row has forgotten; nothing waits for the disk here.
        with self._registry.counting() as connection:
            for report in ended:
                connection.execute(_END, {"run": run.id, "tenant": report.tenant_uuid, **_result(report)})
            for tenant_uuid in begun:
                connection.execute(_BEGIN, {"run": run.id, "tenant": tenant_uuid})

    def settle(self, run: Run, state: RunState) -> Run:
        """Note what became of a run, and return it; one that is taken up again has not ended."""
        change = update(fleet_run_table).where(fleet_run_table.c.id == run.id).returning(fleet_run_table)
        ended = None if state is RunState.RUNNING else now()
        with self._registry.writing() as connection:
            return _run(connection.execute(change.values(state=state, ended_at=ended)).one())


# Built once: for each of thousands of steps it would take longer than to run them.
_STEP = update(fleet_step_table).where(
    fleet_step_table.c.run_id == bindparam("run"), fleet_step_table.c.tenant_uuid == bindparam("tenant")
)
_BEGIN = _STEP.values(state=StepState.RUNNING, attempts=fleet_step_table.c.attempts + 1)
_END = _STEP.values(
    state=bindparam("became"),
    from_version=func.coalesce(bindparam("found"), fleet_step_table.c.from_version),
    ms=bindparam("took"),
    error=bindparam("why"),
)


def _result(report: Report) -> dict[str, Any]:
    return {"became": report.state, "found": report.from_version, "took": report.ms, "why": report.error}


def _values(step: Step) -> dict[str, Any]:
    return {name: getattr(step, name) for name in Step.__slots__}


def _run(row: Row[Any]) -> Run:
    return Run(row.id, RunState(row.state), json.loads(row.plan), row.started_at, row.started_by, row.ended_at)


def _read_step(row: Row[Any]) -> Step:
    values = {name: getattr(row, name) for name in Step.__slots__}
    return Step(**{**values, "state": StepState(row.state)})
