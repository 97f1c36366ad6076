"""The security log: who, what, from where; no secrets; bounded under a flood; whole afterwards."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
import time_machine

from extranet.accounts.sign_in import Attempt, sign_in
from extranet.errors import SignInRefused, TooManyAttempts
from extranet.request import events
from extranet.security_log.operations import journal, read_all
from extranet.security_log.origin import Origin, printable
from tests.extranet.world import DISPLAY, NEW_PASSWORD, PROFILE, log_of, names, try_sign_in
from tests.platform import PASSWORD, SQLITE_ONLY, Platform, user_id

KEPT_ON = ("sqlite", "postgresql")

HOSTILE = "Mozilla/5.0 \u202egnp.exe <script>alert(1)</script> Firefox"


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_every_entry_of_a_visitor_says_who_when_and_from_where(platform: Platform, slug: str) -> None:
    before = len(log_of(platform, slug))
    browser = platform.browser(slug, address="2001:db8::7")
    try_sign_in(browser)
    browser.sign_in("anna", PASSWORD)
    browser.post("/preferences/security", {"current": "x", "new": NEW_PASSWORD, "repeat": NEW_PASSWORD})
    browser.post("/preferences/security", {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD})
    browser.get("/preferences/history.csv")
    browser.post("/logout")
    entries = log_of(platform, slug)[before:]
    assert names(entries) == [
        "sign_in_refused",
        "new_browser",
        "signed_in",
        "password_change_refused",
        "password_changed",
        "history_exported",
        "signed_out",
    ]
    for entry in entries:
        assert entry.at.tzinfo is not None
        assert entry.subject == user_id("anna")
        assert entry.private["address"] == "2001:db8::7"
        assert entry.private["port"] == 40000
        assert "Firefox" in entry.private["user_agent"]
        assert len(entry.details["request"]) >= 8
        if entry.event in {"password_change_refused", "password_changed", "history_exported", "signed_out"}:
            assert len(entry.private["browser"]) == len(entry.private["login"]) == 32
    assert log_of(platform, "globex" if slug == "acme" else "acme")[-1].event not in names(entries[2:4])


def test_a_hostile_user_agent_breaks_no_line_and_no_page(platform: Platform) -> None:
    browser = platform.browser()
    environ = {"HTTP_USER_AGENT": HOSTILE.encode().decode("latin-1") + "\x1b[31m" + "x" * 5000}
    form = {"username": "anna", "password": PASSWORD}
    assert browser.post("/login", form, environ_overrides=environ).status_code == 303
    kept = log_of(platform)[-1].private["user_agent"]
    assert len(kept) <= 400
    assert kept.isprintable()
    assert "<script>alert" not in browser.get("/preferences/history").text
    assert "<script>alert" not in browser.get("/preferences/sessions").text


@pytest.mark.parametrize("text", ["a\r\nb", "a\x1b[0mb", "a\u202eb", "a\u200bb", "a\x00b", "a\ud800b", "a\ufeffb"])
def test_what_cannot_be_seen_is_left_out(text: str) -> None:
    assert printable(text).isprintable()
    assert printable(text)[0] == "a"
    assert printable(text)[-1] == "b"
    assert printable("x" * 10, 3) == "xxx"


def test_a_command_has_an_origin_without_address() -> None:
    origin = Origin.operator("root", "machine")
    assert (origin.address, origin.port, origin.user_agent) == ("", 0, "command line: root@machine")


def test_no_secret_is_found_in_any_file_of_the_home(platform: Platform) -> None:
    token = platform.invite("acme", "nina").rpartition("/")[2]
    canary = "canary of a password typed as a name"
    try_sign_in(platform.browser(address="203.0.113.77"), canary, "canary of a wrong password")
    browser = platform.signed_in()
    session, device = browser.cookie("__Host-session"), browser.cookie("__Host-device")
    csrf = browser.token()
    chosen = "canary of a chosen password"
    browser.post("/preferences/security", {"current": PASSWORD, "new": chosen, "repeat": chosen})
    invited = platform.browser()
    invited.get(f"/invitation/{token}")
    invited.post("/invitation", {"password": chosen, "repeat": chosen})
    secrets = [canary, "canary of a wrong", chosen, PASSWORD, token, session, device, csrf, "203.0.113.77", "$argon2"]
    needles = [secret.encode() for secret in secrets]
    needles += [base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)) for value in (token, session, device)]
    checked = 0
    for path in platform.settings.home.rglob("*"):
        if path.is_file() and path.name != "master.key":
            content = path.read_bytes()
            # A login's row shows its own address to the person it belongs to; that one was never a login's.
            assert not [needle for needle in needles if needle in content], path.name
            checked += 1
    assert checked > 4


def test_the_chain_holds_after_everything_above(platform: Platform) -> None:
    browser = platform.signed_in()
    browser.post("/preferences/profile", PROFILE)
    browser.post("/preferences/display", DISPLAY)
    for number in range(10):
        try_sign_in(platform.browser(), f"nobody{number}")
    with platform.db("acme", writing=False) as db:
        assert journal(db.info["keys"]).verify(db) == len(list(read_all(db)))


FULL = {
    "sqlite": "CREATE TRIGGER is_full BEFORE INSERT ON security_event BEGIN SELECT RAISE(ABORT, 'full'); END",
    "postgresql": "ALTER TABLE security_event ADD CONSTRAINT is_full CHECK (sequence < 0) NOT VALID",
}


def test_an_entry_that_cannot_be_written_keeps_the_door_shut(
    platform: Platform, kept_on: str, tamper: Callable[[str, str], None]
) -> None:
    browser = platform.browser()
    tamper("acme", FULL[kept_on])
    response = browser.post("/login", {"username": "anna", "password": PASSWORD})
    assert response.status_code >= 500
    assert browser.get("/").status_code == 303


def test_a_flood_of_bad_cookies_leaves_twenty_entries(platform: Platform) -> None:
    browser = platform.browser()
    browser.set_cookie("__Host-session", "A" * 100)
    for _ in range(30):
        browser.get("/")
    assert names(log_of(platform)).count("cookie_tampered") == 20


def test_a_flood_from_many_addresses_is_bounded_too(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "_MOST_OF_A_KIND", 5)
    for number in range(12):
        browser = platform.browser(address=f"203.0.113.{number}")
        browser.set_cookie("__Host-session", "A" * 100)
        browser.get("/")
    assert names(log_of(platform)).count("cookie_tampered") == 5
    platform.signed_in().post("/preferences/profile", token="forged")
    assert names(log_of(platform)).count("csrf_refused") == 1, "another kind has room of its own"


def failures(platform: Platform, attempts: Iterable[tuple[str, str]]) -> list[str]:
    """Make many attempts without the pages around them; return what they left in the log."""
    before = len(log_of(platform))
    addresses = platform.app.extensions["extranet"].addresses
    for name, address in attempts:
        with platform.db("acme") as db, suppress(SignInRefused, TooManyAttempts):
            origin = Origin(address, 1, "flood", "request")
            sign_in(db, platform.passwords, addresses, Attempt(name, "wrong", b""), origin)
    return names(log_of(platform)[before:])


@pytest.mark.repeats
@SQLITE_ONLY
@pytest.mark.parametrize(
    ("attempts", "most"),
    [
        ([("ben", "203.0.113.7")] * 1_000, 40),
        ([("ben", f"10.{number // 250}.{number % 250}.1") for number in range(600)], 40),
        ([(f"nobody{number}", f"10.{number // 250}.{number % 250}.1") for number in range(1_200)], 650),
    ],
    ids=["one name from one address", "one name from everywhere", "any name from everywhere"],
)
def test_a_flood_of_failures_leaves_a_bounded_number_of_entries(
    platform: Platform, attempts: list[tuple[str, str]], most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform.passwords, "verify", lambda *_, **__: False)
    with time_machine.travel(datetime.now(UTC), tick=False):
        left = failures(platform, attempts)
    assert 5 <= len(left) <= most, Counter(left)
    with platform.db("acme", writing=False) as db:
        journal(db.info["keys"]).verify(db)
