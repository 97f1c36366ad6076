"""A home with two tenants, made once and copied for each test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tenants import lifecycle
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import Tenant
from tests.tenants.world import HISTORY, Clock, prepare

# No deadline: a busy machine is no defect.
hypothesis.settings.register_profile("core", deadline=None, max_examples=50)
hypothesis.settings.load_profile("core")


def settings_of(home: Path) -> Settings:
    return read_settings({"EXTRANET_HOME": str(home)})


@pytest.fixture(scope="session")
def finished_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("finished") / "home"
    initialise(settings_of(home))
    with Tenancy.open(settings_of(home), HISTORY) as tenancy:
        lifecycle.create_tenant(tenancy, "acme", "Acme", prepare)
        lifecycle.create_tenant(tenancy, "globex", "Globex", prepare)
    return home


@pytest.fixture
def settings(finished_home: Path, tmp_path: Path) -> Settings:
    shutil.copytree(finished_home, tmp_path / "home")
    return settings_of(tmp_path / "home")


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
