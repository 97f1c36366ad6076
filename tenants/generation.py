"""The registry's generation number as one process knows it: what it has cached under another one is out of date."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from tenants.registry import Registry

RECHECK_SECONDS = 0.5
"""How stale a process may be: what changed in the registry is known everywhere within a second."""


class Generation:
    """Asks the registry one small question per process and half second, however often it is asked itself."""

    def __init__(self, registry: Registry, clock: Callable[[], float] = time.monotonic) -> None:
        self._registry = registry
        self._clock = clock
        self._lock = threading.Lock()
        self._answer = _none()

    def number(self) -> int:
        """Return the number as it was at some moment of the last half second."""
        known = self._answer
        asked_at, number = known
        # From before the question: an answer that was long under way is old when it comes.
        now = self._clock()
        if now - asked_at >= RECHECK_SECONDS:
            number = self._registry.generation()
            with self._lock:
                # Of two threads that both ask, the first is heard; of one that was told to forget meanwhile, none.
                if self._answer is known:
                    self._answer = (now, number)
        return number

    def forget(self) -> None:
        """Ask anew next time: what this process has changed itself, or was told of, it knows at once."""
        with self._lock:
            self._answer = _none()


def _none() -> tuple[float, int]:
    return float("-inf"), -1
