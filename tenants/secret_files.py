"""Secrets that settings name a file for: read once, and only from a file that nobody else can read."""

from __future__ import annotations

import os
from pathlib import Path

from tenants.errors import BadSettings


def read_secret_file(setting: str, path: Path) -> str:
    """Return what the file that ``setting`` names holds, without the space around it; raise BadSettings."""
    try:
        with open(path, "rb", opener=_open_own) as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise BadSettings(f"{setting} {path} is open to others: chmod 0400 it.")
            return file.read(65536).decode(errors="replace").strip()
    except OSError as error:
        raise BadSettings(f"{setting} {path} cannot be read: {error.strerror}.") from error


def _open_own(path: str, flags: int) -> int:
    # O_NONBLOCK: a named pipe in its place must not hang the start.
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
