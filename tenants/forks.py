"""Nothing idle is open at a fork; each side opens its own again.

SQLite's locks belong to a process: a child that inherits an open database believes it holds what only its parent does,
and can destroy the file. Two processes that share one PostgreSQL connection read each other's answers.
"""

from __future__ import annotations

import os
import threading
from weakref import WeakSet

from sqlalchemy import Engine

_engines: WeakSet[Engine] = WeakSet()
_lock = threading.Lock()


def close_at_fork(engine: Engine) -> None:
    """Close an engine's idle connections whenever this process forks."""
    with _lock:
        _engines.add(engine)


def _close_before_fork() -> None:
    _lock.acquire()
    for engine in _engines:
        engine.dispose()


os.register_at_fork(before=_close_before_fork, after_in_parent=_lock.release, after_in_child=_lock.release)
