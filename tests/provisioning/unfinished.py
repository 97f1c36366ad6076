"""A tenant whose creation was cut short, as a kill leaves it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import run

_KILLED_HALF_WAY = """
import os, signal, sys
from provisioning.console import HISTORY
from tenants import lifecycle
from tenants.settings import read_settings
from tenants.tenancy import Tenancy

with Tenancy.open(read_settings({"EXTRANET_HOME": sys.argv[1]}), HISTORY) as tenancy:
    lifecycle.create_tenant(tenancy, sys.argv[2], "Cut short", lambda db: os.kill(os.getpid(), signal.SIGKILL))
"""


def leave_unfinished(home: Path, slug: str) -> None:
    """Kill a creation while it fills the database."""
    ended = run(
        [sys.executable, "-c", _KILLED_HALF_WAY, str(home), slug], check=False, umask=0o077, env=dict(os.environ)
    )
    assert ended.returncode == -9
