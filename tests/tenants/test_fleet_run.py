"""Runs over a fleet: canary, waves, threshold, and what is left when something is killed in the middle."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select

from tenants.errors import Busy, RunRefused
from tenants.fleet import waves
from tenants.fleet.crew import Crew, Errand
from tenants.fleet.journal import Report, RunJournal, RunState, Step, StepState
from tenants.fleet.plan import Options
from tenants.fleet.run import MIGRATE, migrate, preview, resume
from tenants.fleet.waves import Progress
from tenants.locks import FLEET
from tenants.registry_tables import fleet_run_table, fleet_step_table
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import State
from tests.tenants.conftest import settings_of
from tests.tenants.fleets import (
    ADDED,
    COUNTED,
    LATER,
    NOW,
    STRICT,
    InlineCrew,
    allow,
    asked,
    asked_all,
    fill,
    forbid,
    last_steps,
    later,
    silent,
    states,
    tenant_of,
    version_of,
)

SLUGS = [f"t{number}" for number in range(6)]
ALL = ["acme", "globex", *SLUGS]
PATIENCE = 60


@pytest.fixture(scope="module")
def filled_home(finished_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = Path(shutil.copytree(finished_home, tmp_path_factory.mktemp("fleet") / "home"))
    fill(settings_of(home), SLUGS)
    return home


@pytest.fixture
def fleet(filled_home: Path, tmp_path: Path) -> Settings:
    """A home with eight tenants."""
    return settings_of(Path(shutil.copytree(filled_home, tmp_path / "fleet")))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the counted history says which tenant it was run for, and in which process."""
    monkeypatch.setenv("COUNTED_LOG", str(tmp_path / "counted.log"))
    return tmp_path / "counted.log"


@pytest.fixture
def inline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waves, "Crew", InlineCrew)


def run_of(tenancy: Tenancy) -> tuple[int, RunState]:
    run = RunJournal(tenancy.registry, MIGRATE).last()
    assert run is not None
    return run.id, run.state


def versions(settings: Settings, slugs: Iterable[str] = ALL) -> dict[str, int]:
    return asked_all(settings, slugs, "PRAGMA user_version")


def test_a_run_goes_through_the_canary_and_waves_to_every_tenant_and_notes_each(fleet: Settings, log: Path) -> None:
    told: list[Progress] = []
    with later(fleet, COUNTED) as tenancy:
        registry = tenancy.registry
        registry.move_to(registry.by_slug("t4"), State.SUSPENDED)
        registry.move_to(registry.by_slug("t5"), State.CLOSED)
        outcome = migrate(tenancy, Options(canary="t2", wave=4, jobs=2), "somebody", told.append)
        steps = last_steps(tenancy)
    assert outcome.is_well
    assert outcome.run is not None
    assert (outcome.run.state, outcome.run.started_by) == (RunState.DONE, "somebody")
    assert outcome.run.ended_at is not None
    assert versions(fleet) == dict.fromkeys(ALL, LATER)
    assert {slug: step.wave for slug, step in steps.items()} == {
        **dict.fromkeys(["acme", "globex", "t0", "t1"], 1),
        **dict.fromkeys(["t3", "t4", "t5"], 2),
        "t2": 0,
    }
    for step in steps.values():
        assert (step.state, step.from_version, step.to_version, step.attempts) == (StepState.DONE, NOW, LATER, 1)
        assert step.ms is not None
    lines = log.read_text().splitlines()
    assert lines[0].split()[0] == tenant_of(fleet, "t2").uuid.hex
    assert len({line.split()[1] for line in lines}) == 2
    assert [progress.reported for progress in told] == list(range(1, 9))
    first, last = told[0], told[-1]
    assert (first.wave, first.waves, first.total, first.left) == (1, 3, 8, 7)
    assert (last.wave, last.done, last.failed, last.left) == (3, 8, 0, 0)


def test_when_nothing_is_behind_nothing_is_begun(fleet: Settings) -> None:
    with later(fleet, "extranet.migrations") as tenancy:
        outcome = migrate(tenancy, Options(), "somebody", silent)
        assert (outcome.run, outcome.is_well) == (None, True)
        assert RunJournal(tenancy.registry, MIGRATE).last() is None


