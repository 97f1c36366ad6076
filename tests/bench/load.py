"""A small HTTP load generator: one process, one selector, keep-alive connections that each follow a conversation.

It runs as a process of its own, so that it shares no interpreter lock with anything.
"""

from __future__ import annotations

import heapq
import json
import re
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import count, cycle, islice

from tests.bench.conversations import READY, USER_AGENT, Answer, Ask, Conversation, Wait, sign_in, visit
from tests.bench.processor import used_by

__all__ = ["USER_AGENT", "Outcome", "Plan", "run", "run_apart"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
_LONGEST_RUN = 120
_LONGEST_WAIT = 20
# Before the window opens every connection is already at work, so neither end of it is a special case.
_LEAD_SECONDS = 0.5
_HOSTS_A_NETWORK = 250
# A server closes connections on which nothing is said: one that is closed here is not closed under a request.
_KEPT_OPEN = 1.0


@dataclass(frozen=True)
class Plan:
    """What to send where. ``visits`` are pairs of host and cookie; ``people`` are pairs of host and username.

    ``pause``: seconds between two pages of one visitor. ``busy``: the status that means "come back later".
    ``apart``: each connection comes from an address of its own. ``workers``: the server's processes, whose processor
    time is measured too.
    """

    port: int
    seconds: float
    connections: int
    visits: list[tuple[str, str]] = field(default_factory=list)
    people: list[tuple[str, str]] = field(default_factory=list)
    password: str = ""
    pause: float = 0
    busy: int = 0
    apart: bool = False
    workers: list[int] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What came of it: good answers within the window and in all, bad ones, put-off ones alike, and latencies in ms.

    ``of_server`` and ``of_load`` are seconds of processor time within the window, of all plans together.
    """

    seconds: float
    done: int
    answered: int
    failed: int
    sent_away: int
    put_off: int
    p50: float
    p95: float
    p99: float
    first_failure: str = ""
    of_server: float = 0.0
    of_load: float = 0.0

    @property
    def rate(self) -> float:
        """Good answers a second."""
        return self.done / self.seconds


def run_apart(*plans: Plan) -> list[Outcome]:
    """Carry out plans of one length together, in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench.load"],
        input=json.dumps([asdict(plan) for plan in plans]).encode(),
        stdout=subprocess.PIPE,
        timeout=_LONGEST_RUN,
        check=True,
    )
    return [Outcome(**outcome) for outcome in json.loads(done.stdout)]


def run(*plans: Plan) -> list[Outcome]:
    """Carry out plans together: prepare, lead, window; then let what is under way end."""
    load = _Load(plans)
    try:
        return load.run()
    finally:
        load.close()


