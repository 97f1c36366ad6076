"""Runs the suite as two runs at once, one for each core that the smallest machine has. ``make test`` calls it.

With arguments it runs just those tests, in one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile

# What is compiled is kept for the next run, and for the hundreds of commands and servers that the tests start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def main(arguments: list[str]) -> int:
    """Return pytest's exit code, the worse one of two."""
    if arguments:
        return subprocess.call(_command(arguments), env=ENVIRONMENT)
    with tempfile.TemporaryDirectory() as taken, tempfile.TemporaryFile("w+") as later:
        shared = _command(["-p", "tests.sharing", f"--share={taken}"])
        second = subprocess.Popen(shared, stdout=later, stderr=subprocess.STDOUT, env=ENVIRONMENT)
        try:
            first = subprocess.call(shared, env=ENVIRONMENT)
            codes = (first, second.wait())
        finally:
            second.kill()
        later.seek(0)
        sys.stdout.write(later.read())
    return max(codes)


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
