"""Homes on a PostgreSQL of their own, made once; applications over them, opened for each test."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr

import pytest

from extranet.request import log
from tenants.settings import Settings
from tests.faults.world import make_home, make_registry
from tests.platform import Platform, open_platform
from tests.services.postgresql import Cluster, Standby
from tests.services.programs import POSTGRES, need
from tests.tenants.servers import cleaned


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """A server for these homes alone: they stay there, and other tests count what is on theirs."""
    need("postgresql", POSTGRES)
    with Cluster() as started:
        yield started


@pytest.fixture(scope="session")
def served(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Tenants on the server, their registry in the home folder."""
    with cleaned(cluster):
        yield make_home(tmp_path_factory.mktemp("served") / "home", cluster)


@pytest.fixture(scope="session")
def served_whole(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """Tenants and registry on the same server."""
    folder = tmp_path_factory.mktemp("whole")
    with cleaned(cluster):
        yield make_home(folder / "home", cluster, make_registry(cluster, folder))


@pytest.fixture
def stderr() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def open_over(stderr: io.StringIO) -> Iterator[Callable[[Settings], Platform]]:
    """Open the application over a home, until the test ends."""
    with ExitStack() as stack:

        def open_over(settings: Settings) -> Platform:
            stack.enter_context(redirect_stderr(stderr))
            platform = open_platform(settings.home, registry_url=settings.registry_url)
            stack.callback(platform.close)
            return platform

        yield open_over
    log.configure()


@pytest.fixture
def running(cluster: Cluster) -> Iterator[Cluster]:
    """The shared server, which runs again when the test is over."""
    yield cluster
    if not cluster.is_running:
        cluster.start()


@pytest.fixture
def pair() -> Iterator[tuple[Cluster, Standby]]:
    """A server of this test's own, and the standby that every commit on it waits for."""
    need("postgresql", POSTGRES)
    with Cluster() as primary, primary.standby() as standby:
        yield primary, standby


@pytest.fixture
def written(stderr: io.StringIO) -> Callable[[], str]:
    """Return what has been written to standard error: JSON, a line each, and nothing else."""

    def written() -> str:
        for line in stderr.getvalue().splitlines():
            json.loads(line)
        return stderr.getvalue()

    return written
