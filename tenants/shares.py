"""Each serving process's share of what all of them together may use, taken by a lock that its death gives back."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path

from tenants.errors import TenantUnavailable

_WAIT_SECONDS = 5.0
_held: dict[Path, int] = {}
_taking = threading.Lock()


def take_share(folder: Path, count: int) -> None:
    """Hold one of ``count`` shares until this process ends; raise TenantUnavailable when none comes free.

    Taking it again changes nothing. A worker that is being replaced gives its share back when it has ended.
    """
    end = time.monotonic() + _WAIT_SECONDS
    while not _try_to_take(folder, count):
        if time.monotonic() >= end:
            raise TenantUnavailable(f"All {count} shares of the server's connections are taken by other processes.")
        time.sleep(0.05)


def _try_to_take(folder: Path, count: int) -> bool:
    # Two threads at once must not take two.
    with _taking:
        if folder not in _held:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = _free_share(folder, count)
            if descriptor is None:
                return False
            _held[folder] = descriptor
        return True


def _free_share(folder: Path, count: int) -> int | None:
    for number in range(count):
        descriptor = os.open(folder / f"{number}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        return descriptor
    return None
