"""Who is signed in, as every page needs to know them: read in one query, never written through."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask_login import UserMixin

from extranet.factors.policy import has_proved_second, is_asked, is_due
from extranet.models import Role
from extranet.models.base import utc_now

PROOF_LIFE = timedelta(minutes=10)
"""How long after proving who one is what is sensitive stays open."""

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
class Visit:
    """What somebody of the operator's support was granted who is here now."""

    writes: bool
    until: datetime


@dataclass(frozen=True, slots=True)
class SignedIn(UserMixin):  # type: ignore[misc]
    """The signed-in person and the login they came with.

    ``support_until``: how long support has access, when it has. ``visit`` is set for who is of support themselves: they
    have no account, and ``login_id`` is that of the visit.
    """

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
    proved_at: datetime | None
    factors: str
    user_agent: str
    idle_minutes: int
    has_factor: bool
    second_factor: str
    second_factor_from: datetime | None
    accent_hue: int
    logo: str
    support_until: datetime | None
    visit: Visit | None = None

    @property
    def name(self) -> str:
        """First and last name."""
        return f"{self.first_name} {self.last_name}".strip()

    @property
    def initials(self) -> str:
        """First letters of both names."""
        return (self.first_name[:1] + self.last_name[:1]).upper()

    @property
    def avatar_url(self) -> str | None:
        """Where the picture is; None draws the initials."""
        return f"/people/{self.id}/avatar?v={self.avatar[:8]}" if self.avatar else None

    @property
    def is_proved(self) -> bool:
        """Whether they proved who they are a short while ago."""
        return self.proved_at is not None and utc_now() - self.proved_at < PROOF_LIFE

    @property
    def factor_is_asked(self) -> bool:
        """Whether their company asks them, now or soon, for a second factor that they have not."""
        return not self._has_second and is_asked(self.role, self.second_factor, self.second_factor_from)

    @property
    def factor_is_due(self) -> bool:
        """Whether they have to set one up before anything else."""
        return not self._has_second and is_due(self.role, self.second_factor, self.second_factor_from)

    @property
    def _has_second(self) -> bool:
        return self.has_factor or has_proved_second(self.factors)

    @property
    def may_change(self) -> bool:
        """Whether they may do more than read, as far as their role goes: support only where that was granted."""
        return self.visit is None or self.visit.writes

    @property
    def is_admin(self) -> bool:
        """Whether they run this tenant."""
        return self.role == Role.ADMIN
