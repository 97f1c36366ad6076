"""What is in an archive, in its order: the dump of the database, the tenant's files, and the manifest."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from tenants.backups.archive import ChunkReader, Header
from tenants.backups.entries import Packer, Unpacker
from tenants.backups.manifest import Manifest, read_manifest
from tenants.errors import BadArchive
from tenants.files import NAME
from tenants.keys import TenantKeys
from tenants.tenant import EMBEDDED

_MANIFEST = "manifest.json"
_SQLITE = "database.sqlite.gz"
_POSTGRESQL = "database.pgdump"
_FILES = "files/"


@contextmanager
def database_entry(packer: Packer, server: str) -> Iterator[BinaryIO]:
    """Yield where the dump of a database on ``server`` is written to."""
    if server != EMBEDDED:
        # What pg_dump writes is compressed already.
        with packer.entry(_POSTGRESQL) as target:
            yield target
        return
    with (
        packer.entry(_SQLITE) as target,
        gzip.GzipFile(fileobj=target, mode="wb", compresslevel=1, mtime=0) as squeezed,
    ):
        yield cast("BinaryIO", squeezed)


@contextmanager
def file_entry(packer: Packer, name: str) -> Iterator[BinaryIO]:
    """Yield where one of the tenant's files is written to, sealed as it is."""
    with packer.entry(f"{_FILES}{name}") as target:
        yield target


def write_manifest(packer: Packer, manifest: Manifest) -> None:
    """Write the last entry, and seal the end."""
    with packer.entry(_MANIFEST) as target:
        target.write(manifest.packed())
    packer.finish()


def file_digests(manifest: Manifest) -> dict[str, str]:
    """Return the SHA-256 in hex of each of the tenant's files, by name."""
    contents = manifest.contents.items()
    return {name.removeprefix(_FILES): content.sha256 for name, content in contents if name.startswith(_FILES)}


class Contents:
    """Hands out what is in an archive, from behind its header on; raises BadArchive.

    First the ``database``, then all ``files``; the ``manifest`` and the ``digest`` of the archive are there at the end.
    Nothing is to be believed whole before that.
    """

    def __init__(self, source: BinaryIO, header: Header, keys: TenantKeys) -> None:
        self._header = header
        self._chunks = ChunkReader(source, header, keys)
        self._unpacker = Unpacker(self._chunks)
        self._entries = self._unpacker.entries()
        self._manifest: Manifest | None = None

    def database(self) -> tuple[bool, BinaryIO]:
        """Return whether the database was an embedded one, and its dump."""
        name, dump = next(self._entries, ("", io.BytesIO()))
        if name == _SQLITE:
            return True, io.BufferedReader(gzip.GzipFile(fileobj=dump))
        if name == _POSTGRESQL:
            return False, dump
        raise BadArchive("There is no database in this backup.")

    def files(self) -> Iterator[tuple[str, BinaryIO]]:
        """Yield each file's name and what is in it, sealed; then see to it that everything was there."""
        for name, content in self._entries:
            if name == _MANIFEST:
                self._manifest = read_manifest(content.read())
            else:
                yield _file_name(name), content
        read = {name: content for name, content in self._unpacker.read.items() if name != _MANIFEST}
        if self.manifest.contents != read:
            raise BadArchive("What is in this backup is not what its manifest says.")

    @property
    def manifest(self) -> Manifest:
        """What the archive says of itself."""
        found, expected = self._manifest, (self._header.id, self._header.tenant_uuid)
        if found is None or (found.id, found.tenant_uuid) != expected:
            raise BadArchive("This backup has not the manifest that belongs to it.")
        return found

    @property
    def digest(self) -> bytes:
        """The SHA-256 of the archive."""
        return self._chunks.digest


def _file_name(entry: str) -> str:
    # The name becomes a path: only what a tenant's own file can be called.
    name = entry.removeprefix(_FILES)
    if name == entry or not NAME.fullmatch(name):
        raise BadArchive("There is something in this backup that belongs into none.")
    return name
