"""Passkeys: bound to one tenant's host, one browser, five minutes and one answer."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from sqlalchemy import func, select

from extranet.factors import operations
from extranet.models import Passkey, UsedChallenge, User
from tenants import lifecycle
from tests.browser import Browser
from tests.evidence import dump, sees_every_change
from tests.extranet.authenticator import SoftAuthenticator, decoded, encoded
from tests.extranet.factors import (
    SECURITY,
    add_passkey,
    is_signed_in,
    mails_to,
    passwordless,
    pending,
    second_step,
    second_step_by_passkey,
    send_passkey,
    token_on,
)
from tests.extranet.world import add_person, disable, events_after, log_of, names
from tests.platform import BOTH, PASSWORD, Platform, user_id

BEN = user_id("ben")


@pytest.fixture
def passkey(platform: Platform) -> SoftAuthenticator:
    """Ben's passkey at acme."""
    held = add_passkey(platform.signed_in("acme", "ben"))
    assert held.passkey is not None
    return held.passkey


@BOTH
def test_a_passkey_signs_in_without_a_password_and_as_the_second_step(
    platform: Platform, passkey: SoftAuthenticator
) -> None:
    browser = platform.browser()
    recorded = events_after(platform, lambda: passwordless(browser, passkey))
    assert names(recorded) == ["new_browser", "signed_in"]
    assert recorded[-1].details["factors"] == ["passkey"]
    assert recorded[-1].actor == BEN
    assert is_signed_in(browser)
    waiting = pending(platform)
    recorded = events_after(platform, lambda: second_step_by_passkey(waiting, passkey))
    assert recorded[-1].details["factors"] == ["password", "passkey"]
    assert is_signed_in(waiting)


