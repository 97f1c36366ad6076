"""What a connection of the load generator says: a generator that yields what to ask and is sent the answer."""

from __future__ import annotations

import html
import random
import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from urllib.parse import urlencode

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.IGNORECASE)
_TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
_RETRY_AFTER = re.compile(rb"\r\nretry-after: *(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Ask:
    """One request, and how to know a good answer to it. ``busy`` is the status of one that says to come back later."""

    request: bytes
    status: int
    contains: bytes = b""
    busy: int = 0


@dataclass(frozen=True)
class Wait:
    """Ask nothing for some seconds."""

    seconds: float


@dataclass(frozen=True)
class Answer:
    """One answer, as it came."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    @property
    def retry_after(self) -> int:
        """The seconds it asks to wait; 0 when it does not."""
        found = _RETRY_AFTER.search(self.head)
        return int(found[1]) if found else 0


READY = Ask(b"", 0)
"""What is yielded once a conversation is prepared; the clock starts when all are. It and a Wait are sent None."""

Conversation = Generator[Ask | Wait, Answer, None]


def visit(visits: list[tuple[str, str]], seed: int, pause: float) -> Conversation:
    """Ask for the home page of visitors drawn evenly, for ever."""
    pages = [Ask(_request("GET", "/", host, cookie), 200, b"<h1>Hello") for host, cookie in visits]
    draw = random.Random(seed)
    yield READY
    while True:
        yield draw.choice(pages)
        if pause:
            yield Wait(pause * draw.uniform(0.5, 1.5))


def sign_in(host: str, names: Iterator[str], password: str, busy: int) -> Conversation:
    """Sign people in at one host, one after another, through the form fetched once beforehand.

    Whoever is told that the server is busy tries again when it says.
    """
    page = yield Ask(_request("GET", "/login", host), 200, b"csrf_token")
    cookie, token = _COOKIE.search(page.head), _TOKEN.search(page.body)
    if cookie is None or token is None:
        raise ValueError(f"The sign-in page of {host} has no form.")
    yield READY
    for name in names:
        form = {"username": name, "password": password, "csrf_token": html.unescape(token[1].decode())}
        asked = Ask(_request("POST", "/login", host, cookie[1].decode(), urlencode(form)), 303, busy=busy)
        while (answer := (yield asked)).status == busy:
            # Nobody comes back at the very second.
            yield Wait(answer.retry_after * random.uniform(1, 1.5))
    raise ValueError("There are too few people for so fast a machine.")


def _request(method: str, path: str, host: str, cookie: str = "", body: str = "") -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {USER_AGENT}",
        "Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8",
        "Accept-Language: en-US,en;q=0.5",
        "Accept-Encoding: gzip, deflate, br",
    ]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if method == "POST":
        lines += [
            "Content-Type: application/x-www-form-urlencoded",
            f"Content-Length: {len(body)}",
            f"Origin: http://{host}",
            "Sec-Fetch-Site: same-origin",
        ]
    return "\r\n".join([*lines, "", body]).encode()
