"""The two cookies: sealed, bound to tenant, name and epoch, and ignored when anything is wrong with them."""

from __future__ import annotations

import base64
from datetime import timedelta

import pytest
import time_machine

from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from tenants.tenancy import Tenancy
from tests.browser import Browser
from tests.extranet.world import events_after, log_of, names
from tests.platform import PASSWORD, Platform

BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def visit(platform: Platform, header: str):
    browser = platform.browser()
    browser.client = platform.app.test_client(use_cookies=False)
    return browser._open("GET", "/", environ_overrides={"HTTP_COOKIE": header})


def test_no_change_of_a_single_character_is_accepted(platform: Platform) -> None:
    value = platform.signed_in().cookie(SESSION_COOKIE)
    assert visit(platform, f"{SESSION_COOKIE}={value}").status_code == 200
    for place in range(len(value)):
        other = BASE64[(BASE64.index(value[place]) + 1) % 64]
        changed = value[:place] + other + value[place + 1 :]
        assert visit(platform, f"{SESSION_COOKIE}={changed}").status_code == 303, place


@pytest.mark.parametrize(
    "make",
    [
        lambda value: value + "=",
        lambda value: value + "==",
        lambda value: value + "\n",
        lambda value: value.replace("-", "+").replace("_", "/") + "+",
        lambda value: value[:-1],
        lambda value: value * 20,
        lambda value: "x" * 5000,
        lambda value: f'"{value}"',
        lambda value: "é",
        lambda value: base64.urlsafe_b64encode(bytes(92)).rstrip(b"=").decode(),
        lambda value: "",
        lambda value: "A",
    ],
)
def test_another_spelling_of_a_good_cookie_is_a_bad_one(platform: Platform, make) -> None:
    value = platform.signed_in().cookie(SESSION_COOKIE)
    recorded = events_after(platform, lambda: visit(platform, f"{SESSION_COOKIE}={make(value)}"))
    assert names(recorded) == ["cookie_tampered"]
    assert recorded[0].details["cookie"] == SESSION_COOKIE
    assert visit(platform, f"{SESSION_COOKIE}={make(value)}").status_code == 303


def test_two_of_a_name_are_neither(platform: Platform) -> None:
    value = platform.signed_in().cookie(SESSION_COOKIE)
    header = f"{SESSION_COOKIE}={value}; other=1; {SESSION_COOKIE}={value}"
    recorded = events_after(platform, lambda: visit(platform, header))
    assert names(recorded) == ["cookie_duplicate"]
    assert visit(platform, header).status_code == 303


def test_spaces_and_other_cookies_around_it_do_no_harm(platform: Platform) -> None:
    value = platform.signed_in().cookie(SESSION_COOKIE)
    assert visit(platform, f"a=b;  {SESSION_COOKIE} = {value} ;c; =d").status_code == 200


def test_raising_the_epoch_signs_the_whole_tenant_out_and_forgets_its_browsers(platform: Platform) -> None:
    here, there = platform.signed_in("acme"), platform.signed_in("globex")
    tenancy: Tenancy = platform.tenancy
    raise_epoch = next(
        getattr(tenancy.registry, name) for name in dir(tenancy.registry) if "epoch" in name and name[0] != "_"
    )
    raise_epoch(platform.tenant("acme"))
    tenancy.generation.forget()
    assert here.get("/").status_code == 303
    assert there.get("/").status_code == 200
    assert "new_browser" in names(events_after(platform, lambda: here.sign_in("anna", PASSWORD)))


def test_a_cookie_holds_nothing_that_can_be_recognised(platform: Platform) -> None:
    browser = platform.signed_in()
    for name in (SESSION_COOKIE, DEVICE_COOKIE):
        value = browser.cookie(name)
        raw = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4))
        for known in (b"anna", b"acme", b"616e6e61", bytes(8)):
            assert known not in raw
        assert len(name) + len(value) < 3800


def test_an_anonymous_cookie_is_sent_when_a_form_needs_one_and_not_before(platform: Platform) -> None:
    browser = platform.browser()
    browser.get("/")
    browser.get("/nowhere")
    assert browser.cookie(SESSION_COOKIE) == ""
    browser.get("/login")
    value = browser.cookie(SESSION_COOKIE)
    assert value
    browser.get("/login")
    assert browser.cookie(SESSION_COOKIE) == value


def test_a_cookie_is_renewed_half_way_and_ends_after_twelve_hours(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = platform.browser()
    browser.get("/login")
    value = browser.cookie(SESSION_COOKIE)
    clock.shift(timedelta(hours=5))
    browser.get("/login")
    assert browser.cookie(SESSION_COOKIE) == value
    clock.shift(timedelta(hours=2))
    token = browser.token()
    assert browser.cookie(SESSION_COOKIE) != value
    clock.shift(timedelta(hours=13))
    late = browser.post("/login", {"username": "anna", "password": PASSWORD}, token=token)
    assert late.status_code == 403
    assert names(log_of(platform))[-1] != "cookie_tampered"


def test_a_cookie_of_another_release_s_length_is_simply_old(platform: Platform) -> None:
    tenant = platform.tenant("acme")
    keys = platform.tenancy.keys_of(tenant)
    context = tenant.epoch.to_bytes(4)
    for name in (SESSION_COOKIE, DEVICE_COOKIE):
        sealed = keys.seal(f"cookie/{name}", b"of another length", context=context)
        header = f"{name}={base64.urlsafe_b64encode(sealed).rstrip(b'=').decode()}"
        assert events_after(platform, lambda header=header: visit(platform, header)) == []


def test_a_page_that_fails_tells_the_browser_nothing_of_what_was_not_done(platform: Platform) -> None:
    """The error page said "Your changes have been saved", and the cookie of a login that was never stored was sent."""
    from extranet.request.cookies import change_session, remember_device

    def fail() -> str:
        change_session(notice=1)
        remember_device(bytes(16))
        raise RuntimeError("the disk is full")

    platform.app.add_url_rule("/fail", "fail", fail)
    browser = platform.signed_in()
    before = browser.cookie(SESSION_COOKIE)
    response = browser.get("/fail")
    assert response.status_code == 500
    assert "saved" not in response.text
    assert "Set-Cookie" not in response.headers
    assert browser.cookie(SESSION_COOKIE) == before


def test_a_notice_is_shown_once(platform: Platform) -> None:
    browser: Browser = platform.signed_in()
    from tests.extranet.world import DISPLAY

    browser.post("/preferences/display", DISPLAY)
    assert "Your changes have been saved." in browser.get("/preferences/display").text
    assert "Your changes have been saved." not in browser.get("/preferences/display").text
