"""extranet tenant: what each verb does, says and refuses."""

from __future__ import annotations

import re
from pathlib import Path
from uuid import UUID

import pytest

from tests.console import Console, create_arguments
from tests.extranet.sign_on_page import SETTINGS, set_up
from tests.platform import PASSWORD, open_platform

BASICS = ["slug", "name", "state", "uuid", "url", "server"]


def status_of(home: Path, slug: str, path: str = "/login") -> int:
    platform = open_platform(home)
    try:
        return platform.browser(slug).get(path).status_code
    finally:
        platform.close()


def test_creating_a_tenant_says_where_it_is_and_prints_an_invitation_that_works(console: Console) -> None:
    answer = console.create("zoe")
    assert answer.exit_code == 0
    assert answer.stderr == ""
    first, second, link = answer.stdout.splitlines()
    assert first == "zoe is ready at http://zoe.localhost:8000"
    assert second == "zoe chooses a password here, once and within 3 days:"
    path = link.strip().removeprefix("http://zoe.localhost:8000")
    platform = open_platform(console.home)
    browser = platform.browser("zoe")
    assert browser.get(path).headers["Location"] == "/invitation"
    browser.post("/invitation", {"password": PASSWORD, "repeat": PASSWORD})
    browser.sign_in("zoe", PASSWORD)
    platform.close()


def test_creating_a_tenant_in_json_is_one_document_with_the_invitation(console: Console) -> None:
    document = console.create("zoe", "--json").document
    assert list(document) == [*BASICS, "admin", "invitation"]
    assert (document["slug"], document["name"], document["state"]) == ("zoe", "New", "active")
    assert str(UUID(document["uuid"])) == document["uuid"]
    assert re.fullmatch(r"http://zoe\.localhost:8000/invitation/[A-Za-z0-9_-]{43}", document["invitation"])


def test_an_administrator_who_is_given_a_password_on_standard_input_can_sign_in(console: Console) -> None:
    answer = console.create("zoe", "--password-stdin", "--locale", "fr", stdin=f"{PASSWORD}\n")
    assert answer.stdout.splitlines()[-1] == "zoe can sign in with the password you gave."
    assert PASSWORD not in answer.stdout
    platform = open_platform(console.home)
    platform.browser("zoe").sign_in("zoe", PASSWORD)
    assert 'lang="fr"' in platform.browser("zoe").get("/login").text
    platform.close()


def test_a_tenant_created_with_a_password_has_no_invitation_in_json(console: Console) -> None:
    assert console.create("zoe", "--password-stdin", "--json", stdin=f"{PASSWORD}\n").document["invitation"] == ""


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (create_arguments("Zoe"), "", "A slug is made of a-z, 0-9 and single hyphens"),
        (create_arguments("z"), "", "A slug has 2 to 32 characters."),
        (create_arguments("z" * 33), "", "A slug has 2 to 32 characters."),
        (create_arguments("../zoe"), "", "A slug is made of a-z"),
        (create_arguments("$(id)"), "", "A slug is made of a-z"),
        (create_arguments('x"; DROP'), "", "A slug is made of a-z"),
        (create_arguments("123"), "", "A slug needs at least one letter."),
        (create_arguments("www"), "", "The slug 'www' is reserved."),
        (create_arguments("acme"), "", "There is a tenant 'acme' already."),
        (create_arguments("zoe", name=" "), "", "A tenant's name has 1 to 100 characters."),
        (create_arguments("zoe", name="a\x1b[31m"), "", "A tenant's name holds no control characters."),
        (create_arguments("zoe", email="zoe"), "", "'zoe' is not an e-mail address."),
        (create_arguments("zoe", admin="z z"), "", "A username has 3 to 64 of a-z"),
        ([*create_arguments("zoe"), "--first-name", "\t\x07"], "", "A name has 1 to 100 printable characters."),
        ([*create_arguments("zoe"), "--password-stdin"], "", "No password came on standard input."),
        ([*create_arguments("zoe"), "--password-stdin"], "\n", "No password came on standard input."),
        ([*create_arguments("zoe"), "--password-stdin"], "short\n", "Use at least 12 characters."),
        ([*create_arguments("zoe"), "--password-stdin"], "password1234\n", "This password is easy to guess."),
        (
            [*create_arguments("zoe"), "--password-stdin"],
            b"caf\xe9 caf\xe9 caf\xe9\n",
            "The password on standard input",
        ),
    ],
)
def test_a_refused_creation_says_why_and_leaves_nothing(
    console: Console, arguments: list[str], stdin: str | bytes, sentence: str
) -> None:
    before = console.contents()
    assert console.run(*arguments, stdin=stdin).refusal.startswith(sentence)
    assert console.contents() == before


