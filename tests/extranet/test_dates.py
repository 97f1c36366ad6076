"""Dates and times as one person wants to read them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from extranet.accounts.browsers import describe_browser
from extranet.dates import Dates
from extranet.request.paths import local_path
from tests.platform import Platform

NOON = datetime(2026, 11, 22, 12, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "zone", "date_format", "clock", "shown"),
    [
        ("en", "UTC", "locale", "24h", "22 Nov 2026, 12:05"),
        ("en", "Europe/Paris", "iso", "24h", "2026-11-22, 13:05"),
        ("fr", "Europe/Paris", "locale", "24h", "22 nov. 2026, 13:05"),
        ("nl", "Europe/Amsterdam", "locale", "24h", "22 nov 2026, 13:05"),
        ("en", "America/New_York", "iso", "12h", "2026-11-22, 7:05 am"),
        ("en", "Pacific/Kiritimati", "iso", "24h", "2026-11-23, 02:05"),
        ("en", "Asia/Kathmandu", "iso", "24h", "2026-11-22, 17:50"),
    ],
)
def test_a_moment_is_shown_in_language_zone_and_taste(
    language: str, zone: str, date_format: str, clock: str, shown: str
) -> None:
    assert Dates(language, zone, date_format, clock).datetime(NOON).replace("\u202f", " ").lower() == shown.lower()


def test_summer_time_is_known() -> None:
    paris = Dates("en", "Europe/Paris", "iso", "24h")
    assert paris.datetime(datetime(2026, 3, 29, 0, 59, tzinfo=UTC)) == "2026-03-29, 01:59"
    assert paris.datetime(datetime(2026, 3, 29, 1, 0, tzinfo=UTC)) == "2026-03-29, 03:00"
    assert paris.datetime(datetime(2026, 10, 25, 0, 30, tzinfo=UTC)) == "2026-10-25, 02:30"
    assert paris.datetime(datetime(2026, 10, 25, 1, 30, tzinfo=UTC)) == "2026-10-25, 02:30"


FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"
CHROME = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36{}"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (FIREFOX, "Firefox, Linux"),
        (CHROME.format("Windows NT 10.0; Win64; x64", ""), "Chrome, Windows"),
        (CHROME.format("Windows NT 10.0; Win64; x64", " Edg/141.0"), "Edge, Windows"),
        (CHROME.format("Macintosh; Intel Mac OS X 10_15_7", " OPR/120.0"), "Opera, macOS"),
        (CHROME.format("Linux; Android 15; Pixel 9", ""), "Chrome, Android"),
        (CHROME.format("X11; CrOS x86_64 14541.0.0", ""), "Chrome, ChromeOS"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) Version/18.0 Mobile Safari/604.1", "Safari, iPhone"),
        ("Mozilla/5.0 (iPad; CPU OS 18_0) CriOS/141 Mobile Safari/604.1", "Chrome, iPad"),
        ("command line: root@host", "Command line"),
        ("curl/8.0", "?"),
        ("", "?"),
        ("\x00<script>", "?"),
    ],
)
def test_a_user_agent_is_told_in_words_one_recognises(user_agent: str, words: str) -> None:
    assert describe_browser(user_agent) == words


@pytest.mark.parametrize(
    "target",
    ["/", "/preferences/profile", "/preferences/history?page=2", "/a/b/c?x=1&y=%2F", "/@me", "/a//b", "/a;b", "/x#y"],
)
def test_a_path_on_this_host_is_kept(platform: Platform, target: str) -> None:
    with platform.app.test_request_context("/"):
        from extranet.request import log

        log.begin()
        assert local_path(target) == target
