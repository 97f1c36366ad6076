"""The operators' journal: one entry for every command that changes something, and no secret in it."""

from __future__ import annotations

import os
import pwd
import sqlite3
from contextlib import closing

import pytest

from provisioning.cli import extranet
from tests.console import Console, create_arguments, mapping_of
from tests.platform import PASSWORD
from tests.provisioning.test_log import tamper

HOST = "extranet.acme.example"
ZOE = ["zoe", "--email", "zoe@acme.example", "--first-name", "Zoe", "--last-name", "Zorn"]
CHANGING = [
    ["init"],
    ["demo", "zoe"],
    create_arguments("zoe"),
    ["tenant", "suspend", "acme"],
    ["tenant", "resume", "acme"],
    ["tenant", "rename", "acme", "acme-europe"],
    ["tenant", "close", "acme"],
    ["tenant", "close", "acme", "--dry-run"],
    ["tenant", "reopen", "acme"],
    ["tenant", "clone", "acme", "twin"],
    ["tenant", "move", "acme", "--to", "embedded"],
    ["tenant", "logout-all", "acme"],
    ["host", "add", "acme", HOST],
    ["user", "create", "acme", *ZOE],
    ["user", "disable", "acme", "ben"],
    ["user", "enable", "acme", "ben"],
    ["user", "unlock", "acme", "ben"],
    ["user", "reset-factors", "acme", "ben", "--yes-i-mean", "ben"],
    ["user", "reset-password", "acme", "ben"],
    ["user", "set-password", "acme", "ben"],
    ["staff", "add", "olga", "--full-name", "Olga Ops", "--email", "olga@ops.example"],
    ["log", "show", "acme"],
    ["log", "export", "acme"],
    ["log", "prune", "acme"],
    ["backup", "create", "acme"],
    ["fleet", "backup"],
    ["fleet", "rotate-keys", "--drop-old"],
]
REFUSED = [
    ["demo", "www"],
    create_arguments("acme"),
    create_arguments("zoe", email="nowhere"),
    ["tenant", "suspend", "nobody"],
    ["tenant", "resume", "nobody"],
    ["tenant", "rename", "acme", "globex"],
    ["tenant", "close", "nobody"],
    ["tenant", "reopen", "nobody"],
    ["tenant", "clone", "acme", "globex"],
    ["tenant", "move", "acme", "--to", "pg9"],
    ["tenant", "purge", "acme"],
    ["tenant", "purge", "acme", "--yes-i-mean", "acme"],
    ["tenant", "logout-all", "nobody"],
    ["host", "add", "acme", "nowhere"],
    ["host", "remove", "acme", HOST],
    ["user", "create", "acme", "anna", *ZOE[1:]],
    ["user", "invite", "acme", "ben"],
    ["user", "disable", "acme", "anna"],
    ["user", "enable", "acme", "nobody"],
    ["user", "unlock", "acme", "nobody"],
    ["user", "set-password", "acme", "nobody"],
    ["staff", "commit", "nobody", "--on", "2026-11-02", "--text", "version 3"],
    ["staff", "train", "nobody", "--on", "2026-11-02"],
    ["staff", "remove", "nobody"],
    ["support", "ask", "acme", "--as", "nobody", "--reason", "Ticket 4711: empty"],
    ["support", "open", "acme", "--as", "nobody"],
    ["support", "end", "acme", "--as", "nobody"],
    ["log", "show", "nobody"],
    ["log", "export", "nobody"],
    ["log", "prune", "nobody"],
    ["backup", "create", "nobody"],
    ["backup", "verify", "acme"],
    ["backup", "restore", "acme", "--yes-i-mean", "acme"],
    ["fleet", "migrate", "--resume"],
    ["tenant", "rotate-keys", "nobody"],
    ["server", "add", "pg1"],
    ["server", "remove", "pg1"],
]
LOOKING = [
    ["tenant", "list"],
    ["tenant", "show", "acme"],
    ["host", "list", "acme"],
    ["user", "list", "acme"],
    ["log", "verify", "acme"],
    ["backup", "list", "acme"],
    ["server", "list"],
    ["staff", "list"],
    ["support", "list"],
    ["fleet", "status"],
    ["doctor"],
]


def name_of(arguments: list[str]) -> str:
    return " ".join(arguments[: 1 if arguments[0] in {"init", "demo"} else 2])


@pytest.mark.parametrize("arguments", CHANGING, ids=name_of)
def test_a_command_that_changes_something_leaves_exactly_one_entry(console: Console, arguments: list[str]) -> None:
    # Not the one that everybody has here.
    console.done(*arguments, stdin=f"{PASSWORD} anew\n")
    (entry,) = console.journal()
    assert (entry.event, entry.outcome) == (name_of(arguments), "ok")
    assert entry.actor == pwd.getpwuid(os.getuid()).pw_name
    assert entry.details["machine"] == os.uname().nodename
    about = arguments[1 if arguments[0] == "demo" else 2 :]
    assert entry.subject == (about[0] if about and arguments[0] != "fleet" else "")


@pytest.mark.parametrize("arguments", REFUSED, ids=name_of)
def test_a_refused_command_leaves_exactly_one_entry_that_says_why(console: Console, arguments: list[str]) -> None:
    refusal = console.run(*arguments, stdin=f"{PASSWORD}\n").refusal
    (entry,) = console.journal()
    assert (entry.event, entry.outcome) == (name_of(arguments), "refused")
    assert refusal.startswith(str(mapping_of(entry)["why"]))


