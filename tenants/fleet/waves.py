"""The waves of one run, by the only process that writes its journal."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tenants.fleet.crew import Crew, Errand
from tenants.fleet.journal import Report, Run, RunJournal, Step, StepState
from tenants.fleet.migration import Snapshot
from tenants.fleet.plan import Plan
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant

_TO_DO = frozenset({StepState.PLANNED, StepState.RUNNING, StepState.FAILED})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is. This command had ``reported`` of its tenants come back in ``seconds``; ``left`` are to come."""

    run: int
    wave: int
    waves: int
    total: int
    done: int
    failed: int
    reported: int
    left: int
    seconds: float


Tell = Callable[[Progress], None]


def go_through_waves(
    tenancy: Tenancy, journal: RunJournal, run: Run, plan: Plan, tell: Tell, snapshot: Snapshot | None
) -> bool:
    """Do what is to be done of a run; return whether it came to its end before too much had failed."""
    waves = _Waves(tenancy, journal, run, plan, tell)
    with Crew(plan.jobs, Errand(tenancy.settings, tenancy.history, snapshot)) as crew:
        try:
            for wave in range(len(plan.waves)):
                waves.go_through(crew, wave)
        except KeyboardInterrupt:
            # Nothing more is begun. What is under way is ended and written down.
            waves.go_through(crew, len(plan.waves))
            raise
    return not waves.is_stopped


class _Waves:
    def __init__(self, tenancy: Tenancy, journal: RunJournal, run: Run, plan: Plan, tell: Tell) -> None:
        self.is_stopped = False
        self._journal = journal
        self._run = run
        self._plan = plan
        self._tell = tell
        self._began = time.monotonic()
        self._tenants = {tenant.uuid: tenant for tenant in tenancy.registry.all()}
        self._steps = sorted(journal.steps(run), key=self._slug_of)
        self._before = Counter(step.state for step in self._steps)
        self._reported: Counter[StepState] = Counter()

    def go_through(self, crew: Crew, wave: int) -> None:
        to_do = self._to_do(wave)
        ended: list[Report] = []
        while True:
            # One transaction says what has ended and what begins in its place, before it begins.
            while crew.has_room and (tenant := next(to_do, None)):
                self._journal.write(self._run, ended=ended, begun=[tenant.uuid])
                ended = []
                crew.begin(tenant)
            if ended:
                self._journal.write(self._run, ended=ended)
            report = crew.wait()
            if report is None:
                return
            ended = [report]
            self._count(report, wave)

    def _to_do(self, wave: int) -> Iterator[Tenant]:
        """Yield the wave's tenants, for as long as the run is not stopped."""
        for step in self._steps:
            if step.wave != wave or step.state not in _TO_DO:
                continue
            if self.is_stopped:
                return
            tenant = self._tenants.get(step.tenant_uuid)
            if tenant is not None:
                yield tenant
            else:
                gone = Report(step.tenant_uuid, StepState.SKIPPED, error="It is no longer in the registry.")
                self._journal.write(self._run, ended=[gone])
                self._count(gone, wave)

    def _count(self, report: Report, wave: int) -> None:
        self._reported[report.state] += 1
        # A canary is there to fail alone.
        self.is_stopped |= self._reported[StepState.FAILED] > (self._plan.max_failures if wave else 0)
        self._tell(self._progress(wave))

    def _slug_of(self, step: Step) -> str:
        tenant = self._tenants.get(step.tenant_uuid)
        return tenant.slug if tenant is not None else ""

    def _progress(self, wave: int) -> Progress:
        reported = self._reported.total()
        return Progress(
            run=self._run.id,
            wave=min(wave + 1, len(self._plan.waves)),
            waves=len(self._plan.waves),
            total=sum(self._plan.waves),
            done=self._before[StepState.DONE] + self._reported[StepState.DONE],
            failed=self._reported[StepState.FAILED],
            reported=reported,
            left=sum(self._before[state] for state in _TO_DO) - reported,
            seconds=time.monotonic() - self._began,
        )
