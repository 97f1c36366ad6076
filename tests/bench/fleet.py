"""What operators do to all tenants at once: looking them over, and changing their schema."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tenants import schema
from tenants.fleet.plan import Options
from tenants.fleet.run import migrate
from tenants.fleet.status import status_of
from tenants.tenancy import Tenancy
from tests.bench import home, servers
from tests.bench.home import Home
from tests.bench.rounds import Row, alternate, each_takes

_LATER = "tests.histories.added_column"
_JOBS = 2


def look_over(made: Home, tenants: int, rounds: int) -> list[Row]:
    """Ask whether anything is to be done, beside reading the first page of each file."""

    def look() -> None:
        with made.open() as tenancy:
            assert not status_of(tenancy).census.behind

    def read() -> None:
        for file in (made.settings.home / "tenants").glob("*/*.sqlite3"):
            with file.open("rb") as opened:
                opened.read(100)

    inside = alternate(rounds, each_takes(1, 1, look), each_takes(1, 1, read))
    return [Row(f"fleet status, {tenants} tenants", "s", *inside, "reading as many headers", "<= 2 s")]


def add_column(folder: Path, tenants: int) -> list[Row]:
    """Migrate every tenant to a schema with one column more, beside a bare ALTER TABLE on copies of the same files."""
    made = home.make_home(folder / "changing", servers.free_port(), _JOBS)
    with made.open() as tenancy:
        home.add_visited_tenants(made, tenancy, tenants)
    copies = folder / "changing-copies"
    copies.mkdir()
    for file in (made.settings.home / "tenants").glob("*/*.sqlite3"):
        shutil.copy(file, copies)
    ours = _seconds(lambda: _migrate(made)) * 1000 / tenants
    beside = _seconds(lambda: _alter(copies)) * 1000 / tenants
    what = f"add a column, {tenants} tenants, {_JOBS} jobs"
    return [Row(what, "ms a tenant", [ours], [beside], "ALTER TABLE alone, one process")]


def _migrate(made: Home) -> None:
    with Tenancy.open(made.settings, _LATER) as tenancy:
        outcome = migrate(tenancy, Options(jobs=_JOBS), "bench", lambda _progress: None)
    assert outcome.is_well
    assert schema.head(_LATER) == outcome.plan.target


def _alter(copies: Path) -> None:
    for file in copies.iterdir():
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("ALTER TABLE company ADD COLUMN later VARCHAR(10)")


def _seconds(work: Callable[[], None]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin
