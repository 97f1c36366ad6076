"""The container of a backup: a clear header, then chunks sealed one by one, so that any size passes in little memory.

The key is made from the tenant's key and the whole header; a chunk's nonce is its number and whether it is the last
(the STREAM construction). So a chunk that was changed, moved, repeated, cut off, or taken from another archive does
not open, nor does any with another header. The tenant's key itself is not inside: an archive of a tenant whose key
was destroyed stays closed for ever.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import BinaryIO
from uuid import UUID, uuid4

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tenants.errors import BadArchive, KeyUnavailable
from tenants.keys import TenantKeys
from tenants.moments import now
from tenants.tenant import Tenant

CHUNK = 64 * 1024

_MAGIC = b"extranet backup\n"
_FORMAT = 1
_PURPOSE = "backup"
_TAG = 16
_HEADER = struct.Struct(">16sH16s16sHq32s")
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - naive UTC, as the registry keeps moments


@dataclass(frozen=True, slots=True)
class Header:
    """What stands in clear at the beginning: which backup, of whom, when, and what its key is made of."""

    id: UUID
    tenant_uuid: UUID
    key_version: int
    made_at: datetime
    salt: bytes

    @classmethod
    def new(cls, tenant: Tenant) -> Header:
        """Return the header of a backup that is made now."""
        return cls(uuid4(), tenant.uuid, tenant.key_version, now(), secrets.token_bytes(32))

    @property
    def packed(self) -> bytes:
        """The header's bytes."""
        moment = (self.made_at - _EPOCH) // timedelta(microseconds=1)
        return _HEADER.pack(_MAGIC, _FORMAT, self.id.bytes, self.tenant_uuid.bytes, self.key_version, moment, self.salt)


def read_header(source: BinaryIO) -> Header:
    """Read an archive's header; raise BadArchive when it cannot be one. Who wrote it is known once a chunk opens."""
    raw = source.read(_HEADER.size)
    if len(raw) < _HEADER.size or not raw.startswith(_MAGIC):
        raise BadArchive("This is not a backup, or its beginning was lost.")
    _, found, backup, tenant, key_version, moment, salt = _HEADER.unpack(raw)
    if found != _FORMAT:
        raise BadArchive(f"This backup has format {found}; this release reads format {_FORMAT}.")
    try:
        made_at = _EPOCH + timedelta(microseconds=moment)
    except OverflowError as error:
        raise BadArchive("The header of this backup is damaged.") from error
    return Header(UUID(bytes=backup), UUID(bytes=tenant), key_version, made_at, salt)


class ChunkWriter:
    """Seals what is written, chunk by chunk, and knows the digest and the length of what came of it."""

    def __init__(self, target: BinaryIO, header: Header, keys: TenantKeys) -> None:
        self._target = target
        self._cipher = _Cipher(header, keys)
        self._waiting = bytearray()
        self._digest = hashlib.sha256()
        self.length = 0
        self._put(header.packed)

    @property
    def digest(self) -> bytes:
        """SHA-256 of all that was put out so far."""
        return self._digest.digest()

    def write(self, content: bytes | memoryview) -> None:
        """Take some bytes. One chunk always waits: only at the end is it known which is the last."""
        rest = memoryview(content)
        while len(self._waiting) + len(rest) > CHUNK:
            room = CHUNK - len(self._waiting)
            self._waiting += rest[:room]
            rest = rest[room:]
            self._seal(last=False)
        self._waiting += rest

    def finish(self) -> None:
        """Seal the last chunk."""
        self._seal(last=True)

    def _seal(self, *, last: bool) -> None:
        self._put(self._cipher.seal(bytes(self._waiting), last=last))
        self._waiting.clear()

    def _put(self, sealed: bytes) -> None:
        self._target.write(sealed)
        self._digest.update(sealed)
        self.length += len(sealed)


class ChunkReader:
    """Opens what ``ChunkWriter`` sealed, chunk by chunk; raises BadArchive at the first that does not open."""

    def __init__(self, source: BinaryIO, header: Header, keys: TenantKeys) -> None:
        self._source = source
        self._cipher = _Cipher(header, keys)
        self._digest = hashlib.sha256(header.packed)
        self._ahead = self._fetch()
        self._open = memoryview(b"")
        self._ended = False

    @property
    def digest(self) -> bytes:
        """SHA-256 of the archive, once everything was read."""
        return self._digest.digest()

    def read(self, most: int) -> memoryview:
        """Return some bytes, ``most`` of them at most; none at the end."""
        while not self._open and not self._ended:
            self._next_chunk()
        taken, self._open = self._open[:most], self._open[most:]
        return taken

    def _next_chunk(self) -> None:
        sealed, self._ahead = self._ahead, self._fetch()
        self._ended = not self._ahead
        self._open = memoryview(self._cipher.open(sealed, last=self._ended))

    def _fetch(self) -> bytes:
        sealed = self._source.read(CHUNK + _TAG)
        self._digest.update(sealed)
        return sealed


class _Cipher:
    def __init__(self, header: Header, keys: TenantKeys) -> None:
        self._header = header.packed
        try:
            # HMAC as the key derivation it is: another key for every header, and no header without its tenant's key.
            self._aead = AESGCM(keys.mac(_PURPOSE, self._header, header.key_version))
        except KeyUnavailable as error:
            raise BadArchive(f"{error} Nothing can open this backup.") from error
        self._number = 0

    def seal(self, content: bytes, *, last: bool) -> bytes:
        return self._aead.encrypt(self._nonce(last), content, self._header)

    def open(self, sealed: bytes, *, last: bool) -> bytes:
        number = self._number
        try:
            return self._aead.decrypt(self._nonce(last), sealed, self._header)
        except (InvalidTag, ValueError) as error:
            raise BadArchive(f"This backup is damaged or cut off: part {number + 1} does not open.") from error

    def _nonce(self, last: bool) -> bytes:
        # A number never comes twice under one key, which is this archive's alone.
        nonce = self._number.to_bytes(11) + bytes([last])
        self._number += 1
        return nonce
