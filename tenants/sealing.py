"""Authenticated encryption for one key: AES-256-GCM-SIV, bound to a tenant, a purpose and a context.

GCM-SIV because nonces are random over many workers and a repeated one must not cost confidentiality.
Token: version 1 byte, key version 2 bytes, nonce 12 bytes, ciphertext and tag.
"""

from __future__ import annotations

import hmac
import secrets
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from tenants.errors import BadSeal

_FORMAT = 1
_HEADER = 3
_NONCE = 12
_TAG = 16


def derive(key: bytes, label: str) -> bytes:
    """Return the 32-byte sub-key of ``key`` for ``label`` (HKDF-SHA256)."""
    return HKDFExpand(algorithm=hashes.SHA256(), length=32, info=b"extranet/v1/" + label.encode()).derive(key)


def key_version_of(token: bytes) -> int:
    """Return which version of a tenant's key sealed ``token``; raise BadSeal when it cannot be one."""
    if len(token) < _HEADER + _NONCE + _TAG or token[0] != _FORMAT:
        raise BadSeal("Not a sealed value.")
    return int.from_bytes(token[1:_HEADER])


class Sealer:
    """Seals and opens for one tenant, key version and purpose. Build once, use often: building costs 5 us."""

    def __init__(self, key: bytes, tenant: UUID, purpose: str, key_version: int) -> None:
        self._cipher = AESGCMSIV(derive(key, f"seal/{purpose}"))
        self._key_version = key_version
        self._header = bytes([_FORMAT]) + key_version.to_bytes(2)
        self._bound_to = self._header + tenant.bytes + purpose.encode() + b"\0"

    def seal(self, plaintext: bytes, context: bytes = b"") -> bytes:
        """Return ``plaintext`` sealed; only the same tenant, purpose and ``context`` open it again."""
        nonce = secrets.token_bytes(_NONCE)
        return self._header + nonce + self._cipher.encrypt(nonce, plaintext, self._bound_to + context)

    def open(self, token: bytes, context: bytes = b"") -> bytes:
        """Return what was sealed; raise BadSeal for anything else."""
        if key_version_of(token) != self._key_version:
            raise BadSeal("The seal does not hold.")
        nonce, sealed = token[_HEADER : _HEADER + _NONCE], token[_HEADER + _NONCE :]
        try:
            return self._cipher.decrypt(nonce, sealed, self._bound_to + context)
        except InvalidTag as error:
            raise BadSeal("The seal does not hold.") from error


def mac(key: bytes, message: bytes) -> bytes:
    """Return the 32-byte HMAC-SHA256 of ``message``."""
    return hmac.digest(key, message, "sha256")
