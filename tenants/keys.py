"""The key hierarchy: master key -> key-encryption key per tenant -> wrapped tenant key -> sub-keys by purpose.

A key that is missing or unreadable is an error, always: making a new one silently would orphan every sealed byte.
"""

from __future__ import annotations

import base64
import hmac
import math
import os
import re
import secrets
import stat
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from tenants.durable import write_new
from tenants.errors import BadSeal, KeyUnavailable
from tenants.sealing import Sealer, derive, key_version_of, mac

PLATFORM = UUID(int=0)
"""The platform's own keys (operator journal, address throttle) are wrapped like a tenant's, under this id."""

_KEY_LENGTH = 32
_LINE = re.compile(r"(mk[1-9][0-9]{0,3}):([A-Za-z0-9+/]{43}=)", re.ASCII)
_REREAD_SECONDS = 1.0


class MasterKeys:
    """The master keys by id. The last line of the file is the one that wraps new keys.

    With the ``file`` they are from, they notice when it has been given another line.
    """

    def __init__(self, keys: Mapping[str, bytes], file: Path | None = None) -> None:
        self._keys = dict(keys)
        self._file = file
        self._read_at = -math.inf

    @property
    def newest(self) -> str:
        """The id of the key that wraps."""
        return list(self._keys)[-1]

    @property
    def ids(self) -> list[str]:
        """All ids, the oldest first."""
        return list(self._keys)

    def read_again(self) -> None:
        """Take what is in the file now, and nothing else; raise KeyUnavailable."""
        if self._file is not None:
            self._read_at = time.monotonic()
            self._keys = _read_file(self._file)

    def wrap(self, tenant: UUID, version: int, key: bytes, master_id: str = "") -> bytes:
        """Wrap a tenant's key with AES-KW (40 bytes) under one master key, or the newest."""
        return aes_key_wrap(self._key_encryption_key(master_id or self.newest, tenant, version), key)

    def unwrap(self, master_id: str, tenant: UUID, version: int, wrapped: bytes) -> bytes:
        """Return a tenant's key; raise KeyUnavailable when it was wrapped for another tenant or master key."""
        try:
            return aes_key_unwrap(self._key_encryption_key(master_id, tenant, version), wrapped)
        except (InvalidUnwrap, ValueError) as error:
            raise KeyUnavailable(f"The key of tenant {tenant} does not open with master key {master_id}.") from error

    def _key_encryption_key(self, master_id: str, tenant: UUID, version: int) -> bytes:
        if master_id not in self._keys and time.monotonic() - self._read_at >= _REREAD_SECONDS:
            # The operators have added a key since this process began. Not more than once a second: a key that is
            # really missing must not make every request read the file.
            self.read_again()
        try:
            master = self._keys[master_id]
        except KeyError as error:
            raise KeyUnavailable(f"The master key file has no key {master_id}.") from error
        # AES-KW has no associated data: deriving by tenant is what ties a wrapped key to its owner.
        info = tenant.bytes + version.to_bytes(2)
        return HKDF(algorithm=hashes.SHA256(), length=_KEY_LENGTH, salt=b"extranet/kek/v1", info=info).derive(master)


@dataclass(frozen=True, slots=True)
class Ring:
    """One tenant's 32-byte keys by version, and from which moment on (Unix time) some of them open nothing."""

    keys: Mapping[int, bytes] = field(repr=False)
    retired: Mapping[int, float] = field(default_factory=dict)

    @property
    def newest(self) -> int:
        """The version that seals."""
        return max(self.keys)


