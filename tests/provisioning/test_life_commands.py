"""extranet tenant rename, close, reopen, purge, clone, move, as an operator types them."""

from __future__ import annotations

import io
import json
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
from sqlalchemy import delete

from extranet.models import Identity, IdentityProvider, RecoveryCode
from provisioning.confirmation import confirm
from tenants import lifecycle, unfinished
from tenants.tenancy import Tenancy
from tests.console import PATIENCE, Console, create_arguments
from tests.extranet.factors import add_passkey, set_up_app
from tests.platform import PASSWORD, Platform, open_platform, user_id
from tests.provisioning.test_terminal import read_all, terminal
from tests.services.postgresql import Cluster
from tests.tenants.conftest import settings_of
from tests.tenants.servers import cleaned, register
from tests.tenants.world import HISTORY

TODAY, DAY = datetime.now(UTC), timedelta(days=1)


@pytest.fixture
def served(console: Console, cluster: Cluster) -> Iterator[Console]:
    """A console in front of a home that knows of the server ``pg1``."""
    with cleaned(cluster):
        with Tenancy.open(settings_of(console.home), HISTORY) as tenancy:
            register(tenancy, cluster)
        yield console


def log_of(console: Console, slug: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in console.done("log", "export", slug).stdout.splitlines()]


def said_to_its_people(console: Console, slug: str) -> dict[str, Any]:
    """The newest of what operators did with the tenant as a whole."""
    return [entry for entry in log_of(console, slug) if entry["event"].startswith("tenant_")][-1]


def close_long_ago(console: Console, slug: str) -> None:
    console.done("tenant", "close", slug)
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("UPDATE tenant SET changed_at = '2026-01-01 00:00:00' WHERE slug = ?", (slug,))


# -- close and reopen --------------------------------------------------------------------------------------------------


def test_closing_says_how_to_go_on_and_what_comes_next(console: Console) -> None:
    answer = console.done("tenant", "close", "acme")
    due = f"{TODAY + 30 * DAY:%Y-%m-%d}"
    assert answer.stdout.splitlines() == [
        "acme is closed. Serve it again with: extranet tenant reopen acme",
        f"From {due} on it can be destroyed with: extranet tenant purge acme",
    ]
    again = console.done("tenant", "close", "acme", "--json").document
    assert (again["state"], again["purge_due"]) == ("closed", due)
    assert console.done("tenant", "reopen", "acme").stdout == "acme is active at http://acme.localhost:8000\n"


def test_a_closed_tenant_can_be_shown_exported_and_backed_up(console: Console) -> None:
    console.done("tenant", "close", "acme")
    assert console.done("tenant", "show", "acme", "--json").document["users"] == {"active": 3}
    entry = said_to_its_people(console, "acme")
    assert (entry["event"], entry["subject"], entry["details"]["was"]) == ("tenant_closed", "operator", "active")
    before = log_of(console, "acme")
    assert console.done("log", "show", "acme", "--json").document == before[-20:]
    # That somebody looked is in the operators' journal alone: the tenant's own takes no more.
    assert log_of(console, "acme") == before
    console.done("backup", "create", "acme")
    assert console.run("user", "disable", "acme", "ben").refusal == "acme is closed: it can be read, not changed."
    assert console.done("log", "verify", "acme").exit_code == 0


def test_reopening_is_told_to_its_people(console: Console) -> None:
    console.done("tenant", "close", "acme")
    console.done("tenant", "reopen", "acme")
    assert said_to_its_people(console, "acme")["event"] == "tenant_reopened"


def test_what_was_done_with_the_tenant_is_on_nobodys_history_page(console: Console) -> None:
    console.done("tenant", "rename", "acme", "apex")
    console.done("tenant", "rename", "apex", "acme")
    assert said_to_its_people(console, "acme")["details"]["to"] == "acme"
    platform: Platform = open_platform(console.home)
    page = platform.signed_in("acme").get("/preferences/history").text
    platform.close()
    assert "Signed in" in page
    assert "tenant_" not in page


