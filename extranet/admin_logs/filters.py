"""What an address asks of a log: whom, what, from where, and when. Bad words are refused by their field."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from extranet.i18n import gettext as _
from extranet.models import User
from extranet.security_log.origin import supporter

DEFAULT_DAYS = 30
_LONGEST = 254

FindUser = Callable[[str], User | None]


@dataclass(slots=True)
class Filter:
    """A filter as it was typed and as it was understood. ``errors`` are by field, and then nothing is searched."""

    typed: dict[str, str]
    since: date
    until: date
    zone: ZoneInfo
    person: User | None = None
    # What the logs call somebody of the operator's support.
    support: str = ""
    errors: dict[str, str] = field(default_factory=dict)

    @property
    def begin(self) -> datetime:
        """The first moment asked for."""
        return datetime.combine(self.since, time.min, self.zone).astimezone(UTC)

    @property
    def end(self) -> datetime:
        """The first moment no longer asked for."""
        return datetime.combine(self.until + timedelta(days=1), time.min, self.zone).astimezone(UTC)

    @property
    def event(self) -> str:
        """The one kind asked for, or ""."""
        return self.typed["event"]

    @property
    def result(self) -> str:
        """The one outcome asked for, or ""."""
        return self.typed["result"]

    @property
    def network(self) -> str:
        """The addresses asked for, or ""."""
        return self.typed["address"]

    @property
    def query(self) -> dict[str, Any]:
        """What of it stands in an address."""
        return {name: value for name, value in self.typed.items() if value}


def filter_of(asked: Mapping[str, str], kinds: Iterable[str], zone: str, today: date, find_user: FindUser) -> Filter:
    """Read a filter from an address. ``kinds`` are the events there are."""
    names = ("person", "event", "result", "address", "from", "to")
    typed = {name: " ".join(asked.get(name, "").replace("\0", "").split())[:_LONGEST] for name in names}
    found = Filter(typed, today - timedelta(days=DEFAULT_DAYS - 1), today, ZoneInfo(zone))
    _read_period(found)
    if found.event and found.event not in set(kinds):
        found.errors["event"] = _("There is no such event.")
    if found.result not in {"", "ok", "refused"}:
        found.errors["result"] = _("There is no such result.")
    if found.network and not _is_network(found.network):
        found.errors["address"] = _("Write an address or a network, for example 192.0.2.10 or 192.0.2.0/24.")
    if supporter(typed["person"]):
        found.support = typed["person"]
    elif typed["person"]:
        found.person = find_user(typed["person"])
        if found.person is None:
            found.errors["person"] = _("There is nobody of this name here.")
    return found


def _read_period(found: Filter) -> None:
    for name, attribute in (("from", "since"), ("to", "until")):
        if text := found.typed[name]:
            day = _day(text)
            if day is None:
                found.errors[name] = _("Write a date, for example 2026-11-22.")
            else:
                setattr(found, attribute, day)
    if found.typed["to"] and not found.typed["from"] and "to" not in found.errors:
        found.since = found.until - timedelta(days=DEFAULT_DAYS - 1)
    if not found.errors and found.until < found.since:
        found.errors["to"] = _("The period ends before it begins.")


def _day(text: str) -> date | None:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        return None
    # Far enough from both ends of the calendar for any time zone.
    return day if date(2000, 1, 1) <= day <= date(9000, 1, 1) else None


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return True
