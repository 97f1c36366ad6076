"""SQLite's files on disk: who may reach them, how one is made, and what its header says without an engine.

Every rule here answers a way that files of one tenant have reached, or emptied, another.
"""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

from tenants.errors import TenantUnavailable

SIDE_FILES = ("-wal", "-shm", "-journal")
_USER_VERSION_OFFSET = 60
_MAGIC = b"SQLite format 3\0"


def quoted(path: Path) -> str:
    """Return a path as it stands in a file: URI."""
    return str(path).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def file_identity(path: Path) -> tuple[int, int]:
    """Return device and inode of a database file; raise TenantUnavailable when it is no regular file of ours."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError as error:
        raise TenantUnavailable(f"{path} is missing.") from error
    if not stat.S_ISREG(status.st_mode):
        raise TenantUnavailable(f"{path} is not a regular file.")
    return status.st_dev, status.st_ino


def check_folder(folder: Path) -> None:
    """Raise TenantUnavailable unless ``folder`` is a real folder that only its owner can enter."""
    try:
        mode = os.stat(folder, follow_symlinks=False).st_mode
    except OSError as error:
        raise TenantUnavailable(f"{folder} is missing.") from error
    if not stat.S_ISDIR(mode):
        raise TenantUnavailable(f"{folder} is not a folder.")
    if mode & 0o077:
        raise TenantUnavailable(f"{folder} is open to others: chmod 0700 it.")


def copy_template(template: Path, target: Path) -> None:
    """Copy a closed database file to a path where nothing of an older one is left. The caller makes it durable."""
    refuse_leftovers(target)
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as copy, open(template, "rb") as source:
        shutil.copyfileobj(source, copy)


def refuse_leftovers(target: Path) -> None:
    """Raise TenantUnavailable when anything of an older database is left where a new one is to be.

    A stale -wal beside a fresh copy brings the old database's rows back to life.
    """
    for leftover in (target, *(Path(f"{target}{suffix}") for suffix in SIDE_FILES)):
        if os.path.lexists(leftover):
            raise TenantUnavailable(f"{leftover} is in the way; nothing was copied.")


def read_schema_version(path: Path) -> int:
    """Read ``user_version`` from the file's header, without opening the database (30 us).

    Never in a process that has this database open: closing the file here drops SQLite's locks there. A version
    that is still in the write-ahead log is not seen.
    """
    file_identity(path)
    try:
        with open(path, "rb") as file:
            header = file.read(_USER_VERSION_OFFSET + 4)
    except OSError as error:
        raise TenantUnavailable(f"{path} cannot be read: {error.strerror}.") from error
    if len(header) < _USER_VERSION_OFFSET + 4 or not header.startswith(_MAGIC):
        raise TenantUnavailable(f"{path} is damaged: not an SQLite file.")
    return int.from_bytes(header[_USER_VERSION_OFFSET:])