def test_a_slug_that_somebody_left_is_never_given_to_another(console: Console) -> None:
    console.done("tenant", "rename", "acme", "acme-europe")
    before = console.contents()
    refusal = console.create("acme").refusal
    assert refusal == "The slug 'acme' belonged to another tenant and stays reserved."
    assert console.contents() == before


def test_tenants_are_listed_with_their_state_and_address(console: Console) -> None:
    console.done("tenant", "suspend", "globex")
    assert console.done("tenant", "list").stdout.splitlines() == [
        "Slug    Name    State      Address",
        "acme    Acme    active     http://acme.localhost:8000",
        "globex  Globex  suspended  http://globex.localhost:8000",
    ]


def test_tenants_are_listed_in_json(console: Console) -> None:
    documents = console.done("tenant", "list", "--json").document
    assert [list(document) for document in documents] == [BASICS, BASICS]
    assert [document["slug"] for document in documents] == ["acme", "globex"]


def test_without_tenants_the_list_says_how_to_make_one(empty_console: Console) -> None:
    empty_console.done("init")
    assert "extranet tenant create" in empty_console.done("tenant", "list").stdout
    assert empty_console.done("tenant", "list", "--json").document == []


def test_one_tenant_is_shown_with_its_people_and_the_room_it_takes(console: Console) -> None:
    console.done("host", "add", "acme", "extranet.acme.example")
    shown = console.done("tenant", "show", "acme").stdout.splitlines()
    lines = dict(re.split(r"  +", line, maxsplit=1) for line in shown)
    assert list(lines) == [
        *BASICS,
        "hosts",
        "former slugs",
        "created at",
        "changed at",
        "folder",
        "storage",
        "users",
        "single sign on",
        "support access",
        "verified backup",
        "verified backup age",
    ]
    assert lines["hosts"] == "extranet.acme.example"
    assert lines["former slugs"] == "none"
    assert (lines["users"], lines["single sign on"]) == ("3 active", "off")
    assert re.fullmatch(r"0\.\d MiB", lines["storage"])


def test_one_tenant_is_shown_in_json(console: Console) -> None:
    console.done("user", "disable", "acme", "gus")
    document = console.done("tenant", "show", "acme", "--json").document
    assert list(document) == [
        *BASICS,
        "hosts",
        "former_slugs",
        "created_at",
        "changed_at",
        "folder",
        "storage_bytes",
        "users",
        "single_sign_on",
        "support_access",
        "verified_backup",
        "verified_backup_age",
    ]
    assert document["users"] == {"active": 2, "disabled": 1}
    platform = open_platform(console.home)
    set_up(platform)
    platform.close()
    shown = console.done("tenant", "show", "acme", "--json").document
    assert shown["single_sign_on"] == f"on, {SETTINGS['issuer']}"
    assert document["folder"] == str(console.home / "tenants" / document["uuid"])
    assert document["storage_bytes"] > 0


def test_a_tenant_whose_database_is_gone_can_still_be_shown(console: Console) -> None:
    shown = console.done("tenant", "show", "acme", "--json").document
    (Path(shown["folder"]) / f"{shown['uuid']}.sqlite3").unlink()
    assert "see extranet doctor" in console.done("tenant", "show", "acme").stdout
    assert console.done("tenant", "show", "acme", "--json").document["users"] is None


def test_a_suspended_tenant_is_not_served_until_it_is_resumed(console: Console) -> None:
    answer = console.done("tenant", "suspend", "acme")
    assert answer.stdout == "acme is suspended. Serve it again with: extranet tenant resume acme\n"
    assert status_of(console.home, "acme") == 503
    assert status_of(console.home, "globex") == 200
    assert console.done("tenant", "resume", "acme").stdout == "acme is active at http://acme.localhost:8000\n"
    assert status_of(console.home, "acme") == 200


@pytest.mark.parametrize(("verb", "state"), [("suspend", "suspended"), ("resume", "active")])
def test_suspending_and_resuming_twice_change_nothing_more(console: Console, verb: str, state: str) -> None:
    first = console.done("tenant", verb, "acme", "--json").document
    before = console.contents()
    assert console.done("tenant", verb, "acme", "--json").document == first
    assert console.contents() == before
    assert list(first) == BASICS
    assert first["state"] == state


