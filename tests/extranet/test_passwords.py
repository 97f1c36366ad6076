"""Choosing a password, and changing it."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extranet.accounts.passwords import LONGEST_BYTES, check_new_password, command_line_passwords, too_long
from extranet.errors import Invalid
from extranet.models import User
from tests.extranet.world import NEW_PASSWORD, WRONG, count_verifications, disable, events_after, names, try_sign_in
from tests.platform import PASSWORD, Platform, user_id

CHANGE = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
PAGE = "/preferences/security"


def test_the_new_password_works_and_the_old_one_does_not(platform: Platform) -> None:
    browser = platform.signed_in()
    recorded = events_after(platform, lambda: browser.post(PAGE, CHANGE))
    assert names(recorded) == ["password_changed"]
    assert recorded[0].private["login"]
    assert try_sign_in(platform.browser(), "anna", PASSWORD).status_code == 422
    platform.browser().sign_in("anna", NEW_PASSWORD)


def test_it_signs_out_every_other_browser_of_that_person_alone(platform: Platform) -> None:
    others = [platform.signed_in() for _ in range(3)]
    colleague, namesake = platform.signed_in("acme", "ben"), platform.signed_in("globex")
    here = platform.signed_in()
    recorded = events_after(platform, lambda: here.post(PAGE, CHANGE))
    assert recorded[0].details["logins_ended"] == 3
    assert [browser.get("/").status_code for browser in others] == [303, 303, 303]
    assert [browser.get("/").status_code for browser in (here, colleague, namesake)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": WRONG}, "current"),
        ({"current": ""}, "current"),
        ({"current": "x" * 1025}, "current"),
        ({"current": "é" * 513}, "current"),
        ({"new": "short", "repeat": "short"}, "new"),
        ({"new": "x" * 1025, "repeat": "x" * 1025}, "new"),
        ({"new": "é" * 600, "repeat": "é" * 600}, "new"),
        ({"new": PASSWORD, "repeat": PASSWORD}, "new"),
        ({"new": "passwordpassword", "repeat": "passwordpassword"}, "new"),
        ({"new": "anna martin acme", "repeat": "anna martin acme"}, "new"),
        ({"new": "seven purple\x00kettles", "repeat": "seven purple\x00kettles"}, "new"),
        ({"repeat": NEW_PASSWORD + "!"}, "repeat"),
        ({"repeat": ""}, "repeat"),
    ],
)
def test_a_refused_change_changes_nothing_and_says_where(platform: Platform, form: dict[str, str], field: str) -> None:
    browser, other = platform.signed_in(), platform.signed_in()
    response = browser.post(PAGE, {**CHANGE, **form})
    assert response.status_code == 422
    assert f'id="{field}-error"' in response.text
    for typed in {**CHANGE, **form}.values():
        assert not typed or typed not in response.text
    assert other.get("/").status_code == 200
    platform.browser().sign_in("anna", PASSWORD)


def test_the_same_password_composed_otherwise_is_the_same(platform: Platform) -> None:
    browser = platform.signed_in()
    composed, apart = "caf\u00e9 sous la pluie noire", "cafe\u0301 sous la pluie noire"
    assert browser.post(PAGE, {"current": PASSWORD, "new": composed, "repeat": composed}).status_code == 303
    assert browser.post(PAGE, {"current": composed, "new": apart, "repeat": apart}).status_code == 422


def test_a_wrong_current_password_is_recorded(platform: Platform) -> None:
    browser = platform.signed_in()
    recorded = events_after(platform, lambda: browser.post(PAGE, {**CHANGE, "current": WRONG}))
    assert [(entry.event, entry.outcome, entry.subject) for entry in recorded] == [
        ("password_change_refused", "refused", user_id("anna"))
    ]


def test_a_password_changed_elsewhere_meanwhile_is_not_overwritten(platform: Platform) -> None:
    browser = platform.signed_in()
    hasher = count_verifications(platform)
    slow = hasher.hash

    def change_meanwhile(password: str) -> str:
        with platform.db("acme") as db:
            db.get_one(User, user_id("anna")).password = b"another"
        return slow(password)

    hasher.hash = change_meanwhile  # type: ignore[method-assign]
    assert "a moment ago" in browser.post(PAGE, CHANGE).text


def test_somebody_disabled_meanwhile_keeps_the_old_password(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    hasher = count_verifications(platform)
    verify = hasher.verify

    def disable_meanwhile(encoded: str, password: str) -> bool:
        disable(platform, "ben")
        return verify(encoded, password)

    hasher.verify = disable_meanwhile  # type: ignore[method-assign]
    assert browser.post(PAGE, CHANGE).status_code == 422


@pytest.mark.parametrize(
    ("password", "accepted"),
    [
        ("kv8#Lw2!pQz", False),
        ("kv8#Lw2!pQz9", True),
        ("abcabcabcabc", False),
        ("correct horse battery staple", True),
        ("correct horse battery staple" * 30, True),
        ("😀🎉🐙🦊🌵🍉🎻🚲🪁🧊🥝🛶", True),
        ("x" * 1024, False),
        ("Acme Extranet 2026", False),
        ("azertyuiopqsd", False),
    ],
)
def test_length_and_guessability_decide_and_nothing_else(password: str, accepted: bool) -> None:
    words = ["anna", "martin", "acme", "extranet"]
    if accepted:
        check_new_password(password, words)
    else:
        with pytest.raises(Invalid):
            check_new_password(password, words)


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=1100))
def test_any_text_is_either_accepted_or_refused_in_words(password: str) -> None:
    with contextlib.suppress(Invalid):
        check_new_password(password, ["", "anna"])
        assert len(password.encode("utf-8", "replace")) <= LONGEST_BYTES


def test_too_long_counts_bytes() -> None:
    assert not too_long("x" * 1024)
    assert too_long("x" * 1025)
    assert too_long("é" * 513)


def test_a_sealed_hash_cut_short_opens_nothing(platform: Platform) -> None:
    with platform.db("acme", writing=False) as db:
        stored = db.get_one(User, user_id("anna")).password
        keys = db.info["keys"]
        assert platform.passwords.verify(keys, user_id("anna"), stored, PASSWORD)
        for damaged in (stored[:-1], stored[:10], b"", stored[:-1] + bytes([stored[-1] ^ 1])):
            assert not platform.passwords.verify(keys, user_id("anna"), damaged, PASSWORD)


def test_commands_hash_at_full_cost() -> None:
    hasher = command_line_passwords()._hasher
    assert (hasher.time_cost, hasher.memory_cost) == (3, 32 * 1024)
    assert command_line_passwords() is command_line_passwords()
