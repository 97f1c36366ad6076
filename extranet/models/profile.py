"""What a person tells colleagues about themselves, and what it said before."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now

_CONTACT = personal("contact", erase="null", purpose="directory")
_PROFESSIONAL = personal("professional", erase="null", purpose="directory")
_CHOICE = personal("preference", erase="null", purpose="directory")


class Profile(Base):
    """The optional part of a person's card. Empty text means "not given"."""

    __tablename__ = "profile"

    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), primary_key=True, info=opaque_reference())
    phone: Mapped[str] = mapped_column(String(40), default="", info=_CONTACT)
    mobile: Mapped[str] = mapped_column(String(40), default="", info=_CONTACT)
    street: Mapped[str] = mapped_column(String(200), default="", info=_CONTACT)
    postcode: Mapped[str] = mapped_column(String(20), default="", info=_CONTACT)
    city: Mapped[str] = mapped_column(String(100), default="", info=_CONTACT)
    country: Mapped[str] = mapped_column(String(2), default="", info=_CONTACT)
    position: Mapped[str] = mapped_column(String(100), default="", info=_PROFESSIONAL)
    department: Mapped[str] = mapped_column(String(100), default="", info=_PROFESSIONAL)
    sector: Mapped[str] = mapped_column(String(32), default="", info=_PROFESSIONAL)
    interests: Mapped[str] = mapped_column(String(500), default="", info=_PROFESSIONAL)
    about: Mapped[str] = mapped_column(Text, default="", info=personal("content", erase="null", purpose="directory"))
    contact_channel: Mapped[str] = mapped_column(String(16), default="email", info=_CHOICE)
    phone_visibility: Mapped[str] = mapped_column(String(16), default="company", info=_CHOICE)
    mobile_visibility: Mapped[str] = mapped_column(String(16), default="company", info=_CHOICE)
    address_visibility: Mapped[str] = mapped_column(String(16), default="admins", info=_CHOICE)
    interests_visibility: Mapped[str] = mapped_column(String(16), default="company", info=_CHOICE)


class ProfileVersion(Base):
    """One change to a person's name or profile: ``changes`` is JSON, a list of [field, old, new]."""

    __tablename__ = "profile_version"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(ForeignKey("user.id"), index=True, info=opaque_reference(erase="delete_row"))
    changed_by: Mapped[str] = mapped_column(String(ID_LENGTH), info=opaque_reference())
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    changes: Mapped[str] = mapped_column(
        Text, info=personal("identity", erase="delete_row", purpose="directory", source="system")
    )
