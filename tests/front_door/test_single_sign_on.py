"""Signing in elsewhere in a real browser: under the strict policy of our pages, there and back."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.front_door.door import free_port, is_listening, running, until
from tests.front_door.screen import Screen, screen
from tests.platform import make_home, open_platform
from tests.single_sign_on.providers import Offline
from tests.single_sign_on.world import link, set_up

pytestmark = [pytest.mark.front_door, pytest.mark.browser]


class Local:
    """Gunicorn on a port of this machine, and a provider on another."""

    def __init__(self, port: int, provider: Offline) -> None:
        self.port = port
        self.provider = provider

    def origin(self, slug: str) -> str:
        return f"http://{slug}.localhost:{self.port}"


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    folder, port, provider = tmp_path_factory.mktemp("sign-on"), free_port(), Offline()
    make_home(folder / "home")
    platform = open_platform(folder / "home")
    set_up(platform, provider.issuer)
    link(platform, provider.issuer, "ben-1")
    platform.close()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith(("EXTRANET_", "COV_", "COVERAGE"))},
        "EXTRANET_HOME": str(folder / "home"),
        "EXTRANET_DOMAIN": f"localhost:{port}",
        "EXTRANET_SSO_INSIDE": "127.0.0.1",
        "EXTRANET_WORKERS": "1",
    }
    serve = [sys.executable, "-m", "provisioning", "serve", "--bind", f"127.0.0.1:{port}"]
    with running(serve, folder / "gunicorn.log", environment) as gunicorn:

        def is_ready() -> bool:
            assert gunicorn.poll() is None, (folder / "gunicorn.log").read_text()
            return is_listening(port)

        until(is_ready, "The server did not start.")
        yield Local(port, provider)
    provider.stop()
    shutil.rmtree(folder)


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no-scripts"])
def test_somebody_signs_in_at_the_provider_and_lands_where_they_wanted(
    local: Local, chromium: Browser, artifacts: Path, scripts: bool
) -> None:
    with screen(local, chromium, "acme", artifacts, java_script_enabled=scripts) as shown:  # type: ignore[arg-type]
        _sign_in(shown)
        assert shown.path == "/preferences/display"
        assert "__Host-sign-on" not in shown.cookies


def _sign_in(shown: Screen) -> None:
    shown.go("/login?next=/preferences/display")
    shown.submit("form[action^='/sign-on/start'] button")
    assert "Before you continue" in shown.page.content()
    shown.page.click("main button.primary")
    # Our page leads on by itself, and no policy holds it.
    shown.page.wait_for_url("**/oauth2/authorize**")
    shown.page.fill("input[name=sub]", "ben-1")
    shown.page.locator("button", has_text="Authorize").first.click()
    shown.page.wait_for_url("**.localhost:*/**")