# -- dry runs ----------------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_done_and_does_nothing(served: Console) -> None:
    served.done("tenant", "close", "globex")
    before = served.contents()
    close = served.done("tenant", "close", "acme", "--dry-run")
    assert close.stdout == "acme is active and would be closed.\n"
    clone = served.done("tenant", "clone", "acme", "twin", "--server", "embedded", "--dry-run")
    assert clone.stdout.startswith("twin would be made on embedded: ")
    move = served.done("tenant", "move", "acme", "--to", "pg1", "--dry-run")
    assert move.stdout.startswith("acme would be moved from embedded to pg1: ")
    purge = served.done("tenant", "purge", "globex", "--dry-run")
    assert purge.stdout.startswith(f"From {TODAY + 30 * DAY:%Y-%m-%d} on, this of globex would be destroyed:")
    assert served.contents() == before
    assert [entry.details["dry_run"] for entry in served.journal()[-4:]] == ["True"] * 4


def test_a_dry_run_refuses_what_would_be_refused(console: Console) -> None:
    assert "is active: close it first" in console.run("tenant", "purge", "acme", "--dry-run").refusal
    assert "no server 'pg9'" in console.run("tenant", "move", "acme", "--to", "pg9", "--dry-run").refusal
    assert "globex" in console.run("tenant", "clone", "acme", "globex", "--dry-run").refusal
    console.done("tenant", "close", "acme")
    assert console.done("tenant", "close", "acme", "--dry-run").stdout == "acme is closed and would be closed.\n"


def test_a_rename_says_whom_it_leaves_without_passkeys_or_single_sign_on_and_asks(console: Console) -> None:
    platform: Platform = open_platform(console.home)
    # Anna has an app and a passkey, Ben a passkey and, when his codes are gone, nothing else.
    anna, ben = platform.signed_in("acme"), platform.signed_in("acme", "ben")
    set_up_app(anna)
    add_passkey(anna)
    add_passkey(ben)
    add_passkey(platform.signed_in("globex"))
    with platform.db("acme") as db:
        db.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id("ben")))
        issuer = "https://login.acme.example"
        db.add(IdentityProvider(name="Acme login", issuer=issuer, client_id="extranet", is_enabled=True))
        db.add(Identity(user_id=user_id("anna"), issuer=issuer, subject="1", name="anna@acme.example"))
        db.commit()
    platform.close()

    before = console.contents()
    planned = console.done("tenant", "rename", "acme", "apex", "--dry-run")
    assert planned.stdout.splitlines() == [
        "acme would be apex.",
        "2 people have passkeys, which work at the old address alone. At the new one they sign in",
        "  with their password and an app or a recovery code, and add new passkeys.",
        "  1 of them has neither: afterwards, extranet user reset-factors lets them in again.",
        "1 person is linked to single sign-on (Acme login). It works again once the",
        "  provider has this redirect address: http://apex.localhost:8000/sign-on/answer",
    ]
    document = console.done("tenant", "rename", "acme", "apex", "--dry-run", "--json").document
    assert document == {
        "slug": "acme",
        "new_slug": "apex",
        "people_with_passkeys": 2,
        "of_them_without_another_factor": 1,
        "single_sign_on": "Acme login",
        "people_linked": 1,
        "answer_address": "http://apex.localhost:8000/sign-on/answer",
    }
    asked = console.run("tenant", "rename", "acme", "apex")
    assert (asked.exit_code, asked.stdout) == (1, "")
    assert "2 people have passkeys" in asked.stderr
    assert "acme was not named once more; nothing was changed." in asked.stderr
    assert console.contents() == before
    # Nobody is asked about what would be refused, or changes nothing.
    assert "a tenant 'globex' already" in console.run("tenant", "rename", "acme", "globex").refusal
    same = console.done("tenant", "rename", "acme", "acme").stdout
    assert same == "acme has this name already; nothing was changed.\n"
    renamed = console.done("tenant", "rename", "acme", "apex", "--yes-i-mean", "acme")
    assert renamed.stdout.startswith("acme is now apex")
    # Globex has a passkey too, but nothing else: one person, said in the singular.
    assert "1 person has passkeys" in console.done("tenant", "rename", "globex", "global", "--dry-run").stdout


