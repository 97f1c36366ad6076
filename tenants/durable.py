"""Files that survive a power cut: whole or absent, never half written, never forgotten by their folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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


def sync(path: Path) -> None:
    """Make a file's bytes, or the names inside a folder, survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
