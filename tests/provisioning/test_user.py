"""extranet user: people in one tenant, as the command line changes them."""

from __future__ import annotations

import re

import pytest

from extranet.mail.kinds import MailKind
from tests.console import Console
from tests.platform import PASSWORD, open_platform, user_id
from tests.posted import mails_of

KEYS = ["id", "username", "name", "email", "role", "state"]
ZOE = ["zoe", "--email", "zoe@acme.example", "--first-name", "Zoe", "--last-name", "Zorn"]
ANOTHER_PASSWORD = "seven violet lanterns hum"


def test_a_new_user_is_invited_by_a_link_that_works(console: Console) -> None:
    answer = console.done("user", "create", "acme", *ZOE)
    first, second, link = answer.stdout.splitlines()
    assert first == "zoe is a member of acme."
    assert second == "zoe chooses a password here, once and within 3 days:"
    assert_invited(console, link)


def test_a_new_user_in_json_comes_with_the_link(console: Console) -> None:
    document = console.done("user", "create", "acme", *ZOE, "--role", "admin", "--json").document
    assert list(document) == [*KEYS, "invitation"]
    expected = {"username": "zoe", "name": "Zoe Zorn", "email": "zoe@acme.example", "role": "admin", "state": "invited"}
    assert {key: document[key] for key in expected} == expected


