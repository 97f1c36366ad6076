"""Files that survive a power cut: whole or absent, never half written, never forgotten by their folder."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


def write_new(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Create a file, whole and durable before this returns; raise FileExistsError rather than replace one."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, never replaces what another process has put there meanwhile.
        os.link(draft, path)
    finally:
        draft.unlink()
    sync(path.parent)


def replace(path: Path, content: bytes) -> None:
    """Put a new file in the place of an old one, durable before this returns; whoever could read it still can.

    Raises FileNotFoundError when there is no old one, PermissionError when the new one cannot have its owner.
    """
    old = os.stat(path, follow_symlinks=False)
    with draft_of(path, old, stat.S_IMODE(old.st_mode)) as file:
        file.write(content)
    sync(path.parent)


@contextmanager
def draft_of(path: Path, owner: os.stat_result, mode: int = 0o600) -> Iterator[BinaryIO]:
    """Yield what takes its place, whole, at the end, and belongs to the ``owner`` of another file or folder.

    An error leaves nothing of it. The caller syncs the folder: many files need that once.
    """
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            keep_owner(file.fileno(), owner)
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def keep_owner(descriptor: int, of: os.stat_result) -> None:
    """Give an open file the owner of another: what root has made, the service's own account must still open."""
    ours = os.fstat(descriptor)
    if (ours.st_uid, ours.st_gid) != (of.st_uid, of.st_gid):
        os.fchown(descriptor, of.st_uid, of.st_gid)


def sync(path: Path) -> None:
    """Make a file's bytes, or the names inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
