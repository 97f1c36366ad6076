"""extranet staff and extranet support: who may ask a tenant to be let in, and how they come in."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from extranet.support.operations import allow
from tests.console import Console
from tests.platform import OPERATOR_ORIGIN, Platform, open_platform, user_id

REASON = ("--reason", "Ticket 4711: the people page stays empty")
OLGA = ("acme", "--as", "olga")
TODAY = f"{datetime.now(UTC):%Y-%m-%d}"


def make_ready(console: Console) -> None:
    console.done("staff", "add", "olga", "--full-name", "Olga Ops", "--email", "olga@ops.example")
    console.done("staff", "commit", "olga", "--on", TODAY, "--text", "version 3")
    console.done("staff", "train", "olga", "--on", TODAY)


def let_in(console: Console, slug: str = "acme") -> None:
    platform = open_platform(console.home)
    with platform.db(slug) as db:
        from extranet.support.finding import waiting

        (asked,) = waiting(db)
        member = platform.tenancy.staff.by_name(asked.staff)
        terms = {"hours": asked.hours, "writes": asked.writes, "user_id": user_id("anna"), "origin": OPERATOR_ORIGIN}
        allow(db, asked.id, member, **terms)
    platform.close()


@pytest.fixture
def platform(console: Console) -> Platform:
    return open_platform(console.home)


def test_the_staff_is_listed_with_what_each_lacks(console: Console) -> None:
    assert console.done("staff", "list").stdout == "There is nobody yet. Add somebody with: extranet staff add\n"
    added = console.done("staff", "add", "olga", "--full-name", "Olga Ops", "--email", "olga@ops.example")
    assert added.stdout.splitlines()[1] == (
        "Still missing: no signed confidentiality commitment; no training in data protection."
    )
    tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
    assert "still to come" in console.run("staff", "train", "olga", "--on", tomorrow).refusal
    assert console.run("staff", "train", "olga", "--on", "yesterday").exit_code == 2
    console.done("staff", "train", "olga", "--on", TODAY)
    (document,) = console.done("staff", "list", "--json").document
    assert (document["may_ask"], document["due"]) == (False, ["no signed confidentiality commitment"])
    signed = console.done("staff", "commit", "olga", "--on", TODAY, "--text", "version 3")
    assert signed.stdout.splitlines()[1] == "They may ask for access: extranet support ask"
    assert console.done("staff", "list").stdout.splitlines()[1] == f"olga  Olga Ops   {TODAY}  {TODAY}  yes"
    console.done("staff", "remove", "olga")
    assert "left on" in console.done("staff", "list").stdout
    entry = console.journal()[0]
    assert (entry.event, entry.subject) == ("staff add", "olga")
    assert "Olga Ops" not in repr(entry.details)
    assert entry.private["full_name"] == "Olga Ops"


def test_nobody_asks_who_is_not_ready_nor_enters_without_a_grant(console: Console) -> None:
    assert "nobody called 'olga'" in console.run("support", "ask", *OLGA, *REASON).refusal
    console.done("staff", "add", "olga", "--full-name", "Olga Ops", "--email", "olga@ops.example")
    assert "no signed confidentiality commitment" in console.run("support", "ask", *OLGA, *REASON).refusal
    console.done("staff", "commit", "olga", "--on", TODAY, "--text", "version 3")
    console.done("staff", "train", "olga", "--on", TODAY)
    assert "at least 10 characters" in console.run("support", "ask", *OLGA, "--reason", " why  not ").refusal
    assert console.run("support", "ask", *OLGA, *REASON, "--hours", "25").exit_code == 2
    assert "Nobody has granted olga access" in console.run("support", "open", *OLGA).refusal
    assert "neither asked" in console.run("support", "end", *OLGA).refusal
    assert console.run("support", "ask", "nobody", *OLGA[1:], *REASON).refusal.startswith("There is no tenant")
    assert console.done("support", "list").stdout.startswith("Nothing is asked")


def test_a_link_lets_in_under_a_grant_and_ends_with_it(console: Console, platform: Platform) -> None:
    make_ready(console)
    asked = console.done("support", "ask", *OLGA, *REASON, "--hours", "3", "--write", "--json").document
    assert (asked["state"], asked["hours"], asked["writes"], asked["until"]) == ("asked", 3, True, None)
    assert "asked already" in console.run("support", "ask", *OLGA, *REASON).refusal
    assert console.done("support", "list", "globex", "--json").document == []
    assert console.done("tenant", "show", "acme", "--json").document["support_access"] == []
    let_in(console)
    (granted,) = console.done("support", "list", "--json").document
    assert (granted["slug"], granted["state"]) == ("acme", "granted")
    assert "yes         Ticket 4711" in console.done("support", "list").stdout
    assert f"olga until {granted['until'][:10]}" in console.done("tenant", "show", "acme").stdout
    link = console.done("support", "open", *OLGA).stdout.split()[-1]
    assert link.startswith("http://acme.localhost:8000/support/")
    browser = platform.browser()
    assert browser.get(link.removeprefix("http://acme.localhost:8000")).status_code == 303
    assert browser.post("/support").headers["Location"] == "/"
    assert browser.get("/admin/people").status_code == 200
    assert console.done("support", "end", *OLGA).stdout == "olga has no access to acme, and asks for none.\n"
    assert browser.get("/admin/people").status_code == 303
    console.done("support", "ask", *OLGA, *REASON)
    let_in(console)
    entered = platform.browser()
    entered.get(console.done("support", "open", *OLGA).stdout.split()[-1].removeprefix("http://acme.localhost:8000"))
    entered.post("/support")
    assert entered.get("/").status_code == 200
    assert console.done("staff", "remove", "olga", "--json").document["ended"] == ["acme"]
    assert entered.get("/").status_code == 303
    assert console.done("support", "list", "--json").document == []
    # The link is a secret: it is said once, and not in the operators' journal.
    assert link.rpartition("/")[2] not in repr(console.journal())
    platform.close()
