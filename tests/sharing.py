"""Lets several runs of pytest share one list of tests: each takes the next file that no other has taken.

No core is left waiting for another, whatever a file takes today, and nobody keeps a table of seconds.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from pathlib import Path

import coverage
import pytest

from extranet.app import HISTORY
from tenants import schema

ROOT = Path(__file__).parents[1]
# Their tests share servers that take long to start, so one run takes the whole folder.
WHOLE = ("tests/front_door", "tests/faults", "tests/nodes", "tests/bench")
# The longest, taken first: whoever begins one of them last would leave the other core without work.
LONGEST = (
    *WHOLE,
    "tests/isolation/test_canaries.py",
    "tests/isolation/test_same_ids.py",
    "tests/tenants/test_lost_server.py",
    "tests/tenants/test_fleet_run.py",
    "tests/tenants/test_rotation.py",
    "tests/tenants/test_backup_restores.py",
    "tests/provisioning/test_operations_guide.py",
    "tests/provisioning/test_creation.py",
)
# What these do in this process the other tests do too, and counting lines would make them take half as long again.
UNMEASURED = (*WHOLE, "tests/isolation", "tests/architecture")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--share", type=Path, help="Folder in which runs tell each other what they have taken.")


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> bool:
    if session.testsfailed:
        raise session.Interrupted("What cannot be collected is not run.")
    # Thousands of collected tests: nobody throws them away, so nobody needs to look through them again and again.
    gc.freeze()
    _load_histories()
    measuring = _Measuring()
    items = _taken(session.items, session.config.getoption("--share"))
    item = next(items, None)
    while item is not None:
        following = next(items, None)
        measuring.switch(_is_measured(item))
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    measuring.switch(True)
    return True


def _is_measured(item: pytest.Item) -> bool:
    return item.get_closest_marker("repeats") is None and not _file(item).startswith(UNMEASURED)


def _load_histories() -> None:
    # Once in a process: else by whichever test comes first, one that is not measured perhaps.
    for history in (schema.REGISTRY_HISTORY, HISTORY):
        list(schema._scripts(history).walk_revisions())


def _taken(items: list[pytest.Item], folder: Path) -> Iterator[pytest.Item]:
    """Yield the tests of each unit that nobody took before."""
    units: dict[str, list[pytest.Item]] = {}
    for item in items:
        units.setdefault(_unit(item), []).append(item)
    for unit in sorted(units, key=_rank):
        try:
            os.close(os.open(folder / unit.replace("/", "."), os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            continue
        yield from units[unit]


def _unit(item: pytest.Item) -> str:
    file = _file(item)
    return next((folder for folder in WHOLE if file.startswith(folder)), file)


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(ROOT).as_posix()


def _rank(unit: str) -> int:
    return LONGEST.index(unit) if unit in LONGEST else len(LONGEST)


class _Measuring:
    """Counts the lines that run, or does not."""

    def __init__(self) -> None:
        self._coverage = coverage.Coverage.current()
        self._on = True

    def switch(self, on: bool) -> None:
        if self._coverage is not None and on is not self._on:
            (self._coverage.start if on else self._coverage.stop)()
            self._on = on
