"""Addresses that programs look for."""

from __future__ import annotations

import pytest
import time_machine

from tests.platform import Platform


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_password_managers_find_the_page(platform: Platform, slug: str) -> None:
    response = platform.browser(slug).get("/.well-known/change-password")
    assert (response.status_code, response.headers["Location"]) == (303, "/preferences/security")


def test_a_finder_of_weaknesses_finds_whom_to_tell(platform: Platform, clock: time_machine.Traveller) -> None:
    response = platform.browser().get("/.well-known/security.txt")
    assert response.mimetype == "text/plain"
    assert response.text.splitlines() == [
        "Contact: mailto:security@localhost",
        "Expires: 2027-05-30T00:00:00Z",
        "Preferred-Languages: en, fr, nl",
        "Canonical: http://acme.localhost:8000/.well-known/security.txt",
    ]


def test_robots_stay_out(platform: Platform) -> None:
    assert platform.browser().get("/robots.txt").text == "User-agent: *\nDisallow: /\n"


@pytest.mark.parametrize("host", ["acme.localhost:8000", "127.0.0.1", "nobody", "", "a b"])
def test_health_is_told_at_any_host(platform: Platform, host: str) -> None:
    for path in ("/healthz", "/readyz"):
        response = platform.browser().get(path, environ_overrides={"HTTP_HOST": host})
        assert (response.status_code, response.text) == (200, "ok\n")
        assert "Set-Cookie" not in response.headers


def test_a_process_without_registry_is_alive_and_not_ready(platform: Platform) -> None:
    (platform.settings.home / "registry.sqlite3").rename(platform.settings.home / "away")
    assert platform.browser().get("/healthz").status_code == 200
    response = platform.browser().get("/readyz")
    assert (response.status_code, response.text) == (503, "registry unreachable\n")
