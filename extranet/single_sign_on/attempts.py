"""One try at signing in elsewhere: what has to be the same when the browser comes back. It lies in a sealed cookie.

No row is written for a visitor who sets out; a try counts once because its state is used up when it is answered.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum

LIFE_SECONDS = 600
_LONGEST_NEXT = 1000


class Purpose(StrEnum):
    """What the answer is for: one given for this is worthless for that."""

    SIGN_IN = "sign_in"
    LINK = "link"
    ACCEPT = "accept"
    CONFIRM = "confirm"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try. ``about`` ties it to the login or the invitation it was begun with; ``consent`` is when they agreed.

    "" as ``consent`` is for whoever agreed long ago.
    """

    purpose: Purpose
    issuer: str
    client_id: str
    state: str
    nonce: str
    verifier: str
    began: int
    about: str = ""
    next: str = ""
    consent: str = ""

    @property
    def consented_at(self) -> datetime | None:
        """When they agreed on the way out, if they were asked."""
        return datetime.fromisoformat(self.consent) if self.consent else None

    @property
    def challenge(self) -> bytes:
        """What is used up when the try is answered."""
        return b"sign-on/" + self.state.encode()

    def sealed_part(self) -> bytes:
        """Return the bytes for the cookie."""
        return json.dumps(asdict(self), separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Errand:
    """What somebody sets out for: the purpose, what it is tied to, and the page they want to see afterwards."""

    purpose: Purpose
    about: str = ""
    next: str = ""


def begin(errand: Errand, issuer: str, client_id: str, consented_at: datetime | None) -> Attempt:
    """Return a new try, with a state, a nonce and a PKCE verifier nobody can guess."""
    return Attempt(
        purpose=errand.purpose,
        issuer=issuer,
        client_id=client_id,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        # 43 letters, the fewest that RFC 7636 allows: 256 bits.
        verifier=secrets.token_urlsafe(32),
        began=int(time.time()),
        about=errand.about,
        next=errand.next if len(errand.next) <= _LONGEST_NEXT else "",
        consent=consented_at.isoformat() if consented_at else "",
    )


def opened(plain: bytes) -> Attempt | None:
    """Return the try of a cookie we sealed; None for none, or one that is too old."""
    if not plain:
        return None
    values = json.loads(plain)
    attempt = Attempt(**{**values, "purpose": Purpose(values["purpose"])})
    return attempt if time.time() < attempt.began + LIFE_SECONDS else None


def tied_to(secret: bytes) -> str:
    """Return what stands for an invitation's token in a try."""
    return hashlib.sha256(secret).hexdigest()
