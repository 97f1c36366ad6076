"""A real gunicorn on a port of its own, and visitors who come to it from wherever they like."""

from __future__ import annotations

import html
import http.client
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

from tests.platform import PASSWORD
from tests.services.service import free_port

_TOKEN = re.compile(r'name="csrf_token" value="([^"]+)"')
_PATIENCE = 30.0
PORT = 8000
"""Every node's in the eyes of browsers, which see but what distributes them."""


class Node:
    """One machine's serving process with its workers. ``application`` is what it serves."""

    def __init__(self, home: Path, application: str = "tests.faults.cheap_app:application", **environment: str) -> None:
        self.home = home
        self.port = free_port()
        self._application = application
        self._log = home / f"gunicorn-{self.port}.log"
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("EXTRANET_", "COV"))},
            "EXTRANET_HOME": str(home),
            "EXTRANET_DOMAIN": f"localhost:{PORT}",
            "EXTRANET_WORKERS": "2",
            **environment,
        }
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        arguments = ["--config", "python:provisioning.gunicorn_conf", "--bind", f"127.0.0.1:{self.port}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", *arguments, self._application],
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        end = time.monotonic() + _PATIENCE
        while len(self.workers()) < int(self.environment["EXTRANET_WORKERS"]) or not self._answers():
            assert self._process.poll() is None, self.log()
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def workers(self) -> list[int]:
        """Return the pids of the processes that answer."""
        assert self._process is not None
        children = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text()
        return [int(child) for child in children.split()]

    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def visitor(self, slug: str = "acme", source: str = "127.0.0.1") -> Visitor:
        return Visitor(self, slug, source)

    def _answers(self) -> bool:
        try:
            return self.visitor().get("/healthz").status == 200
        except OSError:
            return False


class Answer:
    """What came back."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, text: str, seconds: float) -> None:
        self.status = status
        self.headers = headers
        self.text = text
        self.seconds = seconds


class Visitor:
    """Keeps cookies and sends forms, at whichever node it is led to."""

    def __init__(self, node: Node, slug: str, source: str) -> None:
        self.node = node
        self.slug = slug
        self.source = source
        self.cookies: dict[str, str] = {}

    def at(self, node: Node) -> Visitor:
        """Return the same browser, led to another node."""
        led = Visitor(node, self.slug, self.source)
        led.cookies = self.cookies
        return led

    def get(self, path: str) -> Answer:
        return self._send("GET", path, b"", {})

    def post(self, path: str, form: dict[str, str], token: str = "") -> Answer:
        body = urlencode({**form, "csrf_token": token or self.token()}).encode()
        own = {
            "Origin": f"http://{self.slug}.localhost:{PORT}",
            "Sec-Fetch-Site": "same-origin",
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return self._send("POST", path, body, own)

    def token(self) -> str:
        page = self.get("/login")
        if page.status == 303:
            page = self.get("/")
        found = _TOKEN.search(page.text)
        assert found, (page.status, page.text)
        return html.unescape(found[1])

    def sign_in(self, username: str = "anna") -> Answer:
        answer = self.post("/login", {"username": username, "password": PASSWORD})
        assert answer.status == 303, answer.text
        return answer

    def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        own = {"Host": f"{self.slug}.localhost:{PORT}", "Connection": "close", "User-Agent": "Firefox/140.0"}
        if self.cookies:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        began = time.monotonic()
        with _connected(self.node.port, self.source) as connection:
            connection.request(method, path, body, {**own, **headers})
            response = connection.getresponse()
            text = response.read().decode()
        for line in response.headers.get_all("Set-Cookie") or []:
            name, _, value = line.partition(";")[0].partition("=")
            self.cookies[name] = value
        return Answer(response.status, response.headers, text, time.monotonic() - began)


@contextmanager
def _connected(port: int, source: str) -> Iterator[http.client.HTTPConnection]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE, source_address=(source, 0))
    try:
        yield connection
    finally:
        connection.close()