def test_what_a_purge_would_destroy_is_listed_exactly(console: Console) -> None:
    console.done("host", "add", "acme", "extranet.acme.example")
    console.done("tenant", "rename", "acme", "apex")
    console.done("backup", "create", "apex")
    console.done("tenant", "close", "apex")
    plan = console.done("tenant", "purge", "apex", "--dry-run", "--json").document
    uuid = console.done("tenant", "show", "apex", "--json").document["uuid"]
    folder, backups = console.home / "tenants" / uuid, console.home / "backups" / uuid
    files = [file for file in [*folder.rglob("*"), *backups.rglob("*")] if file.is_file()]
    assert plan["databases"][0] == str(folder / f"{uuid}.sqlite3")
    assert plan["folders"] == [str(folder), str(backups)]
    assert plan["files"] == len(files)
    assert (plan["hosts"], plan["former_slugs"], plan["keys"]) == (["extranet.acme.example"], ["acme"], 1)
    said = console.done("tenant", "purge", "apex", "--dry-run").stdout
    for what in (*plan["databases"], *plan["folders"], f"backup {plan['backups'][0]}", "1 key:", "host acme"):
        assert f"  {what}" in said


# -- purge -------------------------------------------------------------------------------------------------------------


def test_a_purge_waits_for_the_grace_and_for_the_slug_once_more(console: Console) -> None:
    console.done("tenant", "close", "acme")
    named = ("--yes-i-mean", "acme")
    refusal = console.run("tenant", "purge", "acme", *named).refusal
    assert refusal == f"acme was closed on {TODAY:%Y-%m-%d}: it can be purged from {TODAY + 30 * DAY:%Y-%m-%d} on."
    for meant in ([], ["--yes-i-mean", "globex"]):
        refusal = console.run("tenant", "purge", "acme", "--now", *meant).refusal
        assert refusal == "acme was not named once more; nothing was changed. See: --yes-i-mean acme."
    answer = console.done("tenant", "purge", "acme", "--now", *named)
    free = f"{TODAY + 100 * DAY:%Y-%m-%d}"
    assert f"acme is gone. Its slug may be somebody else's from {free} on." in answer.stdout
    again = console.done("tenant", "purge", "acme", *named, "--json").document
    assert (again["slug"], again["slug_free_at"]) == ("acme", free)
    assert f"is free from {free} on" in console.run(*create_arguments("acme")).refusal
    assert console.done("doctor").exit_code == 0


def test_nobody_is_asked_about_a_purge_that_would_be_refused(console: Console) -> None:
    assert console.run("tenant", "purge", "nobody").refusal.startswith("There is no tenant 'nobody'.")
    assert "is active: close it first" in console.run("tenant", "purge", "acme").refusal
    console.done("tenant", "close", "acme")
    assert "it can be purged from" in console.run("tenant", "purge", "acme").refusal
    assert "was not named once more" in console.run("tenant", "purge", "acme", "--now").refusal


def test_after_the_grace_the_slug_alone_is_enough(console: Console) -> None:
    close_long_ago(console, "acme")
    console.done("tenant", "purge", "acme", "--yes-i-mean", "acme")
    assert console.run("tenant", "show", "acme").exit_code == 1


@pytest.mark.parametrize(("typed", "exit_code"), [("acme\n", 0), ("\x04", 1)])
def test_at_a_terminal_the_slug_is_typed_and_an_end_of_file_is_no_consent(
    console: Console, typed: str, exit_code: int
) -> None:
    close_long_ago(console, "acme")
    with terminal() as (ours, theirs):
        process = console.start("tenant", "purge", "acme", stdin=theirs, stderr=theirs, start_new_session=True)
        os.close(theirs)
        os.write(ours, typed.encode())
        assert process.wait(PATIENCE) == exit_code
        shown = read_all(ours)
        assert process.stdout
        process.stdout.close()
    assert "Everything of acme will be destroyed for ever. Type acme to go on:" in shown
    assert ("not named once more" in shown) is bool(exit_code)
    assert (console.run("tenant", "show", "acme").exit_code == 0) is bool(exit_code)


