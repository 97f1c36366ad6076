"""The company's identity provider, whom of its people it stands for, and what each of them consented to."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT
from tenants.sealed_columns import Sealed

THE_PROVIDER = 1

CLIENT_SECRET_SEAL = Sealed("identity-provider", context="id")

_MINE = opaque_reference(erase="delete_row", purpose="security")
_TRACE = personal("technical", erase="delete_row", purpose="security", source="system")


class IdentityProvider(Base):
    """Where this company's people sign in elsewhere (OpenID Connect). At most one; off until somebody turns it on.

    ``issuer`` names it for good: whoever it vouches for is known by issuer and subject, never by a mail address.
    """

    __tablename__ = "identity_provider"
    # Its answers are good for the addresses of one tenant, and its client is registered for them.
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[int] = mapped_column(
        Integer, primary_key=True, autoincrement=False, default=THE_PROVIDER, info=TECHNICAL
    )
    name: Mapped[str] = mapped_column(String(60), info=TECHNICAL)
    issuer: Mapped[str] = mapped_column(String(500), info=TECHNICAL)
    client_id: Mapped[str] = mapped_column(String(200), info=TECHNICAL)
    client_secret: Mapped[bytes] = mapped_column(
        LargeBinary, default=b"", info={**TECHNICAL, **CLIENT_SECRET_SEAL.info}
    )
    is_enabled: Mapped[bool] = mapped_column(Boolean, default=False, info=TECHNICAL)
    # Whether whom it vouches for gets an account at once; else only whoever was invited, or links their account.
    creates_people: Mapped[bool] = mapped_column(Boolean, default=False, info=TECHNICAL)
    # Only people with a verified address in one of these get one, separated by blanks; "": any.
    email_domains: Mapped[str] = mapped_column(String(500), default="", info=TECHNICAL)
    # Whether it asks for a second factor itself, so that ours need not.
    proves_second_factor: Mapped[bool] = mapped_column(Boolean, default=False, info=TECHNICAL)
    # Which claim tells the role ("": none does), and JSON: which of its values means which role.
    role_claim: Mapped[str] = mapped_column(String(100), default="", info=TECHNICAL)
    role_values: Mapped[str] = mapped_column(Text, default="{}", info=TECHNICAL)
    changed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)


class Identity(Base):
    """One account, linked to whom an identity provider vouches for. ``name`` is what they are called there."""

    __tablename__ = "identity"
    __table_args__ = (
        UniqueConstraint("issuer", "subject"),
        UniqueConstraint("user_id", "issuer"),
        {"info": OF_ONE_TENANT},
    )

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), info=_MINE)
    issuer: Mapped[str] = mapped_column(String(500), info=_TRACE)
    subject: Mapped[str] = mapped_column(String(255), info=_TRACE)
    name: Mapped[str] = mapped_column(String(254), info=personal("contact", erase="delete_row", source="system"))
    linked_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)


class Consent(Base):
    """What somebody agreed to, which text they had read, and when they took it back. Rows are never changed otherwise.

    ``detail`` says with whom or what about, for example an identity provider's issuer.
    """

    __tablename__ = "consent"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(erase="delete_row", purpose="account")
    )
    purpose: Mapped[str] = mapped_column(String(32), info=personal("preference", erase="delete_row", basis="consent"))
    detail: Mapped[str] = mapped_column(String(500), info=personal("preference", erase="delete_row", basis="consent"))
    text_version: Mapped[str] = mapped_column(String(16), info=TECHNICAL)
    given_at: Mapped[datetime] = mapped_column(
        UtcDateTime, default=utc_now, info=personal("preference", erase="delete_row", basis="consent")
    )
    withdrawn_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=personal("preference", erase="delete_row", basis="consent")
    )
