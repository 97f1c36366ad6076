"""Signing in: every refusal looks alike and costs alike, whatever its reason."""

from __future__ import annotations

import pytest
from sqlalchemy import update

from extranet.accounts.passwords import Cost, Passwords
from extranet.models import User
from tests.extranet.world import (
    WRONG,
    add_person,
    count_verifications,
    disable,
    events_after,
    log_of,
    names,
    row_of,
    try_sign_in,
    value_of,
    without_token,
)
from tests.platform import BOTH, CHEAPEST, PASSWORD, Platform, user_id

REFUSED = ("unknown1", "wrongpw1", "disabled", "invited1")


@pytest.fixture
def crowd(platform: Platform) -> Platform:
    """Accounts of every state under names of one length."""
    add_person(platform, "wrongpw1")
    add_person(platform, "disabled")
    disable(platform, "disabled")
    platform.invite("acme", "invited1")
    return platform


@BOTH
@pytest.mark.parametrize("slug", ["acme", "globex"])
@pytest.mark.parametrize("name", ["anna", "ANNA", "  anna ", "{slug}"])
def test_a_username_or_an_address_in_any_case_opens_the_account(platform: Platform, slug: str, name: str) -> None:
    name = name.replace("{slug}", f"Anna@{slug}.EXAMPLE")
    browser = platform.browser(slug)
    assert browser.sign_in(name, PASSWORD).headers["Location"] == "/"
    assert browser.get("/").status_code == 200


def test_all_refusals_have_the_same_status_headers_and_body(crowd: Platform) -> None:
    answers = set()
    for number, name in enumerate(REFUSED):
        response = try_sign_in(crowd.browser(address=f"192.0.2.{number + 1}"), name)
        headers = [(key, value) for key, value in response.headers if key not in {"X-Request-Id", "Set-Cookie"}]
        answers.add((response.status_code, tuple(headers), without_token(response.text).replace(name, "NAME")))
    assert len(answers) == 1
    (status, _, body) = answers.pop()
    assert status == 422
    assert "do not open an account" in body


@BOTH
def test_all_refusals_cost_the_same_number_of_verifications(crowd: Platform) -> None:
    hasher = count_verifications(crowd)
    costs = []
    for name in REFUSED:
        before = hasher.verified
        try_sign_in(crowd.browser(), name)
        costs.append(hasher.verified - before)
    assert costs == [1, 1, 1, 1]


def test_locked_names_answer_alike_whether_they_exist_or_not(crowd: Platform) -> None:
    answers = set()
    for network, name in enumerate(REFUSED):
        for attempt in range(6):
            response = try_sign_in(crowd.browser(address=f"198.51.{network}.{attempt}"), name)
        headers = [(key, value) for key, value in response.headers if key not in {"X-Request-Id", "Set-Cookie"}]
        answers.add((response.status_code, tuple(headers), without_token(response.text).replace(name, "NAME")))
    assert len(answers) == 1
    assert answers.pop()[0] == 429


def test_a_locked_account_refuses_the_right_password_without_looking_at_it(crowd: Platform) -> None:
    for attempt in range(5):
        try_sign_in(crowd.browser(address=f"198.51.100.{attempt}"), "wrongpw1")
    hasher = count_verifications(crowd)
    response = try_sign_in(crowd.browser(address="198.51.100.9"), "wrongpw1", PASSWORD)
    assert response.status_code == 429
    assert 0 < int(response.headers["Retry-After"]) <= 900
    assert hasher.verified == 0


def test_the_typed_name_is_kept_and_the_password_is_not(platform: Platform) -> None:
    page = try_sign_in(platform.browser(), 'anna" onfocus="x', PASSWORD).text
    assert value_of(page, "username") == 'anna" onfocus="x'
    assert PASSWORD not in page


@pytest.mark.parametrize(
    ("username", "password"),
    [("", PASSWORD), ("   ", PASSWORD), ("anna", ""), ("x" * 255, PASSWORD), ("anna", "x" * 1025), ("anna", "é" * 600)],
)
def test_an_incomplete_or_oversized_form_is_refused_before_any_hashing(
    platform: Platform, username: str, password: str
) -> None:
    hasher = count_verifications(platform)
    assert try_sign_in(platform.browser(), username, password).status_code == 422
    assert hasher.verified == 0


def test_the_same_accents_composed_otherwise_are_the_same_password(platform: Platform) -> None:
    with platform.db("acme") as db:
        stored = platform.passwords.hash(db.info["keys"], user_id("anna"), "cafe\u0301 sous la pluie noire")
        db.execute(update(User).where(User.id == user_id("anna")).values(password=stored))
    platform.browser().sign_in("anna", "caf\u00e9 sous la pluie noire")


def test_a_hash_of_another_user_or_tenant_opens_nothing(platform: Platform) -> None:
    with platform.db("globex") as db:
        foreign = platform.passwords.hash(db.info["keys"], user_id("anna"), "the password of globex people")
    with platform.db("acme") as db:
        moved = platform.passwords.hash(db.info["keys"], user_id("ben"), "the password of globex people")
        for stored in (foreign, moved):
            db.execute(update(User).where(User.id == user_id("anna")).values(password=stored))
            db.commit()
            assert try_sign_in(platform.browser(), "anna", "the password of globex people").status_code == 422