class _Tally:
    """What one plan has come to so far."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.latencies: list[float] = []
        self.failures: list[str] = []
        self.done = self.answered = self.sent_away = self.put_off = 0

    def note(self, connection: _Connection, answer: Answer, opens: float, closes: float) -> None:
        now = time.perf_counter()
        self.answered += 1
        if answer.status == connection.asked.busy:
            self.put_off += 1
            self.sent_away += opens <= now < closes
        elif answer.status != connection.asked.status or connection.asked.contains not in answer.body:
            self.failures.append(f"{answer.head[:60]!r} to {connection.asked.request[:80]!r}")
        else:
            self.done += opens <= now < closes
            # What was asked in the window counts, however late it is answered.
            if opens <= connection.asked_at < closes:
                self.latencies.append(now - connection.asked_at)

    def outcome(self) -> Outcome:
        ordered = sorted(self.latencies) or [0.0]
        p50, p95, p99 = (round(ordered[int(len(ordered) * part)] * 1000, 2) for part in (0.5, 0.95, 0.99))
        failed, first = len(self.failures), "".join(self.failures[:1])
        return Outcome(
            self.plan.seconds, self.done, self.answered, failed, self.sent_away, self.put_off, p50, p95, p99, first
        )


class _Load:
    def __init__(self, plans: Sequence[Plan]) -> None:
        self.seconds = plans[0].seconds
        self.selector = selectors.DefaultSelector()
        self.opens = self.closes = float("inf")
        self.workers = [pid for plan in plans for pid in plan.workers]
        # At both ends of the window: the server's processor time, and that of this process.
        self.marks: list[tuple[float, float]] = []
        self.tallies = [_Tally(plan) for plan in plans]
        self.connections = [
            _Connection(tally, conversation, _source(number) if tally.plan.apart else "")
            for tally in self.tallies
            for number, conversation in enumerate(_conversations(tally.plan))
        ]
        self.prepared: list[_Connection] = []
        self.waiting: list[tuple[float, int, _Connection]] = []
        self._numbers = count()

    def run(self) -> list[Outcome]:
        for connection in self.connections:
            self._ask_next(connection, None)
        while self.selector.get_map() or self.waiting:
            self._mark()
            self._wake()
            until = self.waiting[0][0] - time.perf_counter() if self.waiting else _LONGEST_WAIT
            ready = self.selector.select(max(0, until))
            if not ready and not self.waiting and self.selector.get_map():
                raise TimeoutError("The server stopped answering.")
            for key, _ in ready:
                self._receive(key.data)
        (server_then, load_then), (server, load) = [*self.marks, self._used(), self._used()][:2]
        return [
            replace(tally.outcome(), of_server=server - server_then, of_load=load - load_then) for tally in self.tallies
        ]

    def _mark(self) -> None:
        if len(self.marks) < 2 and time.perf_counter() >= (self.closes if self.marks else self.opens):
            self.marks.append(self._used())

    def _used(self) -> tuple[float, float]:
        return used_by(self.workers), time.process_time()

    def close(self) -> None:
        for connection in self.connections:
            connection.hang_up()
        self.selector.close()

    def _wake(self) -> None:
        while self.waiting and self.waiting[0][0] <= time.perf_counter():
            self._ask_next(heapq.heappop(self.waiting)[2], None)

    def _receive(self, connection: _Connection) -> None:
        answer = connection.receive()
        if answer is None:
            return
        self.selector.unregister(connection.socket)
        if _CLOSES.search(answer.head):
            connection.hang_up()
        connection.tally.note(connection, answer, self.opens, self.closes)
        if time.perf_counter() < self.closes:
            self._ask_next(connection, answer)

    def _ask_next(self, connection: _Connection, answer: Answer | None) -> None:
        # None is what a generator is sent to begin, and to go on after READY or a Wait.
        ask = next(connection.conversation, None) if answer is None else connection.conversation.send(answer)
        if isinstance(ask, Wait):
            self._ask_later(connection, ask.seconds)
        elif ask is READY:
            self._begin_when_all_are_ready(connection)
        elif ask is not None:
            connection.send(ask)
            self.selector.register(connection.socket, selectors.EVENT_READ, connection)

    def _ask_later(self, connection: _Connection, seconds: float) -> None:
        if seconds >= _KEPT_OPEN:
            connection.hang_up()
        at = time.perf_counter() + seconds
        if at < self.closes:
            heapq.heappush(self.waiting, (at, next(self._numbers), connection))

    def _begin_when_all_are_ready(self, connection: _Connection) -> None:
        self.prepared.append(connection)
        if len(self.prepared) == len(self.connections):
            self.opens = time.perf_counter() + _LEAD_SECONDS
            self.closes = self.opens + self.seconds
            for each in self.prepared:
                self._ask_next(each, None)


class _Connection:
    """One keep-alive connection and the conversation it follows."""

    def __init__(self, tally: _Tally, conversation: Conversation, source: str) -> None:
        self.tally = tally
        self.conversation = conversation
        self.asked = READY
        self.asked_at = 0.0
        self._port = tally.plan.port
        self._source = (source, 0)
        self._opened: socket.socket | None = None
        self._received = b""

    @property
    def socket(self) -> socket.socket:
        if self._opened is None:
            address = ("127.0.0.1", self._port)
            self._opened = socket.create_connection(address, timeout=_LONGEST_WAIT, source_address=self._source)
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


def _source(number: int) -> str:
    return f"127.1.{number // _HOSTS_A_NETWORK}.{number % _HOSTS_A_NETWORK + 1}"


def _conversations(plan: Plan) -> Iterator[Conversation]:
    if plan.visits:
        return (visit(plan.visits, seed, plan.pause) for seed in range(plan.connections))
    hosts = dict.fromkeys(host for host, _ in plan.people)
    queues = {host: iter([name for at, name in plan.people if at == host]) for host in hosts}
    # Connections at one host take turns at its queue, so nobody signs in twice.
    return (sign_in(host, queues[host], plan.password, plan.busy) for host in islice(cycle(queues), plan.connections))


def main() -> None:
    """Read plans from standard input and write their outcomes to standard output."""
    plans = []
    for given in json.load(sys.stdin):
        pairs = {name: [tuple(pair) for pair in given[name]] for name in ("visits", "people")}
        plans.append(Plan(**{**given, **pairs}))
    json.dump([asdict(outcome) for outcome in run(*plans)], sys.stdout)


if __name__ == "__main__":
    main()
