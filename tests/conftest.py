"""Fixtures: a real platform with two real tenants, copied afresh for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from extranet.i18n import DEFAULT_LANGUAGE, use_language
from tenants import postgresql_pool
from tenants.servers import database_name
from tests.browser import Browser
from tests.platform import HomeOnServer, Platform, copy_home, make_home, make_home_on_server, opened_platform
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

pytest_plugins = ("tests.services.fixtures",)

os.umask(0o077)

# Thousands of real databases, each commit of which waits for the disk: in memory the suite takes a third of the time.
# That what is saved survives a power cut is not something a test on a running machine could show anyway.
_MEMORY = Path("/dev/shm")
if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * 1024**3:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)

# A second in line is long for a visitor, and nothing to twenty threads on a core that others use as well.
postgresql_pool.WAIT_SECONDS, postgresql_pool._SLOW_SECONDS = 20.0, 10.0


@pytest.fixture(autouse=True)
def _english() -> None:
    """A request leaves its language to its thread, which here is also the next test's."""
    use_language(DEFAULT_LANGUAGE)


@pytest.fixture(scope="session")
def pristine_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed home with both tenants. Copy it, never open it."""
    home = tmp_path_factory.mktemp("pristine") / "home"
    make_home(home)
    return home


@pytest.fixture(scope="session")
def pristine_on_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> HomeOnServer:
    """A closed home with both tenants on a server. Copy it, never open it."""
    return make_home_on_server(tmp_path_factory.mktemp("pristine-on-server") / "home", cluster)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of a module in each place that its ``KEPT_ON`` names."""
    places = getattr(metafunc.module, "KEPT_ON", ())
    chosen = any(mark.args[0] == "kept_on" for mark in metafunc.definition.iter_markers("parametrize"))
    if places and not chosen and "kept_on" in metafunc.fixturenames:
        metafunc.parametrize("kept_on", places, indirect=True)


@pytest.fixture
def kept_on(request: pytest.FixtureRequest) -> str:
    """Where tenants' databases are: ``sqlite``, or ``postgresql``, a server, for what is run in both places."""
    place: str = getattr(request, "param", "sqlite")
    return place


@pytest.fixture
def home(kept_on: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A home of this test's own."""
    if kept_on == "sqlite":
        yield copy_home(request.getfixturevalue("pristine_home"), tmp_path / "home")
        return
    pristine: HomeOnServer = request.getfixturevalue("pristine_on_server")
    with cleaned(request.getfixturevalue("cluster")):
        yield pristine.copy(tmp_path / "home")


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    """The application over a home of this test's own."""
    with opened_platform(home) as opened:
        yield opened


@pytest.fixture(scope="module")
def unchanged(pristine_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """The application that the tests of a module share which only read, or insist that nothing is changed."""
    with opened_platform(copy_home(pristine_home, tmp_path_factory.mktemp("unchanged") / "home")) as opened:
        yield opened


@pytest.fixture(scope="module")
def reader(unchanged: Platform) -> Browser:
    """Anna's browser there."""
    return unchanged.signed_in()


@pytest.fixture
def tamper(platform: Platform, kept_on: str, request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """Changes a tenant's database past everything that guards it: takes a slug and one statement."""

    def on_sqlite(slug: str, statement: str) -> None:
        with platform.db(slug) as db:
            db.connection().exec_driver_sql(statement)

    def on_server(slug: str, statement: str) -> None:
        cluster: Cluster = request.getfixturevalue("cluster")
        cluster.execute(statement, dbname=database_name(platform.tenant(slug).uuid))

    return on_sqlite if kept_on == "sqlite" else on_server
