"""Whoever has a second factor confirms with it; a password alone is not enough then."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import update
from werkzeug.test import TestResponse

from extranet.models import Login, Passkey
from tests.browser import Browser
from tests.extranet.authenticator import SoftAuthenticator
from tests.extranet.factors import Equipped, add_passkey, mails_to, pending, second_step, set_up_app, token_on
from tests.extranet.world import events_after, names
from tests.platform import BOTH, PASSWORD, Platform, user_id

PAGE = "/confirm?next=/preferences/sessions"
BEN = user_id("ben")


def let_proof_age(platform: Platform) -> None:
    for slug in ("acme", "globex"):
        with platform.db(slug) as db:
            db.execute(update(Login).values(proved_at=None))


def with_app(platform: Platform, slug: str = "acme") -> tuple[Browser, Equipped]:
    """Somebody signed in who has an app, and whose proof is too old."""
    browser = platform.signed_in(slug, "ben")
    held = set_up_app(browser)
    let_proof_age(platform)
    return browser, held


def with_passkey(platform: Platform, slug: str = "acme") -> tuple[Browser, SoftAuthenticator]:
    browser = platform.signed_in(slug, "ben")
    held = add_passkey(browser)
    assert held.passkey is not None
    let_proof_age(platform)
    return browser, held.passkey


def send(browser: Browser, **data: str) -> TestResponse:
    return browser.post(PAGE, data, token=token_on(browser.get(PAGE)))


def send_passkey(browser: Browser, passkey: SoftAuthenticator, **options: object) -> TestResponse:
    token = token_on(browser.get(PAGE))
    answer = passkey.get(json.loads(browser.get("/confirm/passkey").text), **options)
    return browser.post("/confirm/passkey?next=/preferences/sessions", {"credential": answer}, token=token)


def may(browser: Browser) -> bool:
    """Whether something sensitive is open."""
    return browser.post("/preferences/sessions/end-others").headers["Location"] == "/preferences/sessions"


@BOTH
@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_code_of_the_app_confirms_once(platform: Platform, clock: time_machine.Traveller, slug: str) -> None:
    browser, held = with_app(platform, slug)
    clock.shift(timedelta(minutes=11))
    code = held.code()
    recorded = events_after(platform, lambda: send(browser, code=code), slug)
    assert [(entry.event, entry.details["factor"]) for entry in recorded] == [("identity_confirmed", "totp")]
    assert may(browser)
    let_proof_age(platform)
    assert send(browser, code=code).status_code == 422
    assert not may(browser)


def test_the_password_is_not_asked_for_and_not_enough(platform: Platform, clock: time_machine.Traveller) -> None:
    browser, _held = with_app(platform)
    page = browser.get(PAGE)
    assert 'name="password"' not in page.text
    assert 'name="code"' in page.text
    recorded = events_after(platform, lambda: send(browser, password=PASSWORD))
    assert [(entry.event, entry.outcome) for entry in recorded] == [("identity_not_confirmed", "refused")]
    assert not may(browser)


def test_a_code_whose_owner_used_it_to_sign_in_is_used_up(platform: Platform, clock: time_machine.Traveller) -> None:
    browser, held = with_app(platform)
    clock.shift(timedelta(minutes=1))
    code = held.code()
    other = pending(platform)
    assert second_step(other, code=code).status_code == 303
    assert send(browser, code=code).status_code == 422


@BOTH
def test_guesses_at_codes_count_with_those_of_the_second_step(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser, held = with_app(platform)
    waiting = pending(platform)
    clock.shift(timedelta(minutes=1))
    statuses = [send(browser, code="000000").status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]
    assert second_step(waiting, code=held.code()).status_code == 429
    clock.shift(timedelta(minutes=16))
    assert send(browser, code=held.code()).status_code == 303


@pytest.mark.parametrize("code", ["", "12345", "abcdef", "0" * 41])
def test_what_is_no_code_confirms_nothing(platform: Platform, clock: time_machine.Traveller, code: str) -> None:
    browser, _held = with_app(platform)
    response = send(browser, code=code)
    assert response.status_code == 422
    assert 'id="code-error"' in response.text
    assert not may(browser)


@BOTH
def test_a_recovery_code_confirms_once_and_its_owner_is_told(platform: Platform, clock: time_machine.Traveller) -> None:
    browser, held = with_app(platform)
    recorded = events_after(platform, lambda: send(browser, recovery=held.codes[0]))
    assert names(recorded) == ["identity_confirmed", "recovery_code_used"]
    assert mails_to(platform).count("recovery_code_used") == 1
    assert may(browser)
    let_proof_age(platform)
    response = send(browser, recovery=held.codes[0])
    assert response.status_code == 422
    assert 'id="recovery-error"' in response.text


def test_a_passkey_confirms(platform: Platform) -> None:
    browser, passkey = with_passkey(platform)
    assert "data-passkey" in browser.get(PAGE).text
    recorded = events_after(platform, lambda: send_passkey(browser, passkey))
    assert [(entry.event, entry.details["factor"]) for entry in recorded] == [("identity_confirmed", "passkey")]
    assert may(browser)


def test_what_a_passkey_signed_in_another_login_or_for_another_purpose_confirms_nothing(platform: Platform) -> None:
    browser, passkey = with_passkey(platform)
    elsewhere = platform.browser()
    visitor = passkey.get(json.loads(elsewhere.get("/login/passkey").text))
    token = token_on(browser.get(PAGE))
    assert browser.post("/confirm/passkey", {"credential": visitor}, token=token).status_code == 422
    for credential in ("", "{}", "x" * 20_000):
        assert browser.post("/confirm/passkey", {"credential": credential}, token=token).status_code == 422
    assert not may(browser)


def test_a_passkey_that_counts_backwards_confirms_nothing_and_is_noted(platform: Platform) -> None:
    browser, passkey = with_passkey(platform)
    with platform.db("acme") as db:
        db.execute(update(Passkey).values(sign_count=1000))
    recorded = events_after(platform, lambda: send_passkey(browser, passkey))
    assert names(recorded) == ["passkey_counter_fell", "identity_not_confirmed"]
    assert not may(browser)


def test_a_passkey_of_the_other_tenant_confirms_nothing(platform: Platform) -> None:
    here, _mine = with_passkey(platform)
    _there, theirs = with_passkey(platform, "globex")
    token = token_on(here.get(PAGE))
    options = json.loads(here.get("/confirm/passkey").text)
    options["allowCredentials"] = []
    answer = theirs.get(options)
    assert here.post("/confirm/passkey", {"credential": answer}, token=token).status_code == 422
    assert not may(here)
