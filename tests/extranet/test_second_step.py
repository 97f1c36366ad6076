"""The second step of signing in: a right password alone opens nothing to whoever has a second factor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pytest
import time_machine
from sqlalchemy import select

from extranet.accounts import operations
from extranet.factors.operations import reset_factors
from extranet.models import KnownBrowser, Login, PendingSignIn, User
from extranet.security_log.origin import OPERATOR
from tests.extranet.factors import (
    Equipped,
    is_signed_in,
    mails_to,
    pending,
    second_step,
    set_up_app,
    token_on,
    waiting_rows,
)
from tests.extranet.world import WRONG, disable, events_after, log_of, names, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id

BEN = user_id("ben")
STEP = "/login/second-step"


@pytest.fixture
def held(platform: Platform) -> Equipped:
    """Ben's app and codes."""
    return set_up_app(platform.signed_in("acme", "ben"))


def test_a_right_password_leads_to_the_second_step_and_then_to_the_page_asked_for(
    platform: Platform, held: Equipped
) -> None:
    browser = platform.browser()
    first = try_sign_in(browser, "ben", PASSWORD, "/login?next=/preferences/display")
    assert first.headers["Location"] == f"{STEP}?next=/preferences/display"
    page = browser.get(first.headers["Location"])
    assert page.status_code == 200
    answer = browser.post(first.headers["Location"], {"code": held.code(1)}, token=token_on(page))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/preferences/display")
    assert is_signed_in(browser)


def test_what_waits_opens_no_other_page(platform: Platform, held: Equipped) -> None:
    browser = pending(platform)
    adapter = platform.app.url_map.bind("acme.localhost")
    for rule in platform.app.url_map.iter_rules():
        if getattr(platform.app.view_functions[rule.endpoint], "is_public", False):
            continue
        method = next(iter(rule.methods or {"GET"}))
        path = adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "1"), method=method)
        if "GET" in (rule.methods or ()):
            asked = browser.get(path)
            assert asked.status_code == 303, rule.endpoint
            assert asked.headers["Location"].startswith("/login?next="), rule.endpoint
        else:
            assert browser.post(path, token=token_on(browser.get(STEP))).status_code == 401, rule.endpoint
    assert second_step(browser, code=held.code(1)).status_code == 303, "and it still waits"


def test_no_browser_is_recognised_nor_a_login_begun_before_the_second_step(platform: Platform, held: Equipped) -> None:
    with platform.db("acme", writing=False) as db:
        before = len(db.scalars(select(Login)).all()), len(db.scalars(select(KnownBrowser)).all())
    browser = pending(platform)
    assert browser.cookie("__Host-device") == ""
    assert second_step(browser, code="000000").status_code == 422
    assert browser.cookie("__Host-device") == ""
    with platform.db("acme", writing=False) as db:
        assert (len(db.scalars(select(Login)).all()), len(db.scalars(select(KnownBrowser)).all())) == before
    second_step(browser, code=held.code(1))
    assert browser.cookie("__Host-device") != ""
    with platform.db("acme", writing=False) as db:
        login = db.scalars(select(Login).order_by(Login.started_at.desc()).limit(1)).one()
        assert login.factors == "password,totp"
        assert login.proved_at is not None


def test_a_known_browser_is_asked_all_the_same(platform: Platform, held: Equipped) -> None:
    browser = pending(platform)
    second_step(browser, code=held.code(1))
    browser.post("/logout")
    assert try_sign_in(browser, "ben", PASSWORD).headers["Location"] == STEP
    assert not is_signed_in(browser)


def test_the_cookie_and_the_form_s_token_are_new_at_each_step_and_the_old_ones_dead(
    platform: Platform, held: Equipped
) -> None:
    browser = platform.browser()
    planted_token = browser.token()
    planted = browser.cookie("__Host-session")
    try_sign_in(browser, "ben", PASSWORD)
    waiting = browser.cookie("__Host-session")
    assert waiting != planted
    assert browser.post(STEP, {"code": held.code(1)}, token=planted_token).status_code == 403
    token = token_on(browser.get(STEP))
    assert browser.post(STEP, {"code": held.code(1)}, token=token).status_code == 303
    assert browser.post("/logout", token=token).status_code == 403
    other = platform.browser()
    other.set_cookie("__Host-session", waiting)
    led = other.get(STEP)
    assert led.headers["Location"] == "/login"
    assert "took too long" in other.get("/login").text


