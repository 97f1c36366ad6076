"""A company that asks for a second factor: who is asked, until when, and what is open after that."""

from __future__ import annotations

import re
from datetime import datetime, timedelta

import pytest
import time_machine

from extranet.models import Company, Role, SecondFactorPolicy, User
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from tests.extranet.conftest import NOW
from tests.extranet.factors import SECURITY, add_passkey, is_signed_in, set_up_app
from tests.extranet.world import add_person
from tests.platform import BOTH, Platform, user_id

OPTIONAL, ADMINS, EVERYBODY = SecondFactorPolicy
LATER = NOW + timedelta(days=10)
EARLIER = NOW - timedelta(days=1)


@pytest.fixture(autouse=True)
def _clock(clock: time_machine.Traveller) -> None:
    """Days are compared with today."""


def ask_for(platform: Platform, policy: SecondFactorPolicy, since: datetime | None, slug: str = "acme") -> None:
    with platform.db(slug) as db:
        company = db.get_one(Company, THE_COMPANY)
        company.second_factor, company.second_factor_from = policy, since


@pytest.mark.parametrize(
    ("policy", "since", "admin", "member"),
    [
        (OPTIONAL, None, "", ""),
        (OPTIONAL, LATER, "", ""),
        (OPTIONAL, EARLIER, "due", ""),
        (ADMINS, LATER, "asked", ""),
        (ADMINS, EARLIER, "due", ""),
        (ADMINS, None, "due", ""),
        (EVERYBODY, LATER, "asked", "asked"),
        (EVERYBODY, EARLIER, "due", "due"),
        (EVERYBODY, None, "due", "due"),
    ],
)
def test_who_is_asked_and_from_when(
    platform: Platform, policy: SecondFactorPolicy, since: datetime | None, admin: str, member: str
) -> None:
    people = {"anna": admin, "ben": member, "gus": member, "max": member}
    add_person(platform, "max", Role.MANAGER)
    browsers = {name: platform.signed_in("acme", name) for name in people}
    ask_for(platform, policy, since)
    for name, expected in people.items():
        page = browsers[name].get("/preferences/display")
        assert (page.status_code == 303) is (expected == "due"), name
        assert ("set one up before" in page.text) is (expected == "asked"), name
        if expected == "due":
            assert page.headers["Location"] == SECURITY
            assert "Everything else opens again" in browsers[name].get(SECURITY).text


def test_the_banner_stands_on_every_page_names_the_day_and_goes_with_the_first_factor(platform: Platform) -> None:
    ask_for(platform, EVERYBODY, LATER)
    browser = platform.signed_in("acme", "ben")
    for path in ("/", "/preferences/profile", "/preferences/sessions", SECURITY):
        assert re.search(r"set one up before [^.<]*11[^.<]*2026", browser.get(path).text), path
    set_up_app(browser)
    assert "set one up before" not in browser.get("/").text


@pytest.mark.parametrize("way", ["app", "passkey"])
def test_whoever_is_late_sets_one_up_before_anything_else(platform: Platform, way: str) -> None:
    ask_for(platform, EVERYBODY, EARLIER)
    browser = platform.signed_in("acme", "ben")
    for path in ("/", "/preferences/profile", "/preferences/history.csv"):
        assert browser.get(path).headers["Location"] == SECURITY
    assert browser.post("/preferences/display", {}, token=browser.token()).headers["Location"] == SECURITY
    assert browser.get(SECURITY).status_code == 200
    if way == "app":
        set_up_app(browser)
    else:
        add_passkey(browser)
    assert is_signed_in(browser)


def test_whoever_is_late_and_signed_in_long_ago_confirms_first(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = platform.signed_in("acme", "ben")
    ask_for(platform, EVERYBODY, EARLIER)
    clock.shift(timedelta(minutes=11))
    assert browser.get(f"{SECURITY}/app").headers["Location"] == f"/confirm?next={SECURITY}/app"
    assert browser.get("/confirm").status_code == 200
    assert browser.post("/logout", token=browser.token()).status_code == 303


def test_a_new_password_comes_first(platform: Platform) -> None:
    ask_for(platform, EVERYBODY, EARLIER)
    browser = platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        db.get_one(User, user_id("ben")).must_change_password = True
    assert browser.get("/").headers["Location"] == SECURITY
    assert browser.get(f"{SECURITY}/app").headers["Location"] == SECURITY


@BOTH
@pytest.mark.parametrize("since", [EARLIER, LATER])
def test_the_last_factor_stays_while_one_is_asked_for(platform: Platform, since: datetime) -> None:
    browser = platform.signed_in("acme", "ben")
    held = set_up_app(browser)
    add_passkey(browser)
    ask_for(platform, EVERYBODY, since)
    assert browser.post(f"{SECURITY}/app/remove").status_code == 303, "not the last"
    passkey = browser.get(SECURITY).text.partition(f'action="{SECURITY}/passkeys/')[2].partition("/")[0]
    refused = browser.post(f"{SECURITY}/passkeys/{passkey}/remove")
    assert refused.status_code == 422
    assert "this is your last" in refused.text
    assert "Laptop" in browser.get(SECURITY).text
    ask_for(platform, OPTIONAL, None)
    assert browser.post(f"{SECURITY}/passkeys/{passkey}/remove").status_code == 303
    assert held.codes
    assert is_signed_in(platform.signed_in("acme", "ben"))


def test_an_app_that_is_the_last_stays_too(platform: Platform) -> None:
    browser = platform.signed_in("acme", "anna")
    set_up_app(browser)
    ask_for(platform, ADMINS, None)
    assert browser.post(f"{SECURITY}/app/remove").status_code == 422
    assert "Move to another phone" in browser.get(SECURITY).text


def test_the_rule_of_one_company_is_not_that_of_another(platform: Platform) -> None:
    ask_for(platform, EVERYBODY, EARLIER, "globex")
    assert is_signed_in(platform.signed_in("acme", "ben"))
    assert not is_signed_in(platform.signed_in("globex", "ben"))
    assert utc_now() == NOW
