"""Fixtures: servers that start when a test first asks for one, and stop after the last test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.services.postgresql import Cluster
from tests.services.programs import POSTGRES, REDIS, missing, need
from tests.services.redis import Redis


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for package in sorted(missing):
        terminalreporter.write_line(f"NOT RUN: the tests that drive {package}, which is not installed.", red=True)


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """The PostgreSQL that tests share. Whoever stops it or changes its settings puts it back."""
    need("postgresql", POSTGRES)
    with Cluster() as started:
        yield started


@pytest.fixture(scope="session")
def second_cluster() -> Iterator[Cluster]:
    """Another PostgreSQL, which knows nothing of the first."""
    need("postgresql", POSTGRES)
    with Cluster() as started:
        yield started


@pytest.fixture(scope="session")
def redis_server() -> Iterator[Redis]:
    """The Redis that tests share."""
    need("redis-server", REDIS)
    with Redis() as started:
        yield started
