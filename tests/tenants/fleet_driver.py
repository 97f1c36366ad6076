"""Migrates a home's fleet as the command line does, in a process that a test can kill: driver HOME HISTORY JOBS."""

from __future__ import annotations

import sys
from pathlib import Path

from tenants.fleet.plan import Options
from tenants.fleet.run import migrate
from tests.tenants.conftest import settings_of
from tests.tenants.fleets import later, silent


def main(home: str, history: str, jobs: str) -> None:
    with later(settings_of(Path(home)), history) as tenancy:
        migrate(tenancy, Options(jobs=int(jobs)), "driver", silent)


if __name__ == "__main__":
    main(*sys.argv[1:])
