"""The passwords somebody had before, as hashes: none of the last five is taken again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, LargeBinary, String
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.marks import OF_ONE_TENANT
from tenants.sealed_columns import Sealed

PREVIOUS_PASSWORD_SEAL = Sealed("previous_password", context="user_id")


class PreviousPassword(Base):
    """One password somebody had: a sealed Argon2id string, as in ``user``."""

    __tablename__ = "previous_password"
    __table_args__ = ({"info": OF_ONE_TENANT},)

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=TECHNICAL)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("user.id"), index=True, info=opaque_reference(erase="delete_row", purpose="security")
    )
    password: Mapped[bytes] = mapped_column(
        LargeBinary,
        info={
            **personal("technical", erase="delete_row", purpose="security", export=False),
            **PREVIOUS_PASSWORD_SEAL.info,
        },
    )
    replaced_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)
