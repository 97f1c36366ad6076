"""What the tests of second factors share: people who have some, and the pages on which they are used."""

from __future__ import annotations

import html
import json
import re
import time
from dataclasses import dataclass, field
from typing import Any

import pyotp
from werkzeug.test import TestResponse

from extranet.models import Mail, PendingSignIn
from extranet.models.mail import MAIL_SEAL
from tests.browser import Browser
from tests.extranet.authenticator import SoftAuthenticator
from tests.platform import PASSWORD, Platform, user_id

SECURITY = "/preferences/security"
_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


@dataclass
class Equipped:
    """What somebody holds in their hands."""

    key: str = ""
    codes: list[str] = field(default_factory=list)
    passkey: SoftAuthenticator | None = None

    def code(self, steps: int = 0) -> str:
        """Return what their app shows now, or some steps from now."""
        return pyotp.TOTP(self.key).at(int(time.time()) + 30 * steps)


def token_on(page: TestResponse) -> str:
    found = _TOKEN.search(page.text)
    assert found, page.text
    return html.unescape(found[1])


def codes_on(page: TestResponse) -> list[str]:
    return re.findall(r"<code>([A-Z2-7]{4}(?:-[A-Z2-7]{4}){3})</code>", page.text)


def set_up_app(browser: Browser) -> Equipped:
    """Set an authenticator app up through the pages; insist that it worked."""
    page = browser.get(f"{SECURITY}/app")
    assert page.status_code == 200, page.headers
    held = Equipped(key_on(page))
    data = {"setup": setup_on(page), "code": held.code()}
    done = browser.post(f"{SECURITY}/app", data, token=token_on(page))
    assert done.status_code in {200, 303}, done.text
    held.codes = codes_on(done)
    return held


def key_on(page: TestResponse) -> str:
    found = re.search(r'class="key"><code>([A-Z2-7 ]+)</code>', page.text)
    assert found, page.text
    return found[1].replace(" ", "")


def setup_on(page: TestResponse) -> str:
    found = re.search(r'name="setup"[^>]*value="([^"]+)"', page.text)
    assert found, page.text
    return html.unescape(found[1])


def add_passkey(browser: Browser, name: str = "Laptop", **options: Any) -> Equipped:
    """Add a passkey through the pages; insist that it worked."""
    made = SoftAuthenticator(browser.origin, **options)
    done = send_passkey(browser, made, name)
    assert done.status_code in {200, 303}, done.text
    return Equipped(codes=codes_on(done), passkey=made)


def send_passkey(browser: Browser, made: SoftAuthenticator, name: str = "Laptop", **client: Any) -> TestResponse:
    token = token_on(browser.get(f"{SECURITY}/passkeys/new"))
    answer = made.create(json.loads(browser.get(f"{SECURITY}/passkeys").text), **client)
    return browser.post(f"{SECURITY}/passkeys", {"name": name, "credential": answer}, token=token)


def pending(platform: Platform, slug: str = "acme", username: str = "ben", **options: str) -> Browser:
    """Return a browser in which a right password waits for the second step."""
    browser = platform.browser(slug, **options)
    answer = browser.post("/login", {"username": username, "password": PASSWORD})
    assert answer.headers["Location"] == "/login/second-step", answer.text
    return browser


def second_step(browser: Browser, **data: str) -> TestResponse:
    """Send a code, or a recovery code."""
    return browser.post("/login/second-step", data, token=token_on(browser.get("/login/second-step")))


def second_step_by_passkey(browser: Browser, passkey: SoftAuthenticator, **options: Any) -> TestResponse:
    token = token_on(browser.get("/login/second-step"))
    answer = passkey.get(json.loads(browser.get("/login/second-step/passkey").text), **options)
    return browser.post("/login/second-step/passkey", {"credential": answer}, token=token)


def passwordless(browser: Browser, passkey: SoftAuthenticator, **options: Any) -> TestResponse:
    token = token_on(browser.get("/login"))
    answer = passkey.get(json.loads(browser.get("/login/passkey").text), **options)
    return browser.post("/login/passkey", {"credential": answer}, token=token)


def is_signed_in(browser: Browser) -> bool:
    return browser.get("/").status_code == 200


def mails_to(platform: Platform, username: str = "ben", slug: str = "acme") -> list[str]:
    """Return the kinds of mails that wait for somebody, the oldest first."""
    with platform.db(slug, writing=False) as db:
        rows = db.query(Mail).filter(Mail.user_id == user_id(username)).order_by(Mail.created_at, Mail.id).all()
        for row in rows:
            # Each opens under the tenant's own key.
            db.info["keys"].open(MAIL_SEAL.purpose, row.content, context=MAIL_SEAL.bound_to(row.id))
        return [row.kind for row in rows]


def waiting_rows(platform: Platform, slug: str = "acme") -> int:
    with platform.db(slug, writing=False) as db:
        return db.query(PendingSignIn).filter(PendingSignIn.ended_at.is_(None)).count()