def test_what_is_asked_for_names_this_host_and_a_random_person(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    options = json.loads(browser.get(f"{SECURITY}/passkeys").text)
    assert options["rp"] == {"id": "acme.localhost", "name": "Acme"}
    assert len(decoded(options["challenge"])) >= 16
    assert len(decoded(options["user"]["id"])) == 32
    assert encoded(BEN.encode()) != options["user"]["id"]
    assert options["authenticatorSelection"]["residentKey"] == "preferred"
    again = json.loads(browser.get(f"{SECURITY}/passkeys").text)
    assert again["user"] == options["user"]
    assert again["challenge"] != options["challenge"]
    theirs = json.loads(platform.signed_in("globex", "ben").get(f"{SECURITY}/passkeys").text)
    assert theirs["user"]["id"] != options["user"]["id"]
    visitor = json.loads(platform.browser().get("/login/passkey").text)
    assert visitor["rpId"] == "acme.localhost"
    assert visitor["userVerification"] == "required"
    assert not visitor.get("allowCredentials")


@BOTH
def test_visitors_who_ask_for_challenges_leave_no_row(platform: Platform) -> None:
    before = dump(platform, "acme")
    for _ in range(20):
        assert platform.browser().get("/login/passkey").status_code == 200
    assert dump(platform, "acme") == before


@BOTH
def test_existing_passkeys_are_excluded_and_none_is_added_twice(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    made = SoftAuthenticator(browser.origin)
    assert send_passkey(browser, made).status_code == 200
    options = json.loads(browser.get(f"{SECURITY}/passkeys").text)
    assert [decoded(key["id"]) for key in options["excludeCredentials"]] == [made.credential_id]
    again = send_passkey(browser, made)
    assert again.status_code == 422
    assert "added already" in again.text
    # Not by somebody else of the same tenant either; at the other it is another one.
    assert send_passkey(platform.signed_in("acme", "anna"), made).status_code == 422
    theirs = SoftAuthenticator("http://globex.localhost:8000", credential_id=made.credential_id, key=made.key)
    assert send_passkey(platform.signed_in("globex", "ben"), theirs).status_code == 200


@pytest.mark.parametrize(
    ("origin", "rp_id"),
    [
        ("http://globex.localhost:8000", "acme.localhost"),
        ("http://acme.localhost:8000", "globex.localhost"),
        ("http://acme.localhost:8000", "localhost"),
        ("http://acme.localhost", "acme.localhost"),
        ("https://acme.localhost:8000", "acme.localhost"),
        ("http://acme.localhost:8000.evil.example", "acme.localhost"),
    ],
)
def test_an_answer_made_for_another_host_is_refused_everywhere(
    platform: Platform, passkey: SoftAuthenticator, origin: str, rp_id: str
) -> None:
    elsewhere = deepcopy_of(passkey, origin=origin, rp_id=rp_id)
    assert passwordless(platform.browser(), elsewhere).status_code == 422
    assert second_step_by_passkey(pending(platform), elsewhere).status_code == 422
    made = SoftAuthenticator(origin, rp_id=rp_id)
    assert send_passkey(platform.signed_in("acme", "gus"), made).status_code == 422
    assert is_signed_in_by(platform, passkey)


def test_a_passkey_of_one_tenant_opens_nothing_at_the_other_though_the_ids_are_the_same(
    platform: Platform, passkey: SoftAuthenticator
) -> None:
    theirs = add_passkey(platform.signed_in("globex", "ben")).passkey
    assert theirs is not None
    assert passwordless(platform.browser("acme"), theirs).status_code == 422
    assert passwordless(platform.browser("globex"), passkey).status_code == 422
    # An answer that is good at globex, taken to acme as it is.
    options = json.loads(platform.browser("globex").get("/login/passkey").text)
    acme = platform.browser("acme")
    assert acme.post("/login/passkey", {"credential": theirs.get(options)}).status_code == 422
    # Even when a copy of the row is there.
    with platform.db("globex", writing=False) as db:
        row = db.scalars(select(Passkey)).one()
        handle = db.get_one(User, BEN).passkey_handle
        copied = {name: getattr(row, name) for name in ("credential_id", "public_key", "sign_count", "name")}
    with platform.db("acme") as db:
        db.add(Passkey(user_id=BEN, aaguid="", transports="", **copied))
        db.get_one(User, BEN).passkey_handle = handle
    assert passwordless(platform.browser("acme"), theirs).status_code == 422
    assert passwordless(platform.browser("globex"), theirs).status_code == 303


def test_a_challenge_is_answered_once(platform: Platform, passkey: SoftAuthenticator) -> None:
    browser = platform.browser()
    token = browser.token()
    cookie = browser.cookie("__Host-session")
    answer = passkey.get(json.loads(browser.get("/login/passkey").text))
    # The cookie the challenge was made for, once more: what a thief of both would send.
    other = platform.browser()
    other.set_cookie("__Host-session", cookie)
    assert browser.post("/login/passkey", {"credential": answer}, token=token).status_code == 303
    other.set_cookie("__Host-session", cookie)
    assert other.post("/login/passkey", {"credential": answer}, token=token).status_code == 422
    assert not is_signed_in(other)


@BOTH
def test_of_twenty_who_send_one_answer_one_is_signed_in(platform: Platform, passkey: SoftAuthenticator) -> None:
    browser = platform.browser()
    token, cookie = browser.token(), browser.cookie("__Host-session")
    answer = passkey.get(json.loads(browser.get("/login/passkey").text))
    others = [platform.browser(address=f"192.0.2.{number}") for number in range(20)]
    for other in others:
        other.set_cookie("__Host-session", cookie)
    start = Barrier(20)

    def send(number: int) -> int:
        start.wait()
        return others[number].post("/login/passkey", {"credential": answer}, token=token).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(send, range(20)))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 422, 503}


def test_a_challenge_belongs_to_one_browser_one_purpose_and_five_minutes(
    platform: Platform, passkey: SoftAuthenticator, clock: time_machine.Traveller
) -> None:
    browser, other = platform.browser(), platform.browser()
    options = json.loads(browser.get("/login/passkey").text)
    other.token()
    assert other.post("/login/passkey", {"credential": passkey.get(options)}).status_code == 422
    waiting = pending(platform)
    for_the_step = json.loads(waiting.get("/login/second-step/passkey").text)
    token = token_on(waiting.get("/login"))
    assert waiting.post("/login/passkey", {"credential": passkey.get(for_the_step)}, token=token).status_code == 422
    late = platform.browser()
    options = json.loads(late.get("/login/passkey").text)
    clock.shift(timedelta(minutes=5, seconds=1))
    assert late.post("/login/passkey", {"credential": passkey.get(options)}).status_code == 422
    assert passwordless(late, passkey).status_code == 303


@pytest.mark.parametrize("challenge", [b"", b"x" * 52, b"x" * 16])
def test_a_challenge_of_ones_own_making_is_refused(
    platform: Platform, passkey: SoftAuthenticator, challenge: bytes
) -> None:
    answer = passkey.get({"challenge": encoded(challenge)})
    assert platform.browser().post("/login/passkey", {"credential": answer}).status_code == 422