class TenantKeys:
    """Everything one tenant's keys can do. ``keys`` maps key versions to 32-byte keys; the highest seals.

    ``look`` returns the ring as it is now, asked before each use; with True, as it is at this very moment.
    """

    def __init__(self, tenant: UUID, keys: Mapping[int, bytes], look: Callable[[bool], Ring] | None = None) -> None:
        self._tenant = tenant
        ring = Ring(dict(keys))
        self._look = look or (lambda _at_once: ring)
        # Bounded by what the code asks for: a handful of purposes by at most a few versions.
        self._sealer = lru_cache(maxsize=64)(self._make_sealer)
        self._mac_key = lru_cache(maxsize=64)(self._make_mac_key)

    def seal(self, purpose: str, plaintext: bytes, context: bytes = b"") -> bytes:
        """Seal with the newest key for ``purpose`` and ``context``."""
        return self._sealer(self._look(False).newest, purpose).seal(plaintext, context)

    def open(self, purpose: str, token: bytes, context: bytes = b"") -> bytes:
        """Open what any living key of this tenant sealed for the same purpose and context; raise BadSeal otherwise."""
        version = key_version_of(token)
        ring = self._look(False)
        if version > ring.newest:
            # Another process may have sealed it with a key that was made a moment ago.
            ring = self._look(True)
        if version not in ring.keys:
            raise BadSeal("Sealed with a key this tenant does not have.")
        if ring.retired.get(version, math.inf) <= time.time():
            raise BadSeal("Sealed with a key that has been retired.")
        return self._sealer(version, purpose).open(token, context)

    def mac(self, purpose: str, message: bytes, version: int = 1) -> bytes:
        """Return the HMAC of ``message`` under this tenant's sub-key for ``purpose``.

        Bound to key version 1 unless told: look-ups by MAC must give the same answer after a rotation.
        """
        if version not in self._look(False).keys:
            raise KeyUnavailable(f"Tenant {self._tenant} has no key version {version}.")
        return mac(self._mac_key(version, purpose), message)

    @property
    def newest(self) -> int:
        """The version that seals."""
        return self._look(False).newest

    def with_retired(self) -> TenantKeys:
        """Return keys that open what retired ones sealed: for operators who re-seal it, as after an old restore."""
        return TenantKeys(self._tenant, self._look(True).keys)

    def _make_sealer(self, version: int, purpose: str) -> Sealer:
        return Sealer(self._look(False).keys[version], self._tenant, purpose, version)

    def _make_mac_key(self, version: int, purpose: str) -> bytes:
        return derive(self._look(False).keys[version], f"mac/{purpose}")


def new_key() -> bytes:
    """Return a fresh random 32-byte key."""
    return secrets.token_bytes(_KEY_LENGTH)


def same(left: bytes, right: bytes) -> bool:
    """Compare two secrets without telling by time where they differ."""
    return hmac.compare_digest(left, right)


def create_master_key(path: Path) -> None:
    """Write a new master key file, mode 0400; raise KeyUnavailable when one exists already."""
    try:
        write_new(path, b"mk1:" + base64.b64encode(new_key()) + b"\n", mode=0o400)
    except FileExistsError as error:
        raise KeyUnavailable(f"{path} exists already and was left as it is.") from error
    except OSError as error:
        raise KeyUnavailable(f"The master key cannot be written to {path}: {error.strerror}.") from error


def read_master_keys(path: Path) -> MasterKeys:
    """Read the master key file; raise KeyUnavailable when it is missing, malformed or open to others."""
    return MasterKeys(_read_file(path), path)


def _read_file(path: Path) -> dict[str, bytes]:
    try:
        # O_NONBLOCK: a named pipe in the key's place must not hang the start.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise KeyUnavailable(f"The master key {path} cannot be read: {error.strerror}.") from error
    with os.fdopen(descriptor, "rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        if not stat.S_ISREG(mode):
            raise KeyUnavailable(f"The master key {path} is not a regular file.")
        if mode & 0o077:
            raise KeyUnavailable(f"The master key {path} is readable by others: chmod 0400 it and rotate the key.")
        content = file.read(65536)
    return _parse_master_keys(path, content)


def _parse_master_keys(path: Path, content: bytes) -> dict[str, bytes]:
    keys: dict[str, bytes] = {}
    for line in content.decode("ascii", "replace").split():
        match = _LINE.fullmatch(line)
        if match is None or match[1] in keys:
            raise KeyUnavailable(f"The master key {path} is malformed.")
        keys[match[1]] = base64.b64decode(match[2])
    if not keys:
        raise KeyUnavailable(f"The master key {path} is empty.")
    return keys
