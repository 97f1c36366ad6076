"""A one-time link that lets one person choose a password."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, utc_now
from tenants.marks import OF_ONE_TENANT


class Invitation(Base):
    """One invitation. Only a MAC of its token is kept; it ends by use, by age or by a newer one."""

    __tablename__ = "invitation"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    token_mac: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(retention="invitation", erase="delete_row")
    )
    invited_by: Mapped[str] = mapped_column(String(64), info=opaque_reference(retention="invitation"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=TECHNICAL)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    end_reason: Mapped[str] = mapped_column(String(16), default="", info=TECHNICAL)