def test_it_waits_five_minutes(platform: Platform, held: Equipped, clock: time_machine.Traveller) -> None:
    browser = pending(platform)
    clock.shift(timedelta(minutes=4, seconds=59))
    token = token_on(browser.get(STEP))
    clock.shift(timedelta(seconds=2))
    late = browser.post(STEP, {"code": held.code()}, token=token)
    assert late.headers["Location"] == "/login"
    assert "took too long" in browser.get("/login").text
    assert browser.get(f"{STEP}/passkey").headers["Location"] == "/login"
    assert not is_signed_in(browser)
    pending(platform)
    with platform.db("acme", writing=False) as db:
        assert len(db.scalars(select(PendingSignIn)).all()) == 1, "what is over is swept"


@BOTH
def test_a_pending_step_is_taken_once_however_many_answer(platform: Platform, held: Equipped) -> None:
    first = pending(platform)
    cookie, token = first.cookie("__Host-session"), token_on(first.get(STEP))
    browsers = [platform.browser(address=f"192.0.2.{number}") for number in range(5)]
    for browser in browsers:
        browser.set_cookie("__Host-session", cookie)
    start = Barrier(5)

    def send(number: int) -> bool:
        start.wait()
        browsers[number].post(STEP, {"recovery": held.codes[number]}, token=token)
        return is_signed_in(browsers[number])

    with ThreadPoolExecutor(5) as pool:
        assert sum(pool.map(send, range(5))) == 1
    left = [entry.details["left"] for entry in log_of(platform) if entry.event == "recovery_code_used"]
    assert left == [9], "the other answers used nothing up"


@pytest.mark.parametrize("change", ["disabled", "password", "reset"])
def test_it_ends_when_the_account_changes_meanwhile(platform: Platform, held: Equipped, change: str) -> None:
    browser = pending(platform)
    token = token_on(browser.get(STEP))
    if change == "disabled":
        disable(platform, "ben")
    else:
        with platform.db("acme") as db:
            user = db.get_one(User, BEN)
            if change == "password":
                new = "seven purple kettles sing at noon"
                operations.set_password(db, platform.passwords, user, new, OPERATOR_ORIGIN, OPERATOR)
            else:
                reset_factors(db, user, OPERATOR_ORIGIN, OPERATOR)
    for answer in (browser.post(STEP, {"code": held.code(1)}, token=token), browser.get(STEP)):
        assert answer.headers["Location"] == "/login"
    assert not is_signed_in(browser)


def test_without_a_right_password_there_is_no_second_step(platform: Platform, held: Equipped) -> None:
    browser = platform.browser()
    assert try_sign_in(browser, "ben", WRONG).status_code == 422
    for path in (STEP, f"{STEP}/passkey"):
        assert browser.get(path).headers["Location"] == "/login"
    assert browser.post(STEP, {"code": held.code(1)}).headers["Location"] == "/login"
    assert browser.post(f"{STEP}/passkey", {"credential": "{}"}).headers["Location"] == "/login"
    assert waiting_rows(platform) == 0
    signed_in = platform.signed_in("acme", "anna")
    assert signed_in.get(STEP).headers["Location"] == "/login"
    assert is_signed_in(signed_in)


def test_a_refusal_says_as_little_as_a_wrong_password(platform: Platform, held: Equipped) -> None:
    never = try_sign_in(platform.browser(), "ben", WRONG)
    assert STEP not in never.text
    browser = pending(platform)
    wrong = second_step(browser, code="000000")
    assert wrong.status_code == 422
    assert "not right, or was used already" in wrong.text
    empty = second_step(browser, code="")
    assert empty.status_code == 422
    assert second_step(browser, recovery="").status_code == 422
    assert "none of your unused" in second_step(browser, recovery=held.codes[0][:-1] + "!").text


def test_each_step_is_recorded_with_what_it_was(platform: Platform, held: Equipped) -> None:
    browser = platform.browser()

    def walk() -> None:
        try_sign_in(browser, "ben", PASSWORD)
        second_step(browser, code="000000")
        second_step(browser, recovery="AAAA-AAAA-AAAA-AAAA")
        second_step(browser, code=held.code(1))

    recorded = events_after(platform, walk)
    assert names(recorded) == [
        "second_step_asked",
        "second_step_refused",
        "second_step_refused",
        "new_browser",
        "signed_in",
    ]
    assert [entry.details.get("factor") for entry in recorded[1:3]] == ["totp", "recovery"]
    assert {entry.subject for entry in recorded} == {BEN}
    assert recorded[-1].details["factors"] == ["password", "totp"]
    assert held.code(1) not in str([(entry.details, entry.private) for entry in recorded])