@pytest.mark.parametrize("typed", ["globex\n", "\n", ""])
def test_another_word_is_no_consent(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(click.ClickException, match="not named"):
        confirm("acme", "", "Sure?")


# -- clone and move ----------------------------------------------------------------------------------------------------


def test_a_clone_is_served_and_says_whose_it_is(console: Console) -> None:
    source = console.done("tenant", "show", "acme", "--json").document
    answer = console.done("tenant", "clone", "acme", "twin", "--name", "Twin")
    assert answer.stdout == "twin is ready at http://twin.localhost:8000\n"
    assert answer.stderr.splitlines()[-1].startswith("Copying acme: ")
    entry = said_to_its_people(console, "twin")
    assert (entry["event"], entry["details"]["source"]) == ("tenant_cloned", source["uuid"])
    assert list(entry["details"]["heads"]) == ["activity", "security_event"]
    assert console.done("log", "verify", "--all").exit_code == 0
    platform = open_platform(console.home)
    platform.browser("twin").sign_in("anna", PASSWORD)
    platform.close()


def test_a_clone_is_called_as_its_original_unless_told_otherwise(console: Console) -> None:
    assert console.done("tenant", "clone", "acme", "twin", "--json").document["name"] == "Acme"
    assert "twin" in console.run("tenant", "clone", "acme", "twin").refusal
    assert "no tenant 'nobody'" in console.run("tenant", "clone", "nobody", "twin2").refusal


def test_a_tenant_goes_to_a_server_and_back(served: Console) -> None:
    there = served.done("tenant", "move", "acme", "--to", "pg1")
    assert there.stdout == "acme is on pg1.\n"
    assert there.stderr.splitlines()[-1].startswith("Copying acme: ")
    back = served.done("tenant", "move", "acme", "--to", "embedded", "--json").document
    assert (back["slug"], back["server"]) == ("acme", "embedded")
    details = said_to_its_people(served, "acme")["details"]
    assert (details["from"], details["to"]) == ("pg1", "embedded")
    assert served.done("tenant", "move", "acme", "--to", "embedded").stdout == "acme is on embedded.\n"


def test_new_tenants_go_where_they_are_sent_or_where_there_is_most_room(served: Console) -> None:
    assert served.create("zoe").exit_code == 0
    assert served.create("yves", "--server", "embedded").exit_code == 0
    served.done("tenant", "clone", "acme", "twin")
    with Tenancy.open(settings_of(served.home), HISTORY) as tenancy:
        found = {tenant.slug: tenant.server for tenant in tenancy.registry.all()}
    assert found == {"acme": "embedded", "globex": "embedded", "twin": "pg1", "yves": "embedded", "zoe": "pg1"}
    assert "no server 'pg9'" in served.create("xena", "--server", "pg9").refusal


# -- what was cut short ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "details", "command"),
    [
        ("move", {"origin": "embedded", "target": "pg1"}, "Go on with: extranet tenant move acme --to pg1"),
        ("clone", {"source": "globex"}, "Make it again with: extranet tenant clone globex acme"),
        ("purge", {}, "Go on with: extranet tenant purge acme"),
        ("rotation", {}, "its rotation was cut short: run it again."),
    ],
)
def test_the_doctor_names_the_command_that_goes_on(
    console: Console, verb: str, details: dict[str, str], command: str
) -> None:
    with Tenancy.open(settings_of(console.home), HISTORY) as tenancy, tenancy.registry.writing() as connection:
        unfinished.begin(connection, tenancy.registry.by_slug("acme").uuid, verb, "copying", **details)
    answer = console.run("doctor")
    assert answer.exit_code == 1
    (bad,) = [line for line in answer.stdout.splitlines() if line.startswith("BAD")]
    assert bad.startswith("BAD  acme: its ")
    assert bad.endswith(command)


def test_a_tenant_that_is_being_purged_is_shown_and_listed(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error", str(Path("disk")))

    console.done("tenant", "close", "acme")
    monkeypatch.setattr("shutil.rmtree", fail)
    refused = console.run("tenant", "purge", "acme", "--now", "--yes-i-mean", "acme")
    assert refused.refusal == "Input/output error: disk."
    monkeypatch.undo()
    assert "purged" in console.done("tenant", "list").stdout
    assert "does not come back: run extranet tenant purge acme" in console.run("tenant", "reopen", "acme").refusal
    console.done("tenant", "purge", "acme", "--yes-i-mean", "acme")
    assert lifecycle.GRACE == 30 * DAY
