"""Runs the suite as several runs at once, which share its files among them. ``make test`` calls it.

With arguments it runs just those tests, in one process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

# What is compiled is kept for the next run, and for the hundreds of commands and servers that the tests start.
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
# The smallest machine has two cores. One run more: while a test waits for a browser or a server, another one works.
RUNS = 3


def main(arguments: list[str]) -> int:
    """Return pytest's exit code, the worst of all."""
    if arguments:
        return subprocess.call(_command(arguments), env=ENVIRONMENT)
    with ExitStack() as stack:
        taken = stack.enter_context(tempfile.TemporaryDirectory())
        shared = _command(["-p", "tests.sharing", f"--share={taken}"])
        others = [stack.enter_context(_run_beside(shared)) for _ in range(RUNS - 1)]
        first = subprocess.call(shared, env=ENVIRONMENT)
        return max(first, *(finish() for finish in others))


@contextmanager
def _run_beside(command: list[str]) -> Iterator[Callable[[], int]]:
    """Start a run. What is yielded waits for its end, shows what it printed, and returns its exit code."""
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT)

        def finish() -> int:
            code = process.wait()
            output.seek(0)
            sys.stdout.write(output.read())
            return code

        try:
            yield finish
        finally:
            process.kill()


def _command(arguments: list[str]) -> list[str]:
    return [sys.executable, "-m", "coverage", "run", "-m", "pytest", "-q", *arguments]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
