"""Where Debian keeps the servers, and what is said loudly when one is missing."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_SEARCHED = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"


def _newest_postgresql() -> str:
    found = Path("/usr/lib/postgresql").glob("[1-9]*/bin/postgres")
    return str(max(found, key=lambda program: float(program.parts[-3]), default=""))


POSTGRES = _newest_postgresql()
PGBOUNCER = shutil.which("pgbouncer", path=_SEARCHED) or ""
REDIS = shutil.which("redis-server", path=_SEARCHED) or shutil.which("valkey-server", path=_SEARCHED) or ""

missing: set[str] = set()


def need(package: str, found: str) -> None:
    """Skip, or fail where everything is required, when a program is not on this machine."""
    if found:
        return
    missing.add(package)
    say = pytest.fail if os.environ.get("REQUIRE_ALL") == "1" else pytest.skip
    say(f"{package} is not installed: apt-get install {package}")
