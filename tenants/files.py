"""One tenant's own files: sealed with its key, named at random, in its folder and nowhere else."""

from __future__ import annotations

import re
import secrets
from pathlib import Path

from tenants.durable import sync, write_new
from tenants.errors import BadSeal, NoSuchFile
from tenants.keys import TenantKeys
from tenants.sqlite import check_folder

_NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)
_PURPOSE = "file"


class Files:
    """Stores and returns bytes under names only this class makes."""

    def __init__(self, folder: Path, keys: TenantKeys) -> None:
        self._folder = folder
        self._keys = keys

    def store(self, content: bytes) -> str:
        """Seal ``content`` into a new file, durable before this returns; return its name. Raise TenantUnavailable."""
        name = secrets.token_hex(16)
        self._make_folder()
        write_new(self._folder / name, self._keys.seal(_PURPOSE, content, context=name.encode()))
        return name

    def read(self, name: str) -> bytes:
        """Return a file's content; raise NoSuchFile."""
        try:
            sealed = self._path(name).read_bytes()
            return self._keys.open(_PURPOSE, sealed, context=name.encode())
        except (OSError, BadSeal) as error:
            raise NoSuchFile(f"There is no readable file {name}.") from error

    def remove(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        self._path(name).unlink(missing_ok=True)

    def _make_folder(self) -> None:
        if not self._folder.exists():
            # The tenant's folder is made with the tenant: making it here would bring a purged one back.
            check_folder(self._folder.parent)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync(self._folder.parent)
        check_folder(self._folder)

    def _path(self, name: str) -> Path:
        if not _NAME.fullmatch(name):
            raise NoSuchFile("Not a file name.")
        return self._folder / name