def test_a_plan_can_be_seen_without_anything_being_done(fleet: Settings) -> None:
    with later(fleet, STRICT) as tenancy:
        outcome = preview(tenancy, Options(canary="t3"))
        assert (outcome.run, outcome.plan.canary, len(outcome.steps)) == (None, "t3", 8)
        assert RunJournal(tenancy.registry, MIGRATE).last() is None
    assert versions(fleet) == dict.fromkeys(ALL, NOW)


# -- failures ----------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("inline")
def test_a_canary_that_fails_stops_the_run_and_goes_first_again(fleet: Settings) -> None:
    forbid(fleet, "acme")
    with later(fleet, STRICT) as tenancy:
        outcome = migrate(tenancy, Options(jobs=2, max_failures=8), "somebody", silent)
        assert not outcome.is_well
        assert run_of(tenancy) == (1, RunState.STOPPED)
        assert Counter(states(tenancy).values()) == {StepState.FAILED: 1, StepState.PLANNED: 7}
        assert "UNIQUE" in last_steps(tenancy)["acme"].error
    assert versions(fleet) == dict.fromkeys(ALL, NOW)
    allow(fleet, "acme")
    with later(fleet, STRICT) as tenancy:
        for options in (Options(), Options(only_failed=True)):
            with pytest.raises(RunRefused, match=r"Run 1 is unfinished.*--resume.*--new"):
                migrate(tenancy, options, "somebody", silent)
        assert resume(tenancy, silent).is_well
        assert run_of(tenancy) == (1, RunState.DONE)
        assert {slug: step.attempts for slug, step in last_steps(tenancy).items()} == {
            **dict.fromkeys(ALL, 1),
            "acme": 2,
        }
        assert last_steps(tenancy)["acme"].error == ""
        with pytest.raises(RunRefused, match="no unfinished run"):
            resume(tenancy, silent)


@pytest.mark.usefixtures("inline")
def test_more_failures_than_were_allowed_stop_the_run_and_fewer_do_not(fleet: Settings) -> None:
    forbid(fleet, "globex", "t0", "t2")
    with later(fleet, STRICT) as tenancy:
        migrate(tenancy, Options(jobs=1), "somebody", silent)
        assert run_of(tenancy) == (1, RunState.STOPPED)
        # One may fail in a fleet of this size. The second failure comes before t1 is begun.
        assert states(tenancy) == {
            **dict.fromkeys(SLUGS, StepState.PLANNED),
            "acme": StepState.DONE,
            **dict.fromkeys(["globex", "t0"], StepState.FAILED),
        }
        resume(tenancy, silent, jobs=2, max_failures=3)
        assert run_of(tenancy) == (1, RunState.DONE)
        assert Counter(states(tenancy).values()) == {StepState.DONE: 5, StepState.FAILED: 3}
        assert last_steps(tenancy)["globex"].attempts == 2


@pytest.mark.usefixtures("inline")
def test_only_what_failed_can_be_tried_again(fleet: Settings) -> None:
    forbid(fleet, "t0", "t1")
    with later(fleet, STRICT) as tenancy:
        with pytest.raises(RunRefused, match="Nothing failed"):
            migrate(tenancy, Options(only_failed=True), "somebody", silent)
        migrate(tenancy, Options(jobs=2, max_failures=2), "somebody", silent)
    allow(fleet, "t0", "t1")
    with later(fleet, STRICT) as tenancy:
        outcome = migrate(tenancy, Options(only_failed=True, jobs=1), "somebody", silent)
        assert outcome.plan.only_failed
        assert outcome.is_well
        assert states(tenancy) == {"t0": StepState.DONE, "t1": StepState.DONE}
        assert run_of(tenancy) == (2, RunState.DONE)
        with pytest.raises(RunRefused, match="Nothing failed"):
            migrate(tenancy, Options(only_failed=True), "somebody", silent)


@pytest.mark.usefixtures("inline")
def test_an_unfinished_run_can_be_given_up(fleet: Settings) -> None:
    forbid(fleet, "acme")
    with later(fleet, STRICT) as tenancy:
        migrate(tenancy, Options(jobs=1), "somebody", silent)
    with later(fleet, ADDED) as tenancy:
        assert preview(tenancy, Options(), abandon=True).plan.waves == (1, 1, 6)
        assert migrate(tenancy, Options(canary="t1", jobs=1), "somebody", silent, abandon=True).is_well
        assert run_of(tenancy) == (2, RunState.DONE)
        with tenancy.registry.engine.connect() as connection:
            found = connection.execute(fleet_run_table.select().order_by(fleet_run_table.c.id)).all()
        assert [row.state for row in found] == [RunState.ABANDONED, RunState.DONE]


