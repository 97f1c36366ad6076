"""A run over the fleet: the canary, then waves, until all is done or too much has failed. Killed, it can be resumed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from uuid import UUID

from tenants.errors import RunRefused, ServerUnusable
from tenants.fleet.census import Census, take_census
from tenants.fleet.journal import UNFINISHED, Report, Run, RunJournal, RunState, Step, StepState
from tenants.fleet.migration import Snapshot
from tenants.fleet.plan import Options, Plan, make_plan, processes
from tenants.fleet.waves import Tell, go_through_waves
from tenants.locks import FLEET
from tenants.tenancy import Tenancy

MIGRATE = "migrate"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to, or is going to do. ``run`` is None when nothing was begun."""

    run: Run | None
    plan: Plan
    steps: list[Step]

    @property
    def is_well(self) -> bool:
        """Whether the run came to its end and no tenant failed."""
        ended = self.run is None or self.run.state is RunState.DONE
        return ended and all(step.state is not StepState.FAILED for step in self.steps)


def preview(tenancy: Tenancy, options: Options, *, abandon: bool = False) -> Outcome:
    """Return what ``migrate`` would do now; raise as it would, but for Busy."""
    last = RunJournal(tenancy.registry, MIGRATE).last()
    _refuse_unfinished(last, abandon)
    return _plan(tenancy, options, last)


def migrate(
    tenancy: Tenancy,
    options: Options,
    started_by: str,
    tell: Tell,
    snapshot: Snapshot | None = None,
    *,
    abandon: bool = False,
) -> Outcome:
    """Bring every tenant to this code's schema in a new run; ``tell`` hears of each one.

    ``snapshot`` is what keeps a tenant as it is, when the options ask for that.
    Raises Busy while another command is at work on the fleet, RunRefused when the last run is unfinished and not to be
    abandoned, ServerUnusable when tenants are where nobody can be asked.
    """
    journal = RunJournal(tenancy.registry, MIGRATE)
    with tenancy.locks.hold(FLEET):
        last = journal.last()
        _refuse_unfinished(last, abandon)
        planned = _plan(tenancy, options, last)
        if last is not None and last.state in UNFINISHED:
            journal.settle(last, RunState.ABANDONED)
        if not planned.plan.waves:
            return planned
        run = journal.begin(planned.plan.document(), started_by, planned.steps)
        return _carry_out(tenancy, journal, run, planned.plan, tell, snapshot)


def resume(
    tenancy: Tenancy,
    tell: Tell,
    snapshot: Snapshot | None = None,
    *,
    jobs: int | None = None,
    max_failures: int | None = None,
) -> Outcome:
    """Go on with the last run: what is not done is done, what failed is tried again. Raises as ``migrate``."""
    journal = RunJournal(tenancy.registry, MIGRATE)
    with tenancy.locks.hold(FLEET):
        run = journal.last()
        if run is None or run.state not in UNFINISHED:
            raise RunRefused("There is no unfinished run. Begin one with: extranet fleet migrate")
        plan = Plan.read(run.plan)
        census = _ask(tenancy)
        if census.target != plan.target:
            raise RunRefused(
                f"Run {run.id} was going to schema {plan.target}, and this code needs {census.target}. "
                "Begin anew with: extranet fleet migrate --new"
            )
        _look_at_what_was_running(journal, run, census)
        journal.settle(run, RunState.RUNNING)
        plan = replace(
            plan,
            jobs=plan.jobs if jobs is None else processes(jobs),
            max_failures=plan.max_failures if max_failures is None else max_failures,
        )
        return _carry_out(tenancy, journal, run, plan, tell, snapshot)


def _carry_out(
    tenancy: Tenancy, journal: RunJournal, run: Run, plan: Plan, tell: Tell, snapshot: Snapshot | None
) -> Outcome:
    try:
        is_done = go_through_waves(tenancy, journal, run, plan, tell, snapshot if plan.snapshot else None)
    except KeyboardInterrupt:
        journal.settle(run, RunState.STOPPED)
        raise
    ended = journal.settle(run, RunState.DONE if is_done else RunState.STOPPED)
    return Outcome(ended, plan, journal.steps(run))


def _plan(tenancy: Tenancy, options: Options, last: Run | None) -> Outcome:
    only = _failed(tenancy, last) if options.only_failed else None
    return Outcome(None, *make_plan(_ask(tenancy), options, only))


def _ask(tenancy: Tenancy) -> Census:
    census = take_census(tenancy)
    for tenant in census.tenants:
        if tenant.server in census.faults:
            raise ServerUnusable(census.faults[tenant.server])
    return census


def _failed(tenancy: Tenancy, last: Run | None) -> set[UUID]:
    steps = [] if last is None else RunJournal(tenancy.registry, MIGRATE).steps(last)
    failed = {step.tenant_uuid for step in steps if step.state is StepState.FAILED}
    if not failed:
        raise RunRefused("Nothing failed in the last run.")
    return failed


def _refuse_unfinished(last: Run | None, abandon: bool) -> None:
    if last is not None and last.state in UNFINISHED and not abandon:
        raise RunRefused(
            f"Run {last.id} is unfinished. Go on with: extranet fleet migrate --resume, or give it up with --new"
        )


def _look_at_what_was_running(journal: RunJournal, run: Run, census: Census) -> None:
    # Its process may have committed before it could tell. What only its write-ahead log knows yet is tried again, and
    # found to be done.
    ended = [
        Report(step.tenant_uuid, StepState.DONE)
        for step in journal.steps(run)
        if step.state is StepState.RUNNING and census.versions.get(step.tenant_uuid, 0) >= census.target
    ]
    journal.write(run, ended=ended)
