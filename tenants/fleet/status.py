"""The fleet as it is, and what became of its last run."""

from __future__ import annotations

from dataclasses import dataclass

from tenants.errors import Busy
from tenants.fleet.census import Census, take_census
from tenants.fleet.journal import UNFINISHED, Run, RunJournal, RunState, Step
from tenants.fleet.run import MIGRATE
from tenants.locks import FLEET
from tenants.tenancy import Tenancy


@dataclass(frozen=True, slots=True)
class Status:
    """One look at the fleet. A run that says it is running and is not ``alive`` was killed."""

    census: Census
    run: Run | None
    steps: list[Step]
    alive: bool

    @property
    def needs_attention(self) -> bool:
        """Whether an operator has something to do."""
        census = self.census
        unfinished = self.run is not None and self.run.state in UNFINISHED and not self.alive
        return bool(census.behind or census.missing or census.strays or census.faults or unfinished)


def status_of(tenancy: Tenancy) -> Status:
    """Look. No tenant database is opened, and none of an embedded tenant may be open in this process."""
    journal = RunJournal(tenancy.registry, MIGRATE)
    run = journal.last()
    alive = run is not None and run.state is RunState.RUNNING and _is_held(tenancy)
    return Status(take_census(tenancy), run, [] if run is None else journal.steps(run), alive)


def _is_held(tenancy: Tenancy) -> bool:
    try:
        with tenancy.locks.hold(FLEET):
            return False
    except Busy:
        return True
