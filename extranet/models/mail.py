"""The outbox: mails written in the transaction of their cause, and sent by the worker."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import Integer, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT
from tenants.sealed_columns import Sealed

MAIL_SEAL = Sealed("mail", context="id")


class Mail(Base):
    """One mail to one person. ``content`` is JSON (address, subject, text, HTML), sealed: links in it let people in.

    It is emptied when the mail has left or was given up; the row stays for a while and says what became of it.
    """

    __tablename__ = "mail"
    # A copy of a tenant must not send the original's mails again.
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    kind: Mapped[str] = mapped_column(String(32), info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        String(ID_LENGTH), index=True, info=opaque_reference(retention="mail", erase="delete_row")
    )
    content: Mapped[bytes] = mapped_column(
        LargeBinary,
        info={
            **personal("contact", erase="delete_row", export=False, retention="mail", source="system"),
            **MAIL_SEAL.info,
        },
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
    due_at: Mapped[datetime | None] = mapped_column(UtcDateTime, default=utc_now, index=True, info=TECHNICAL)
    attempts: Mapped[int] = mapped_column(Integer, default=0, info=TECHNICAL)
    leased_until: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    given_up_at: Mapped[datetime | None] = mapped_column(UtcDateTime, info=TECHNICAL)
    fault: Mapped[str] = mapped_column(String(200), default="", info=TECHNICAL)
