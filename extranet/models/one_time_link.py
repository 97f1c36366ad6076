"""A link that does one thing once for one person: a new password, a new address, or taking either back."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT
from tenants.sealed_columns import Sealed


class LinkPurpose(StrEnum):
    """What a link is good for; its token is bound to it."""

    RESET = "reset"
    CONFIRM_EMAIL = "confirm_email"
    UNDO_EMAIL = "undo_email"
    REPORT_STRANGER = "report_stranger"


DETAIL_SEAL = Sealed("one_time_link", context="id")


class OneTimeLink(Base):
    """One link. Only a MAC of its token is kept; it ends by use, by age, by a newer one or when the account changes.

    ``detail`` is what it will do it with, for example the new address.
    """

    __tablename__ = "one_time_link"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    purpose: Mapped[str] = mapped_column(String(16), info=TECHNICAL)
    token_mac: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(retention="invitation", erase="delete_row")
    )
    detail: Mapped[bytes] = mapped_column(
        LargeBinary,
        default=b"",
        info={
            **personal("contact", erase="delete_row", export=False, retention="invitation", source="user"),
            **DETAIL_SEAL.info,
        },
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=TECHNICAL)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    end_reason: Mapped[str] = mapped_column(String(16), default="", info=TECHNICAL)
