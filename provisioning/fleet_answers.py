"""What the commands of ``extranet fleet`` answer: documents for programs, lines for people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from provisioning.table import layout
from tenants.fleet.journal import Run, RunState, Step, StepState
from tenants.fleet.run import Outcome
from tenants.fleet.status import Status

Slugs = Mapping[UUID, str]

_SHOWN = 10
_KILLED = "killed"


def status_document(status: Status, slugs: Slugs) -> dict[str, Any]:
    """Return the fleet and its last run."""
    census = status.census
    counts = census.counts()
    return {
        "schema": census.target,
        "servers": [
            {
                "server": server,
                "tenants": {str(version): count for version, count in counts.get(server, {}).items()},
                "fault": census.faults.get(server, ""),
            }
            for server in sorted({*counts, *census.faults})
        ],
        "behind": [
            {"slug": tenant.slug, "server": tenant.server, "schema": census.versions[tenant.uuid]}
            for tenant in census.behind
        ],
        "missing": [{"slug": tenant.slug, "server": tenant.server} for tenant in census.missing],
        "strays": [{"uuid": str(stray.uuid), "server": stray.server} for stray in census.strays],
        "run": None if status.run is None else _run_document(status.run, _state(status), status.steps, slugs),
    }


def status_lines(status: Status, slugs: Slugs) -> Iterator[str]:
    """Say the same to a person."""
    census = status.census
    rows = [
        [server, str(version), str(count), "" if version >= census.target else "behind"]
        for server, versions in census.counts().items()
        for version, count in versions.items()
    ]
    yield f"This code needs schema {census.target}."
    yield from layout(["Server", "Schema", "Tenants", ""], rows, None) if rows else ["There is no tenant yet."]
    yield from (f"{server}: {fault}" for server, fault in census.faults.items())
    yield from _listed("behind", [tenant.slug for tenant in census.behind])
    yield from _listed("without a database", [tenant.slug for tenant in census.missing])
    yield from _listed("database of no tenant", [f"{stray.uuid} on {stray.server}" for stray in census.strays])
    if status.run is not None:
        yield from _run_lines(status.run, _state(status), status.steps, slugs)
    elif census.behind:
        yield "Bring them there with: extranet fleet migrate"


def plan_document(outcome: Outcome, slugs: Slugs) -> dict[str, Any]:
    """Return what would be done."""
    return {"plan": outcome.plan.document(), "steps": [_step_document(step, slugs) for step in outcome.steps]}


def plan_lines(outcome: Outcome, slugs: Slugs) -> Iterator[str]:
    """Say what would be done."""
    plan = outcome.plan
    if not plan.waves:
        yield f"No tenant is behind schema {plan.target}: there is nothing to do."
    else:
        then = "".join(f", then {size}" for size in plan.waves[1:])
        total = sum(plan.waves)
        yield f"{_tenants(total)} would be brought to schema {plan.target}: {plan.canary} alone{then}."
        snapshot = "a backup of each before" if plan.snapshot else "no backups before"
        yield f"{plan.jobs} at once, {snapshot}; more than {plan.max_failures} failed would stop the run."
    yield from _troubles(outcome.steps, slugs)


def outcome_document(outcome: Outcome, slugs: Slugs) -> dict[str, Any]:
    """Return what a run came to; ``run`` is null when there was nothing to do."""
    if outcome.run is None:
        return {"run": None, "schema": outcome.plan.target}
    return {
        "run": _run_document(outcome.run, outcome.run.state, outcome.steps, slugs),
        "schema": outcome.plan.target,
    }


def outcome_lines(outcome: Outcome, slugs: Slugs) -> Iterator[str]:
    """Say what a run came to."""
    if outcome.run is None:
        yield f"No tenant is behind schema {outcome.plan.target}: there is nothing to do."
        yield from _troubles(outcome.steps, slugs)
        return
    yield from _run_lines(outcome.run, outcome.run.state, outcome.steps, slugs)


def _state(status: Status) -> str:
    if status.run is None or status.run.state is not RunState.RUNNING or status.alive:
        return str(status.run.state) if status.run else ""
    return _KILLED


def _run_document(run: Run, state: str, steps: Iterable[Step], slugs: Slugs) -> dict[str, Any]:
    steps = list(steps)
    return {
        "id": run.id,
        "state": str(state),
        "plan": dict(run.plan),
        "started_at": f"{run.started_at:%Y-%m-%dT%H:%M:%SZ}",
        "started_by": run.started_by,
        "ended_at": f"{run.ended_at:%Y-%m-%dT%H:%M:%SZ}" if run.ended_at else None,
        "counts": {str(one): sum(step.state is one for step in steps) for one in StepState},
        "steps": [_step_document(step, slugs) for step in steps],
    }


def _step_document(step: Step, slugs: Slugs) -> dict[str, Any]:
    return {
        "slug": slugs.get(step.tenant_uuid, ""),
        "uuid": str(step.tenant_uuid),
        "wave": step.wave,
        "state": str(step.state),
        "from": step.from_version,
        "to": step.to_version,
        "attempts": step.attempts,
        "ms": step.ms,
        "error": step.error,
    }


def _run_lines(run: Run, state: str, steps: list[Step], slugs: Slugs) -> Iterator[str]:
    counted = ((one, sum(step.state is one for step in steps)) for one in StepState)
    told = ", ".join(f"{count} {one}" for one, count in counted if count)
    came_to = "ended" if state == RunState.DONE else state
    yield f"Run {run.id} to schema {run.plan['target']}, by {run.started_by}: {came_to}, {told or 'without a tenant'}."
    yield from _troubles(steps, slugs)
    if state in {RunState.STOPPED, _KILLED}:
        yield "Go on with: extranet fleet migrate --resume"
    elif any(step.state is StepState.FAILED for step in steps):
        yield "Try these again with: extranet fleet migrate --only-failed"


def _troubles(steps: Iterable[Step], slugs: Slugs) -> Iterator[str]:
    troubles = [step for step in steps if step.state in {StepState.FAILED, StepState.SKIPPED}]
    for step in troubles[:_SHOWN]:
        yield f"  {slugs.get(step.tenant_uuid, step.tenant_uuid)} {step.state}: {step.error}"
    if len(troubles) > _SHOWN:
        yield f"  and {len(troubles) - _SHOWN} more: see --json"


def _listed(what: str, names: list[str]) -> Iterator[str]:
    if names:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        yield f"{what}: {', '.join(names[:_SHOWN])}{more}"


def _tenants(count: int) -> str:
    return "1 tenant" if count == 1 else f"{count} tenants"
