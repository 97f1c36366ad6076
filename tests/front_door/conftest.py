"""Fixtures: one gunicorn, one nginx and one Chromium for all these tests. Missing programs are named loudly."""

from __future__ import annotations

import os
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from tenants import lifecycle
from tests.front_door.door import (
    CHROMIUM,
    CUSTOM_HOST,
    DOMAIN,
    NGINX,
    UNCERTIFIED_HOST,
    Door,
    Visitor,
    free_port,
    is_listening,
    make_certificate,
    running,
    running_nginx,
    until,
)
from tests.front_door.screen import ARGUMENTS, Screen, screen
from tests.platform import add_tenant, make_home, open_platform

SUSPENDABLE = "initech"

_missing: set[str] = set()


def need(program: str, found: str) -> None:
    """Skip, or fail where everything is required, when a program is not on this machine."""
    if found:
        return
    _missing.add(program)
    say = pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip
    say(f"{program} is not installed: apt-get install {program}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for program in sorted(_missing):
        terminalreporter.write_line(f"NOT RUN: the tests that drive {program}, which is not installed.", red=True)


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """The product as it stands in production: nginx with TLS, gunicorn behind a unix socket."""
    need("nginx", NGINX)
    folder = tmp_path_factory.mktemp("door")
    home, https, http = folder / "home", free_port(), free_port()
    make_home(home)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("EXTRANET_", "COV_", "COVERAGE"))},
        "EXTRANET_HOME": str(home),
        "EXTRANET_DOMAIN": f"{DOMAIN}:{https}",
        "EXTRANET_TRUSTED_PROXIES": "unix",
        "EXTRANET_WORKERS": "2",
    }
    platform = open_platform(home, domain=DOMAIN, port=https)
    add_tenant(platform.tenancy, SUSPENDABLE)
    lifecycle.add_host(platform.tenancy, "acme", CUSTOM_HOST)
    lifecycle.add_host(platform.tenancy, "globex", UNCERTIFIED_HOST)
    chain, _key = make_certificate(folder / "wildcard", f"*.{DOMAIN}")
    custom, _key = make_certificate(folder / "live" / CUSTOM_HOST, CUSTOM_HOST)
    trust = ssl.create_default_context(cafile=chain)
    trust.load_verify_locations(custom)
    opened = Door(home, https, http, folder / "app.sock", trust, platform, folder, environment)
    wrote = opened.extranet("nginx", "write", *write_options(opened, https, http))
    serve = [sys.executable, "-m", "provisioning", "serve", "--bind", f"unix:{opened.socket}"]
    with (
        running(serve, folder / "gunicorn.log", environment) as gunicorn,
        running_nginx(folder / "nginx", Path(wrote["file"]), environment) as nginx,
    ):

        def is_ready() -> bool:
            assert gunicorn.poll() is None, (folder / "gunicorn.log").read_text()
            assert nginx.poll() is None, (folder / "nginx" / "error.log").read_text()
            # Not /login: asking often for that is what nginx slows down.
            return opened.socket.exists() and is_listening(https) and opened.ask("/robots.txt").status == 200

        until(is_ready, "The front door did not open.")
        yield opened
    platform.close()


def write_options(door: Door, https: int, http: int) -> list[str]:
    """Return the options of ``extranet nginx write`` for this machine."""
    options = {
        "certificate": door.folder / "wildcard" / "fullchain.pem",
        "key": door.folder / "wildcard" / "privkey.pem",
        "certificate-dir": door.folder / "live",
        "socket": door.socket,
        "https": https,
        "http": http,
        "listen": "127.0.0.1",
        "access-log": door.folder / "access.log",
    }
    return [part for name, value in options.items() for part in (f"--{name}", str(value))]


@pytest.fixture(scope="session")
def anna(door: Door) -> Visitor:
    """Somebody signed in at acme. Tests that end logins make a visitor of their own."""
    visitor = Visitor(door, "acme")
    visitor.sign_in("anna")
    return visitor


@pytest.fixture(scope="session")
def chromium(door: Door) -> Iterator[Browser]:
    """One real Chromium; each test opens a profile of its own in it."""
    need("chromium", CHROMIUM)
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield launched
        launched.close()


@pytest.fixture(scope="session")
def artifacts(pytestconfig: pytest.Config) -> Path:
    """Where pictures of pages are kept for people to look at."""
    folder = pytestconfig.rootpath / "test-artifacts"
    folder.mkdir(exist_ok=True)
    return folder


Open = Callable[..., Screen]


@pytest.fixture
def visit(door: Door, chromium: Browser, artifacts: Path) -> Iterator[Open]:
    """Open browser profiles that close with the test: ``visit("acme", viewport=…)``."""
    with ExitStack() as stack:

        def open_screen(slug: str = "acme", **options: Any) -> Screen:
            return stack.enter_context(screen(door, chromium, slug, artifacts, **options))

        yield open_screen
