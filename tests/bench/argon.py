"""Pure Argon2id at the product's cost, in as many processes as there are slots: what sign-ins are measured against."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import dataclass

from argon2 import PasswordHasher

from extranet.accounts.passwords import Cost
from provisioning.commands.serve import with_large_pages

_PASSWORD = "correct horse battery staple"


@dataclass(frozen=True)
class Pure:
    """How many passwords were verified in a second, and in a second of processor time."""

    rate: float
    of_processor_time: float


def measure(processes: int, seconds: float) -> Pure:
    """Verify passwords in as many processes, which do nothing else and get their memory as the product's workers do."""
    command = [sys.executable, "-m", "tests.bench.argon", str(seconds)]
    environment = with_large_pages(os.environ)
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        # None begins before all are ready.
        outputs = [_begin(process) for process in started]
        told = [[float(figure) for figure in process.communicate()[0].split()] for process in outputs]
        verified, processor_time = (sum(figures) for figures in list(zip(*told, strict=True))[:2])
        return Pure(sum(count / wall for count, _, wall in told), verified / processor_time)
    finally:
        for process in started:
            process.kill()
            process.wait()


def _begin(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()
    return process


def main() -> None:
    """Get ready, wait for the word, verify for as many seconds as were asked for; tell how many, and how long it took.

    In processor time first.
    """
    cost = Cost()
    hasher = PasswordHasher(cost.time, cost.memory, cost.lanes, hash_len=32, salt_len=16)
    encoded = hasher.hash(_PASSWORD)
    print("ready", flush=True)
    sys.stdin.readline()
    begin, computed, verified = time.perf_counter(), time.process_time(), 0
    while time.perf_counter() < begin + float(sys.argv[1]):
        hasher.verify(encoded, _PASSWORD)
        verified += 1
    print(verified, time.process_time() - computed, time.perf_counter() - begin)


if __name__ == "__main__":
    main()