def test_somebody_elses_passkey_takes_nobodys_second_step(platform: Platform, passkey: SoftAuthenticator) -> None:
    anna = add_passkey(platform.signed_in("acme", "anna")).passkey
    assert anna is not None
    assert second_step_by_passkey(pending(platform), anna).status_code == 422
    swapped = deepcopy_of(passkey, handle=anna.handle)
    assert passwordless(platform.browser(), swapped).status_code == 422
    assert second_step_by_passkey(pending(platform), swapped).status_code == 422


def test_without_a_password_the_person_must_be_named_and_verified(
    platform: Platform, passkey: SoftAuthenticator
) -> None:
    assert passwordless(platform.browser(), passkey, names_owner=False).status_code == 422
    passkey.verifies = False
    assert passwordless(platform.browser(), passkey).status_code == 422
    assert second_step_by_passkey(pending(platform), passkey, names_owner=False).status_code == 303


def test_a_page_inside_another_gets_nothing(platform: Platform, passkey: SoftAuthenticator) -> None:
    assert passwordless(platform.browser(), passkey, crossOrigin=True).status_code == 422
    made = SoftAuthenticator("http://acme.localhost:8000")
    assert send_passkey(platform.signed_in("acme", "gus"), made, crossOrigin=True).status_code == 422


def test_a_counter_that_falls_is_refused_and_recorded(platform: Platform) -> None:
    passkey = add_passkey(platform.signed_in("acme", "ben"), count=5).passkey
    assert passkey is not None
    copy = deepcopy_of(passkey)
    assert passwordless(platform.browser(), passkey).status_code == 303
    assert passwordless(platform.browser(), passkey).status_code == 303
    recorded = events_after(platform, lambda: passwordless(platform.browser(), copy))
    assert names(recorded) == ["passkey_counter_fell", "sign_in_refused"]
    assert {entry.subject for entry in recorded} == {BEN}
    copy.count = 3
    recorded = events_after(platform, lambda: second_step_by_passkey(pending(platform), copy))
    assert names(recorded) == ["second_step_asked", "passkey_counter_fell", "second_step_refused"]
    copy.count = -1 + 1
    assert passwordless(platform.browser(), copy).status_code == 422, "one that stopped counting"


def test_an_answer_with_a_false_signature_is_refused(platform: Platform, passkey: SoftAuthenticator) -> None:
    forged = deepcopy_of(passkey, key=SoftAuthenticator("").key)
    recorded = events_after(platform, lambda: passwordless(platform.browser(), forged))
    assert names(recorded) == ["sign_in_refused"]
    unknown = deepcopy_of(passkey, credential_id=b"y" * 32)
    assert passwordless(platform.browser(), unknown).status_code == 422


@pytest.mark.parametrize("answer", ["", "{", "[]", "null", '{"id": 1}', "x" * 20_000, "[" * 10_000, '{"response": {}}'])
def test_what_is_no_answer_at_all_is_refused_alike(platform: Platform, answer: str) -> None:
    assert platform.browser().post("/login/passkey", {"credential": answer}).status_code == 422
    browser = platform.signed_in("acme", "ben")
    posted = browser.post(f"{SECURITY}/passkeys", {"name": "x", "credential": answer})
    assert posted.status_code == 422
    assert "could not be added" in posted.text


def test_a_disabled_account_is_not_opened_by_its_passkey(platform: Platform, passkey: SoftAuthenticator) -> None:
    disable(platform, "ben")
    assert passwordless(platform.browser(), passkey).status_code == 422


def test_a_flood_of_answers_from_one_address_is_refused(platform: Platform, passkey: SoftAuthenticator) -> None:
    for _ in range(10):
        answered = platform.browser(address="198.51.100.7").post("/login/passkey", {"credential": "{}"})
        assert answered.status_code == 422
    refused = passwordless(platform.browser(address="198.51.100.7"), passkey)
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert names(log_of(platform))[-1] == "sign_in_throttled"
    assert is_signed_in_by(platform, passkey)


