"""Fixtures: providers that run for the whole session, and a platform whose operator allows them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.platform import Platform, opened_platform
from tests.single_sign_on.providers import Liar, Offline, running


@pytest.fixture(scope="session")
def offline() -> Iterator[Offline]:
    """A provider that somebody else wrote."""
    provider = Offline()
    yield provider
    provider.stop()


@pytest.fixture(scope="session")
def _liar() -> Iterator[Liar]:
    with running(Liar()) as liar:
        yield liar


@pytest.fixture
def liar(_liar: Liar) -> Liar:
    """A provider of our own that is honest until told otherwise."""
    _liar.be_honest()
    return _liar


@pytest.fixture
def platform(home: Path) -> Iterator[Platform]:
    """The application, allowed to ask providers on this machine."""
    with opened_platform(home, sso_inside=frozenset({"127.0.0.1"})) as opened:
        yield opened
