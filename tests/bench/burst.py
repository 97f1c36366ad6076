"""Two hundred people who sign in at once at one tenant: how quickly they get in, and what everybody else notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from extranet.accounts.passwords import Cost
from tests.bench import argon, home, servers
from tests.bench.home import PASSWORD
from tests.bench.load import Outcome, Plan, run_apart
from tests.bench.rounds import Row

_WORKERS = 2
# As many as the workers: see extranet.app.
_SLOTS = _WORKERS
_CROWD = 200
_BUSY = 503
# Two visitors a tenant who open a page ten times a second: they notice the burst, and are none themselves.
_READERS = 2
_PAUSE = 0.1
_SLOWEST_RATE = 25.0
_LOOK_AGAIN = 0.05


@dataclass(frozen=True)
class Burst:
    """One round: the crowd, the two kinds of others, and by how many MiB the workers grew."""

    crowd: Outcome
    same: Outcome
    other: Outcome
    growth: float

    def for_sign_ins(self, quiet: list[Outcome]) -> float:
        """Return the server's processor time but for the readers' pages, at what they cost in a quiet moment."""
        a_page = quiet[0].of_server / sum(reader.done for reader in quiet)
        return self.crowd.of_server - a_page * (self.same.done + self.other.done)


def measure(folder: Path, rounds: int, seconds: float) -> list[Row]:
    """Quiet, burst, Argon2id alone; again and again. The first burst only warms up.

    A burst lasts twice as long, for it begins with everybody at once.
    """
    made = home.make_home(folder / "burst", servers.free_port(), _WORKERS)
    fastest = argon.measure(_SLOTS, min(seconds, 1.0)).rate
    # Enough for a machine that turns out twice as fast as it just was, and for who is under way at the end.
    share = int(max(2 * fastest, _SLOWEST_RATE) * (2 * seconds + 1)) + _CROWD
    with made.open() as tenancy:
        people, same = home.add_people(made, tenancy, "crowded", share * (rounds + 1))
        (other,) = home.add_visited_tenants(made, tenancy, 1)
    shares = [people[begin : begin + share] for begin in range(0, len(people), share)]
    with servers.product(made.environment, made.settings.port, folder / "burst.log") as server:
        _burst(server, shares[0], same, other, seconds)
        quiet, loud, alone = [], [], []
        for each in shares[1:]:
            quiet.append(_quiet(server, same, other, seconds))
            loud.append(_burst(server, each, same, other, seconds))
            alone.append(argon.measure(_SLOTS, seconds))
    return _rows(quiet, loud, alone)


def _rows(quiet: list[list[Outcome]], loud: list[Burst], alone: list[argon.Pure]) -> list[Row]:
    which = f"Argon2id alone, {_SLOTS} processes"
    room = [_SLOTS * Cost().memory / 1024] * len(loud)
    return [
        Row(
            f"sign-ins, {_CROWD} clients at one tenant",
            "sign-ins/s",
            [b.crowd.rate for b in loud],
            [a.rate for a in alone],
            which,
            ">= 0.9",
        ),
        # What the product adds to a hash, refusals included: neither the load generator nor the readers' pages.
        Row(
            "  in a second of the server's processor time",
            "sign-ins",
            [b.crowd.done / b.for_sign_ins(q) for b, q in zip(loud, quiet, strict=True)],
            [a.of_processor_time for a in alone],
            which,
        ),
        Row(
            "  processor time of the load generator",
            "s a second",
            [b.crowd.of_load / b.crowd.seconds for b in loud],
            [b.crowd.of_server / b.crowd.seconds for b in loud],
            "the server's",
        ),
        Row(
            "  told to come back later",
            "answers/s",
            [b.crowd.sent_away / b.crowd.seconds for b in loud],
            [b.crowd.rate for b in loud],
            "those let in",
        ),
        Row(
            "  workers grow meanwhile by", "MiB", [b.growth for b in loud], room, f"{_SLOTS} slots x 32 MiB", "<= 1.25"
        ),
        Row(
            "  p95 of pages of that tenant",
            "ms",
            [b.same.p95 for b in loud],
            [q[0].p95 for q in quiet],
            "quiet",
            "<= 2",
        ),
        Row(
            "  p95 of pages of another one",
            "ms",
            [b.other.p95 for b in loud],
            [q[1].p95 for q in quiet],
            "quiet",
            "<= 2",
        ),
    ]


def _burst(
    server: servers.Server, people: list[tuple[str, str]], same: tuple[str, str], other: tuple[str, str], seconds: float
) -> Burst:
    crowd = Plan(
        server.port,
        2 * seconds,
        _CROWD,
        people=people,
        password=PASSWORD,
        busy=_BUSY,
        apart=True,
        workers=server.workers,
    )
    with _growing(server) as growth:
        outcomes = _checked(crowd, *_readers(server, same, other, 2 * seconds, []))
    return Burst(*outcomes, growth())


def _quiet(server: servers.Server, same: tuple[str, str], other: tuple[str, str], seconds: float) -> list[Outcome]:
    return _checked(*_readers(server, same, other, seconds, server.workers))


def _readers(
    server: servers.Server, same: tuple[str, str], other: tuple[str, str], seconds: float, measured: list[int]
) -> list[Plan]:
    # The server is measured once, with the first plan of all.
    return [
        Plan(server.port, seconds, _READERS, [at], pause=_PAUSE, workers=workers)
        for at, workers in ((same, measured), (other, []))
    ]


def _checked(*plans: Plan) -> list[Outcome]:
    outcomes = run_apart(*plans)
    for outcome in outcomes:
        if outcome.failed or not outcome.answered:
            raise RuntimeError(f"{outcome.failed} of {outcome.answered} answers were wrong: {outcome.first_failure}")
    return outcomes


@contextmanager
def _growing(server: servers.Server) -> Iterator[Callable[[], float]]:
    """Watch the workers' memory; what is yielded tells by how many MiB it grew at most."""
    before = highest = server.memory_of_all()
    stop = threading.Event()

    def watch() -> None:
        nonlocal highest
        while not stop.wait(_LOOK_AGAIN):
            highest = max(highest, server.memory_of_all())

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield lambda: highest - before
    finally:
        stop.set()
        watching.join()
