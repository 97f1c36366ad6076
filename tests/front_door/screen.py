"""A real Chromium for tests: visits tenants through nginx, and notes everything a page complains about or fetches."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Request

from tests.front_door.door import DOMAIN, Door
from tests.platform import PASSWORD

ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    # Or Chromium itself would refuse what these tests are to see the product refuse: a foreign page asking 127.0.0.1.
    "--disable-features=LocalNetworkAccessChecks",
    f"--host-resolver-rules=MAP *.{DOMAIN} 127.0.0.1, EXCLUDE *.localhost, EXCLUDE 127.0.0.1, MAP * ~NOTFOUND",
]


class Screen:
    """One browser profile: its own cookies, its own notes of what went wrong."""

    def __init__(self, door: Door, context: BrowserContext, slug: str, artifacts: Path) -> None:
        self.door = door
        self.context = context
        self.slug = slug
        self.complaints: list[str] = []
        self.fetched: list[str] = []
        self._artifacts = artifacts
        context.on("console", self._hear)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        context.on("request", self._see)
        self.page: Page = context.new_page()

    def go(self, path: str) -> int:
        """Open a page of the tenant's; return its status."""
        response = self.page.goto(self.door.origin(self.slug) + path)
        assert response is not None
        return response.status

    def sign_in(self, username: str = "anna") -> None:
        self.go("/login")
        self.page.fill("#username", username)
        self.page.fill("#password", PASSWORD)
        self.submit()
        assert self.path == "/", self.page.content()

    def submit(self, button: str = "main form[method=post] button.primary[type=submit]") -> None:
        """Send a form and wait for the page after it."""
        with self.page.expect_navigation():
            self.page.click(button)

    def sign_out(self) -> None:
        self.page.click(".who")
        self.submit("#menu form button")

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.door.origin(self.slug))

    @property
    def notice(self) -> str:
        return self.page.locator("main .notice.good").inner_text().strip()

    @property
    def cookies(self) -> dict[str, Any]:
        return {cookie["name"]: cookie for cookie in self.context.cookies(self.door.origin(self.slug))}

    def picture(self, name: str) -> None:
        """Keep a picture of the page for people to look at."""
        self.page.screenshot(path=self._artifacts / f"{name}.png", full_page=True)

    def check_quiet(self) -> None:
        """Insist that no page complained, and none fetched anything from elsewhere."""
        assert self.complaints == [], self.complaints
        own = (self.door.origin(self.slug) + "/", f"blob:{self.door.origin(self.slug)}/")
        assert [url for url in self.fetched if not url.startswith(own)] == []

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(message.text)

    def _see(self, request: Request) -> None:
        self.fetched.append(request.url)


@contextmanager
def screen(door: Door, chromium: Browser, slug: str, artifacts: Path, **options: Any) -> Iterator[Screen]:
    """Open a fresh browser profile."""
    settings: dict[str, Any] = {"ignore_https_errors": True, "locale": "en-GB", **options}
    context = chromium.new_context(**settings)
    context.set_default_timeout(20_000)
    try:
        yield Screen(door, context, slug, artifacts)
    finally:
        context.close()


def png(colour: str = "teal", size: tuple[int, int] = (640, 480)) -> bytes:
    """Return a picture."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "PNG")
    return file.getvalue()
