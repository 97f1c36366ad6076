"""Finding people: searched, filtered, sorted and in pages, each by the database in a bounded number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from extranet.models import Identity, IdentityProvider, Passkey, Profile, Role, Totp, User, UserState

LONGEST_SEARCH = 100
_MOST_WORDS = 6

HAS_SECOND_FACTOR = or_(
    exists().where(Totp.user_id == User.id, Totp.confirmed_at.is_not(None)), exists().where(Passkey.user_id == User.id)
)
"""Whether somebody has set up more than a password."""
HAS_IDENTITY = exists().where(Identity.user_id == User.id, Identity.issuer == IdentityProvider.issuer)
"""Whether somebody is linked with the company's identity provider as it is stored now."""

_COLUMNS = (
    User.id,
    User.first_name,
    User.last_name,
    User.username,
    User.email,
    User.role,
    User.state,
    User.avatar,
    User.created_at,
    Profile.department,
    HAS_SECOND_FACTOR.label("has_second_factor"),
    HAS_IDENTITY.label("is_linked"),
    User.last_sign_in_at.label("last_sign_in"),
)
_PROFILE_OF = Profile.user_id == User.id
_BY_NAME = (func.lower(User.last_name), func.lower(User.first_name))
_ORDERS: dict[str, tuple[Any, ...]] = {
    "name": _BY_NAME,
    "username": (User.username,),
    "email": (User.email,),
    "department": (func.lower(Profile.department), *_BY_NAME),
    "role": (User.role, *_BY_NAME),
    "state": (User.state, *_BY_NAME),
    "factor": (HAS_SECOND_FACTOR, *_BY_NAME),
    "sign_on": (HAS_IDENTITY, *_BY_NAME),
    "last": (User.last_sign_in_at, *_BY_NAME),
    "created": (User.created_at, *_BY_NAME),
}
SORTS = tuple(_ORDERS)
"""What people can be sorted by."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whom somebody looks for. "" stands for no matter."""

    text: str = ""
    role: str = ""
    state: str = ""
    factor: str = ""
    signed_in: str = ""
    sign_on: str = ""
    sort: str = "name"
    descending: bool = False

    @property
    def is_everybody(self) -> bool:
        """Whether nobody is left out."""
        return not (self.text or self.role or self.state or self.factor or self.signed_in or self.sign_on)


@dataclass(frozen=True, slots=True)
class Found:
    """One person of the list."""

    id: str
    first_name: str
    last_name: str
    username: str
    email: str
    role: str
    state: str
    avatar: str
    created_at: datetime
    department: str
    has_second_factor: bool
    is_linked: bool
    last_sign_in: datetime | None

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


def find_people(db: Session, wanted: Wanted, *, offset: int = 0, limit: int | None = None) -> list[Found]:
    """Return who is wanted, in the wanted order."""
    filtered = select(*_COLUMNS).select_from(User).join(Profile, _PROFILE_OF).where(*_conditions(wanted))
    ordered = filtered.order_by(*_order(wanted)).offset(offset).limit(limit)
    # SQLite answers what is true with 1.
    return [
        Found(**{**row._asdict(), **{name: bool(getattr(row, name)) for name in ("has_second_factor", "is_linked")}})
        for row in db.execute(ordered)
    ]


def count_people(db: Session, wanted: Wanted) -> int:
    """Return how many are wanted."""
    counted = select(func.count()).select_from(User).join(Profile, _PROFILE_OF).where(*_conditions(wanted))
    return db.execute(counted).scalar_one()


def count_states(db: Session) -> dict[str, int]:
    """Return how many people there are in each state."""
    counted = select(User.state, func.count()).group_by(User.state)
    return {state.value: 0 for state in UserState} | _counts(db, counted)


def count_roles(db: Session) -> dict[str, int]:
    """Return how many people there are in each role, those deactivated aside."""
    counted = select(User.role, func.count()).where(User.state != UserState.DISABLED).group_by(User.role)
    return {role.value: 0 for role in Role} | _counts(db, counted)


def _counts(db: Session, counted: Select[str, int]) -> dict[str, int]:
    return {name: count for name, count in db.execute(counted)}  # noqa: C416


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    conditions = [_mentions(word) for word in wanted.text.split()[:_MOST_WORDS]]
    if wanted.role:
        conditions.append(User.role == wanted.role)
    if wanted.state:
        conditions.append(User.state == wanted.state)
    if wanted.factor:
        conditions.append(HAS_SECOND_FACTOR if wanted.factor == "yes" else ~HAS_SECOND_FACTOR)
    if wanted.sign_on:
        conditions.append(HAS_IDENTITY if wanted.sign_on == "yes" else ~HAS_IDENTITY)
    if wanted.signed_in:
        ever = User.last_sign_in_at.is_not(None)
        conditions.append(ever if wanted.signed_in == "yes" else ~ever)
    return conditions


def _mentions(word: str) -> ColumnElement[bool]:
    # SQLite knows capitals of English letters only: other spellings of the word stand in for its knowledge of the rest.
    spellings = {word, word.lower(), word.upper(), word.title()}
    fields = (User.first_name, User.last_name, User.username, User.email, Profile.department)
    return or_(*(field.icontains(spelling, autoescape=True) for field in fields for spelling in sorted(spellings)))


def _order(wanted: Wanted) -> list[Any]:
    first, *rest = _ORDERS.get(wanted.sort, _BY_NAME)
    # Nothing comes last either way: who never signed in is no earlier than everybody.
    return [(first.desc() if wanted.descending else first.asc()).nulls_last(), *rest, User.id]


def active_admins(db: Session, *, but: Sequence[str] = ()) -> int:
    """Return how many active administrators there are besides some."""
    others = and_(User.role == Role.ADMIN, User.state == UserState.ACTIVE, User.id.not_in(but))
    return db.execute(select(func.count()).select_from(User).where(others)).scalar_one()


def count_without_factor(db: Session) -> tuple[int, int]:
    """Return how many active people, and how many active administrators of them, have a password and nothing more."""
    without = select(User.role, func.count()).where(User.state == UserState.ACTIVE, ~HAS_SECOND_FACTOR)
    counts = _counts(db, without.group_by(User.role))
    return sum(counts.values()), counts.get(Role.ADMIN, 0)
