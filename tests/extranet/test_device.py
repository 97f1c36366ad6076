"""The device cookie: recognises a browser for a hundred days, and never signs anybody in."""

from __future__ import annotations

from datetime import timedelta

import time_machine
from sqlalchemy import select

from extranet.accounts import operations
from extranet.models import KnownBrowser
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.extranet.world import NEW_PASSWORD, events_after, names, try_sign_in
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id

DEVICE = "__Host-device"
STRANGERS = 6


def lock_out_strangers(platform: Platform) -> None:
    for number in range(STRANGERS):
        try_sign_in(platform.browser(address=f"10.9.9.{number}"))


def is_known(platform: Platform, browser: Browser) -> bool:
    """Whether the browser gets in while strangers are locked out."""
    lock_out_strangers(platform)
    return try_sign_in(browser, "anna", PASSWORD).status_code == 303


def left_alone(platform: Platform) -> Browser:
    browser = platform.signed_in()
    browser.post("/logout")
    return browser


def kept_for_ever(platform: Platform, browser: Browser) -> Browser:
    """The same device cookie in a browser that ignores Max-Age."""
    keeper = platform.browser()
    keeper.set_cookie(DEVICE, browser.cookie(DEVICE))
    return keeper


def test_a_browser_is_known_on_day_99(platform: Platform, clock: time_machine.Traveller) -> None:
    keeper = kept_for_ever(platform, left_alone(platform))
    clock.shift(timedelta(days=99))
    assert is_known(platform, keeper)


def test_a_browser_is_a_stranger_on_day_101_though_it_kept_the_cookie(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    keeper = kept_for_ever(platform, left_alone(platform))
    clock.shift(timedelta(days=101))
    assert not is_known(platform, keeper)


def test_the_row_alone_also_ends_after_a_hundred_days(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    with platform.db("acme") as db:
        row = db.scalars(select(KnownBrowser)).one()
        row.expires_at -= timedelta(days=100)
    clock.shift(timedelta(seconds=1))
    assert not is_known(platform, browser)


def test_a_visit_does_not_prolong_it_but_a_sign_in_does(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    value = browser.cookie(DEVICE)
    clock.shift(timedelta(days=60))
    browser.get("/login")
    assert browser.cookie(DEVICE) == value
    browser.sign_in("anna", PASSWORD)
    browser.post("/logout")
    keeper = kept_for_ever(platform, browser)
    clock.shift(timedelta(days=60))
    assert is_known(platform, keeper)


def test_it_is_sent_after_success_alone(platform: Platform) -> None:
    browser = platform.browser()
    browser.get("/login")
    try_sign_in(browser)
    assert browser.cookie(DEVICE) == ""
    browser.sign_in("anna", PASSWORD)
    assert browser.cookie(DEVICE) != ""


def test_it_signs_nobody_in(platform: Platform) -> None:
    browser = kept_for_ever(platform, left_alone(platform))
    assert browser.get("/").status_code == 303
    assert try_sign_in(browser).status_code == 422


def test_one_put_in_the_place_of_the_session_signs_nobody_in(platform: Platform) -> None:
    signed_in = platform.signed_in()
    swapped = platform.browser()
    swapped.set_cookie("__Host-session", signed_in.cookie(DEVICE))
    swapped.set_cookie(DEVICE, signed_in.cookie("__Host-session"))
    recorded = events_after(platform, lambda: swapped.get("/"))
    assert names(recorded) == ["cookie_tampered", "cookie_tampered"]


def test_one_of_another_tenant_is_a_stranger_s(platform: Platform) -> None:
    elsewhere = left_alone(platform)
    browser = platform.browser("globex")
    browser.set_cookie(DEVICE, elsewhere.cookie(DEVICE))
    recorded = events_after(platform, lambda: browser.sign_in("anna", PASSWORD), "globex")
    assert "new_browser" in names(recorded)


def test_a_known_browser_is_not_announced_again(platform: Platform) -> None:
    browser = left_alone(platform)
    assert names(events_after(platform, lambda: browser.sign_in("anna", PASSWORD))) == ["signed_in"]


def test_changing_the_password_forgets_every_browser_but_this_one(platform: Platform) -> None:
    other = left_alone(platform)
    here = platform.signed_in()
    here.post("/preferences/security", {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD})
    here.post("/logout")
    lock_out_strangers(platform)
    assert try_sign_in(other, "anna", NEW_PASSWORD).status_code == 429
    assert try_sign_in(here, "anna", NEW_PASSWORD).status_code == 303


def test_an_operator_who_sets_a_password_or_disables_the_account_forgets_them_all(platform: Platform) -> None:
    first = left_alone(platform)
    with platform.db("acme") as db:
        user = operations.find_user(db, "anna")
        operations.set_password(db, platform.passwords, user, NEW_PASSWORD, OPERATOR_ORIGIN, OPERATOR)
    lock_out_strangers(platform)
    assert try_sign_in(first, "anna", NEW_PASSWORD).status_code == 429
    ben = platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        user = operations.find_user(db, "ben")
        operations.disable_user(db, user, OPERATOR_ORIGIN, OPERATOR)
        operations.enable_user(db, user, OPERATOR_ORIGIN, OPERATOR)
    assert "new_browser" in names(events_after(platform, lambda: ben.sign_in("ben", PASSWORD)))


def test_a_forgotten_browser_is_announced_as_new_and_keeps_its_row(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme", writing=False) as db:
        row = db.scalars(select(KnownBrowser)).one()
    browser.post(f"/preferences/browsers/{row.id}/forget")
    recorded = events_after(platform, lambda: browser.sign_in("anna", PASSWORD))
    assert names(recorded) == ["new_browser", "signed_in"]
    with platform.db("acme", writing=False) as db:
        again = db.scalars(select(KnownBrowser).where(KnownBrowser.user_id == user_id("anna"))).one()
    assert again.id == row.id
    assert again.forgotten_at is None
