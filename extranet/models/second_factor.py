"""What a person proves who they are with besides a password: an authenticator app, passkeys, recovery codes."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Boolean, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT
from tenants.sealed_columns import Sealed

_MINE = opaque_reference(erase="delete_row", purpose="security")
_SECRET = personal("technical", erase="delete_row", purpose="security", export=False, source="system")
_TRACE = personal("technical", erase="delete_row", purpose="security", source="system")

TOTP_SEAL = Sealed("totp", context="user_id")


class Totp(Base):
    """A person's authenticator app. It counts once a code of it was typed: ``confirmed_at``.

    ``last_step`` is the newest time step whose code was accepted: no code works twice, nor one before it.
    """

    __tablename__ = "totp"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), primary_key=True, info=_MINE)
    secret: Mapped[bytes] = mapped_column(LargeBinary, info={**_SECRET, **TOTP_SEAL.info})
    last_step: Mapped[int] = mapped_column(BigInteger, default=0, info=TECHNICAL)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    confirmed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)


class Passkey(Base):
    """A passkey, good at this tenant's host alone. Only its public half is here."""

    __tablename__ = "passkey"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), index=True, info=_MINE)
    credential_id: Mapped[bytes] = mapped_column(LargeBinary(1023), unique=True, info=_TRACE)
    public_key: Mapped[bytes] = mapped_column(LargeBinary, info=_TRACE)
    sign_count: Mapped[int] = mapped_column(BigInteger, default=0, info=TECHNICAL)
    aaguid: Mapped[str] = mapped_column(String(36), default="", info=_TRACE)
    transports: Mapped[str] = mapped_column(String(100), default="", info=_TRACE)
    is_backed_up: Mapped[bool] = mapped_column(Boolean, default=False, info=_TRACE)
    name: Mapped[str] = mapped_column(
        String(60), info=personal("technical", erase="delete_row", purpose="security", source="user")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)


class RecoveryCode(Base):
    """One of ten codes for whoever has lost the rest. Only a MAC is kept; it works once."""

    __tablename__ = "recovery_code"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), index=True, info=_MINE)
    code_mac: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)


class PendingSignIn(Base):
    """A password that was right, waiting five minutes for the second factor. It opens nothing but that step."""

    __tablename__ = "pending_sign_in"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(retention="login", erase="delete_row")
    )
    factors: Mapped[str] = mapped_column(String(64), info=TECHNICAL)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True, info=TECHNICAL)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)


class UsedChallenge(Base):
    """A passkey challenge that was answered: the challenge itself is made from the cookie, and may be answered once."""

    __tablename__ = "used_challenge"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    challenge_hash: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True, info=TECHNICAL)
    at: Mapped[int] = mapped_column(Integer, index=True, info=TECHNICAL)