def test_a_renamed_tenant_redirects_from_its_old_address(console: Console) -> None:
    answer = console.done("tenant", "rename", "acme", "acme-europe")
    assert answer.stdout.startswith("acme is now acme-europe, at http://acme-europe.localhost:8000\n")
    assert "signs in once more" in answer.stdout
    assert status_of(console.home, "acme-europe") == 200
    assert status_of(console.home, "acme") in {301, 302, 303, 307, 308}
    document = console.done("tenant", "show", "acme-europe", "--json").document
    assert document["former_slugs"] == ["acme"]


def test_renaming_answers_with_the_tenant_in_json(console: Console) -> None:
    document = console.done("tenant", "rename", "acme", "acme-europe", "--json").document
    assert list(document) == BASICS
    assert document["slug"] == "acme-europe"


def test_asking_for_a_tenant_by_the_slug_it_left_says_what_it_is_called_now(console: Console) -> None:
    console.done("tenant", "rename", "acme", "acme-europe")
    refusal = console.run("tenant", "show", "acme").refusal
    assert refusal == "There is no tenant 'acme'. It is called 'acme-europe' now."


@pytest.mark.parametrize(
    ("new_slug", "sentence"),
    [
        ("globex", "There is a tenant 'globex' already."),
        ("www", "The slug 'www' is reserved."),
        ("-", "A slug has 2 to 32 characters."),
    ],
)
def test_a_refused_rename_leaves_everything_as_it_was(console: Console, new_slug: str, sentence: str) -> None:
    before = console.contents()
    assert console.run("tenant", "rename", "acme", new_slug).refusal == sentence
    assert console.contents() == before


def test_logging_everybody_out_ends_live_logins_of_this_tenant_alone(console: Console) -> None:
    platform = open_platform(console.home)
    browsers = {slug: platform.signed_in(slug) for slug in ("acme", "globex")}
    platform.close()
    answer = console.done("tenant", "logout-all", "acme")
    assert answer.stdout == "Everybody is signed out of acme: 1 login was ended.\n"
    platform = open_platform(console.home)
    for browser in browsers.values():
        browser.app = platform.app
        browser.client.application = platform.app
    assert browsers["acme"].get("/preferences/profile").status_code == 303
    assert browsers["globex"].get("/preferences/profile").status_code == 200
    platform.close()


def test_logging_everybody_out_answers_in_json_how_many_logins_ended(console: Console) -> None:
    document = console.done("tenant", "logout-all", "acme", "--json").document
    assert list(document) == [*BASICS, "ended"]
    assert document["ended"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["tenant", "show", "nobody"],
        ["tenant", "suspend", "nobody"],
        ["tenant", "resume", "nobody"],
        ["tenant", "rename", "nobody", "somebody"],
        ["tenant", "logout-all", "nobody"],
        ["host", "add", "nobody", "extranet.nobody.example"],
        ["host", "remove", "nobody", "extranet.nobody.example"],
        ["host", "list", "nobody"],
        ["user", "list", "nobody"],
        ["user", "invite", "nobody", "anna"],
        ["user", "disable", "nobody", "anna"],
        ["user", "enable", "nobody", "anna"],
        ["user", "unlock", "nobody", "anna"],
        ["user", "set-password", "nobody", "anna"],
        ["user", "create", "nobody", "zoe", "--email", "z@z.example", "--first-name", "Z", "--last-name", "Z"],
        ["log", "show", "nobody"],
        ["log", "export", "nobody"],
        ["log", "verify", "nobody"],
    ],
)
@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_an_unknown_tenant_is_refused_in_one_sentence(
    console: Console, arguments: list[str], as_json: list[str]
) -> None:
    before = console.contents()
    refusal = console.run(*arguments, *as_json, stdin=f"{PASSWORD}\n").refusal
    assert refusal == "There is no tenant 'nobody'. See: extranet tenant list"
    assert console.contents() == before


def test_a_tenant_that_was_never_finished_can_be_made_again_but_not_suspended(console: Console) -> None:
    from tests.provisioning.unfinished import leave_unfinished

    leave_unfinished(console.home, "zoe")
    assert status_of(console.home, "zoe") == 404
    assert "tenant create zoe" in console.run("tenant", "suspend", "zoe").refusal
    assert "cannot be renamed" in console.run("tenant", "rename", "zoe", "zoe-two").refusal
    assert console.run("user", "list", "zoe").exit_code == 1
    assert console.create("zoe").exit_code == 0
    assert status_of(console.home, "zoe") == 200