def test_a_new_user_with_a_password_signs_in_at_once(console: Console) -> None:
    answer = console.done("user", "create", "acme", *ZOE, "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    assert answer.stdout == "zoe is an admin of acme.\nzoe can sign in with the password you gave.\n"
    sign_in(console, "zoe", PASSWORD)


def test_people_are_listed_for_one_tenant(console: Console) -> None:
    console.done("user", "create", "globex", "nina", *ZOE[1:])
    assert console.done("user", "list", "acme").stdout.splitlines() == [
        "Username  Name         Email              Role    State",
        "anna      Anna Martin  anna@acme.example  admin   active",
        "ben       Ben Peeters  ben@acme.example   member  active",
        "gus       Gus Guest    gus@acme.example   guest   active",
    ]
    documents = console.done("user", "list", "acme", "--json").document
    assert [list(document) for document in documents] == [KEYS] * 3
    assert documents[0] == {
        "id": user_id("anna"),
        "username": "anna",
        "name": "Anna Martin",
        "email": "anna@acme.example",
        "role": "admin",
        "state": "active",
    }


def test_a_new_invitation_replaces_the_earlier_one(console: Console) -> None:
    first = console.done("user", "create", "acme", *ZOE, "--json").document["invitation"]
    answer = console.done("user", "invite", "acme", "zoe")
    second = answer.stdout.splitlines()[1].strip()
    assert first != second
    platform = open_platform(console.home)
    assert platform.browser().get(path_of(first)).headers.get("Location") != "/invitation"
    platform.close()
    assert_invited(console, second)


def test_inviting_answers_with_the_user_and_the_link_in_json(console: Console) -> None:
    console.done("user", "create", "acme", *ZOE)
    assert list(console.done("user", "invite", "acme", "zoe", "--json").document) == [*KEYS, "invitation"]


def test_a_disabled_user_is_signed_out_and_cannot_sign_in_until_enabled(console: Console) -> None:
    platform = open_platform(console.home)
    browser = platform.signed_in("acme", "ben")
    platform.close()
    answer = console.done("user", "disable", "acme", "ben")
    assert answer.stdout == "ben is disabled. Open the account again with: extranet user enable acme ben\n"
    platform = open_platform(console.home)
    browser.app = platform.app
    browser.client.application = platform.app
    assert browser.get("/preferences/profile").status_code == 303
    refused = platform.browser().post("/login", {"username": "ben", "password": PASSWORD})
    assert refused.status_code != 303
    platform.close()
    assert console.done("user", "enable", "acme", "ben").stdout == "ben is active and can sign in.\n"
    sign_in(console, "ben", PASSWORD)


def test_the_same_name_in_another_tenant_is_left_alone(console: Console) -> None:
    console.done("user", "disable", "acme", "ben")
    sign_in(console, "ben", PASSWORD, slug="globex")


@pytest.mark.parametrize(("verb", "state"), [("disable", "disabled"), ("enable", "active"), ("unlock", "active")])
def test_changing_an_account_twice_is_the_same_as_once(console: Console, verb: str, state: str) -> None:
    first = console.done("user", verb, "acme", "ben", "--json").document
    assert console.done("user", verb, "acme", "ben", "--json").document == first
    assert list(first) == KEYS
    assert first["state"] == state


def test_enabling_somebody_without_a_password_says_to_invite_them(console: Console) -> None:
    console.done("user", "create", "acme", *ZOE)
    console.done("user", "disable", "acme", "zoe")
    answer = console.done("user", "enable", "acme", "zoe@acme.example")
    assert answer.stdout == "zoe has no password yet. Invite with: extranet user invite acme zoe\n"


def test_unlocking_lets_somebody_sign_in_after_too_many_failures(console: Console) -> None:
    platform = open_platform(console.home)
    for number in range(6):
        browser = platform.browser(address=f"192.0.2.{number + 1}")
        browser.post("/login", {"username": "ben", "password": "wrong"})
    locked = platform.browser(address="192.0.2.99").post("/login", {"username": "ben", "password": PASSWORD})
    assert locked.status_code != 303
    platform.close()
    answer = console.done("user", "unlock", "acme", "ben")
    assert answer.stdout == "The failed attempts against ben are forgotten.\n"
    sign_in(console, "ben", PASSWORD)


def test_a_link_to_a_new_password_is_mailed_and_shown_to_nobody(console: Console) -> None:
    answer = console.done("user", "reset-password", "acme", "ben")
    assert answer.stdout == "A link to a new password is on its way to ben@acme.example. It works for one hour.\n"
    platform = open_platform(console.home)
    mail = mails_of(platform, "acme", MailKind.RESET_BY_ADMIN)[0]
    assert mail.to == "ben@acme.example"
    assert "operator of this service" in mail.text
    browser = platform.browser()
    browser.get(mail.path("/reset"))
    chosen = {"password": ANOTHER_PASSWORD, "repeat": ANOTHER_PASSWORD}
    assert browser.post("/reset", chosen).status_code == 303
    platform.close()
    sign_in(console, "ben", ANOTHER_PASSWORD)
    assert list(console.done("user", "reset-password", "acme", "ben", "--json").document) == KEYS


def test_a_password_from_standard_input_replaces_the_old_one_and_ends_logins(console: Console) -> None:
    platform = open_platform(console.home)
    browser = platform.signed_in("acme", "ben")
    platform.close()
    answer = console.done("user", "set-password", "acme", "ben", stdin=f"{ANOTHER_PASSWORD}\n")
    assert answer.stdout == "The password of ben is set; all their logins have ended.\n"
    platform = open_platform(console.home)
    browser.app = platform.app
    browser.client.application = platform.app
    assert browser.get("/preferences/profile").status_code == 303
    assert platform.browser().post("/login", {"username": "ben", "password": PASSWORD}).status_code != 303
    platform.close()
    sign_in(console, "ben", ANOTHER_PASSWORD)


def test_setting_a_password_answers_with_the_user_in_json(console: Console) -> None:
    answer = console.done("user", "set-password", "acme", "ben", "--json", stdin=ANOTHER_PASSWORD)
    assert list(answer.document) == KEYS


@pytest.mark.parametrize(
    ("arguments", "stdin", "sentence"),
    [
        (["create", "acme", "anna", *ZOE[1:]], "", "The username anna is taken."),
        (
            ["create", "acme", "zoe", "--email", "ben@acme.example", *ZOE[3:]],
            "",
            "The address ben@acme.example belongs",
        ),
        (["create", "acme", "zoe", "--email", "nowhere", *ZOE[3:]], "", "'nowhere' is not an e-mail address."),
        (["create", "acme", "Z!", *ZOE[1:]], "", "A username has 3 to 64"),
        (["create", "acme", *ZOE, "--password-stdin"], "acme-acme-acme\n", "This password is easy to guess."),
        (["create", "acme", *ZOE, "--password-stdin"], "", "No password came on standard input."),
        (["invite", "acme", "nobody"], "", "There is no user 'nobody'."),
        (["invite", "acme", "ben"], "", "This account has a password already."),
        (["disable", "acme", "nobody"], "", "There is no user 'nobody'."),
        (["disable", "acme", "anna"], "", "This is the last active administrator."),
        (["enable", "acme", "nobody"], "", "There is no user 'nobody'."),
        (["unlock", "acme", "nobody"], "", "There is no user 'nobody'."),
        (["reset-password", "acme", "nobody"], "", "There is no user 'nobody'."),
        (["set-password", "acme", "nobody"], f"{ANOTHER_PASSWORD}\n", "There is no user 'nobody'."),
        (["set-password", "acme", "ben"], "short\n", "Use at least 12 characters."),
        (["set-password", "acme", "ben"], "x" * 5000, "This password is too long"),
        (["set-password", "acme", "ben"], "", "No password came on standard input."),
    ],
)
def test_what_is_refused_is_said_in_one_sentence_and_changes_nobody(
    console: Console, arguments: list[str], stdin: str, sentence: str
) -> None:
    before = console.done("user", "list", "acme", "--json").document
    assert console.run("user", *arguments, stdin=stdin).refusal.startswith(sentence)
    assert console.done("user", "list", "acme", "--json").document == before


def test_an_administrator_can_be_disabled_once_there_is_another(console: Console) -> None:
    console.done("user", "create", "acme", *ZOE, "--role", "admin", "--password-stdin", stdin=f"{PASSWORD}\n")
    console.done("user", "disable", "acme", "anna")
    assert "last active administrator" in console.run("user", "disable", "acme", "zoe").refusal


def sign_in(console: Console, username: str, password: str, slug: str = "acme") -> None:
    platform = open_platform(console.home)
    platform.browser(slug).sign_in(username, password)
    platform.close()


def assert_invited(console: Console, link: str) -> None:
    platform = open_platform(console.home)
    assert platform.browser().get(path_of(link)).headers["Location"] == "/invitation"
    platform.close()


def path_of(link: str) -> str:
    match = re.fullmatch(r"http://acme\.localhost:8000(/invitation/[A-Za-z0-9_-]{43})", link.strip())
    assert match, link
    return match[1]
