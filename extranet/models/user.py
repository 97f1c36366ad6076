"""An account: who may sign in, as what, and how they want to see the pages."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Boolean, Integer, LargeBinary, String, true
from sqlalchemy.orm import Mapped, mapped_column

from extranet.models.base import ID_LENGTH, TECHNICAL, Base, UtcDateTime, new_id, opaque_reference, personal, utc_now
from tenants.sealed_columns import Sealed


class Role(StrEnum):
    """What a user may do in their tenant."""

    ADMIN = "admin"
    MANAGER = "manager"
    MEMBER = "member"
    GUEST = "guest"


class UserState(StrEnum):
    """Whether a user may sign in: an invited one has no password yet, a disabled one may not."""

    INVITED = "invited"
    ACTIVE = "active"
    DISABLED = "disabled"


_IDENTITY = personal("identity", erase="pseudonym")
_PREFERENCE = personal("preference", erase="null")

PASSWORD_SEAL = Sealed("password", context="id")


class User(Base):
    """A person with an account. ``password`` is the sealed Argon2id string, empty until one is chosen."""

    __tablename__ = "user"

    id: Mapped[str] = mapped_column(String(ID_LENGTH), primary_key=True, default=new_id, info=opaque_reference())
    username: Mapped[str] = mapped_column(
        String(64), unique=True, info=personal("identity", erase="pseudonym", source="admin")
    )
    email: Mapped[str] = mapped_column(String(254), unique=True, info=personal("contact", erase="null", source="admin"))
    first_name: Mapped[str] = mapped_column(String(100), info=_IDENTITY)
    last_name: Mapped[str] = mapped_column(String(100), info=_IDENTITY)
    role: Mapped[str] = mapped_column(String(16), info=personal("professional", erase="keep", source="admin"))
    state: Mapped[str] = mapped_column(String(16), info=personal("technical", erase="keep", source="system"))
    password: Mapped[bytes] = mapped_column(
        LargeBinary,
        default=b"",
        info={**personal("technical", erase="null", purpose="security", export=False), **PASSWORD_SEAL.info},
    )
    password_changed_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=personal("technical", erase="null", purpose="security", source="system")
    )
    must_change_password: Mapped[bool] = mapped_column(
        Boolean, default=False, info=personal("technical", erase="keep", purpose="security", source="system")
    )
    avatar: Mapped[str] = mapped_column(String(32), default="", info=personal("identity", erase="null"))
    language: Mapped[str] = mapped_column(String(8), info=_PREFERENCE)
    time_zone: Mapped[str] = mapped_column(String(64), info=_PREFERENCE)
    date_format: Mapped[str] = mapped_column(String(16), default="locale", info=_PREFERENCE)
    clock: Mapped[str] = mapped_column(String(8), default="24h", info=_PREFERENCE)
    theme: Mapped[str] = mapped_column(String(16), default="system", info=_PREFERENCE)
    density: Mapped[str] = mapped_column(String(16), default="comfortable", info=_PREFERENCE)
    rows_per_page: Mapped[int] = mapped_column(Integer, default=25, info=_PREFERENCE)
    reduce_motion: Mapped[bool] = mapped_column(Boolean, default=False, info=_PREFERENCE)
    wants_browser_mail: Mapped[bool] = mapped_column(Boolean, default=True, server_default=true(), info=_PREFERENCE)
    # What authenticators know the person by: random, so that it tells nothing.
    passkey_handle: Mapped[bytes | None] = mapped_column(
        LargeBinary(32), info=personal("technical", erase="null", purpose="security", source="system")
    )
    # When an administrator read what the logs are for, and what not.
    log_notice_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=personal("technical", erase="null", purpose="security", source="system")
    )
    # The logins themselves are removed after a while.
    last_sign_in_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, info=personal("technical", erase="null", purpose="security", source="system")
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, info=TECHNICAL)

    @property
    def is_shut(self) -> bool:
        """Whether a stranger was in the account: nobody comes in, whatever they prove, before a link set a password.

        Whoever never had a password is not shut out for that: they come by way of the company's identity provider.
        """
        return self.must_change_password and not self.password

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"
