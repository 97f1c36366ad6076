"""A tenant's files and those in a backup: which are missing, and which belong to what is replaced."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO

from tenants.backups.contents import file_digests
from tenants.backups.manifest import Manifest
from tenants.durable import draft_of, sync
from tenants.errors import NoSuchFile
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant

_CHUNK = 1024 * 1024


class Placing:
    """Puts a tenant's files back, one by one. A name means the same content for ever: what is there and whole stays."""

    def __init__(self, tenancy: Tenancy, tenant: Tenant, manifest: Manifest) -> None:
        self._digests = file_digests(manifest)
        self._files = tenancy.files_of(tenant)
        self._folder = tenancy.settings.folder_of(tenant.uuid) / "files"
        self._named: set[str] = set()
        for made in (self._folder.parent.parent, self._folder.parent, self._folder):
            made.mkdir(mode=0o700, exist_ok=True)

    def put_back(self, name: str, source: BinaryIO) -> None:
        """Put one file back unless it is there."""
        self._named.add(name)
        if self._is_there(name):
            return
        with draft_of(self._folder / name, os.stat(self._folder)) as target:
            shutil.copyfileobj(source, target, _CHUNK)

    def finish(self) -> list[str]:
        """Make it durable; return the names of the files that the backup has none of."""
        sync(self._folder)
        sync(self._folder.parent)
        return [name for name in self._files.names() if name not in self._named]

    def _is_there(self, name: str) -> bool:
        path = self._folder / name
        if not path.is_file():
            return False
        if _digest(path) == self._digests.get(name):
            return True
        try:
            # Sealed anew since the backup was made: the same content under a newer key.
            self._files.read(name)
        except NoSuchFile:
            return False
        return True


def _digest(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
