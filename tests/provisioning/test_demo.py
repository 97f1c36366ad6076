"""extranet demo: something to try, on localhost alone, kept when it is there."""

from __future__ import annotations

import pytest

from tests.console import Console
from tests.platform import open_platform


def test_a_demo_has_two_people_who_can_sign_in(console: Console) -> None:
    document = console.done("demo", "zoe", "--json").document
    assert list(document) == ["slug", "url", "people"]
    assert [list(person) for person in document["people"]] == [["username", "password", "role"]] * 2
    assert [(person["username"], person["role"]) for person in document["people"]] == [
        ("anna", "admin"),
        ("ben", "member"),
    ]
    platform = open_platform(console.home)
    for person in document["people"]:
        platform.browser("zoe").sign_in(person["username"], person["password"])
    platform.close()


def test_a_second_time_it_says_the_same(console: Console) -> None:
    first = console.done("demo", "zoe")
    before = console.contents()
    assert console.done("demo", "zoe").stdout == first.stdout
    assert console.contents() == before
    assert first.stdout.splitlines()[0] == "http://zoe.localhost:8000"
    notes = console.home / "demo" / "zoe.json"
    assert notes.stat().st_mode & 0o077 == 0


def test_a_tenant_that_is_no_demo_is_left_as_it_is(console: Console) -> None:
    before = console.contents()
    answer = console.done("demo", "acme")
    assert answer.stdout.splitlines() == [
        "http://acme.localhost:8000",
        "It was there before and is not a demo. Who is in it: extranet user list acme",
    ]
    assert console.contents() == before


@pytest.mark.parametrize("domain", ["extranet.example", "localhost.example:8000"])
def test_on_a_real_domain_it_is_refused(console: Console, domain: str) -> None:
    before = console.contents()
    assert "localhost only" in console.run("demo", "zoe", EXTRANET_DOMAIN=domain).refusal
    assert console.contents() == before


@pytest.mark.parametrize("slug", ["../../outside", "/tmp/outside", "www", "Zoe", ""])
def test_a_bad_slug_writes_no_file_anywhere(console: Console, slug: str) -> None:
    before = sorted(console.home.parent.rglob("*.json")), console.contents()
    assert console.run("demo", slug).exit_code == 1
    assert (sorted(console.home.parent.rglob("*.json")), console.contents()) == before


def test_the_passwords_of_a_demo_that_was_renamed_are_kept(console: Console) -> None:
    console.done("demo", "zoe")
    notes = (console.home / "demo" / "zoe.json").read_text()
    console.done("tenant", "rename", "zoe", "zoe-two")
    assert "belonged to another tenant" in console.run("demo", "zoe").refusal
    assert (console.home / "demo" / "zoe.json").read_text() == notes