def test_passkeys_are_named_renamed_and_removed_by_their_owner(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    add_passkey(browser, "Laptop")
    add_passkey(browser, "Security key")
    with platform.db("acme", writing=False) as db:
        first = db.scalars(select(Passkey).where(Passkey.name == "Laptop")).one().id
    recorded = events_after(platform, lambda: browser.post(f"{SECURITY}/passkeys/{first}/rename", {"name": "Desk"}))
    assert names(recorded) == ["factor_renamed"]
    assert "Desk" in browser.get(SECURITY).text
    assert events_after(platform, lambda: browser.post(f"{SECURITY}/passkeys/{first}/rename", {"name": "Desk"})) == []
    refused = browser.post(f"{SECURITY}/passkeys/{first}/rename", {"name": " "})
    assert refused.status_code == 422
    assert "1 to 60" in refused.text
    stranger = platform.signed_in("acme", "anna")
    for act in ("rename", "remove"):
        assert stranger.post(f"{SECURITY}/passkeys/{first}/{act}", {"name": "x"}).status_code == 404
    recorded = events_after(platform, lambda: browser.post(f"{SECURITY}/passkeys/{first}/remove"))
    assert names(recorded) == ["factor_removed"]
    page = browser.get(SECURITY).text
    assert "Desk" not in page
    assert "Security key" in page
    assert mails_to(platform)[-3:] == ["factor_added", "factor_added", "factor_removed"]


@BOTH
def test_there_are_twenty_at_most(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MOST_PASSKEYS", 2)
    browser = platform.signed_in("acme", "ben")
    add_passkey(browser)
    add_passkey(browser)
    refused = send_passkey(browser, SoftAuthenticator(browser.origin))
    assert refused.status_code == 422
    assert "At most 2 passkeys" in refused.text


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "two\nlines"])
def test_a_passkey_without_a_proper_name_is_not_added(platform: Platform, name: str) -> None:
    browser = platform.signed_in("acme", "ben")
    assert send_passkey(browser, SoftAuthenticator(browser.origin), name).status_code == 422
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(func.count(Passkey.id))).one() == 0


@BOTH
def test_used_challenges_are_swept_when_they_are_of_no_use(
    platform: Platform, passkey: SoftAuthenticator, clock: time_machine.Traveller
) -> None:
    for _ in range(3):
        passwordless(platform.browser(), passkey)
    clock.shift(timedelta(minutes=11))
    passwordless(platform.browser(), passkey)
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(func.count()).select_from(UsedChallenge)).one() == 1


def test_a_newcomers_first_passkey_gives_them_a_handle_of_their_own(platform: Platform) -> None:
    add_person(platform, "nina")
    made = add_passkey(platform.signed_in("acme", "nina")).passkey
    assert made is not None
    with platform.db("acme", writing=False) as db:
        handles = db.scalars(select(User.passkey_handle).where(User.passkey_handle.is_not(None))).all()
    assert handles == [made.handle]
    assert "passkey_counter_fell" not in names(log_of(platform))


def test_a_person_with_a_passkey_alone_is_not_asked_for_digits(platform: Platform, passkey: SoftAuthenticator) -> None:
    browser = pending(platform)
    page = browser.get("/login/second-step").text
    assert 'data-passkey="get"' in page
    assert 'name="code"' not in page
    assert second_step(browser, code="123456").status_code == 422
    assert passkey.handle


def test_at_a_customers_own_host_nobody_is_offered_what_does_not_work_there(
    platform: Platform, passkey: SoftAuthenticator
) -> None:
    lifecycle.add_host(platform.tenancy, "acme", "people.acme.example")
    sees_every_change(platform)
    browser = Browser(platform.app, platform.settings.origin("people.acme.example"))
    assert "data-passkey" not in browser.get("/login").text
    browser.post("/login", {"username": "ben", "password": PASSWORD})
    assert "do not work at this address" in browser.get("/login/second-step").text
    anna = Browser(platform.app, browser.origin)
    anna.sign_in("anna", PASSWORD)
    assert "do not work at this address" in anna.get(f"{SECURITY}/passkeys/new").text
    # And who insists is refused: what was signed says where.
    passkey.origin = browser.origin
    assert passwordless(Browser(platform.app, browser.origin), passkey).status_code == 422


def is_signed_in_by(platform: Platform, passkey: SoftAuthenticator) -> bool:
    browser = platform.browser()
    passwordless(browser, passkey)
    return is_signed_in(browser)


def deepcopy_of(passkey: SoftAuthenticator, **changed: object) -> SoftAuthenticator:
    values = {
        name: getattr(passkey, name) for name in ("origin", "count", "verifies", "rp_id", "handle", "credential_id")
    }
    return SoftAuthenticator(**{**deepcopy(values), "key": passkey.key, **changed})  # type: ignore[arg-type]