@BOTH
def test_a_hash_with_older_parameters_costs_no_less_and_is_renewed_by_signing_in(platform: Platform) -> None:
    old = Passwords(Cost(time=1, memory=16, lanes=1), slots=1)
    with platform.db("acme") as db:
        stored = old.hash(db.info["keys"], user_id("anna"), PASSWORD)
        db.execute(update(User).where(User.id == user_id("anna")).values(password=stored))
    hasher = count_verifications(platform)
    try_sign_in(platform.browser(), "anna", WRONG)
    assert hasher.verified == 2, "the cheaper hash, then one at today's cost"
    platform.browser().sign_in("anna", PASSWORD)
    assert row_of(platform).password != stored
    hasher.verified = 0
    platform.browser().sign_in("anna", PASSWORD)
    assert hasher.verified == 1


def test_a_current_hash_is_left_alone(platform: Platform) -> None:
    before = row_of(platform).password
    platform.browser().sign_in("anna", PASSWORD)
    assert row_of(platform).password == before


@BOTH
def test_an_account_disabled_while_its_password_is_verified_stays_shut(platform: Platform) -> None:
    hasher = count_verifications(platform)
    verify = hasher.verify

    def disable_meanwhile(encoded: str, password: str) -> bool:
        disable(platform, "ben")
        return verify(encoded, password)

    hasher.verify = disable_meanwhile  # type: ignore[method-assign]
    assert try_sign_in(platform.browser(), "ben", PASSWORD).status_code == 422


@BOTH
def test_signing_in_records_who_from_where_with_which_login(platform: Platform) -> None:
    browser = platform.browser(address="203.0.113.5")
    recorded = events_after(platform, lambda: browser.sign_in("anna", PASSWORD))
    assert names(recorded) == ["new_browser", "signed_in"]
    entry = recorded[1]
    assert (entry.actor, entry.subject, entry.outcome) == (user_id("anna"), user_id("anna"), "ok")
    assert entry.private["address"] == "203.0.113.5"
    assert entry.details["factors"] == ["password"]
    assert entry.details["browser"] == recorded[0].details["browser"]
    assert len(entry.details["login"]) == 32
    again = events_after(platform, lambda: platform.browser().sign_in("anna", PASSWORD))
    assert again[-1].details["login"] != entry.details["login"]


def test_a_refusal_names_the_account_it_was_against_and_seals_what_a_stranger_typed(platform: Platform) -> None:
    recorded = events_after(platform, lambda: try_sign_in(platform.browser(), "anna"))
    assert [(entry.event, entry.actor, entry.subject) for entry in recorded] == [
        ("sign_in_refused", "anonymous", user_id("anna"))
    ]
    assert "typed" not in recorded[0].private
    typed = events_after(platform, lambda: try_sign_in(platform.browser(), "hunter2-in-the-wrong-field" * 9))[0]
    assert typed.subject == "anonymous"
    assert typed.private["typed"] == ("hunter2-in-the-wrong-field" * 9)[:64]


def test_a_login_of_one_tenant_is_nobody_in_the_other(platform: Platform) -> None:
    browser = platform.signed_in("acme")
    stranger = platform.browser("globex")
    stranger.set_cookie("__Host-session", browser.cookie("__Host-session"))
    assert stranger.get("/").status_code == 303
    assert names(log_of(platform, "globex"))[-1] == "cookie_tampered"


def test_signing_in_goes_on_to_the_page_that_was_asked_for(platform: Platform) -> None:
    browser = platform.browser()
    asked = browser.get("/preferences/history?page=2")
    assert asked.headers["Location"] == "/login?next=/preferences/history?page%3D2"
    response = try_sign_in(browser, "anna", PASSWORD, asked.headers["Location"])
    assert response.headers["Location"] == "/preferences/history?page=2"


def test_somebody_signed_in_is_led_past_the_sign_in_page(platform: Platform) -> None:
    browser = platform.signed_in()
    assert browser.get("/login").headers["Location"] == "/"
    assert browser.get("/login?next=/preferences/display").headers["Location"] == "/preferences/display"
    assert browser.get("/login?next=//evil.example").headers["Location"] == "/"


def test_signing_in_as_somebody_else_ends_the_login_in_use(platform: Platform) -> None:
    browser = platform.signed_in()
    before = browser.cookie("__Host-session")
    browser.sign_in("ben", PASSWORD)
    assert "Ben Peeters" in browser.get("/").text
    browser.set_cookie("__Host-session", before)
    assert browser.get("/").status_code == 303


def test_production_hashing_costs_more_than_the_floor_and_cannot_be_set_lower(platform: Platform) -> None:
    from extranet.accounts.passwords import FLOOR

    assert Cost().time >= FLOOR.time
    assert Cost().memory >= FLOOR.memory
    assert CHEAPEST.memory < FLOOR.memory
    assert not [name for name in platform.settings.__slots__ if "cost" in name or "argon" in name]
