"""A small HTTP load generator: one process, one selector, keep-alive connections that each follow a conversation.

A conversation is a generator: it yields what to ask and is sent the answer. It yields ``READY`` once it is prepared;
the clock starts when all are. It runs as a process of its own, so that it shares no interpreter lock with anything.
"""

from __future__ import annotations

import html
import json
import random
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import asdict, dataclass, field
from itertools import cycle, islice
from urllib.parse import urlencode

USER_AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_COOKIE = re.compile(rb"\r\nset-cookie: *([^;\r]+)", re.IGNORECASE)
_TOKEN = re.compile(rb'name="csrf_token" value="([^"]+)"')
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LONGEST_RUN = 120
_LONGEST_WAIT = 20
# Before the window opens every connection is already at work, so neither end of it is a special case.
_LEAD_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """What to send where. ``visits`` are pairs of host and cookie; ``people`` are pairs of host and username."""

    port: int
    seconds: float
    connections: int
    visits: list[tuple[str, str]] = field(default_factory=list)
    people: list[tuple[str, str]] = field(default_factory=list)
    password: str = ""


@dataclass(frozen=True)
class Outcome:
    """What came of it: good answers within the window and in all, bad ones, and latencies in ms."""

    seconds: float
    done: int
    answered: int
    failed: int
    p50: float
    p99: float
    first_failure: str = ""

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.done / self.seconds


@dataclass(frozen=True)
class Ask:
    """One request, and how to know a good answer to it."""

    request: bytes
    status: int
    contains: bytes = b""


@dataclass(frozen=True)
class Answer:
    """One answer, as it came."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])


READY = Ask(b"", 0)
Conversation = Generator[Ask, Answer, None]


def run_apart(plan: Plan) -> Outcome:
    """Carry out a plan in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps(asdict(plan)).encode(),
        stdout=subprocess.PIPE,
        timeout=_LONGEST_RUN,
        check=True,
    )
    return Outcome(**json.loads(done.stdout))


def run(plan: Plan) -> Outcome:
    """Carry out a plan: prepare, lead, window; then let what is under way end."""
    load = _Load(plan)
    try:
        return load.run()
    finally:
        load.close()


class _Load:
    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.selector = selectors.DefaultSelector()
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.answered = 0
        self.opens = self.closes = float("inf")
        self.connections = [_Connection(plan.port, conversation) for conversation in _conversations(plan)]
        self.prepared: list[_Connection] = []

    def run(self) -> Outcome:
        for connection in self.connections:
            self._ask_next(connection, None)
        while self.selector.get_map():
            ready = self.selector.select(_LONGEST_WAIT)
            if not ready:
                raise TimeoutError("The server stopped answering.")
            for key, _ in ready:
                self._receive(key.data)
        ordered = sorted(self.latencies) or [0.0]
        p50, p99 = (round(ordered[int(len(ordered) * part)] * 1000, 2) for part in (0.5, 0.99))
        done, failed, first = len(self.latencies), len(self.failures), "".join(self.failures[:1])
        return Outcome(self.plan.seconds, done, self.answered, failed, p50, p99, first)

    def close(self) -> None:
        for connection in self.connections:
            connection.hang_up()
        self.selector.close()

    def _receive(self, connection: _Connection) -> None:
        answer = connection.receive()
        if answer is None:
            return
        now = time.perf_counter()
        self.answered += 1
        self.selector.unregister(connection.socket)
        if _CLOSES.search(answer.head):
            connection.hang_up()
        if answer.status != connection.asked.status or connection.asked.contains not in answer.body:
            self.failures.append(f"{answer.head[:60]!r} to {connection.asked.request[:80]!r}")
        elif self.opens <= now < self.closes:
            self.latencies.append(now - connection.asked_at)
        if now < self.closes:
            self._ask_next(connection, answer)

    def _ask_next(self, connection: _Connection, answer: Answer | None) -> None:
        # None is what a generator is sent to begin, and to go on after READY.
        ask = next(connection.conversation, None) if answer is None else connection.conversation.send(answer)
        if ask is READY:
            self._begin_when_all_are_ready(connection)
        elif ask is not None:
            connection.send(ask)
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _begin_when_all_are_ready(self, connection: _Connection) -> None:
        self.prepared.append(connection)
        if len(self.prepared) == len(self.connections):
            self.opens = time.perf_counter() + _LEAD_SECONDS
            self.closes = self.opens + self.plan.seconds
            for each in self.prepared:
                self._ask_next(each, None)


class _Connection:
    """One keep-alive connection and the conversation it follows."""

    def __init__(self, port: int, conversation: Conversation) -> None:
        self.conversation = conversation
        self.asked = READY
        self.asked_at = 0.0
        self._port = port
        self._opened: socket.socket | None = None
        self._received = b""

    @property
    def socket(self) -> socket.socket:
        if self._opened is None:
            self._opened = socket.create_connection(("127.0.0.1", self._port), timeout=_LONGEST_WAIT)
            self._opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._opened

    def send(self, ask: Ask) -> None:
        self.asked = ask
        self.asked_at = time.perf_counter()
        self.socket.sendall(ask.request)

    def receive(self) -> Answer | None:
        """Return the answer once it is whole."""
        chunk = self.socket.recv(65536)
        if not chunk:
            raise ConnectionError(f"The server hung up after {self.asked.request[:80]!r}.")
        self._received += chunk
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if not end or len(body) < (int(length[1]) if length else 0):
            return None
        self._received = b""
        return Answer(head, body)

    def hang_up(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


def _conversations(plan: Plan) -> Iterator[Conversation]:
    if plan.visits:
        return (_visit(plan.visits, seed) for seed in range(plan.connections))
    hosts = dict.fromkeys(host for host, _ in plan.people)
    queues = {host: iter([name for at, name in plan.people if at == host]) for host in hosts}
    # Connections at one host take turns at its queue, so nobody signs in twice.
    return (_sign_in(host, queues[host], plan.password) for host in islice(cycle(queues), plan.connections))


def _visit(visits: list[tuple[str, str]], seed: int) -> Conversation:
    """Ask for the home page of visitors drawn evenly, for ever."""
    pages = [Ask(_request("GET", "/", host, cookie), 200, b"<h1>Hello") for host, cookie in visits]
    draw = random.Random(seed)
    yield READY
    while True:
        yield draw.choice(pages)


def _sign_in(host: str, names: Iterator[str], password: str) -> Conversation:
    """Sign people in at one host, one after another, through the form fetched once beforehand."""
    page = yield Ask(_request("GET", "/login", host), 200, b"csrf_token")
    cookie, token = _COOKIE.search(page.head), _TOKEN.search(page.body)
    if cookie is None or token is None:
        raise ValueError(f"The sign-in page of {host} has no form.")
    yield READY
    for name in names:
        form = {"username": name, "password": password, "csrf_token": html.unescape(token[1].decode())}
        yield Ask(_request("POST", "/login", host, cookie[1].decode(), urlencode(form)), 303)
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


def main() -> None:
    """Read a plan from standard input and write its outcome to standard output."""
    given = json.load(sys.stdin)
    pairs = {name: [tuple(pair) for pair in given[name]] for name in ("visits", "people")}
    json.dump(asdict(run(Plan(**{**given, **pairs}))), sys.stdout)


if __name__ == "__main__":
    main()
