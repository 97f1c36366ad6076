"""What every test of isolation listens to: the one log that all tenants share."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import redirect_stderr

import pytest

from extranet.request import log as request_log
from tests.platform import Platform


@pytest.fixture(params=["sqlite", "postgresql"])
def kept_on(request: pytest.FixtureRequest) -> str:
    """Nothing here may depend on where tenants' databases are."""
    where: str = request.param
    return where


@pytest.fixture
def log(platform: Platform) -> Iterator[io.StringIO]:
    """Everything the application writes to standard error from here on."""
    written = io.StringIO()
    with redirect_stderr(written):
        request_log.configure()
    yield written
    request_log.configure()
