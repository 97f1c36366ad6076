"""Second factors in a real browser with an authenticator that Chromium itself plays.

At *.localhost, which browsers trust as it is: they let no page use passkeys whose certificate they do not know.
"""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, CDPSession, expect

from tests.front_door.door import free_port, is_listening, running, until
from tests.front_door.screen import Screen
from tests.front_door.test_accessibility import _examine
from tests.platform import PASSWORD, make_home

pytestmark = [pytest.mark.front_door, pytest.mark.browser]

SECURITY = "/preferences/security"
_WITHOUT_OFFER = "window.PublicKeyCredential.isConditionalMediationAvailable = async () => false"


@dataclass(frozen=True)
class Local:
    """Gunicorn on a port of this machine, as on a developer's."""

    port: int

    def origin(self, slug: str) -> str:
        return f"http://{slug}.localhost:{self.port}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder = tmp_path_factory.mktemp("local")
    make_home(folder / "home")
    port = free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("EXTRANET_", "COV_", "COVERAGE"))},
        "EXTRANET_HOME": str(folder / "home"),
        "EXTRANET_DOMAIN": f"localhost:{port}",
        "EXTRANET_WORKERS": "1",
    }
    serve = [sys.executable, "-m", "provisioning", "serve", "--bind", f"127.0.0.1:{port}"]
    with running(serve, folder / "gunicorn.log", environment) as gunicorn:

        def is_ready() -> bool:
            assert gunicorn.poll() is None, (folder / "gunicorn.log").read_text()
            return is_listening(port)

        until(is_ready, "The server did not start.")
        yield Local(port)


class Device:
    """The authenticator of one screen. ``present`` says whether its owner touches it when asked."""

    def __init__(self, screen: Screen) -> None:
        self._cdp: CDPSession = screen.context.new_cdp_session(screen.page)
        self._cdp.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = self._cdp.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        self._id: str = made["authenticatorId"]

    @property
    def credentials(self) -> list[dict[str, Any]]:
        found = self._cdp.send("WebAuthn.getCredentials", {"authenticatorId": self._id})
        credentials: list[dict[str, Any]] = found["credentials"]
        return credentials

    def lose(self) -> None:
        self._cdp.send("WebAuthn.removeVirtualAuthenticator", {"authenticatorId": self._id})


@pytest.fixture
def screen(local: Local, chromium: Browser, artifacts: Path) -> Iterator[Screen]:
    context = chromium.new_context(locale="en-GB")
    context.set_default_timeout(20_000)
    yield Screen(local, context, "acme", artifacts)  # type: ignore[arg-type]
    context.close()


def codes_on(screen: Screen) -> list[str]:
    codes = screen.page.locator(".codes code").all_inner_texts()
    assert len(codes) == 10
    return codes


def test_a_passkey_is_added_used_without_a_password_lost_and_made_up_for_by_a_recovery_code(screen: Screen) -> None:
    page = screen.page
    page.add_init_script(_WITHOUT_OFFER)
    device = Device(screen)
    screen.sign_in("ben")
    screen.go(SECURITY)
    page.click("text=Add a passkey")
    page.fill("#name", "My laptop")
    screen.submit("form[data-passkey] button[type=button]")
    codes = codes_on(screen)
    _examine(screen, "factors-codes", "en")
    with page.expect_download() as download:
        page.click("text=Download as text")
    assert codes[0] in download.value.path().read_text()
    page.click("text=I have kept them")
    assert "My laptop" in page.inner_text("main")
    _examine(screen, "factors-security", "en")
    (credential,) = device.credentials
    assert credential["rpId"] == "acme.localhost"
    assert credential["isResidentCredential"]

    screen.sign_out()
    screen.submit("form[data-passkey] button[type=button]")
    assert screen.path == "/"
    assert "Hello Ben" in page.inner_text("h1")

    # With the password, the passkey is the second step.
    screen.sign_out()
    fill_password(screen, "ben")
    assert screen.path == "/login/second-step"
    _examine(screen, "factors-second-step", "en")
    screen.submit("form[data-passkey] button[type=button]")
    assert screen.path == "/"

    screen.sign_out()
    device.lose()
    fill_password(screen, "ben")
    page.click("summary:has-text('recovery code')")
    page.fill("#recovery", codes[0])
    screen.submit("details form button")
    assert screen.path == "/"
    assert "recovery code" in screen.notice
    screen.check_quiet()


def test_the_name_field_offers_passkeys(screen: Screen) -> None:
    page = screen.page
    device = Device(screen)
    screen.sign_in("gus")
    screen.go(f"{SECURITY}/passkeys/new")
    screen.submit("form[data-passkey] button[type=button]")
    codes_on(screen)
    page.click(".who")
    # Chromium's own authenticator picks what is offered at once, so the sign-in page is left as soon as it is there.
    page.click("#menu form button")
    page.wait_for_url("**/")
    assert "Hello Gus" in page.inner_text("h1")
    assert device.credentials
    screen.check_quiet()


def test_a_passkey_that_is_refused_says_so_and_leaves_the_page_usable(screen: Screen) -> None:
    page = screen.page
    page.add_init_script(_WITHOUT_OFFER)
    Device(screen)
    # Where nobody has a factor yet.
    screen.slug = "globex"
    screen.go("/login")
    trouble = page.locator("form[data-passkey] [role=alert]")
    expect(trouble).to_be_hidden()
    page.click("form[data-passkey] button[type=button]")
    expect(trouble).to_be_visible()
    fill_password(screen, "ben")
    assert screen.path == "/"


@pytest.mark.parametrize("javascript", [True, False])
def test_an_app_is_set_up_and_used_with_and_without_javascript(
    local: Local, chromium: Browser, artifacts: Path, javascript: bool
) -> None:
    slug = "acme" if javascript else "globex"
    context = chromium.new_context(locale="en-GB", java_script_enabled=javascript)
    context.set_default_timeout(20_000)
    screen = Screen(local, context, slug, artifacts)  # type: ignore[arg-type]
    page = screen.page
    screen.sign_in("anna")
    screen.go(f"{SECURITY}/app")
    box = page.locator(".qr svg").bounding_box()
    assert box is not None
    assert box["width"] > 150
    key = re.sub(r"\s", "", page.locator(".key code").text_content() or "")
    page.fill("#code", pyotp.TOTP(key).now())
    screen.picture(f"factors-app-{slug}")
    screen.submit("main form.card button[type=submit]")
    codes_on(screen)
    screen.sign_out() if javascript else context.clear_cookies()
    fill_password(screen, "anna")
    assert screen.path == "/login/second-step"
    screen.picture(f"factors-second-step-{slug}")
    page.fill("#code", pyotp.TOTP(key).at(int(time.time()) + 30))
    screen.submit("main form.stack button")
    assert screen.path == "/"
    screen.check_quiet()
    context.close()


def fill_password(screen: Screen, username: str) -> None:
    screen.go("/login")
    screen.page.fill("#username", username)
    screen.page.fill("#password", PASSWORD)
    screen.submit("main form.stack button[type=submit]")
