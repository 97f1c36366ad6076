"""The authenticator app: what is stored of it, and that no code works twice."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from threading import Barrier

import pyotp
import pytest
import time_machine
from sqlalchemy import select

from extranet.accounts.logins import known_browsers
from extranet.errors import FactorRefused
from extranet.factors import totp
from extranet.models import Totp
from extranet.models.second_factor import TOTP_SEAL
from tenants.errors import BadSeal
from tests.evidence import bytes_of, dump
from tests.extranet.conftest import NOW
from tests.extranet.factors import (
    SECURITY,
    codes_on,
    is_signed_in,
    key_on,
    mails_to,
    pending,
    second_step,
    set_up_app,
    setup_on,
    token_on,
)
from tests.extranet.world import events_after, names
from tests.platform import BOTH, Platform, user_id

BEN = user_id("ben")


@BOTH
def test_a_secret_has_160_bits_and_lies_sealed_for_its_owner_alone(platform: Platform) -> None:
    held = set_up_app(platform.signed_in("acme", "ben"))
    assert re.fullmatch(r"[A-Z2-7]{32}", held.key)
    assert held.key.encode() not in bytes_of(platform, "acme")
    with platform.db("acme", writing=False) as db:
        sealed = db.scalars(select(Totp.secret)).one()
        assert totp.key_text(db.info["keys"].open("totp", sealed, context=TOTP_SEAL.bound_to(BEN))) == held.key
        with pytest.raises(BadSeal):
            db.info["keys"].open("totp", sealed, context=TOTP_SEAL.bound_to(user_id("anna")))
    with platform.db("globex", writing=False) as db, pytest.raises(BadSeal):
        db.info["keys"].open("totp", sealed, context=TOTP_SEAL.bound_to(BEN))


def test_the_key_is_shown_once_as_drawing_text_and_link_and_nothing_is_stored_before_a_code(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    before = dump(platform, "acme")
    page = browser.get(f"{SECURITY}/app")
    assert dump(platform, "acme") == before
    key = key_on(page)
    assert f"otpauth://totp/Acme:ben?secret={key}&amp;issuer=Acme" in page.text
    drawing = page.text.partition("<svg")[2] if page.text.count("<svg") == 1 else page.text
    assert "<path" in drawing
    assert " style=" not in page.text
    assert key_on(browser.get(f"{SECURITY}/app")) != key, "each visit shows another"
    held = set_up_app(browser)
    assert held.key not in browser.get(SECURITY).text.replace(" ", "")


def test_a_wrong_code_switches_nothing_on_and_shows_the_same_key_again(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    page = browser.get(f"{SECURITY}/app")
    for code in ("000000", "12345", "abcdef", "", "١٢٣٤٥٦"):
        answer = browser.post(f"{SECURITY}/app", {"setup": setup_on(page), "code": code}, token=token_on(page))
        assert answer.status_code == 422
        assert key_on(answer) == key_on(page)
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(Totp)).all() == []
    assert platform.signed_in("acme", "ben"), "the password alone still signs in"


def test_a_set_up_page_is_good_for_its_own_login_and_a_quarter_of_an_hour(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    ours, other = platform.signed_in("acme", "ben"), platform.signed_in("acme", "anna")
    page = ours.get(f"{SECURITY}/app")
    stolen = other.post(f"{SECURITY}/app", {"setup": setup_on(page), "code": "123456"}, token=other.token())
    assert stolen.status_code == 422
    assert key_on(stolen) != key_on(page)
    assert "open too long" in stolen.text
    with platform.db("acme", writing=False) as db:
        keys = db.info["keys"]
        sealed = totp.sealed_setup(keys, "login", bytes(20))
        assert totp.opened_setup(keys, "login", sealed) == bytes(20)
        clock.move_to(NOW + timedelta(minutes=15, seconds=1))
        for text in (sealed, sealed[:-4], "", "é", "!!!!"):
            with pytest.raises(FactorRefused):
                totp.opened_setup(keys, "login", text)


@pytest.mark.parametrize(("steps", "works"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)])
def test_a_code_of_one_step_before_or_after_is_right_and_no_other(
    platform: Platform,
    clock: time_machine.Traveller,
    steps: int,
    works: bool,
) -> None:
    held = set_up_app(platform.signed_in("acme", "ben"))
    clock.shift(timedelta(minutes=5))
    answer = second_step(pending(platform), code=held.code(steps))
    assert answer.status_code == (303 if works else 422)


@BOTH
def test_no_code_works_twice_nor_one_before_the_last(platform: Platform, clock: time_machine.Traveller) -> None:
    held = set_up_app(platform.signed_in("acme", "ben"))
    assert second_step(pending(platform), code=held.code()).status_code == 422, "it confirmed the app"
    clock.shift(timedelta(minutes=5))
    assert second_step(pending(platform), code=held.code(1)).status_code == 303
    for steps in (1, 0, -1):
        assert second_step(pending(platform), code=held.code(steps)).status_code == 422
    clock.shift(timedelta(minutes=6))
    assert second_step(pending(platform), code=f" {held.code()[:3]} {held.code()[3:]} ").status_code == 303


@BOTH
def test_of_twenty_who_use_one_code_at_once_exactly_one_succeeds(platform: Platform) -> None:
    secret, start = totp.new_secret(), Barrier(20)
    with platform.db("acme") as db:
        totp.store(db, BEN, secret, 0)
    code = pyotp.TOTP(totp.key_text(secret)).now()

    def use(_number: int) -> bool:
        start.wait()
        with platform.db("acme") as db:
            return totp.use_code(db, BEN, code)

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(use, range(20))) == 1


@BOTH
def test_of_twenty_browsers_that_send_one_code_one_is_signed_in(platform: Platform) -> None:
    held = set_up_app(platform.signed_in("acme", "ben"))
    browsers = [pending(platform, address=f"192.0.2.{number}") for number in range(20)]
    tokens = [token_on(browser.get("/login/second-step")) for browser in browsers]
    code, start = held.code(1), Barrier(20)

    def send(number: int) -> int:
        start.wait()
        return browsers[number].post("/login/second-step", {"code": code}, token=tokens[number]).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(send, range(20)))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 422, 429, 503}
    assert sum(is_signed_in(browser) for browser in browsers) == 1


def test_the_same_key_at_another_tenant_has_steps_of_its_own(platform: Platform, clock: time_machine.Traveller) -> None:
    secret = totp.new_secret()
    for slug in ("acme", "globex"):
        with platform.db(slug) as db:
            totp.store(db, BEN, secret, 0)
    code = pyotp.TOTP(totp.key_text(secret)).at(NOW)
    assert second_step(pending(platform, "acme"), code=code).status_code == 303
    assert second_step(pending(platform, "globex"), code=code).status_code == 303
    assert second_step(pending(platform, "acme"), code=code).status_code == 422


def test_setting_up_and_removing_is_told_recorded_and_ends_what_is_open_elsewhere(platform: Platform) -> None:
    elsewhere, browser = platform.signed_in("acme", "ben"), platform.signed_in("acme", "ben")
    before = browser.cookie("__Host-session")
    recorded = events_after(platform, lambda: set_up_app(browser))
    assert names(recorded) == ["factor_added", "recovery_codes_made"]
    assert "factor_added" in mails_to(platform)
    assert not is_signed_in(elsewhere)
    assert is_signed_in(browser)
    with platform.db("acme", writing=False) as db:
        assert len(known_browsers(db, BEN)) == 1, "the other one is a stranger's from now on"
    assert browser.cookie("__Host-session") != before
    browser.set_cookie("__Host-session", before)
    assert not is_signed_in(browser), "the old cookie opens nothing"


def test_moving_to_another_phone_replaces_the_app_and_keeps_the_codes(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = platform.signed_in("acme", "ben")
    first = set_up_app(browser)
    second = set_up_app(browser)
    assert len(first.codes) == 10
    assert second.codes == []
    clock.shift(timedelta(minutes=2))
    assert second_step(pending(platform), code=first.code()).status_code == 422
    assert second_step(pending(platform), code=second.code()).status_code == 303
    assert second_step(pending(platform), recovery=first.codes[0]).status_code == 303


def test_removing_the_app_lets_the_password_alone_sign_in_again(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    held = set_up_app(browser)
    removed = browser.post(f"{SECURITY}/app/remove")
    assert removed.headers["Location"] == SECURITY
    assert "factor_removed" in mails_to(platform)
    assert "has been removed" in browser.get(SECURITY).text
    assert is_signed_in(platform.signed_in("acme", "ben"))
    assert browser.post(f"{SECURITY}/app/remove").status_code == 404
    assert codes_on(browser.post(f"{SECURITY}/recovery-codes")) == []
    assert held.codes
