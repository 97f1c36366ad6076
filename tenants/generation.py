"""The registry's generation number as one process knows it: what it has cached under another one is out of date."""

from __future__ import annotations

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
        self._answer = (float("-inf"), -1)

    def number(self) -> int:
        """Return the number as it was at some moment of the last half second."""
        asked_at, number = self._answer
        now = self._clock()
        if now - asked_at >= RECHECK_SECONDS:
            # From before the question: an answer that was long under way is old when it comes. Two threads may both
            # ask; whichever notes its answer last, its age is true.
            number = self._registry.generation()
            self._answer = (now, number)
        return number

    def forget(self) -> None:
        """Ask anew next time: what this process has changed itself, it knows at once."""
        self._answer = (float("-inf"), -1)