@BOTH
def test_five_wrong_answers_in_five_minutes_shut_the_step_from_everywhere(
    platform: Platform, held: Equipped, clock: time_machine.Traveller
) -> None:
    for number in range(5):
        assert second_step(pending(platform, address=f"198.51.100.{number}"), code="000000").status_code == 422
    browser = pending(platform, address="203.0.113.1")
    recorded = events_after(platform, lambda: second_step(browser, code=held.code(1)))
    assert names(recorded) == ["second_step_throttled"]
    refused = second_step(browser, recovery=held.codes[0])
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    assert "Too many attempts" in refused.text
    assert "account_locked" in mails_to(platform)
    clock.shift(timedelta(minutes=5, seconds=1))
    assert second_step(pending(platform, address="203.0.113.1"), code=held.code()).status_code == 303


def test_unlocking_somebody_opens_the_step_again(platform: Platform, held: Equipped) -> None:
    for number in range(6):
        second_step(pending(platform, address=f"198.51.100.{number}"), code="000000")
    with platform.db("acme") as db:
        operations.unlock_user(db, db.get_one(User, BEN), OPERATOR_ORIGIN, OPERATOR)
    assert second_step(pending(platform), code=held.code(1)).status_code == 303


def test_at_most_twenty_an_hour_and_fifty_a_day(
    platform: Platform, held: Equipped, clock: time_machine.Traveller
) -> None:
    tried = 0
    # Every five minutes for an hour, then for the rest of the day less often: who is blocked gains nothing by asking.
    for number in range(11 + 46):
        clock.shift(timedelta(minutes=5, seconds=1) if number < 11 else timedelta(minutes=30))
        browser = pending(platform, address=f"10.{number}.0.1")
        while second_step(browser, code="000000").status_code == 422:
            tried += 1
        if number == 10:
            assert tried <= 20
    assert 20 < tried <= 50


def test_ten_from_one_address_in_five_minutes_whoever_they_are_against(platform: Platform, held: Equipped) -> None:
    anna = set_up_app(platform.signed_in("acme", "anna"))
    theirs = set_up_app(platform.signed_in("globex", "ben"))
    for slug, username in (("acme", "ben"), ("acme", "anna")):
        browser = pending(platform, slug, username, address="198.51.100.9")
        for _ in range(5):
            assert second_step(browser, code="000000").status_code == 422
    shut = pending(platform, "globex", "ben", address="198.51.100.9")
    assert second_step(shut, code=theirs.code(1)).status_code == 429
    open_still = pending(platform, "globex", "ben", address="198.51.100.10")
    assert second_step(open_still, code=theirs.code(1)).status_code == 303
    assert anna.codes
    assert held.codes


def test_steps_that_succeed_count_against_nobody(
    platform: Platform, held: Equipped, clock: time_machine.Traveller
) -> None:
    for code in held.codes[:8]:
        assert second_step(pending(platform), recovery=code).status_code == 303
    clock.shift(timedelta(seconds=1))
    wrong = pending(platform)
    assert second_step(wrong, code="000000").status_code == 422
    assert second_step(wrong, code=held.code(1)).status_code == 303


def test_signing_in_on_top_of_a_login_ends_it_before_the_second_step(platform: Platform, held: Equipped) -> None:
    browser = platform.signed_in("acme", "anna")
    cookie = browser.cookie("__Host-session")
    try_sign_in(browser, "ben", PASSWORD)
    assert not is_signed_in(browser)
    browser.set_cookie("__Host-session", cookie)
    assert not is_signed_in(browser)
    assert held.codes


def test_a_pending_step_of_one_tenant_is_nothing_at_the_other(platform: Platform, held: Equipped) -> None:
    theirs = set_up_app(platform.signed_in("globex", "ben"))
    browser = pending(platform, "acme")
    stranger = platform.browser("globex")
    stranger.set_cookie("__Host-session", browser.cookie("__Host-session"))
    assert stranger.get(STEP).headers["Location"] == "/login"
    assert names(log_of(platform, "globex"))[-1] == "cookie_tampered"
    assert second_step(browser, code=theirs.code(1)).status_code == 422
    assert second_step(browser, code=held.code(1)).status_code == 303
