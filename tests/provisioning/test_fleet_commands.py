"""extranet fleet: what it says, what it does, and what a terminal sees of it."""

from __future__ import annotations

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest

import provisioning.console
from provisioning import fleet_answers
from provisioning.console import HISTORY
from provisioning.progress import ProgressLine, pace
from tenants.databases import database_file
from tenants.fleet import waves
from tenants.locks import FLEET
from tenants.settings import read_settings
from tenants.tenancy import Tenancy
from tests.console import PATIENCE, Console
from tests.provisioning.test_terminal import read_all, terminal
from tests.tenants.fleets import ADDED, COUNTED, LATER, NOW, STRICT, InlineCrew

NAMES = ["acme", "globex"]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Run the command line of a later release, its migrations in this process."""
    monkeypatch.setattr(provisioning.console, "HISTORY", ADDED)
    monkeypatch.setattr(waves, "Crew", InlineCrew)
    return monkeypatch


def file_of(console: Console, slug: str) -> Path:
    document = console.done("tenant", "show", slug, "--json").document
    return Path(document["folder"]) / f"{document['uuid']}.sqlite3"


def change(console: Console, slug: str, statement: str) -> None:
    with closing(sqlite3.connect(file_of(console, slug))) as raw, raw:
        raw.execute(statement)


def versions(console: Console) -> list[int]:
    document = console.run("fleet", "status", "--json").document
    return [int(version) for server in document["servers"] for version in server["tenants"]]


def runs(console: Console) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry:
        return registry.execute("SELECT id, state FROM fleet_run ORDER BY id").fetchall()


def backups(console: Console) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry:
        return registry.execute("SELECT schema_version FROM backup").fetchall()


FORBIDDEN = "INSERT INTO company_version SELECT hex(randomblob(16)), 'x', '2026-01-01', '' FROM (VALUES (1), (2))"


# -- status ------------------------------------------------------------------------------------------------------------


def test_status_of_a_fleet_at_this_code_s_schema(console: Console) -> None:
    answer = console.done("fleet", "status")
    assert answer.stdout.splitlines() == [
        f"This code needs schema {NOW}.",
        "Server    Schema  Tenants",
        f"embedded  {NOW}       2",
    ]
    assert console.done("fleet", "status", "--json").document == {
        "schema": NOW,
        "servers": [{"server": "embedded", "tenants": {str(NOW): 2}, "fault": ""}],
        "behind": [],
        "missing": [],
        "strays": [],
        "run": None,
    }
    assert console.journal() == []


def test_status_before_there_is_a_tenant(empty_console: Console) -> None:
    empty_console.done("init")
    assert "There is no tenant yet." in empty_console.done("fleet", "status").stdout


def test_status_under_a_later_release_says_who_is_behind_and_exits_1(
    console: Console, release: pytest.MonkeyPatch
) -> None:
    answer = console.run("fleet", "status")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines() == [
        f"This code needs schema {LATER}.",
        "Server    Schema  Tenants",
        f"embedded  {NOW}       2        behind",
        "behind: acme, globex",
        "Bring them there with: extranet fleet migrate",
    ]
    document = console.run("fleet", "status", "--json").document
    assert document["behind"] == [{"slug": slug, "server": "embedded", "schema": NOW} for slug in NAMES]


def test_status_says_what_does_not_fit_together(console: Console) -> None:
    stray = uuid4()
    path = database_file(read_settings(console.environment), stray)
    path.parent.mkdir()
    shutil.move(file_of(console, "acme"), path)
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("INSERT INTO server VALUES ('pg9', 'host=127.0.0.1', 0, 10, '2026-01-01', '')")
    answer = console.run("fleet", "status")
    assert answer.exit_code == 1
    assert "without a database: acme" in answer.stdout
    assert f"database of no tenant: {stray} on embedded" in answer.stdout
    assert "pg9: The operator's credential" in answer.stdout
    document = console.run("fleet", "status", "--json").document
    assert document["missing"] == [{"slug": "acme", "server": "embedded"}]
    assert document["strays"] == [{"uuid": str(stray), "server": "embedded"}]
    assert "credential" in document["servers"][1]["fault"]


def test_status_tells_a_killed_run_from_one_that_is_running(console: Console) -> None:
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute(
            "INSERT INTO fleet_run VALUES (7, 'migrate', 'running', ?, '2026-01-01 00:00:00', 'eve', NULL)",
            ['{"target": 1}'],
        )
    answer = console.run("fleet", "status")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-2:] == [
        "Run 7 to schema 1, by eve: killed, without a tenant.",
        "Go on with: extranet fleet migrate --resume",
    ]
    with (
        Tenancy.open(read_settings(console.environment), HISTORY) as tenancy,
        tenancy.locks.hold(FLEET),
    ):
        answer = console.done("fleet", "status")
        assert answer.stdout.splitlines()[-1] == "Run 7 to schema 1, by eve: running, without a tenant."
        assert console.run("fleet", "migrate").refusal.startswith("Another command is at work on the fleet")


# -- migrate -----------------------------------------------------------------------------------------------------------


def test_a_fleet_is_migrated_by_processes_of_their_own(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provisioning.console, "HISTORY", ADDED)
    answer = console.done("fleet", "migrate", "--jobs", "1", "--canary", "globex")
    assert re.fullmatch(rf"Run 1 to schema {LATER}, by \S+: ended, 2 done\.\n", answer.stdout)
    assert re.fullmatch(
        r"run 1, wave 2 of 2: 2 of 2 done, 0 failed, \d+/(s|min), 0 s left", answer.stderr.splitlines()[-1]
    )
    assert versions(console) == [LATER]
    (entry,) = console.journal()
    assert (entry.event, entry.outcome, entry.details["canary"]) == ("fleet migrate", "ok", "globex")


def test_migrate_answers_with_one_document(console: Console, release: pytest.MonkeyPatch) -> None:
    document = console.done("fleet", "migrate", "--json").document
    run = document["run"]
    assert (document["schema"], run["id"], run["state"]) == (LATER, 1, "done")
    assert run["counts"] == {"planned": 0, "running": 0, "done": 2, "failed": 0, "skipped": 0}
    assert [(step["slug"], step["wave"], step["from"], step["to"], step["attempts"]) for step in run["steps"]] == [
        ("acme", 0, NOW, LATER, 1),
        ("globex", 1, NOW, LATER, 1),
    ]
    assert run["plan"]["canary"] == "acme"
    assert run["started_at"].endswith("Z")
    assert run["ended_at"].endswith("Z")


def test_migrating_a_migrated_fleet_does_nothing(console: Console, release: pytest.MonkeyPatch) -> None:
    console.done("fleet", "migrate")
    said = f"No tenant is behind schema {LATER}: there is nothing to do.\n"
    assert console.done("fleet", "migrate").stdout == said
    assert console.done("fleet", "migrate", "--dry-run").stdout == said
    assert console.done("fleet", "migrate", "--json").document == {"run": None, "schema": LATER}
    assert runs(console) == [(1, "done")]


def test_a_dry_run_says_what_would_be_done_and_does_nothing(console: Console, release: pytest.MonkeyPatch) -> None:
    before = console.contents(), versions(console)
    answer = console.done("fleet", "migrate", "--dry-run", "--jobs", "3", "--snapshot")
    assert answer.stdout.splitlines() == [
        f"2 tenants would be brought to schema {LATER}: acme alone, then 1.",
        "3 at once, a backup of each before; more than 1 failed would stop the run.",
    ]
    document = console.done("fleet", "migrate", "--dry-run", "--canary", "globex", "--json").document
    assert [step["slug"] for step in document["steps"]] == ["globex", "acme"]
    assert document["plan"]["waves"] == [1, 1]
    assert (console.contents(), versions(console), runs(console)) == (*before, [])


def test_a_run_that_stops_says_why_and_how_to_go_on(console: Console, release: pytest.MonkeyPatch) -> None:
    release.setattr(provisioning.console, "HISTORY", STRICT)
    change(console, "acme", FORBIDDEN)
    answer = console.run("fleet", "migrate")
    assert answer.exit_code == 1
    told = answer.stdout.splitlines()
    assert told[0].endswith(": stopped, 1 planned, 1 failed.")
    assert told[1].startswith(
        "  acme failed: IntegrityError: UNIQUE constraint failed: company_version.changed_by (0004"
    )
    assert told[2] == "Go on with: extranet fleet migrate --resume"
    assert console.run("fleet", "migrate").refusal.startswith("Run 1 is unfinished. Go on with")
    assert console.run("fleet", "status").stdout.splitlines()[-3:] == told
    change(console, "acme", "DELETE FROM company_version")
    assert console.done("fleet", "migrate", "--resume").stdout.splitlines()[0].endswith(": ended, 2 done.")
    assert console.run("fleet", "migrate", "--resume").refusal.startswith("There is no unfinished run.")


def test_what_failed_can_be_tried_again_alone(console: Console, release: pytest.MonkeyPatch) -> None:
    release.setattr(provisioning.console, "HISTORY", STRICT)
    change(console, "globex", FORBIDDEN)
    answer = console.run("fleet", "migrate")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-1] == "Try these again with: extranet fleet migrate --only-failed"
    change(console, "globex", "DELETE FROM company_version")
    document = console.done("fleet", "migrate", "--only-failed", "--json").document
    assert [step["slug"] for step in document["run"]["steps"]] == ["globex"]


def test_an_unfinished_run_can_be_given_up_for_a_new_one(console: Console, release: pytest.MonkeyPatch) -> None:
    release.setattr(provisioning.console, "HISTORY", STRICT)
    change(console, "acme", FORBIDDEN)
    console.run("fleet", "migrate")
    console.done("fleet", "migrate", "--new", "--dry-run")
    assert runs(console) == [(1, "stopped")]
    answer = console.run("fleet", "migrate", "--new", "--canary", "globex")
    assert ": ended, 1 done, 1 failed." in answer.stdout
    assert runs(console) == [(1, "abandoned"), (2, "done")]


@pytest.mark.parametrize(
    "option", [["--dry-run"], ["--canary", "acme"], ["--wave", "2"], ["--only-failed"], ["--new"], ["--snapshot"]]
)
def test_a_run_is_gone_on_with_as_it_was_planned(console: Console, option: list[str]) -> None:
    answer = console.run("fleet", "migrate", "--resume", *option)
    assert answer.exit_code == 2
    assert "--resume goes on as planned" in answer.stderr


def test_each_tenant_can_be_backed_up_before(console: Console, release: pytest.MonkeyPatch) -> None:
    console.done("fleet", "migrate", "--snapshot")
    assert backups(console) == [(NOW,), (NOW,)]


def test_nobody_is_backed_up_unless_it_was_asked_for(console: Console, release: pytest.MonkeyPatch) -> None:
    console.done("fleet", "migrate")
    assert backups(console) == []


def test_a_long_list_of_troubles_is_cut(console: Console, release: pytest.MonkeyPatch) -> None:
    release.setattr(fleet_answers, "_SHOWN", 1)
    for slug in NAMES:
        file_of(console, slug).unlink()
    answer = console.run("fleet", "status")
    assert "without a database: acme and 1 more" in answer.stdout
    assert console.done("fleet", "migrate").stdout.splitlines()[-1] == "  and 1 more: see --json"


# -- terminals ---------------------------------------------------------------------------------------------------------


def later(console: Console, log: Path, stdout: int, stderr: int, **environment: str) -> subprocess.Popen[str]:
    """Start ``fleet migrate`` of a later release as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.provisioning.later_extranet", COUNTED, "fleet", "migrate"],
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
        env=console.real_environment(COUNTED_LOG=str(log), COLUMNS="80", **environment),
    )


