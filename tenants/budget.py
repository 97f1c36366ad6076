"""How many connections one process may have open to one server: a burst waits in line, it never fails the server."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from tenants.errors import Unreachable
from tenants.silence import Silence

WAIT_SECONDS = 5.0


class ConnectionBudget:
    """Permits for open connections, given in the order in which they were asked for.

    A connection kept idle for one tenant is closed before anybody waits on account of it: ``make_room`` closes one
    and tells whether there was one.
    """

    def __init__(self, limit: int, make_room: Callable[[], bool]) -> None:
        self.limit = limit
        self._make_room = make_room
        self._lock = threading.Lock()
        self.silence = Silence()
        self._taken = 0
        self._queue: deque[threading.Event] = deque()

    @property
    def taken(self) -> int:
        """How many connections are open or being opened."""
        return self._taken

    @property
    def has_room(self) -> bool:
        """Whether one more can be opened without another's being closed."""
        return self._taken < self.limit

    @property
    def is_wanted(self) -> bool:
        """Whether somebody waits for a permit."""
        return bool(self._queue)

    def take(self) -> None:
        """Take a permit; raise Unreachable when none comes free in time."""
        turn = threading.Event()
        with self._lock:
            if self._taken < self.limit and not self._queue:
                self._taken += 1
                return
            self._queue.append(turn)
        self._wait(turn)

    def give(self) -> None:
        """Give a permit back: its connection is closed."""
        with self._lock:
            if self._queue:
                self._queue.popleft().set()
            else:
                self._taken -= 1

    def _wait(self, turn: threading.Event) -> None:
        came = False
        try:
            came = self._comes(turn, time.monotonic() + WAIT_SECONDS)
        finally:
            # Whoever is interrupted leaves the line too: a permit that nobody takes up would be lost for good.
            if not came:
                self._leave(turn)
        if not came:
            raise Unreachable(f"All {self.limit} connections of this process to the server are in use.")

    def _comes(self, turn: threading.Event, end: float) -> bool:
        # Somebody else's connection may become idle without a permit being given: ask again now and then.
        while not turn.wait(0 if self._make_room() else min(0.05, max(0.0, end - time.monotonic()))):
            if time.monotonic() >= end:
                return False
        return True

    def _leave(self, turn: threading.Event) -> None:
        with self._lock:
            if not turn.is_set():
                self._queue.remove(turn)
                return
        self.give()
