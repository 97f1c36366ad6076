"""Support access: what the operator's staff asked for, what the company granted, and each visit made under it."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Boolean, ForeignKey, Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, utc_now
from tenants.marks import OF_ONE_TENANT


class SupportGrant(Base):
    """One request of one of the operator's staff, and its answer. It stands from ``answered_at`` to ``expires_at``.

    Not granted: ``expires_at`` is NULL. Over: ``ended_at`` is set, or ``expires_at`` has passed.
    """

    __tablename__ = "support_grant"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    # The operator's people, not the company's: their names are in the operator's hands (the registry's staff).
    staff: Mapped[str] = mapped_column(String(24), info=TECHNICAL)
    staff_name: Mapped[str] = mapped_column(String(100), info=TECHNICAL)
    reason: Mapped[str] = mapped_column(String(500), info=TECHNICAL)
    hours: Mapped[int] = mapped_column(Integer, info=TECHNICAL)
    # Asked for; what is granted may be less, and is what counts once answered.
    writes: Mapped[bool] = mapped_column(Boolean, default=False, info=TECHNICAL)
    asked_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    answered_by: Mapped[str | None] = mapped_column(ForeignKey("user.id"), info=opaque_reference(retention="security"))
    answered_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True, info=TECHNICAL)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    end_reason: Mapped[str] = mapped_column(String(16), default="", info=TECHNICAL)


class SupportVisit(Base):
    """One browser of the staff's, let in by a one-time link. The row holds no secret, only what one is known by."""

    __tablename__ = "support_visit"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    grant_id: Mapped[str] = mapped_column(ForeignKey("support_grant.id"), index=True, info=TECHNICAL)
    # The MAC of the link's token until it is opened (``started_at``), the hash of the cookie's secret from then on.
    secret_hash: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True, info=TECHNICAL)
    made_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    last_seen_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    end_reason: Mapped[str] = mapped_column(String(16), default="", info=TECHNICAL)
