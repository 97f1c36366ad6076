"""Administration > Usage: how many people, how often they sign in, how much is stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from babel.numbers import format_decimal
from sqlalchemy import Row, func, select, text
from sqlalchemy.orm import Session

from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.finding import count_roles, count_states, count_without_factor
from extranet.admin.words import ROLES
from extranet.i18n import current_language
from extranet.models import Company, Invitation, UserState, security_event_table
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.request import pages
from extranet.request.access import for_support
from extranet.request.current import current
from extranet.security_log.events import Event

_UNITS = ("B", "kB", "MB", "GB", "TB")
# Octets, as French calls bytes.
_FRENCH_UNITS = ("o", "ko", "Mo", "Go", "To")


@dataclass(frozen=True, slots=True)
class SignIns:
    """How often somebody signed in since a moment, and how many people did."""

    since: datetime
    times: int
    people: int


@blueprint.get("/usage")
@for_admins
@for_support
def usage() -> str:
    """Show the figures."""
    states = count_states(current.db)
    without, admins_without = count_without_factor(current.db)
    files, bytes_of_files = current.files.measure()
    month = _month(current.db)
    return pages.render(
        "admin/usage.html",
        states=states,
        total=sum(states.values()),
        active=states[UserState.ACTIVE],
        by_role=count_roles(current.db),
        roles=ROLES,
        without_factor=without,
        admins_without=admins_without,
        open_invitations=_open_invitations(current.db),
        sign_ins=_sign_ins(current.db, month),
        month=format_datetime(month, "LLLL y", locale=current_language()),
        files=files,
        file_size=spelled(bytes_of_files),
        database_size=spelled(database_bytes(current.db)),
        total_size=spelled(bytes_of_files + database_bytes(current.db)),
    )


def database_bytes(db: Session) -> int:
    """Return how much room a tenant's database takes."""
    if db.get_bind().dialect.name == "sqlite":
        asked = "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
    else:
        asked = "SELECT pg_database_size(current_database())"
    return int(db.execute(text(asked)).scalar_one())


def spelled(size: int) -> str:
    """Return a number of bytes as people read it, in thousands."""
    amount, unit = float(size), 0
    while amount >= 1000 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    number = format_decimal(amount, "#,##0.#" if unit else "#,##0", locale=current_language())
    units = _FRENCH_UNITS if current_language() == "fr" else _UNITS
    return f"{number}\N{NO-BREAK SPACE}{units[unit]}"


def _month(db: Session) -> datetime:
    zone = ZoneInfo(db.get_one(Company, THE_COMPANY).time_zone)
    return utc_now().astimezone(zone).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def _sign_ins(db: Session, since: datetime) -> SignIns:
    columns = security_event_table.c
    # Moments lie there as text in one spelling, so that they sort like what they say.
    begin = since.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    counted = select(func.count(), func.count(func.distinct(columns.actor)))
    row: Row[int, int] = db.execute(counted.where(columns.event == Event.SIGNED_IN, columns.at >= begin)).one()
    return SignIns(since, row[0], row[1])


def _open_invitations(db: Session) -> int:
    alive = (Invitation.ended_at.is_(None), Invitation.expires_at > utc_now())
    return db.execute(select(func.count()).select_from(Invitation).where(*alive)).scalar_one()
