"""The open connections to one tenant's database, and the line before them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, cast

from sqlalchemy.pool import ConnectionPoolEntry
from sqlalchemy.util.queue import Empty

from tenants.errors import Unreachable
from tenants.pools import DisposablePool

# The rest of a burst waits, so that one tenant never takes a whole process's budget. All four are kept until somebody
# wants their permits: opening one costs the server more (5 ms) than a page does.
MOST_CONNECTIONS = 4
# How long to wait for one in use before opening another at the cost of somebody's idle one: most pages take less.
_SPARING_SECONDS = 0.02
# For one of them, at most. Whoever has waited for half of that has found the line slow.
WAIT_SECONDS = 1.0
_SLOW_SECONDS = 0.5
_LONGEST_SLOW_LINE = 2


class Pool(DisposablePool):
    """Connections of one tenant in one process.

    Whoever stands in line holds a thread that serves everybody. A line that moves is let be; while one stands still,
    all but the first two are turned away at once. ``has_room`` tells whether one more can be open without another's
    being closed.
    """

    has_room: Callable[[], bool]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.has_room = lambda: True
        self._turns = threading.Semaphore(self.size() + self._max_overflow)
        self._line_lock = threading.Lock()
        self._line = 0
        self._slow_until = float("-inf")

    def _do_get(self) -> ConnectionPoolEntry:
        if not self._turns.acquire(blocking=False):
            self._stand_in_line()
        try:
            return self._spared() or super()._do_get()
        except BaseException:
            self._turns.release()
            raise

    def recreate(self) -> Pool:
        """Return an empty pool that is otherwise the same."""
        made = cast("Pool", super().recreate())
        made.has_room = self.has_room
        return made

    def _spared(self) -> ConnectionPoolEntry | None:
        """Return a connection that comes free before another must be opened; None when none is in use, or none does."""
        if self.has_room() or not self.checkedout():
            return None
        try:
            return self._pool.get(timeout=_SPARING_SECONDS)
        except Empty:
            return None

    def _do_return_conn(self, record: ConnectionPoolEntry) -> None:
        permit = getattr(record.dbapi_connection, "permit", None)
        if permit is not None and permit.is_wanted:
            # By another tenant: else one that is never idle would keep what it has, whoever waits.
            record.close()
            self._dec_overflow()
        else:
            super()._do_return_conn(record)
        self._turns.release()

    def _stand_in_line(self) -> None:
        began = time.monotonic()
        with self._line_lock:
            is_too_long = self._line >= _LONGEST_SLOW_LINE and began < self._slow_until
            self._line += not is_too_long
        if is_too_long or not self._wait_for_turn(began):
            raise Unreachable("All connections to this database are in use.")

    def _wait_for_turn(self, began: float) -> bool:
        try:
            return self._turns.acquire(timeout=WAIT_SECONDS)
        finally:
            now = time.monotonic()
            with self._line_lock:
                self._line -= 1
                if now - began >= _SLOW_SECONDS:
                    self._slow_until = now + _SLOW_SECONDS

    @property
    def has_spare(self) -> bool:
        """Whether more than one connection is kept open and not in use."""
        return self.checkedin() > 1

    def close_idle(self) -> bool:
        """Close a connection that is kept open and not in use; tell whether there was one."""
        # Without a turn one of four could be missed by somebody who has one, and would then wait for it.
        if not self._turns.acquire(blocking=False):
            return False
        try:
            return self._close_kept()
        finally:
            self._turns.release()

    def _close_kept(self) -> bool:
        try:
            record = self._pool.get(block=False)
        except Empty:
            return False
        record.close()
        self._dec_overflow()
        return True
