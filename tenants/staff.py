"""The operator's own people, by name: who may be let into a tenant, and what they signed and learnt before.

A name is never given twice: tenants' logs know people of the staff by nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import ColumnElement, insert, select, update
from sqlalchemy.exc import IntegrityError

from tenants.errors import BadStaff, NoSuchStaff, StaffNotReady, StaffTaken
from tenants.moments import now
from tenants.registry import Registry
from tenants.registry_tables import staff_table

LONGEST_FULL_NAME, LONGEST_EMAIL, LONGEST_COMMITMENT = 100, 254, 200

_NAME = re.compile(r"[a-z][a-z0-9.-]{0,23}", re.ASCII)
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class StaffMember:
    """One of the staff. ``commitment`` says which confidentiality text they signed, and where it is filed."""

    name: str
    full_name: str
    email: str
    added_at: datetime
    committed_on: date | None
    commitment: str
    trained_on: date | None
    left_at: datetime | None

    def lacks(self) -> Iterator[str]:
        """Yield why they may not be let into a tenant now, in words for an operator."""
        if self.left_at is not None:
            yield f"left on {self.left_at:%Y-%m-%d}"
            return
        if self.committed_on is None:
            yield "no signed confidentiality commitment"
        if self.trained_on is None:
            yield "no training in data protection"
        elif is_over_a_year_ago(self.trained_on):
            yield f"last trained in data protection on {self.trained_on}, more than 12 months ago"

    def is_to_be_reviewed(self) -> bool:
        """Tell whether it is a year since anybody thought about whether they still need this."""
        return self.left_at is None and is_over_a_year_ago(self.committed_on or self.added_at.date())

    def check_ready(self) -> None:
        """Raise StaffNotReady unless they may be let into a tenant that grants it."""
        if missing := list(self.lacks()):
            raise StaffNotReady(f"{self.name} may not enter a tenant: {'; '.join(missing)}. See: extranet staff list")


class Staff:
    """Questions about the staff and changes to it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def all(self) -> list[StaffMember]:
        """Return everybody, by name, those who left too."""
        with self._registry.engine.connect() as connection:
            return [StaffMember(*row) for row in connection.execute(select(staff_table).order_by(staff_table.c.name))]

    def by_name(self, name: str) -> StaffMember:
        """Return one of them; raise NoSuchStaff."""
        with self._registry.engine.connect() as connection:
            return _one(connection.execute(select(staff_table).where(staff_table.c.name == name)).one_or_none(), name)

    def add(self, name: str, full_name: str, email: str) -> StaffMember:
        """Add somebody; raise BadStaff or StaffTaken."""
        if not _NAME.fullmatch(name):
            raise BadStaff("A name is 1 to 24 small letters, digits, dots and hyphens, and begins with a letter.")
        full_name = _checked("A full name", full_name, LONGEST_FULL_NAME)
        if len(email) > LONGEST_EMAIL or not email.isprintable() or not _EMAIL.fullmatch(email):
            raise BadStaff(f"{email!r} is not an e-mail address.")
        values = {"name": name, "full_name": full_name, "email": email, "added_at": now(), "commitment": ""}
        try:
            with self._registry.writing() as connection:
                connection.execute(insert(staff_table).values(**values))
        except IntegrityError as error:
            raise StaffTaken(
                f"There is, or once was, a {name!r} among the staff; names are not given twice."
            ) from error
        return self.by_name(name)

    def commit(self, name: str, on: date, commitment: str) -> StaffMember:
        """Note which confidentiality text somebody signed, and when; raise BadStaff or NoSuchStaff."""
        commitment = _checked("Which text, and where it is filed,", commitment, LONGEST_COMMITMENT)
        return self._change(name, committed_on=_not_in_the_future(on), commitment=commitment)

    def train(self, name: str, on: date) -> StaffMember:
        """Note when somebody was trained in data protection; raise BadStaff or NoSuchStaff."""
        return self._change(name, trained_on=_not_in_the_future(on))

    def remove(self, name: str) -> StaffMember:
        """Note that somebody left: whatever they were granted ends at their next request. Raise NoSuchStaff."""
        return self._change(name, left_at=now())

    def _change(self, name: str, **values: Any) -> StaffMember:
        here: ColumnElement[bool] = (staff_table.c.name == name) & staff_table.c.left_at.is_(None)
        with self._registry.writing() as connection:
            changed = update(staff_table).where(here).values(**values).returning(staff_table)
            return _one(connection.execute(changed).one_or_none(), name)


def is_over_a_year_ago(day: date) -> bool:
    """Tell whether it is more than twelve months since a day."""
    try:
        year_after = day.replace(year=day.year + 1)
    except ValueError:
        # 29 February.
        year_after = date(day.year + 1, 3, 1)
    return _today() > year_after


def _one(row: Any, name: str) -> StaffMember:
    if row is None:
        raise NoSuchStaff(f"There is nobody called {name!r} among the staff. See: extranet staff list")
    return StaffMember(*row)


def _not_in_the_future(day: date) -> date:
    if day > _today():
        raise BadStaff(f"{day} is still to come: what will be signed or learnt is noted when it has been.")
    return day


def _checked(what: str, text: str, longest: int) -> str:
    text = text.strip()
    if not 1 <= len(text) <= longest or not text.isprintable():
        raise BadStaff(f"{what} is 1 to {longest} characters on one line.")
    return text


def _today() -> date:
    return datetime.now(UTC).date()
