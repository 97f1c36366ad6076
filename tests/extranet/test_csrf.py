"""A form is believed when it comes from a page of this very host, by fetch metadata and by token."""

from __future__ import annotations

import base64

import pytest

from tests.browser import Browser
from tests.extranet.world import DISPLAY, events_after, log_of, names
from tests.platform import PASSWORD, Platform

OWN = "http://acme.localhost:8000"
SIBLING = "http://globex.localhost:8000"


def send(browser: Browser, headers: dict[str, str], token: str | None = None) -> int:
    form = {**DISPLAY, "csrf_token": browser.token() if token is None else token}
    return browser._open("POST", "/preferences/display", data=form, headers=headers).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "same-origin", "Origin": OWN},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
        {"Origin": OWN},
        {"Referer": f"{OWN}/preferences/display"},
    ],
)
def test_a_form_from_one_of_our_pages_is_accepted(platform: Platform, headers: dict[str, str]) -> None:
    assert send(platform.signed_in(), headers) == 303


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-site", "Origin": SIBLING},
        {"Sec-Fetch-Site": "same-site", "Origin": OWN},
        {"Sec-Fetch-Site": "same-site", "Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": ""},
        {"Sec-Fetch-Site": "same-origin", "Origin": SIBLING},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "https://acme.localhost:8000"},
        {"Origin": "http://acme.localhost"},
        {"Origin": OWN + ".evil.example"},
        {"Origin": OWN + "/"},
        {"Referer": f"{SIBLING}/"},
        {"Referer": "http://acme.localhost:8000@evil.example/"},
        {"Referer": "http://[broken"},
        {"Referer": "null"},
    ],
)
def test_a_form_from_anywhere_else_is_refused_and_recorded(platform: Platform, headers: dict[str, str]) -> None:
    browser = platform.signed_in()
    statuses: list[int] = []
    recorded = events_after(platform, lambda: statuses.append(send(browser, headers)))
    assert statuses == [403]
    assert [(entry.event, entry.details["reason"]) for entry in recorded] == [("csrf_refused", "foreign")]
    assert recorded[0].details["route"] == "/preferences/display"
    assert recorded[0].private["address"] == "192.0.2.10"


def bad_tokens() -> list[str]:
    return [
        "",
        "x",
        "é",
        "A" * 42,
        "A" * 43,
        "A" * 44,
        "=" * 8,
        "\x00",
        "A" * 100_000,
        base64.b64encode(bytes(33)).decode(),
    ]


@pytest.mark.parametrize("token", bad_tokens(), ids=range(len(bad_tokens())))
def test_a_form_without_a_good_token_is_refused(platform: Platform, token: str) -> None:
    browser = platform.signed_in()
    statuses: list[int] = []
    recorded = events_after(
        platform, lambda: statuses.append(send(browser, {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, token))
    )
    assert statuses == [403]
    assert recorded[0].details["reason"] == "token"


def test_a_token_of_another_browser_tenant_or_moment_is_refused(platform: Platform) -> None:
    browser = platform.signed_in()
    good = {"Sec-Fetch-Site": "same-origin", "Origin": OWN}
    assert send(browser, good, platform.signed_in().token()) == 403
    assert send(browser, good, platform.signed_in("globex").token()) == 403
    assert send(browser, good, platform.browser().token()) == 403


def test_a_token_in_the_address_or_a_header_is_not_read(platform: Platform) -> None:
    browser = platform.signed_in()
    token = browser.token()
    headers = {"Sec-Fetch-Site": "same-origin", "Origin": OWN, "X-CSRF-Token": token}
    response = browser._open("POST", f"/preferences/display?csrf_token={token}", data=DISPLAY, headers=headers)
    assert response.status_code == 403


def test_each_token_looks_different_and_all_of_them_work(platform: Platform) -> None:
    browser = platform.signed_in()
    tokens = {browser.token() for _ in range(5)}
    assert len(tokens) == 5
    assert {send(browser, {"Sec-Fetch-Site": "same-origin", "Origin": OWN}, token) for token in tokens} == {303}


def test_a_browser_that_refuses_cookies_is_told_so(platform: Platform) -> None:
    page = platform.browser()
    token = page.token()
    without = platform.browser()
    response = without.post("/login", {"username": "anna", "password": PASSWORD}, token=token)
    assert response.status_code == 403
    assert "Cookies are needed" in response.text


def test_reading_needs_no_proof(platform: Platform) -> None:
    browser = platform.signed_in()
    hostile = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    assert browser.get("/", headers=hostile).status_code == 200
    assert browser._open("HEAD", "/", headers=hostile).status_code == 200


def test_a_post_to_nowhere_answers_404_before_asking_for_proof(platform: Platform) -> None:
    browser = platform.signed_in()
    before = len(log_of(platform))
    assert browser._open("POST", "/nowhere").status_code == 404
    assert browser._open("POST", "/preferences/history").status_code == 405
    assert browser._open("POST", "/healthz").status_code == 405
    assert len(log_of(platform)) == before


def test_a_flood_of_refusals_is_recorded_twenty_times_a_quarter_and_address(platform: Platform) -> None:
    browser, other = platform.signed_in(), platform.signed_in()
    other.address = "192.0.2.200"
    recorded = events_after(platform, lambda: [send(browser, {}, "x") for _ in range(30)])
    assert names(recorded) == ["csrf_refused"] * 20
    assert len(events_after(platform, lambda: send(other, {}, "x"))) == 1
