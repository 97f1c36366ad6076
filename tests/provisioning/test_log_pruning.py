"""extranet log prune: a year later old entries are gone, and everything else about the logs still holds."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from extranet.models import Company
from extranet.models.base import utc_now
from tests.console import Console
from tests.platform import open_platform
from tests.provisioning.test_log import database_of, tamper

ALL = ["acme", "globex", "operators"]


@pytest.fixture
def days_later(monkeypatch: pytest.MonkeyPatch) -> DaysLater:
    return DaysLater(monkeypatch)


class DaysLater:
    """Commands run from now on so many days later."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    def __call__(self, days: int) -> None:
        later = utc_now() + timedelta(days=days)
        self._monkeypatch.setattr("extranet.models.base.utc_now", lambda: later)


def keep_logs_for(console: Console, slug: str, days: int) -> None:
    platform = open_platform(console.home)
    with platform.db(slug) as db:
        db.get_one(Company, 1).log_days = days
    platform.close()


def verified(console: Console) -> list[dict[str, object]]:
    return list(console.done("log", "verify", "--all", "--json").document)


def test_a_year_later_old_entries_go_and_the_rest_verifies(console: Console, days_later: DaysLater) -> None:
    console.done("user", "disable", "acme", "ben")
    events, changes, *_others, operators = verified(console)
    doctored = console.done("doctor").stdout
    days_later(370)
    assert console.done("doctor").stdout == doctored
    days_later(370 + 31)
    assert "BAD  acme log: entries since " in console.run("doctor").stdout
    assert "BAD  operators log: entries since " in console.run("doctor").stdout
    total = events["entries"] + changes["entries"]
    told = console.done("log", "prune", "acme", "--dry-run").stdout
    assert told.startswith(f"acme: {total} entries from before ")
    assert told.endswith("would be removed.\n")
    (document,) = console.done("log", "prune", "acme", "--json").document["done"]
    assert (document["removed"], document["kept_days"], document["log"]) == (total, 365, "acme")
    assert document["journals"] == {
        "activity": {"removed": changes["entries"], "begins_at": changes["entries"] + 1},
        "security_event": {"removed": events["entries"], "begins_at": events["entries"] + 1},
    }

    now = verified(console)
    assert [(one["entries"], one.get("pruned")) for one in now[:2]] == [(1, events["entries"]), (1, changes["entries"])]
    assert "1 entries, all hold, after" in console.done("log", "verify", "acme").stdout
    console.done("log", "verify", "acme", "--anchor", str(events["head"]))
    last = events["entries"]
    for log, anchor in (("acme", f"{last - 1}:{'0' * 64}"), ("globex", f"{last + 9}:{'0' * 64}")):
        answer = console.run("log", "verify", log, "--anchor", anchor)
        assert answer.exit_code == 2
        pruned = f"NOT COMPARED: that head was pruned on {utc_now():%Y-%m-%d}: the log begins at entry {last + 1} now"
        assert (pruned if log == "acme" else "it is missing: the chain was cut off") in answer.stdout

    (event,) = console.done("log", "show", "acme", "--last", "1", "--json").document
    assert (event["event"], event["actor"]) == ("log_pruned", "operator")
    assert event["details"]["removed"] == {"activity": changes["entries"], "security_event": last}
    (change,) = console.done("log", "show", "acme", "--activity", "--json").document
    assert change["change"] == "log_pruned"
    assert change["after"]["removed_events"] == last
    noted = [entry for entry in console.journal() if entry.event == "log prune"]
    assert [(entry.subject, entry.details["removed"]) for entry in noted] == [("acme", str(total))] * 2

    # What is written now is written now, whatever these commands are told of the time.
    days_later(0)
    assert console.done("log", "prune", "acme").stdout == "acme: nothing is older than 365 days.\n"
    assert len(console.done("log", "show", "acme", "--activity", "--json").document) == 1
    days_later(370)
    (gone,) = console.done("log", "prune", "--operators", "--json").document["done"]
    assert gone["removed"] > operators["entries"]
    assert [entry.event for entry in console.journal()] == ["log prune"]


def test_each_tenant_has_its_own_days_and_an_operator_may_only_keep_more(
    console: Console, days_later: DaysLater
) -> None:
    keep_logs_for(console, "acme", 180)
    days_later(200)
    assert console.run("log", "prune", "acme", "--older-than", "179").exit_code == 2
    refused = console.run("log", "prune", "globex", "--older-than", "200").refusal
    assert refused == "globex is to be kept for 365 days: --older-than may only say more."
    assert (
        "The operators' journal is to be kept for 365"
        in console.run("log", "prune", "--operators", "--older-than", "300").refusal
    )
    held = console.done("log", "prune", "--all", "--older-than", "190", "--dry-run", "--json").document["done"]
    assert [(one["log"], one["kept_days"]) for one in held] == list(zip(ALL, (190, 365, 365), strict=True))
    assert held[0]["removed"] > 0
    kept = console.done("log", "prune", "--all", "--older-than", "300").stdout
    assert kept.splitlines() == [
        "acme: nothing is older than 300 days.",
        "globex: nothing is older than 365 days.",
        "operators: nothing is older than 365 days.",
    ]
    removed = console.done("log", "prune", "--all", "--json").document["done"]
    assert [one["removed"] > 0 for one in removed] == [True, False, False]
    for wrong in ([], ["acme", "--all"], ["acme", "--operators"]):
        assert console.run("log", "prune", *wrong).exit_code == 2


def test_a_broken_log_is_evidence_and_holds_nobody_else_up(console: Console, days_later: DaysLater) -> None:
    database = database_of(console, "acme")
    tamper(database, "UPDATE security_event SET outcome = 'refused' WHERE sequence = 3")
    days_later(400)
    answer = console.run("log", "prune", "--all")
    assert answer.exit_code == 1
    assert "acme: NOT PRUNED: the log is broken at entry 3: its column outcome differs" in answer.stdout
    assert "globex: " in answer.stdout
    assert "were removed. See: extranet log verify globex" in answer.stdout
    with closing(sqlite3.connect(database)) as connection:
        assert connection.execute("SELECT min(sequence) FROM security_event").fetchone() == (1,)
    assert console.run("log", "prune", "acme").refusal.startswith("The log is broken at entry 3")
    database.unlink()
    assert "acme: NOT PRUNED: " in console.run("log", "prune", "--all").stdout


def test_verifying_without_the_key_says_so_with_a_code_of_its_own(console: Console) -> None:
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        (uuid,) = registry.execute("SELECT uuid FROM tenant WHERE slug = 'acme'").fetchone()
        registry.execute("UPDATE wrapped_key SET wrapped = zeroblob(40) WHERE tenant_uuid = ?", (uuid,))
    assert console.run("log", "verify", "acme").exit_code == 3
    assert console.run("log", "verify", "--all").exit_code == 3
