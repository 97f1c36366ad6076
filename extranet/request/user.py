"""Who is signed in, as every page needs to know them: read in one query, never written through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from flask_login import UserMixin

from extranet.models import Role

USER_COLUMNS = (
    "id",
    "username",
    "email",
    "first_name",
    "last_name",
    "role",
    "avatar",
    "language",
    "time_zone",
    "date_format",
    "clock",
    "theme",
    "density",
    "rows_per_page",
    "reduce_motion",
    "must_change_password",
)
"""The columns of ``user`` that every page needs: the first fields of SignedIn, in their order."""


@dataclass(frozen=True, slots=True)
class SignedIn(UserMixin):  # type: ignore[misc]
    """The signed-in person and the login they came with."""

    id: str
    username: str
    email: str
    first_name: str
    last_name: str
    role: str
    avatar: str
    language: str
    time_zone: str
    date_format: str
    clock: str
    theme: str
    density: str
    rows_per_page: int
    reduce_motion: bool
    must_change_password: bool
    login_id: str
    browser_id: str
    last_seen_at: datetime
    expires_at: datetime
    accent_hue: int

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}"

    @property
    def initials(self) -> str:
        """First letters of both names."""
        return (self.first_name[:1] + self.last_name[:1]).upper()

    @property
    def avatar_url(self) -> str | None:
        """Where the picture is; None draws the initials."""
        return f"/people/{self.id}/avatar?v={self.avatar[:8]}" if self.avatar else None

    @property
    def is_admin(self) -> bool:
        """Whether they run this tenant."""
        return self.role == Role.ADMIN
