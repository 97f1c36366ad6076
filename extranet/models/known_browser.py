"""A browser that has signed one person in before."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT

_TRACE = personal(
    "technical",
    erase="delete_row",
    purpose="security",
    basis="legitimate_interest",
    retention="browser",
    source="system",
)


class KnownBrowser(Base):
    """Recognises a browser for one person; two people at one browser have a row each. It never signs anyone in."""

    __tablename__ = "known_browser"
    __table_args__ = (UniqueConstraint("device_hash", "user_id"), {"info": OF_ONE_TENANT})

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    device_hash: Mapped[bytes] = mapped_column(LargeBinary(32), info=_TRACE)
    # The id changes with every sign-in; the one before it is good for a minute more, and a sign of theft after that.
    previous_hash: Mapped[bytes | None] = mapped_column(LargeBinary(32), index=True, info=_TRACE)
    rotated_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(retention="browser", erase="delete_row")
    )
    name: Mapped[str] = mapped_column(
        String(60), info=personal("technical", erase="delete_row", purpose="security", retention="browser")
    )
    first_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    last_seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=_TRACE)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, info=TECHNICAL)
    forgotten_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=_TRACE)
