"""A browser without a screen: keeps cookies, sends what browsers send, fills in the forms it is shown."""

from __future__ import annotations

import html
import re
import time
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from extranet.request.cookies import SESSION_COOKIE

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')


class Browser:
    """Visits one origin. ``address`` is where it seems to come from."""

    def __init__(self, app: Flask, origin: str, address: str = "192.0.2.10", user_agent: str = "") -> None:
        self.app = app
        self.origin = origin
        self.client = app.test_client()
        self.address = address
        self.user_agent = user_agent or USER_AGENT
        self._last_form: tuple[tuple[str, int], str] | None = None

    def get(self, path: str, **options: Any) -> TestResponse:
        return self._seen(self._open("GET", path, **options))

    def post(
        self, path: str, data: dict[str, Any] | None = None, *, token: str | None = None, **options: Any
    ) -> TestResponse:
        """Post a form as a page of this origin would, with the token of the last form that came with this cookie."""
        filled = {**(data or {}), "csrf_token": self._token() if token is None else token}
        headers = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **options.pop("headers", {})}
        return self._seen(self._open("POST", path, data=filled, headers=headers, **options))

    def token(self) -> str:
        """Return a CSRF token for this browser's cookie."""
        page = self.get("/login", follow_redirects=True)
        match = _TOKEN.search(page.text)
        assert match, page.text
        return html.unescape(match[1])

    def sign_in(self, username: str, password: str) -> TestResponse:
        """Sign in and insist that it worked."""
        response = self.post("/login", {"username": username, "password": password})
        assert response.status_code == 303, response.text
        return response

    def cookie(self, name: str) -> str:
        """Return a cookie's value; "" when there is none."""
        host = self.origin.partition("://")[2].partition(":")[0]
        cookie = self.client.get_cookie(name, domain=host)
        return cookie.value if cookie else ""

    def set_cookie(self, name: str, value: str) -> None:
        host = self.origin.partition("://")[2].partition(":")[0]
        self.client.set_cookie(name, value, domain=host, secure=True)

    def _seen(self, page: TestResponse) -> TestResponse:
        """Keep the token of a form that was just shown: who posts next has that page before them."""
        if page.mimetype == "text/html" and self.client._cookies is not None and (match := _TOKEN.search(page.text)):
            self._last_form = (self._cookie_now(), html.unescape(match[1]))
        return page

    def _token(self) -> str:
        """Return the token of the last form; another is fetched when the cookie is no longer the one it came with."""
        if self._last_form is None or self._last_form[0] != self._cookie_now():
            return self.token()
        return self._last_form[1]

    def _cookie_now(self) -> tuple[str, int]:
        # Tests move the clock, and a cookie is good for some hours only.
        return self.cookie(SESSION_COOKIE), int(time.time()) // 3600

    def _open(self, method: str, path: str, **options: Any) -> TestResponse:
        environ = {"REMOTE_ADDR": self.address, "REMOTE_PORT": "40000", **options.pop("environ_overrides", {})}
        headers = {"User-Agent": self.user_agent, **options.pop("headers", {})}
        return self.client.open(
            path, method=method, base_url=self.origin, headers=headers, environ_overrides=environ, **options
        )
