"""The embedded engine: how SQLite files are opened and guarded.

Every rule here answers a way that files of one tenant have reached, or emptied, another.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.util import LRUCache

from tenants.errors import ReadOnlyDatabase, SchemaBehind, TenancyError, TenantUnavailable
from tenants.forks import close_at_fork
from tenants.pools import DisposablePool
from tenants.sqlite_files import file_identity, quoted

_BUSY_TIMEOUT_SECONDS = 5

# One kept connection (155 KiB, 3 descriptors) answers in 10 us where a fresh one costs 470; a second covers
# two threads on one tenant, and more than that are opened for the moment and closed again.
_KEPT_CONNECTIONS = 2

# The file, the disk or another process is at fault. Any other error is the program's own and passes as it is.
_UNAVAILABLE = frozenset(
    {
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
        sqlite3.SQLITE_NOTADB,
    }
)


class _Connection(sqlite3.Connection):
    """A connection that remembers which file it was opened on, and what its transaction may do just now."""

    path: Path
    file: tuple[int, int]
    reading = False
    durable = True

    def begin(self, *, writing: bool, durable: bool) -> None:
        """Begin a transaction: one that may write takes the lock at once, one that may not is held to it."""
        if self.durable is not durable:
            self.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self.durable = durable
        if self.reading is writing:
            self.execute(f"PRAGMA query_only={'OFF' if writing else 'ON'}")
            self.reading = not writing
        self.execute("BEGIN IMMEDIATE" if writing else "BEGIN")


def make_engine(path: Path, schema_version: int, on_connect: Callable[[sqlite3.Connection], None]) -> Engine:
    """Return an engine on an existing file.

    ``on_connect`` sees each new connection first and raises when it leads to the wrong database.
    Only a connection with the execution option ``writing`` can write. It begins its transaction at once:
    a deferred BEGIN that turns into a write fails under load with SQLITE_BUSY. ``durable=False`` is for what a power
    cut may take back: it survives the death of any process, but does not wait for the disk.
    """
    creator: Any = partial(_open, path, schema_version, on_connect)
    pool = _Pool(
        creator,
        pool_size=_KEPT_CONNECTIONS,
        max_overflow=-1,
        use_lifo=True,
        dialect=_dialect,
    )
    engine = _Engine(
        pool,
        _dialect,
        URL.create("sqlite", database=str(path)),
        query_cache_size=0,
        execution_options={"compiled_cache": _compiled_statements},
        # What people typed stands in the parameters; an error's text ends in the operator's log.
        hide_parameters=True,
    )
    close_at_fork(engine)
    return engine


class _Engine(Engine):
    """Its own class, so that one listener below hears all: a listener an engine costs more than connecting."""


class _Pool(DisposablePool):
    """The same for what happens to connections."""


def _initialised_dialect() -> Dialect:
    # One for all engines. It is part of the key under which a compiled statement is found again: 300 engines with 40
    # statements cost 253 MB and 24.7 s when each compiles for itself, 5 MB and 3.5 s shared.
    engine = create_engine("sqlite://")
    engine.connect().close()
    engine.dispose()
    return engine.dialect


_dialect = _initialised_dialect()
_compiled_statements: LRUCache[Any, Any] = LRUCache(1000)


@event.listens_for(_Pool, "checkout")
def _same_file(connection: _Connection, _record: Any, _proxy: Any) -> None:
    # A file put in place of this one would leave kept connections writing into the deleted inode.
    if file_identity(connection.path) != connection.file:
        raise DisconnectionError("The database file was replaced.")


@event.listens_for(_Engine, "begin")
def _begin(connection: Connection) -> None:
    raw: Any = connection.connection.dbapi_connection
    asked = connection.get_execution_options()
    writing = asked.get("writing", False)
    try:
        raw.begin(writing=writing, durable=asked.get("durable", True))
    except sqlite3.Error as error:
        raise _refusal(raw.path, error) or error from error
    if writing:
        _refuse_replaced(raw.path, raw)


@event.listens_for(_dialect, "handle_error")
def _say_what_it_means(context: ExceptionContext) -> TenancyError | None:
    error = context.original_exception
    where = context.engine.url.database if context.engine is not None else "a database"
    return _refusal(where, error) if isinstance(error, sqlite3.Error) else None


def _refuse_replaced(path: Path, connection: _Connection) -> None:
    # Whoever moved or replaced this database held the lock that was waited for here: what is written into the old
    # file now is lost.
    if file_identity(path) != connection.file:
        connection.rollback()
        raise TenantUnavailable(f"{path} was replaced while a write waited for it.")


def _refusal(path: Path | str | None, error: sqlite3.Error) -> TenancyError | None:
    extended = getattr(error, "sqlite_errorcode", 0)
    if extended == sqlite3.SQLITE_READONLY:
        return ReadOnlyDatabase(f"{path} was opened for reading.")
    if extended & 0xFF in _UNAVAILABLE:
        return TenantUnavailable(f"{path} cannot be used: {error}.")
    return None


def _open(path: Path, schema_version: int, on_connect: Callable[[sqlite3.Connection], None]) -> _Connection:
    file = file_identity(path)
    try:
        # mode=rw: a missing file is an error. Without it SQLite makes a new, empty tenant.
        connection = sqlite3.connect(
            f"file:{quoted(path)}?mode=rw",
            uri=True,
            factory=_Connection,
            isolation_level=None,
            check_same_thread=False,
            timeout=_BUSY_TIMEOUT_SECONDS,
        )
    except sqlite3.Error as error:
        raise TenantUnavailable(f"{path} cannot be opened: {error}.") from error
    connection.path, connection.file = path, file
    try:
        _harden(connection)
        _check_length(connection, path)
        _check_schema(connection, path, schema_version)
        on_connect(connection)
    except sqlite3.Error as error:
        connection.close()
        raise TenantUnavailable(f"{path} is damaged or locked: {error}.") from error
    except BaseException:
        connection.close()
        raise
    return connection


def _harden(connection: sqlite3.Connection) -> None:
    # No connection may ever see a second file: ATTACH fails with "too many attached databases - max 0".
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    for pragma in ("foreign_keys=ON", "synchronous=FULL", "trusted_schema=OFF", "secure_delete=ON"):
        connection.execute(f"PRAGMA {pragma}")


def sync_later(connection: sqlite3.Connection) -> None:
    """Leave it to the caller to sync the file: for one that nobody else knows of yet."""
    connection.execute("PRAGMA synchronous=OFF")


def _check_length(connection: sqlite3.Connection, path: Path) -> None:
    # SQLite itself finds a missing page, but reads one cut in the middle as zeros: rows would turn into NULLs.
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    if os.stat(path).st_size % page_size:
        raise TenantUnavailable(f"{path} is damaged: cut off in the middle of a page.")


def _check_schema(connection: sqlite3.Connection, path: Path, schema_version: int) -> None:
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found < schema_version:
        raise SchemaBehind(f"{path} has schema {found}, this code needs {schema_version}. Run: extranet fleet migrate")