def test_a_terminal_sees_one_line_that_is_drawn_again(console: Console, tmp_path: Path) -> None:
    with terminal() as (ours, theirs):
        process = later(console, tmp_path / "log", theirs, theirs)
        os.close(theirs)
        seen = read_all(ours)
        assert process.wait(PATIENCE) == 0
    assert "\r\x1b[Krun 1, wave 1 of 2: 1 of 2 done, 0 failed, " in seen
    assert re.search(r"\r\x1b\[Krun 1, wave 2 of 2: 2 of 2 done, 0 failed, \d+/(s|min), 0 s left\nRun 1 to", seen)
    assert seen.endswith(": ended, 2 done.\n")


def test_ctrl_c_lets_the_tenant_at_hand_end_and_begins_no_other(console: Console, tmp_path: Path) -> None:
    log = tmp_path / "log"
    process = later(console, log, subprocess.PIPE, subprocess.PIPE, COUNTED_SECONDS="0.3")
    deadline = time.monotonic() + PATIENCE
    while not log.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    # As a terminal does: to everybody in it, the processes of the run too.
    os.killpg(process.pid, signal.SIGINT)
    stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert stdout == ""
    assert stderr.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in stderr
    assert runs(console) == [(1, "stopped")]
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry:
        steps = registry.execute("SELECT state, attempts FROM fleet_step ORDER BY wave").fetchall()
    assert steps == [("done", 1), ("planned", 0)]
    assert len(log.read_text().splitlines()) == 1


def test_elsewhere_a_line_is_written_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with ProgressLine() as line:
        for second in range(25):
            now = 1000.0 + second
            line.show(f"at {second}")
    assert capsys.readouterr().err.splitlines() == ["at 10", "at 20", "at 24"]
    with ProgressLine():
        pass
    assert capsys.readouterr().err == ""


def test_on_a_terminal_the_line_is_drawn_again_and_never_wider(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with ProgressLine() as line:
        line.show("at the beginning")
        line.show("drawn too soon")
        line.show("at the end")
    assert capsys.readouterr().err == "\r\x1b[Kat the be\r\x1b[Kat the en\n"
    with ProgressLine():
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("done", "left", "seconds", "told"),
    [
        (10, 0, 0.0, "10000/s, 0 s left"),
        (100, 1000, 10.0, "10/s, 1 min 40 s left"),
        (1, 100, 60.0, "1/min, 1 h 40 min left"),
    ],
)
def test_a_pace_is_a_rate_and_the_time_the_rest_takes(done: int, left: int, seconds: float, told: str) -> None:
    assert pace(done, left, seconds) == told
