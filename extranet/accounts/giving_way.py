"""Threads for what takes a whole core for a tenth of a second: they leave it to anybody who has a page to show."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

Result = TypeVar("Result")

# Linux gives such a thread a tenth of what an ordinary one gets, and all of it when there is none. With 200 clients
# signing in on two cores, p95 of other pages is 1.6 times that of a quiet moment; 2.0 to 2.7 times without.
_NICENESS = 10


class Aside:
    """Runs what it is given in one of ``count`` threads that give way, while whoever asked waits for it."""

    def __init__(self, count: int) -> None:
        # Its threads begin with the first call: not before a fork, which they would not outlive.
        self._threads = ThreadPoolExecutor(count, "aside", _give_way)

    def run(self, work: Callable[[], Result]) -> Result:
        """Return what ``work`` returns, or raise what it raises."""
        return self._threads.submit(work).result()


def _give_way() -> None:
    # A thread has a niceness of its own on Linux alone.
    with suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
