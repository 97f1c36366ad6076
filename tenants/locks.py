"""Locks that operators' commands take by name. Whoever holds one is alive: a dead process's are gone with it."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, text

from tenants.errors import Busy, TenancyError

FLEET = "the fleet"
"""What is held by whoever works on all tenants. No slug has a space: no tenant's own lock is ever this one."""


class Locks:
    """One lock a name: files in a folder, or in a PostgreSQL registry where several machines can see them."""

    def __init__(self, folder: Path, registry: Engine) -> None:
        self._folder = folder
        self._registry = registry

    @contextmanager
    def hold(self, name: str) -> Iterator[None]:
        """Hold the lock ``name``; raise Busy at once when somebody else does."""
        held = self._hold_row if self._registry.dialect.name == "postgresql" else self._hold_file
        with held(name):
            yield

    @contextmanager
    def _hold_file(self, name: str) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(self._folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise _busy(name) from error
            yield
        finally:
            os.close(descriptor)

    @contextmanager
    def _hold_row(self, name: str) -> Iterator[None]:
        number = int.from_bytes(hashlib.sha256(f"extranet/lock/{name}".encode()).digest()[:8], signed=True)
        # A connection of its own, closed at the end: a lock of the session would outlive its use in a pool.
        with ExitStack() as last, self._registry.connect() as connection:
            raw: Any = connection.connection.dbapi_connection
            # SQLAlchemy forgets a detached one that was interrupted, by Ctrl-C for example, and does not close it.
            last.callback(raw.close)
            connection.detach()
            if not connection.execute(text("SELECT pg_try_advisory_lock(:number)"), {"number": number}).scalar_one():
                raise _busy(name)
            # The lock is the session's. Its transaction, left open for as long as the work takes, would hold back the
            # server's vacuum, and a server that ends idle transactions would end the lock with it.
            connection.commit()
            try:
                yield
            finally:
                # At a closed connection the server lets go when it notices, and the next command may be sooner. One
                # that broke has let go already.
                with suppress(TenancyError):
                    connection.execute(text("SELECT pg_advisory_unlock(:number)"), {"number": number})


def _busy(name: str) -> Busy:
    return Busy(f"Another command is at work on {name}; try again when it has ended.")
