"""A signed-in browser."""

from __future__ import annotations

import hashlib
from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT

_TRACE = personal(
    "technical",
    erase="delete_row",
    purpose="security",
    basis="legitimate_interest",
    retention="login",
    source="system",
)


class Login(Base):
    """One login. The cookie holds a random secret; this row holds only its SHA-256."""

    __tablename__ = "login"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(retention="login", erase="delete_row")
    )
    browser_id: Mapped[str] = mapped_column(ForeignKey("known_browser.id"), info=TECHNICAL)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=TECHNICAL)
    address: Mapped[str] = mapped_column(String(45), info=_TRACE)
    user_agent: Mapped[str] = mapped_column(String(400), info=_TRACE)
    # What it was proved with, for example "password,totp"; and when last: what is sensitive wants that to be fresh.
    factors: Mapped[str] = mapped_column(String(64), default="password", server_default="password", info=TECHNICAL)
    proved_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)
    end_reason: Mapped[str] = mapped_column(String(32), default="", info=TECHNICAL)


def hash_secret(secret: bytes) -> bytes:
    """Return what is stored of a 256-bit random secret. No salt or stretching: it cannot be guessed."""
    return hashlib.sha256(secret).digest()
