"""A console in front of a home of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console import Console


@pytest.fixture
def console(home: Path) -> Console:
    """A console in front of a home with both tenants."""
    return Console(home)


@pytest.fixture
def empty_console(tmp_path: Path) -> Console:
    """A console in front of a home that is still to be made."""
    return Console(tmp_path / "empty")
