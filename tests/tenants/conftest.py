"""A home with two tenants, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import EMBEDDED, Tenant
from tests.platform import copy_home
from tests.services.postgresql import Cluster
from tests.services.pristine import Pristine
from tests.tenants.servers import cleaned, create, register
from tests.tenants.world import HISTORY, Clock

# No deadline: a busy machine is no defect.
hypothesis.settings.register_profile("core", deadline=None, max_examples=50)
hypothesis.settings.load_profile("core")


def settings_of(home: Path, registry: str = "") -> Settings:
    return read_settings({"EXTRANET_HOME": str(home), "EXTRANET_REGISTRY_URL": registry})


def fill(settings: Settings, server: str) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        for slug in ("acme", "globex"):
            create(tenancy, slug, server)


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("finished") / "home"
    initialise(settings_of(home))
    fill(settings_of(home), EMBEDDED)
    return home


@dataclass(frozen=True)
class OnServer:
    """A home whose registry and tenants are on a server, as they were when it was made."""

    home: Path
    registry: str
    databases: Pristine


@pytest.fixture(scope="session")
def finished_on_server(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> OnServer:
    home = tmp_path_factory.mktemp("finished-on-server") / "home"
    cluster.execute("CREATE ROLE pristine_registrar LOGIN PASSWORD 'registrar'")
    cluster.execute("CREATE DATABASE registry OWNER pristine_registrar")
    registry = cluster.url("registry", "pristine_registrar", "registrar")
    initialise(settings_of(home, registry))
    with Tenancy.open(settings_of(home, registry), HISTORY) as tenancy:
        register(tenancy, cluster)
    fill(settings_of(home, registry), "pg1")
    names = ["registry", *(f"t_{folder.name.replace('-', '')}" for folder in (home / "tenants").iterdir())]
    return OnServer(home, registry, Pristine(cluster, names))


@pytest.fixture
def settings(kept_on: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Settings]:
    if kept_on == "sqlite":
        shutil.copytree(request.getfixturevalue("finished_home"), tmp_path / "home")
        yield settings_of(tmp_path / "home")
        return
    finished: OnServer = request.getfixturevalue("finished_on_server")
    shutil.copytree(finished.home, tmp_path / "home")
    with cleaned(request.getfixturevalue("cluster")):
        finished.databases.restore()
        yield settings_of(tmp_path / "home", finished.registry)


@pytest.fixture
def tenancy(settings: Settings) -> Iterator[Tenancy]:
    with Tenancy.open(settings, HISTORY) as tenancy:
        yield tenancy


@pytest.fixture
def acme(tenancy: Tenancy) -> Tenant:
    return tenancy.registry.by_slug("acme")


@pytest.fixture
def globex(tenancy: Tenancy) -> Tenant:
    return tenancy.registry.by_slug("globex")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="session")
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("empty") / "home"
    initialise(settings_of(home))
    return home


@pytest.fixture(scope="session")
def empty_home_with_server(empty_home: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = copy_home(empty_home, tmp_path_factory.mktemp("empty-with-server") / "home")
    with Tenancy.open(settings_of(home), HISTORY) as tenancy:
        register(tenancy, cluster)
    return home


@pytest.fixture
def pg_settings(empty_home_with_server: Path, tmp_path: Path) -> Settings:
    """A home without a tenant, and the server ``pg1``."""
    return settings_of(copy_home(empty_home_with_server, tmp_path / "pg-home"))


@pytest.fixture
def pg_tenancy(pg_settings: Settings, cluster: Cluster) -> Iterator[Tenancy]:
    """A platform without a tenant, on which new ones can be made on the server ``pg1``. Nothing stays on the server."""
    with cleaned(cluster), Tenancy.open(pg_settings, HISTORY) as tenancy:
        yield tenancy


@pytest.fixture
def pg_acme(pg_tenancy: Tenancy) -> Tenant:
    return create(pg_tenancy, "acme")


@pytest.fixture
def pg_globex(pg_tenancy: Tenancy) -> Tenant:
    return create(pg_tenancy, "globex")


@pytest.fixture(scope="session")
def home_with_server(pristine_home: Path, cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = copy_home(pristine_home, tmp_path_factory.mktemp("with-server") / "home")
    with Tenancy.open(settings_of(home), HISTORY) as tenancy:
        register(tenancy, cluster)
    return home


@pytest.fixture
def movable_home(home_with_server: Path, cluster: Cluster, tmp_path: Path) -> Iterator[Settings]:
    """A closed home with people in two embedded tenants, and the server ``pg1`` to move them to."""
    with cleaned(cluster):
        yield settings_of(copy_home(home_with_server, tmp_path / "home"))


@pytest.fixture
def movable(movable_home: Settings) -> Iterator[Tenancy]:
    """The same, open."""
    with Tenancy.open(movable_home, HISTORY) as tenancy:
        yield tenancy


@pytest.fixture
def home_settings(home: Path) -> Settings:
    """A closed home with people in two embedded tenants."""
    return settings_of(home)
