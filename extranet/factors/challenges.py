"""What a passkey signs: made from the browser's own session cookie, good for five minutes and one answer.

Nothing is stored when one is made, so visitors who ask for many fill no table; what was answered is noted.
"""

from __future__ import annotations

import hashlib
import secrets
import struct
import time
from dataclasses import dataclass
from enum import StrEnum

from sqlalchemy import delete, text
from sqlalchemy.orm import Session

from extranet.models import UsedChallenge
from tenants.keys import TenantKeys, same

LIFE_SECONDS = 300
_PURPOSE = "passkey-challenge"
_HEAD = struct.Struct(">I16s")
_MAC_LENGTH = 32
_USE = text("INSERT INTO used_challenge (challenge_hash, at) VALUES (:hash, :at) ON CONFLICT DO NOTHING")


class Ceremony(StrEnum):
    """What the signature is for: one given for this is worthless for that."""

    ADD = "add"
    SIGN_IN = "sign-in"
    SECOND_STEP = "second-step"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Binding:
    """Ties a challenge to one purpose and to the secrets of one browser's session cookie."""

    ceremony: Ceremony
    session: bytes

    def message(self, head: bytes) -> bytes:
        """Return what is put under the tenant's MAC."""
        return b"/".join((self.ceremony.encode(), head.hex().encode(), self.session))


def make_challenge(keys: TenantKeys, binding: Binding) -> bytes:
    """Return a fresh challenge: until when, 128 random bits, and the tenant's MAC over these and the binding."""
    head = _HEAD.pack(int(time.time()) + LIFE_SECONDS, secrets.token_bytes(16))
    return head + keys.mac(_PURPOSE, binding.message(head))


def is_ours(keys: TenantKeys, challenge: bytes, binding: Binding) -> bool:
    """Tell whether a challenge was made here for this very browser and purpose, in the last five minutes."""
    if len(challenge) != _HEAD.size + _MAC_LENGTH:
        return False
    head, mac = challenge[: _HEAD.size], challenge[_HEAD.size :]
    expires, _ = _HEAD.unpack(head)
    return same(mac, keys.mac(_PURPOSE, binding.message(head))) and bool(expires > time.time())


def use_up(db: Session, challenge: bytes) -> bool:
    """Note that a challenge was answered; tell whether it was the first time."""
    now = int(time.time())
    db.execute(delete(UsedChallenge).where(UsedChallenge.at < now - 2 * LIFE_SECONDS))
    used = db.execute(_USE, {"hash": hashlib.sha256(challenge).digest(), "at": now})
    return bool(used.rowcount == 1)  # type: ignore[attr-defined]
