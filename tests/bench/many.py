"""Thousands of tenants: making them, serving them, looking them over, changing their schema."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tenants.durable import sync
from tenants.tenancy import Tenancy
from tests.bench import home, servers
from tests.bench.home import Home
from tests.bench.load import Plan, run_apart
from tests.bench.rounds import Row

_WORKERS = 2
_VISITING = 16
_FEW = 10
_SOME = 1_000
_CHUNK = 250


@dataclass(frozen=True)
class Many:
    """A home with as many tenants as were asked for, in each of which somebody is signed in."""

    home: Home
    port: int
    visits: list[tuple[str, str]]


def make_many(folder: Path, count: int) -> tuple[Many, list[Row]]:
    """Create the tenants; return them, and how quickly that went beside durable copies of as many files."""
    port = servers.free_port()
    made = home.make_home(folder / "many", port, _WORKERS)
    copies = folder / "copies-of-many"
    copies.mkdir()
    ours, beside, visits = [], [], []
    with made.open() as tenancy:
        for begin in range(0, count, _CHUNK):
            end = min(begin + _CHUNK, count)
            started = time.perf_counter()
            visits += home.add_visited_tenants(made, tenancy, end, begin)
            ours.append((end - begin) / (time.perf_counter() - started))
            beside.append(_copies_a_second(tenancy, visits, copies, end - begin))
    row = Row(
        f"create {count} tenants, one process", "tenants/s", ours, beside, "durable file copies", ">= 50 tenants/s"
    )
    return Many(made, port, visits), [row]


def serve_many(many: Many, rounds: int, seconds: float, log: Path) -> list[Row]:
    """The signed-in page over a few tenants and over all, and what a worker holds after each."""
    groups = [many.visits[:_FEW], many.visits[:_SOME], many.visits]
    held: list[tuple[float, float]] = []
    with _serving(many, log) as server:
        for group in groups:
            for _ in range(max(1, len(group) // 2_000)):
                _rate(server, group, seconds)
            held.append((server.memory(), float(server.descriptors())))
        rates = [[_rate(server, group, seconds) for group in groups] for _ in range(rounds)]
    few, some, all_ = zip(*rates, strict=True)
    total = len(many.visits)
    return [
        Row(f"signed-in page, {total} tenants", "requests/s", list(all_), list(few), f"{_FEW} tenants", ">= 0.9"),
        Row(
            f"signed-in page, {len(groups[1])} tenants",
            "requests/s",
            list(some),
            list(few),
            f"{_FEW} tenants",
            ">= 0.9",
        ),
        Row(f"worker after {len(groups[1])} tenants", "MiB", [held[1][0]], [held[0][0]], f"after {_FEW}"),
        Row(
            f"worker after {total} tenants", "MiB", [held[2][0]], [held[0][0]], f"after {_FEW}", "+30 MiB beyond 60 hot"
        ),
        Row(f"  descriptors after {total}", "", [held[2][1]], [held[0][1]], f"after {_FEW}", "bounded"),
    ]


@contextmanager
def _serving(many: Many, log: Path) -> Iterator[servers.Server]:
    with servers.product(many.home.environment, many.port, log) as server:
        yield server


def _rate(server: servers.Server, visits: list[tuple[str, str]], seconds: float) -> float:
    (outcome,) = run_apart(Plan(server.port, seconds, _VISITING, visits))
    if outcome.failed or not outcome.done:
        raise RuntimeError(f"{outcome.failed} of {outcome.answered} answers were wrong: {outcome.first_failure}")
    return outcome.rate


def _copies_a_second(tenancy: Tenancy, visits: list[tuple[str, str]], folder: Path, count: int) -> float:
    slug = visits[0][0].partition(".")[0]
    content = tenancy.databases.path_of(tenancy.registry.by_slug(slug)).read_bytes()
    started = time.perf_counter()
    for _ in range(count):
        target = folder / os.urandom(8).hex()
        target.write_bytes(content)
        sync(target)
        sync(folder)
        target.unlink()
    return count / (time.perf_counter() - started)
