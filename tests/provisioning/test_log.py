"""extranet log: shown, exported and verified; looking is noted, tampering is found."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.console import Console
from tests.platform import open_platform
from tests.provisioning.unfinished import leave_unfinished

KEYS = [
    "sequence",
    "at",
    "event",
    "outcome",
    "actor",
    "subject",
    "address",
    "port",
    "user_agent",
    "browser",
    "details",
]
TRIGGERS = ("no_delete", "no_replace", "no_update")


def database_of(console: Console, slug: str) -> Path:
    document = console.done("tenant", "show", slug, "--json").document
    return Path(document["folder"]) / f"{document['uuid']}.sqlite3"


def tamper(path: Path, statement: str, journal: str = "security_event") -> None:
    """Change a journal as somebody with the file in hand can."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for trigger in TRIGGERS:
            connection.execute(f"DROP TRIGGER {journal}_{trigger}")
        assert connection.execute(statement).rowcount > 0


def test_the_newest_entries_are_shown_with_names_and_addresses(console: Console) -> None:
    platform = open_platform(console.home)
    platform.signed_in("acme", "anna")
    platform.close()
    lines = console.done("log", "show", "acme", "--last", "3").stdout.splitlines()
    assert lines[0].split() == ["#", "Time", "(UTC)", "Event", "Result", "Person", "Address"]
    assert len(lines) == 4
    assert lines[-1].split()[3:] == ["signed_in", "ok", "anna", "192.0.2.10"]


def test_entries_are_shown_in_json_with_opaque_ids(console: Console) -> None:
    documents = console.done("log", "show", "acme", "--last", "2", "--json").document
    assert [list(document) for document in documents] == [KEYS, KEYS]
    assert "anna" not in json.dumps(documents)


def test_viewing_and_exporting_are_themselves_in_the_log(console: Console) -> None:
    console.done("log", "show", "acme")
    console.done("log", "export", "acme")
    viewed, exported = console.done("log", "show", "acme", "--last", "2", "--json").document
    assert (viewed["event"], exported["event"]) == ("log_viewed", "log_exported")
    assert viewed["actor"] == "operator"
    assert viewed["user_agent"].startswith("command line: ")


def test_an_export_is_one_object_a_line_or_one_array(console: Console) -> None:
    lines = console.done("log", "export", "acme").stdout.splitlines()
    documents = [json.loads(line) for line in lines]
    assert [document["sequence"] for document in documents] == list(range(1, len(lines) + 1))
    assert list(documents[0]) == KEYS
    again = console.done("log", "export", "acme", "--json").document
    assert again[:-1] == documents


def test_an_untouched_log_verifies_and_its_head_is_an_anchor_for_later(console: Console) -> None:
    first, changes = console.done("log", "verify", "acme", "--json").document
    assert (first["log"], changes["log"]) == ("acme", "acme activity")
    assert list(first) == list(changes)
    assert list(first) == ["log", "ok", "entries", "head"]
    console.done("log", "show", "acme")
    answer = console.done("log", "verify", "acme", "--anchor", first["head"].upper())
    assert answer.stdout.startswith(f"acme: {first['entries'] + 1} entries, all hold. Head {first['entries'] + 1}:")


def test_verifying_everything_includes_the_operators_journal(console: Console) -> None:
    console.done("log", "show", "acme")
    leave_unfinished(console.home, "zoe")
    documents = console.done("log", "verify", "--all", "--json").document
    assert [document["log"] for document in documents] == [
        "acme",
        "acme activity",
        "globex",
        "globex activity",
        "operators",
    ]
    assert documents[-1]["entries"] == 1


@pytest.mark.parametrize(
    ("statement", "entry", "why"),
    [
        ("UPDATE security_event SET outcome = 'refused' WHERE sequence = 3", 3, "its column outcome differs"),
        ("UPDATE security_event SET body = CAST(body || ' ' AS BLOB) WHERE sequence = 2", 2, "it does not follow from"),
        ("UPDATE security_event SET private = x'00' WHERE sequence = 4", 4, "its sealed part was changed"),
        ("DELETE FROM security_event WHERE sequence = 2", 2, "it is missing"),
        ("DELETE FROM security_event WHERE sequence = (SELECT max(sequence) FROM security_event)", 0, "the head row"),
        ("UPDATE security_event SET sequence = 40 WHERE sequence = 4", 4, "it is missing"),
    ],
)
def test_a_tampered_log_is_refused_at_its_first_bad_entry(
    console: Console, statement: str, entry: int, why: str
) -> None:
    database = database_of(console, "acme")
    head, _changes = console.done("log", "verify", "acme", "--json").document
    tamper(database, statement)
    answer = console.run("log", "verify", "acme")
    assert answer.exit_code == 1
    assert answer.stdout.startswith(f"acme: BROKEN at entry {entry or head['entries']}: {why}")
    result, _changes = console.run("log", "verify", "acme", "--json").document
    assert list(result) == ["log", "ok", "first_bad_entry", "why"]
    everything = console.run("log", "verify", "--all")
    assert everything.exit_code == 1
    assert [line.partition(":")[0] for line in everything.stdout.splitlines()] == [
        "acme",
        "acme activity",
        "globex",
        "globex activity",
        "operators",
    ]
    assert everything.stdout.count("all hold") == 4


