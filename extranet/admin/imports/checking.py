"""Checking the rows of a file against each other and against who is there already. Changes nothing."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from sqlalchemy import select
from sqlalchemy.orm import Session

from extranet.accounts.names import parse_email, parse_person_name, parse_username
from extranet.admin.imports.columns import FIELDS, REQUIRED, role_called
from extranet.admin.imports.reading import Row
from extranet.admin.proposing import free_name, stem_of
from extranet.errors import Invalid
from extranet.forms import clean
from extranet.i18n import gettext as _
from extranet.models import Role, User

_LONGEST = {"first_name": 100, "last_name": 100, "email": 254, "username": 64, "department": 100, "position": 100}
# Turned text: a name could read as another one.
_DIRECTIONS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_FORMULA = ("=", "+", "-", "@")


class Verdict(StrEnum):
    """What becomes of a row."""

    NEW = "new"
    THERE = "there"
    FAULTY = "faulty"


@dataclass(frozen=True, slots=True)
class Checked:
    """One row: what it says, what becomes of it, and why."""

    line: int
    cells: dict[str, str]
    verdict: Verdict
    why: str = ""
    role: Role = Role.MEMBER


@dataclass(slots=True)
class _Known:
    """Names that are taken: by people who are there, and by the rows before."""

    emails: set[str]
    names: set[str]
    first_line: dict[str, int] = field(default_factory=dict)


def check_rows(db: Session, rows: Sequence[Row], columns: Mapping[str, int]) -> list[Checked]:
    """Return every row with its verdict; the database is asked once."""
    people = db.execute(select(User.username, User.email)).all()
    known = _Known({email for _name, email in people}, {name for person in people for name in person})
    # First the rows that name their own username: a proposed one must not take it away from them.
    parsed = [_Draft(row.line, _cells(row, columns)) for row in rows]
    for draft in sorted(parsed, key=lambda draft: not draft.cells["username"]):
        draft.checked = _check(draft, known)
    return [draft.checked for draft in parsed if draft.checked is not None]


@dataclass(slots=True)
class _Draft:
    line: int
    cells: dict[str, str]
    checked: Checked | None = None


def _cells(row: Row, columns: Mapping[str, int]) -> dict[str, str]:
    found = dict.fromkeys(FIELDS, "")
    for name, place in columns.items():
        found[name] = clean(row.cells[place]) if place < len(row.cells) else ""
    return found


def _check(draft: _Draft, known: _Known) -> Checked:
    cells = draft.cells
    try:
        _refuse_unreadable(cells)
        first_name = parse_person_name(cells["first_name"], "first_name")
        last_name = parse_person_name(cells["last_name"], "last_name")
        email = parse_email(cells["email"])
        role = _role(cells["role"])
        if email in known.emails:
            return Checked(draft.line, cells, Verdict.THERE, _("Somebody with this e-mail address is there already."))
        _refuse_second(known, email, draft.line)
        username = _username(cells, known, first_name, last_name, email)
    except Invalid as refused:
        return Checked(draft.line, cells, Verdict.FAULTY, refused.message)
    known.names |= {username, email}
    known.first_line[email] = draft.line
    filled = {**cells, "first_name": first_name, "last_name": last_name, "email": email, "username": username}
    return Checked(draft.line, filled, Verdict.NEW, role=role)


def _refuse_unreadable(cells: Mapping[str, str]) -> None:
    for name, text in cells.items():
        heading = str(FIELDS[name])
        if name in REQUIRED and not text:
            raise Invalid(name, _("%(heading)s is missing.", heading=heading))
        if len(text) > _LONGEST.get(name, 100):
            raise Invalid(name, _("%(heading)s is too long.", heading=heading))
        if any(unicodedata.category(letter) == "Cc" or letter in _DIRECTIONS or letter == "\ufffd" for letter in text):
            raise Invalid(name, _("%(heading)s contains characters that cannot be shown.", heading=heading))
        if text.startswith(_FORMULA):
            raise Invalid(name, _("%(heading)s begins like a formula.", heading=heading))


def _role(word: str) -> Role:
    if not word:
        return Role.MEMBER
    role = role_called(word)
    if role is None:
        raise Invalid("role", _("There is no role %(name)s.", name=word[:40]))
    if role is Role.ADMIN:
        raise Invalid("role", _("Administrators are not imported. Make somebody one on their own page."))
    return role


def _refuse_second(known: _Known, email: str, line: int) -> None:
    if email in known.first_line:
        first = known.first_line[email]
        raise Invalid("email", _("This e-mail address is in line %(line)s too.", line=min(first, line)))


def _username(cells: Mapping[str, str], known: _Known, first_name: str, last_name: str, email: str) -> str:
    if not cells["username"]:
        return free_name(stem_of(first_name, last_name, email), known.names)
    username = parse_username(cells["username"])
    if username in known.names:
        raise Invalid("username", _("The username %(name)s is taken.", name=username))
    return username
