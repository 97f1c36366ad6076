"""Pure Argon2id at the product's cost, in as many processes as there are slots: what sign-ins are measured against."""

from __future__ import annotations

import subprocess
import sys
import time

from argon2 import PasswordHasher

from extranet.accounts.passwords import Cost

_PASSWORD = "correct horse battery staple"


def rate(processes: int, seconds: float) -> float:
    """Return how many passwords a second as many processes verify together, doing nothing else."""
    command = [sys.executable, "-m", "tests.bench.argon", str(seconds)]
    started = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(processes)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        # None begins before all are ready.
        outputs = [_begin(process) for process in started]
        return sum(float(process.communicate()[0]) for process in outputs)
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
    """Get ready, wait for the word, verify for as many seconds as were asked for, and tell the rate."""
    cost = Cost()
    hasher = PasswordHasher(cost.time, cost.memory, cost.lanes, hash_len=32, salt_len=16)
    encoded = hasher.hash(_PASSWORD)
    print("ready", flush=True)
    sys.stdin.readline()
    begin, verified = time.perf_counter(), 0
    while time.perf_counter() < begin + float(sys.argv[1]):
        hasher.verify(encoded, _PASSWORD)
        verified += 1
    print(verified / (time.perf_counter() - begin))


if __name__ == "__main__":
    main()
