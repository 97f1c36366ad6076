"""A server that does not answer: the first to find out tells the others, so that not all of them wait for it."""

from __future__ import annotations

import threading
import time

from tenants.errors import Unreachable

_REST_SECONDS = 1.0
# Longer than a connection may take to be made: one who tries at a time.
_TRY_SECONDS = 5.0


class Silence:
    """What one process knows of one server. Threads serve everybody: one server must not hold them all."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._fell_at = float("-inf")
        self._rests_until = float("-inf")

    def falls(self) -> None:
        """Note that the server has not answered in time."""
        with self._lock:
            self._fell_at = time.monotonic()
            self._rests_until = self._fell_at + _REST_SECONDS

    def ends(self) -> None:
        """Note that the server has answered."""
        with self._lock:
            self._rests_until = float("-inf")

    def has_fallen_since(self, moment: float) -> bool:
        """Tell whether the server has been silent since then: what was opened before may hang."""
        return moment < self._fell_at

    def respect(self) -> None:
        """Raise Unreachable while the server is left alone; now and then one may try whether it answers."""
        with self._lock:
            now = time.monotonic()
            if now < self._rests_until:
                raise Unreachable("The server did not answer a moment ago.")
            if self._rests_until > float("-inf"):
                self._rests_until = now + _TRY_SECONDS
