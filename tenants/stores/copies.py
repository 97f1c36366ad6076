"""Copies of SQLite files: taken while a file is in use, and put in place of one that is."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import Connection

from tenants import sqlite, sqlite_files
from tenants.durable import keep_owner, sync
from tenants.errors import TenantUnavailable

CHUNK = 1024 * 1024


@contextmanager
def dumped(
    path: Path, target: BinaryIO, at_moment: Callable[[], None], *, stopped: bool = False
) -> Iterator[Connection]:
    """Write a database as it is at one moment, and yield a reading connection on what was written.

    ``at_moment`` is called while nobody can write, by somebody else's doing when they are ``stopped`` already. The rest
    stops no writer.
    """
    draft = path.with_name(f"{path.name}.dump")
    _remove(draft)
    try:
        _copy(path, draft, at_moment, nullcontext() if stopped else write_lock(path))
        with open(draft, "rb") as source:
            shutil.copyfileobj(source, target, CHUNK)
        with reading(draft) as connection:
            yield connection
    finally:
        _remove(draft)


@contextmanager
def reading(path: Path) -> Iterator[Connection]:
    """Yield a connection on a file that belongs to no tenant."""
    engine = sqlite.make_engine(path, 0, lambda _connection: None)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


@contextmanager
def write_lock(path: Path) -> Iterator[None]:
    """Let nobody write to a database while this is open; raise TenantUnavailable."""
    with closing(open_raw(path)) as writer:
        try:
            writer.execute("BEGIN IMMEDIATE")
        except sqlite3.Error as error:
            raise TenantUnavailable(f"{path} cannot be locked: {error}.") from error
        yield


def put_in_place(copy: Path, path: Path) -> None:
    """Put a closed file in place of a database that was fenced, or is gone.

    Safe to repeat when it was cut short: without the copy, only what is left of the old one goes.
    """
    if copy.exists():
        if any(Path(f"{copy}{suffix}").exists() for suffix in sqlite_files.SIDE_FILES):
            raise TenantUnavailable(f"{copy} is open somewhere, or was not closed properly: it is not whole.")
        if os.path.lexists(path):
            raise TenantUnavailable(f"{path} can still be written to: it is not replaced.")
        _finish_swap(copy, path)
    _remove(fenced(path))


def take_back(path: Path) -> None:
    """Give a fenced database its name back, with the log that belongs to it; none is no error."""
    if not fenced(path).exists() or path.exists():
        return
    for suffix in sqlite_files.SIDE_FILES:
        if (side := Path(f"{fenced(path)}{suffix}")).exists():
            side.rename(f"{path}{suffix}")
    fenced(path).rename(path)
    sync(path.parent)


def fenced(path: Path) -> Path:
    """Return the name of a database that is never to be written to again."""
    return path.with_name(f"{path.name}.fenced")


def open_raw(path: Path) -> sqlite3.Connection:
    """Open an existing database file."""
    sqlite_files.file_identity(path)
    return sqlite3.connect(f"file:{sqlite_files.quoted(path)}?mode=rw", uri=True, isolation_level=None)


def _copy(path: Path, draft: Path, at_moment: Callable[[], None], lock: AbstractContextManager[None]) -> None:
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        with closing(open_raw(path)) as live, closing(sqlite3.connect(draft)) as copy:
            with lock:
                live.execute("BEGIN")
                # Only the first look at the file begins what the transaction sees.
                live.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                at_moment()
            # Whoever reads it reads it at once; a power cut takes back nothing that anybody waits for.
            copy.execute("PRAGMA synchronous=OFF")
            live.backup(copy)
            copy.execute("PRAGMA journal_mode=DELETE")
    except sqlite3.Error as error:
        raise TenantUnavailable(f"{path} cannot be copied: {error}.") from error


def _finish_swap(copy: Path, path: Path) -> None:
    # Before the new file is there: SQLite would replay an old log into it, and bring old rows back. The old file keeps
    # its log: who takes it back takes back all of it.
    for suffix in sqlite_files.SIDE_FILES:
        if (side := Path(f"{path}{suffix}")).exists():
            side.rename(f"{fenced(path)}{suffix}")
    sync(path.parent)
    with open(copy, "rb") as file:
        keep_owner(file.fileno(), os.stat(path.parent))
    copy.rename(path)
    sync(path.parent)


def _remove(path: Path) -> None:
    for file in (path, *(Path(f"{path}{suffix}") for suffix in sqlite_files.SIDE_FILES)):
        file.unlink(missing_ok=True)
