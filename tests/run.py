"""Runs the suite as two halves at once, one for each core that the smallest machine has. ``make test`` calls it.

With arguments it runs just those tests, in one process.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

# They wait for browsers, servers and commands; everything else computes. Mail and isolation even the halves out.
WAITING = (
    "tests/front_door",
    "tests/provisioning",
    "tests/bench",
    "tests/faults",
    "tests/mail",
    "tests/nodes",
    "tests/isolation",
)


def main(arguments: list[str]) -> int:
    """Return pytest's exit code, the worse one of two."""
    if arguments:
        return subprocess.call(_command(arguments))
    with tempfile.TemporaryFile("w+") as later:
        second = subprocess.Popen(_command(_computing()), stdout=later, stderr=subprocess.STDOUT)
        try:
            first = subprocess.call(_command(list(WAITING)))
            codes = (first, second.wait())
        finally:
            second.kill()
        later.seek(0)
        sys.stdout.write(later.read())
    return max(codes)


def _computing() -> list[str]:
    """Every folder with tests that is not in the other half: a new one is run without being named here."""
    folders = {str(file.parent) for file in Path("tests").rglob("test_*.py")}
    return sorted(folders - set(WAITING))


def _command(selected: list[str]) -> list[str]:
    return [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", *selected]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
