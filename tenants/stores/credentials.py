"""The operator's credential for each server: one file a server, for the operator's eyes alone.

The web process never reads this folder; in production its unit hides it (docs/operations.md).
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tenants.durable import sync, write_new
from tenants.errors import ServerUnusable
from tenants.settings import Settings


def credential_file(settings: Settings, server: str) -> Path:
    """Return where the operator's URL for a server is kept."""
    return settings.home / "operator" / f"{server}.url"


def write_credential(settings: Settings, server: str, url: str) -> None:
    """Keep a URL with which databases and roles can be made on a server, in place of an older one."""
    path = credential_file(settings, server)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    write_new(draft, url.encode())
    draft.replace(path)
    sync(path.parent)


def read_credential(settings: Settings, server: str) -> str:
    """Return the operator's URL for a server; raise ServerUnusable when it is missing or open to others."""
    path = credential_file(settings, server)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ServerUnusable(
            f"The operator's credential {path} cannot be read: {error.strerror}. "
            f"Only operators can do this; give it again with: extranet server add {server}"
        ) from error
    with os.fdopen(descriptor, "rb") as file:
        if stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
            raise ServerUnusable(f"{path} is open to others: chmod 0600 it, and change that password.")
        return file.read(65536).decode().strip()


def remove_credential(settings: Settings, server: str) -> None:
    """Forget a server's credential; a missing one is no error."""
    credential_file(settings, server).unlink(missing_ok=True)