def test_a_log_cut_off_and_re_signed_at_the_end_is_found_by_its_anchor(console: Console) -> None:
    database = database_of(console, "acme")
    head, _changes = console.done("log", "verify", "acme", "--json").document
    last = head["entries"]
    tamper(database, f"DELETE FROM security_event WHERE sequence = {last}")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute(
            f"UPDATE security_event_head SET sequence = {last - 1}, "
            f"mac = (SELECT mac FROM security_event WHERE sequence = {last - 1})"
        )
    console.done("log", "verify", "acme")
    answer = console.run("log", "verify", "acme", "--anchor", head["head"])
    assert answer.exit_code == 2
    assert answer.stdout.startswith(f"acme: BROKEN at entry {last}: it is missing")


def test_a_head_that_was_never_this_logs_is_refused(console: Console) -> None:
    answer = console.run("log", "verify", "acme", "--anchor", "2:" + "0" * 64)
    assert answer.exit_code == 1
    assert "BROKEN at entry 2: it does not match the head noted earlier" in answer.stdout


def test_tampering_with_the_operators_journal_is_found(console: Console) -> None:
    console.done("tenant", "suspend", "acme")
    tamper(console.home / "registry.sqlite3", "UPDATE operator_event SET actor = 'mallory'", "operator_event")
    answer = console.run("log", "verify", "--all")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-1].startswith("operators: BROKEN at entry 1: its column actor differs")


def test_a_log_that_cannot_be_read_does_not_hide_the_others(console: Console) -> None:
    database_of(console, "acme").unlink()
    first, *others = console.run("log", "verify", "--all").stdout.splitlines()
    assert first.startswith("acme: NOT READ: ")
    assert all("all hold" in line for line in others)
    assert console.run("log", "verify", "--all").exit_code == 1
    assert "is missing" in console.run("log", "verify", "acme").refusal


@pytest.mark.parametrize("verb", ["show", "export"])
def test_an_entry_in_no_known_form_is_named_instead_of_a_traceback(console: Console, verb: str) -> None:
    tamper(database_of(console, "acme"), "UPDATE security_event SET body = x'7b' WHERE sequence = 2")
    answer = console.run("log", verb, "acme")
    assert answer.exit_code == 1
    sentence = "The log is broken at entry 2: it is not in the form of an entry. See: extranet log verify"
    assert answer.stderr == f"Error: {sentence}\n"


def test_an_empty_log_says_so(console: Console) -> None:
    database = database_of(console, "acme")
    tamper(database, "DELETE FROM security_event")
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE security_event_head SET sequence = 0, mac = zeroblob(32)")
    assert console.done("log", "show", "acme").stdout == "The log is empty.\n"


def test_the_activity_log_is_shown_exported_and_on_record_as_looked_at(console: Console) -> None:
    console.done("user", "disable", "acme", "ben")
    lines = console.done("log", "show", "acme", "--activity", "--last", "2").stdout.splitlines()
    assert lines[0].split() == ["#", "Time", "(UTC)", "Change", "By", "Of", "Fields"]
    assert lines[-1].split()[3:] == ["user_disabled", "operator", "ben", "state"]
    (document,) = console.done("log", "show", "acme", "--activity", "--last", "1", "--json").document
    assert list(document) == ["sequence", "at", "change", "actor", "subject", "label", "before", "after"]
    assert (document["before"], document["after"]) == ({"state": "active"}, {"state": "disabled"})
    exported = [json.loads(line) for line in console.done("log", "export", "acme", "--activity").stdout.splitlines()]
    assert exported[-1] == document
    assert [entry["sequence"] for entry in exported] == list(range(1, len(exported) + 1))
    last = console.done("log", "show", "acme", "--last", "1", "--json").document[0]
    assert (last["event"], last["details"]["log"]) == ("log_exported", "activity")


def test_tampering_with_the_activity_log_is_found_and_an_anchor_finds_what_was_cut_off(console: Console) -> None:
    database = database_of(console, "acme")
    _events, head = console.done("log", "verify", "acme", "--json").document
    assert console.done("log", "verify", "acme", "--activity", "--anchor", head["head"]).exit_code == 0
    tamper(database, "UPDATE activity SET actor = 'mallory' WHERE sequence = 2", "activity")
    answer = console.run("log", "verify", "acme")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[1].startswith("acme activity: BROKEN at entry 2: its column actor differs")
    anchored = console.run("log", "verify", "globex", "--activity", "--anchor", head["head"])
    assert anchored.exit_code == 1
    assert anchored.stdout.splitlines()[1].startswith("globex activity: BROKEN")
