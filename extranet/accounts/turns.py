"""When those who found no place may come back: one after another, as quickly as places become free."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

SHORTEST_SECONDS = 3
LONGEST_SECONDS = 30

# One slow hash among quick ones is not the pace.
_LATEST_COUNTS = 1 / 8


class Turns:
    """Spreads a crowd over the time it takes to serve it. ``seconds`` is how long one of them is first thought to take.

    Told all to come back in the same few seconds, two hundred would come at once, and nine in ten in vain again.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._each = seconds
        self._last = 0.0
        self._lock = threading.Lock()

    def note(self, seconds: float) -> None:
        """Learn from one who was served how long that takes just now."""
        with self._lock:
            self._each += (seconds - self._each) * _LATEST_COUNTS

    def next(self) -> int:
        """Return in how many seconds the next one who was refused may come back."""
        with self._lock:
            now = self._clock()
            # No further ahead than anybody is told: whoever goes away without a word leaves no gap for long.
            self._last = min(max(now, self._last) + self._each, now + LONGEST_SECONDS)
            return max(SHORTEST_SECONDS, math.ceil(round(self._last - now, 3)))
