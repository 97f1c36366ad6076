"""Databases that are made of a dump to look at it, belong to no tenant and are gone at the end, whatever happens.

Whoever made one holds a lock on it. What nobody holds was left by a process that was killed, and goes before the next
is made.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import psycopg
from sqlalchemy import Connection

from tenants import postgresql, sqlite_files
from tenants.stores import copies, dumps
from tenants.stores.administration import Administration, drop_database, make_database

_PREFIX = "scratch_"

# A lock that a process holds does not keep out the process itself.
_ours: set[str] = set()


@contextmanager
def scratch_file(folder: Path, source: BinaryIO) -> Iterator[Connection]:
    """Write a dump to a file in ``folder`` and yield a reading connection on it."""
    path, descriptor = _new_file(folder)
    try:
        with os.fdopen(descriptor, "wb", closefd=False) as file:
            shutil.copyfileobj(source, file, copies.CHUNK)
        with copies.reading(path) as connection:
            yield connection
    finally:
        # Whoever sweeps meanwhile would find the name and not the file.
        with _entrance(folder):
            _remove(path)
        os.close(descriptor)


@contextmanager
def scratch_database(administration: Administration, source: BinaryIO) -> Iterator[Connection]:
    """Restore a dump into a database of its own and yield a reading connection on it."""
    name = f"{_PREFIX}{uuid4().hex}"
    _ours.add(name)
    with administration.server() as admin:
        _sweep_databases(admin)
        # The kept connection holds it, and lets go when this process ends.
        admin.execute("SELECT pg_advisory_lock(%s)", (_lock_of(name),))
        make_database(admin, name, "template0")
    try:
        dumps.restore(administration, name, "", source)
        engine = postgresql.make_engine(
            "The scratch database", lambda: administration.database(name), lambda _connection: None
        )
        try:
            with engine.connect() as connection:
                yield connection
        finally:
            engine.dispose()
    finally:
        with administration.server() as admin:
            drop_database(admin, name)
            admin.execute("SELECT pg_advisory_unlock(%s)", (_lock_of(name),))
        _ours.discard(name)


def _new_file(folder: Path) -> tuple[Path, int]:
    """Make a file that is locked from its first moment on, and return its descriptor too."""
    folder.mkdir(mode=0o700, exist_ok=True)
    path = folder / f"{uuid4().hex}.sqlite3"
    # Between being made and being locked a file looks as if nobody held it.
    with _entrance(folder):
        _sweep_files(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    return path, descriptor


@contextmanager
def _entrance(folder: Path) -> Iterator[None]:
    """Let one at a time make and remove files here."""
    entrance = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(entrance, fcntl.LOCK_EX)
        yield
    finally:
        os.close(entrance)


def _sweep_files(folder: Path) -> None:
    for path in folder.glob("*.sqlite3"):
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
        except BlockingIOError:
            continue
        finally:
            os.close(descriptor)


def _sweep_databases(admin: psycopg.Connection[Any]) -> None:
    rows = admin.execute("SELECT datname FROM pg_database WHERE starts_with(datname, %s)", (_PREFIX,)).fetchall()
    for name in {name for (name,) in rows} - _ours:
        if admin.execute("SELECT pg_try_advisory_lock(%s)", (_lock_of(name),)).fetchone() == (True,):
            drop_database(admin, name)
            admin.execute("SELECT pg_advisory_unlock(%s)", (_lock_of(name),))


def _lock_of(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def _remove(path: Path) -> None:
    for file in (path, *(Path(f"{path}{suffix}") for suffix in sqlite_files.SIDE_FILES)):
        file.unlink(missing_ok=True)