@pytest.mark.usefixtures("inline")
def test_a_run_to_another_schema_is_not_gone_on_with(fleet: Settings) -> None:
    forbid(fleet, "acme")
    with later(fleet, STRICT) as tenancy:
        migrate(tenancy, Options(jobs=1), "somebody", silent)
    with (
        later(fleet, "extranet.migrations") as tenancy,
        pytest.raises(RunRefused, match=rf"schema {LATER}, .* needs {NOW}"),
    ):
        resume(tenancy, silent)


# -- killed, interrupted, at the same time -----------------------------------------------------------------------------


def test_a_process_that_is_killed_fails_its_tenant_alone(
    fleet: Settings, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COUNTED_KILLS", tenant_of(fleet, "t1").uuid.hex)
    with later(fleet, COUNTED) as tenancy:
        migrate(tenancy, Options(jobs=1), "somebody", silent)
        assert states(tenancy) == {**dict.fromkeys(ALL, StepState.DONE), "t1": StepState.FAILED}
        assert last_steps(tenancy)["t1"].error == "The process at work on it ended with code -9."
        assert run_of(tenancy) == (1, RunState.DONE)
        assert version_of(fleet, "t1") == NOW
        monkeypatch.delenv("COUNTED_KILLS")
        monkeypatch.setattr(waves, "Crew", InlineCrew)
        assert migrate(tenancy, Options(only_failed=True, jobs=1), "somebody", silent).is_well
    assert asked(fleet, "t1", "SELECT count(*) FROM counted") == [(1,)]


def test_a_process_that_dies_while_it_waits_fails_nobody(fleet: Settings) -> None:
    errand = Errand(fleet, ADDED, None)
    with Crew(1, errand) as crew:
        assert crew.wait() is None
        crew.begin(tenant_of(fleet, "acme"))
        assert crew.wait() is not None
        (worker,) = crew._idle
        assert worker.process.pid is not None
        os.kill(worker.process.pid, signal.SIGKILL)
        worker.process.join()
        crew.begin(tenant_of(fleet, "t1"))
        report = crew.wait()
        assert report is not None
        assert report.state is StepState.DONE


def test_a_run_that_is_interrupted_ends_what_it_is_at_and_begins_nothing_more(
    fleet: Settings, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Progress) -> None:
        if progress.reported == 3:
            raise KeyboardInterrupt

    with later(fleet, COUNTED) as tenancy:
        with pytest.raises(KeyboardInterrupt):
            migrate(tenancy, Options(jobs=2), "somebody", interrupt)
        assert run_of(tenancy) == (1, RunState.STOPPED)
        found = Counter(states(tenancy).values())
        assert found[StepState.PLANNED] == 4
        monkeypatch.setattr(waves, "Crew", InlineCrew)
        assert resume(tenancy, silent).is_well
        assert set(states(tenancy).values()) == {StepState.DONE}
    assert len(log.read_text().splitlines()) == 8


@pytest.mark.usefixtures("inline")
def test_a_tenant_that_left_the_registry_is_skipped(fleet: Settings) -> None:
    forbid(fleet, "acme")
    with later(fleet, STRICT) as tenancy:
        migrate(tenancy, Options(jobs=1), "somebody", silent)
        t3 = tenancy.registry.by_slug("t3")
        with tenancy.registry.changing() as connection:
            connection.exec_driver_sql("UPDATE tenant SET state = 'provisioning' WHERE slug = 't3'")
        tenancy.registry.discard(replace(t3, state=State.PROVISIONING))
        allow(fleet, "acme")
        outcome = resume(tenancy, silent)
        (gone,) = [step for step in outcome.steps if step.tenant_uuid == t3.uuid]
    assert (gone.state, gone.error) == (StepState.SKIPPED, "It is no longer in the registry.")
    assert outcome.is_well


def test_two_runs_at_once_are_one_too_many(fleet: Settings) -> None:
    with later(fleet, ADDED) as tenancy, tenancy.locks.hold(FLEET):
        for begin in (
            lambda: migrate(tenancy, Options(), "somebody", silent),
            lambda: resume(tenancy, silent),
        ):
            with pytest.raises(Busy, match="at work on the fleet"):
                begin()
        assert RunJournal(tenancy.registry, MIGRATE).last() is None


@pytest.mark.usefixtures("inline")
def test_a_tenant_may_be_called_fleet(fleet: Settings) -> None:
    with later(fleet, ADDED) as tenancy:
        tenancy.registry.rename(tenancy.registry.by_slug("acme"), "fleet")
        assert migrate(tenancy, Options(jobs=1), "somebody", silent).is_well


@pytest.fixture
def thousand(fleet: Settings) -> list[str]:
    more = [f"more{number}" for number in range(1000 - len(ALL))]
    fill(fleet, more)
    return [*ALL, *more]


# A thousand databases twice over, and the other core is somebody else's.
@pytest.mark.timeout(400)
def test_a_run_over_a_thousand_that_is_killed_half_way_is_gone_on_with_and_nothing_is_done_twice(
    fleet: Settings, thousand: list[str], log: Path
) -> None:
    command = [sys.executable, "-m", "tests.tenants.fleet_driver", str(fleet.home), COUNTED, "2"]
    with later(fleet, COUNTED) as tenancy, subprocess.Popen(command) as driver:
        wait_for(lambda: count_of(tenancy, StepState.DONE) >= 500)
        with pytest.raises(Busy, match="at work on the fleet"):
            migrate(tenancy, Options(), "somebody", silent)
        driver.kill()
        driver.wait()
        assert run_of(tenancy) == (1, RunState.RUNNING)
        before = last_steps(tenancy)
        assert count_of(tenancy, StepState.DONE) < len(thousand)
        outcome = resume(tenancy, silent)
        after = last_steps(tenancy)
    assert outcome.is_well
    assert versions(fleet, thousand) == dict.fromkeys(thousand, LATER)
    assert asked_all(fleet, thousand, "SELECT count(*) FROM counted") == dict.fromkeys(thousand, 1)
    for slug in thousand:
        was, now = before[slug], after[slug]
        assert now.state is StepState.DONE
        if was.state is StepState.DONE:
            assert now == was
        else:
            assert now.attempts in {was.attempts, was.attempts + 1}
    # What the killed run was at may have been begun twice, and was committed once; everything else was begun once.
    begun = Counter(line.split()[0] for line in log.read_text().splitlines())
    twice = {uuid for uuid, count in begun.items() if count > 1}
    running = {step.tenant_uuid.hex for step in before.values() if step.state is StepState.RUNNING}
    assert twice <= running
    assert len(running) <= 2


@pytest.mark.usefixtures("inline")
def test_what_a_killed_run_had_committed_without_a_word_is_found_to_be_done(fleet: Settings, log: Path) -> None:
    with later(fleet, COUNTED) as tenancy:
        migrate(tenancy, Options(jobs=2), "somebody", silent)
        journal = RunJournal(tenancy.registry, MIGRATE)
        run = journal.last()
        assert run is not None
        with tenancy.registry.writing() as connection:
            connection.execute(fleet_run_table.update().values(state=RunState.RUNNING, ended_at=None))
            connection.execute(fleet_step_table.update().values(state=StepState.RUNNING))
        assert resume(tenancy, silent).is_well
        assert {step.attempts for step in journal.steps(run)} == {1}
    assert len(log.read_text().splitlines()) == 8


def test_the_journal_keeps_what_a_report_does_not_say(fleet: Settings) -> None:
    with later(fleet, ADDED) as tenancy:
        journal = RunJournal(tenancy.registry, MIGRATE)
        acme = tenancy.registry.by_slug("acme").uuid
        run = journal.begin({}, "somebody", [Step(acme, 0, StepState.PLANNED, 1, 2)])
        journal.write(run, begun=[acme])
        journal.write(run, ended=[Report(acme, StepState.DONE)])
        assert journal.steps(run) == [Step(acme, 0, StepState.DONE, 1, 2, attempts=1, ms=0)]


def count_of(tenancy: Tenancy, state: StepState) -> int:
    asked = select(func.count()).select_from(fleet_step_table).where(fleet_step_table.c.state == state)
    with tenancy.registry.engine.connect() as connection:
        return int(connection.execute(asked).scalar_one())


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
