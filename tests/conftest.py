"""Fixtures: a real platform with two real tenants, copied afresh for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import Platform, copy_home, make_home, open_platform

os.umask(0o077)


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
