"""One tenant's own files: sealed with its key, named at random, in its folder and nowhere else."""

from __future__ import annotations

import fcntl
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tenants.durable import keep_owner, replace, sync, write_new
from tenants.errors import BadSeal, NoSuchFile
from tenants.keys import TenantKeys
from tenants.sqlite_files import check_folder

PURPOSE = "file"
"""What files are sealed for; each is bound to its name."""

NAME = re.compile(r"[0-9a-f]{32}", re.ASCII)


class Files:
    """Stores and returns bytes under names only this class makes."""

    def __init__(self, folder: Path, keys: TenantKeys) -> None:
        self._folder = folder
        self._keys = keys

    def store(self, content: bytes) -> str:
        """Seal ``content`` into a new file, durable before this returns; return its name. Raise TenantUnavailable."""
        name = secrets.token_hex(16)
        self._make_folder()
        with self._held(fcntl.LOCK_SH):
            write_new(self._folder / name, self._keys.seal(PURPOSE, content, context=name.encode()))
        return name

    def keep(self, name: str, content: bytes) -> None:
        """Seal a copy of another tenant's file under the name it has there, durable before this returns."""
        path = self._path(name)
        self._make_folder()
        write_new(path, self._keys.seal(PURPOSE, content, context=name.encode()))

    def read(self, name: str) -> bytes:
        """Return a file's content; raise NoSuchFile."""
        try:
            return self._keys.open(PURPOSE, self.sealed(name), context=name.encode())
        except BadSeal as error:
            raise NoSuchFile(f"There is no readable file {name}.") from error

    def remove(self, name: str) -> None:
        """Delete a file; a missing one is no error."""
        path = self._path(name)
        if self._folder.exists():
            with self._held(fcntl.LOCK_SH):
                path.unlink(missing_ok=True)

    def names(self) -> list[str]:
        """Return the names of all files, once everything that is being stored now is there."""
        if not self._folder.exists():
            return []
        with self._held(fcntl.LOCK_EX):
            return sorted(name for name in os.listdir(self._folder) if NAME.fullmatch(name))

    def measure(self) -> tuple[int, int]:
        """Return how many files there are and how many bytes they take, sealed as they lie there."""
        sizes = []
        for name in self.names():
            # Removed since it was listed: it takes nothing any more.
            with suppress(FileNotFoundError):
                sizes.append(self._path(name).stat().st_size)
        return len(sizes), sum(sizes)

    def sweep(self) -> None:
        """Remove what a crash has left half written."""
        if self._folder.exists():
            with self._held(fcntl.LOCK_EX):
                for draft in self._folder.glob("*.part"):
                    draft.unlink()

    def sealed(self, name: str) -> bytes:
        """Return a file as it lies there; raise NoSuchFile."""
        try:
            return self._path(name).read_bytes()
        except OSError as error:
            raise NoSuchFile(f"There is no readable file {name}.") from error

    def put_back(self, name: str, sealed: bytes) -> None:
        """Put what was sealed anew in a file's place, durable before this returns; raise NoSuchFile."""
        # Nobody removes a file meanwhile: one that its owner has deleted must not come back.
        try:
            with self._held(fcntl.LOCK_EX):
                replace(self._path(name), sealed)
        except FileNotFoundError as error:
            raise NoSuchFile(f"There is no file {name} any more.") from error

    @contextmanager
    def _held(self, how: int) -> Iterator[None]:
        # A file beside the folder: over NFS no folder can be locked.
        path = self._folder.with_name(f"{self._folder.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        try:
            keep_owner(descriptor, os.stat(self._folder))
            fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    def _make_folder(self) -> None:
        if not self._folder.exists():
            # The tenant's folder is made with the tenant: making it here would bring a purged one back.
            check_folder(self._folder.parent)
            self._folder.mkdir(mode=0o700, exist_ok=True)
            sync(self._folder.parent)
        check_folder(self._folder)

    def _path(self, name: str) -> Path:
        if not NAME.fullmatch(name):
            raise NoSuchFile("Not a file name.")
        return self._folder / name
