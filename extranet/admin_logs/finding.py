"""Finding entries of a log: filtered by the database, except by address, for which entries have to be opened."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, func, or_, select
from sqlalchemy.orm import Session

from extranet.activity.operations import activity_journal
from extranet.models import User, activity_table, security_event_table
from extranet.retention.logs import reaches_back_to
from extranet.security_log.events import Event
from extranet.security_log.operations import journal
from extranet.support.finding import names_of_support
from tenants.journal import Entry, Journal
from tenants.journal_tables import as_written

MOST_OPENED = 5_000
"""How many entries are opened to find an address: a third of a second's work."""

MOST_EXPORTED = 20_000
"""How many entries a file holds."""

SIGN_INS = (Event.SIGNED_IN,)
FAILURES = (Event.SIGN_IN_REFUSED, Event.SIGN_IN_THROTTLED, Event.SECOND_STEP_REFUSED, Event.SECOND_STEP_THROTTLED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which entries. "" stands for no matter; ``person`` is an id, of who did it or whom it concerns."""

    begin: datetime
    end: datetime
    person: str = ""
    event: str = ""
    result: str = ""
    network: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """A page of entries, newest first, of how many there are.

    ``unsearched`` entries of the period are older than those that were opened to look for an address.
    """

    entries: list[Entry]
    count: int
    unsearched: int = 0


class Log:
    """One of the two logs, as pages read it."""

    def __init__(self, db: Session, table: Table, of_keys: Any) -> None:
        self._db = db
        self._table = table
        self._journal: Journal = of_keys(db.info["keys"])

    def find(self, wanted: Wanted, *, offset: int = 0, limit: int = MOST_EXPORTED) -> Found:
        """Return some of the wanted entries."""
        if wanted.network:
            return self._search(wanted, offset, limit)
        rows = self._db.execute(self._newest(wanted).offset(offset).limit(limit))
        return Found(list(self._journal.read(iter(rows))), self.count(wanted))

    def count(self, wanted: Wanted) -> int:
        """Return how many entries are wanted, whatever their address."""
        counted = select(func.count()).select_from(self._table).where(*self._conditions(wanted))
        return self._db.execute(counted).scalar_one()

    @property
    def reaches_back_to(self) -> datetime | None:
        """When its first entry was written; None when there is none."""
        return reaches_back_to(self._db, self._table)

    def _search(self, wanted: Wanted, offset: int, limit: int) -> Found:
        rows = self._db.execute(self._newest(wanted).limit(MOST_OPENED).execution_options(yield_per=500))
        network = ipaddress.ip_network(wanted.network, strict=False)
        matching = [entry for entry in self._journal.read(iter(rows)) if _is_in(entry, network)]
        unsearched = max(0, self.count(wanted) - MOST_OPENED)
        return Found(matching[offset : offset + limit], len(matching), unsearched)

    def _newest(self, wanted: Wanted) -> Any:
        return select(self._table).where(*self._conditions(wanted)).order_by(self._table.c.sequence.desc())

    def _conditions(self, wanted: Wanted) -> list[ColumnElement[bool]]:
        columns = self._table.c
        conditions = [columns.at >= as_written(wanted.begin), columns.at < as_written(wanted.end)]
        if wanted.person:
            conditions.append(or_(columns.subject == wanted.person, columns.actor == wanted.person))
        if wanted.event:
            conditions.append(columns.event == wanted.event)
        if wanted.result:
            conditions.append(columns.outcome == wanted.result)
        return conditions


def security_log(db: Session) -> Log:
    """Return the security log of a tenant."""
    return Log(db, security_event_table, journal)


def activity_log(db: Session) -> Log:
    """Return the activity log of a tenant."""
    return Log(db, activity_table, activity_journal)


def count_by_hour(db: Session, since: datetime) -> Sequence[Row[tuple[str, str, int]]]:
    """Return (hour in UTC, event, count) for every hour with sign-ins or failures of them, in one query."""
    columns = security_event_table.c
    hour = func.substr(columns.at, 1, 13).label("hour")
    counted = select(hour, columns.event, func.count()).where(
        columns.at >= as_written(since), columns.event.in_([*SIGN_INS, *FAILURES])
    )
    return db.execute(counted.group_by(hour, columns.event)).all()


def names_of(db: Session, ids: Iterable[str]) -> dict[str, str]:
    """Return how the people with these ids are called."""
    wanted = set(ids)
    people = select(User.id, User.first_name, User.last_name).where(User.id.in_(wanted))
    names = {row.id: f"{row.first_name} {row.last_name}" for row in db.execute(people)}
    return names | names_of_support(db, wanted)


def find_person(db: Session, name: str) -> User | None:
    """Return whom a username or an e-mail address belongs to."""
    wanted = name.lower()
    return db.scalars(select(User).where(or_(User.username == wanted, User.email == wanted))).one_or_none()


def some_usernames(db: Session, most: int) -> list[tuple[str, str]]:
    """Return usernames to choose from, with the names of their owners; none when there are too many to look through."""
    rows = db.execute(select(User.username, User.first_name, User.last_name).order_by(User.username).limit(most + 1))
    found = [(row.username, f"{row.first_name} {row.last_name}") for row in rows]
    return found if len(found) <= most else []


def _is_in(entry: Entry, network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    address = entry.private.get("address", "")
    return bool(address) and ipaddress.ip_address(address) in network
