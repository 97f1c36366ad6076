"""Fixtures: a real platform with two real tenants, copied afresh for every test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from extranet.i18n import DEFAULT_LANGUAGE, use_language
from tests.platform import Platform, copy_home, make_home, open_platform

pytest_plugins = ("tests.services.fixtures",)

os.umask(0o077)

# Thousands of real databases, each commit of which waits for the disk: in memory the suite takes a third of the time.
# That what is saved survives a power cut is not something a test on a running machine could show anyway.
_MEMORY = Path("/dev/shm")
if "PYTEST_DEBUG_TEMPROOT" not in os.environ and _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > 2 * 1024**3:
    os.environ["PYTEST_DEBUG_TEMPROOT"] = str(_MEMORY)


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


@pytest.fixture
def home(pristine_home: Path, tmp_path: Path) -> Path:
    """A home of this test's own."""
    return copy_home(pristine_home, tmp_path / "home")


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    """The application over a home of this test's own."""
    opened = open_platform(home)
    yield opened
    opened.close()