def test_a_command_refused_before_it_reaches_the_registry_is_journaled_too(console: Console) -> None:
    assert "localhost only" in console.run("demo", "zoe", EXTRANET_DOMAIN="extranet.example").refusal
    assert console.create("zoe", "--password-stdin").refusal == "No password came on standard input."
    assert [(entry.event, entry.outcome) for entry in console.journal()] == [
        ("demo", "refused"),
        ("tenant create", "refused"),
    ]


@pytest.mark.parametrize("arguments", LOOKING, ids=name_of)
def test_a_command_that_only_looks_leaves_none(console: Console, arguments: list[str]) -> None:
    console.done(*arguments)
    assert console.journal() == []


def test_what_names_a_person_can_be_erased_without_breaking_the_chain(console: Console) -> None:
    console.done("user", "create", "acme", *ZOE)
    (entry,) = console.journal()
    assert entry.details == {
        "machine": os.uname().nodename,
        "slug": "acme",
        "role": "member",
        "password_stdin": "False",
    }
    assert entry.private == {
        "username": "zoe",
        "email": "zoe@acme.example",
        "first_name": "Zoe",
        "last_name": "Zorn",
    }
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("UPDATE operator_event SET private = NULL")
    assert console.run("log", "verify", "--all").exit_code == 0


def test_the_operator_is_whom_the_system_says_not_whom_the_environment_claims(console: Console) -> None:
    console.run("tenant", "suspend", "acme", USER="mallory", LOGNAME="mallory")
    (entry,) = console.journal()
    assert entry.actor == pwd.getpwuid(os.getuid()).pw_name


def test_an_operator_without_an_account_name_is_noted_by_number(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    console.done("tenant", "suspend", "acme")
    (entry,) = console.journal()
    assert entry.actor == f"uid {os.getuid()}"


def test_endless_and_unprintable_arguments_are_noted_shortened_and_clean(console: Console) -> None:
    assert console.run("tenant", "suspend", "\x1b[31m\u202e" + "x" * 5000).exit_code == 1
    (entry,) = console.journal()
    assert entry.subject == "[31m" + "x" * 60
    assert len(entry.details["slug"]) < 201


def test_a_change_that_cannot_be_journaled_says_that_it_was_made(console: Console) -> None:
    console.done("tenant", "suspend", "acme")
    tamper(console.home / "registry.sqlite3", "DELETE FROM operator_event_head", "operator_event")
    answer = console.run("tenant", "resume", "acme")
    assert answer.exit_code == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("Error: The change was made, but the operators' journal could not be written: ")
    assert console.done("tenant", "show", "acme", "--json").document["state"] == "active"


def test_a_refusal_that_cannot_be_journaled_is_still_the_refusal(console: Console) -> None:
    tamper(console.home / "registry.sqlite3", "DELETE FROM operator_event_head", "operator_event")
    assert console.run("tenant", "suspend", "nobody").refusal.startswith("There is no tenant 'nobody'.")


def test_a_fault_of_ours_is_journaled_as_failed_and_not_hidden(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tenants import lifecycle

    def broken(*_: object) -> None:
        raise RuntimeError("a fault")

    monkeypatch.setattr(lifecycle, "suspend_tenant", broken)
    with pytest.raises(RuntimeError, match="a fault"):
        console.run("tenant", "suspend", "acme")
    (entry,) = console.journal()
    assert entry.outcome == "failed"


def test_no_password_is_on_a_command_line_in_a_journal_in_a_log_or_in_any_file(console: Console) -> None:
    canary = "canary purple zeppelin forty"
    process = console.start(*create_arguments("zoe"), "--password-stdin", stdin=-1)
    with open(f"/proc/{process.pid}/cmdline", "rb") as arguments, open(f"/proc/{process.pid}/environ", "rb") as others:
        assert canary.encode() not in arguments.read() + others.read()
    stdout, stderr = process.communicate(f"{canary}\n", timeout=60)
    assert (process.returncode, stderr) == (0, "")
    assert canary not in stdout
    shorter = "zeppelin"
    said = [
        console.run("user", "set-password", "zoe", "zoe", stdin=f"{shorter}\n"),
        console.run("user", "create", "zoe", "ben", *ZOE[1:], "--password-stdin", stdin=f"{canary}\n"),
        console.run("log", "export", "zoe"),
        console.run("log", "show", "zoe", "--json"),
        console.run("doctor", "--logs"),
    ]
    assert not any("zeppelin" in answer.stdout + answer.stderr for answer in said)
    assert not any("zeppelin" in str(entry) for entry in console.journal())
    assert not any(b"zeppelin" in file.read_bytes() for file in console.home.rglob("*") if file.is_file())


def test_an_invitation_is_on_the_screen_alone(console: Console) -> None:
    token = console.create("zoe", "--json").document["invitation"].rpartition("/")[2]
    assert len(token) == 43
    assert not any(token in str(entry) for entry in console.journal())
    assert not any(token.encode() in file.read_bytes() for file in console.home.rglob("*") if file.is_file())
    assert token not in console.done("log", "export", "zoe").stdout


def test_every_changing_verb_is_tried_here() -> None:
    from tests.provisioning.test_help import verbs

    tried = {name_of(arguments) for arguments in CHANGING + REFUSED + LOOKING}
    # The last is tried where there are backups.
    assert {name for name, _ in verbs(extranet)} - tried == {
        "nginx check",
        "nginx write",
        "serve",
        "worker",
        "fleet verify",
    }
