"""Dates and times as one person wants to read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel.dates import format_date, format_time

_ISO = "yyyy-MM-dd"
_Day = date
# English here is Europe's: the day comes before the month.
_LOCALES = {"en": "en_GB"}
_CLOCKS = {"24h": "HH:mm", "12h": "h:mm a"}


@dataclass(frozen=True, slots=True)
class Dates:
    """Formats aware datetimes in a language, a zone and the person's own taste."""

    language: str
    zone: str
    date_format: str
    clock: str

    def date(self, moment: datetime) -> str:
        """Return for example "22 Nov 2026" or "2026-11-22"."""
        pattern = _ISO if self.date_format == "iso" else "medium"
        return _date_words(moment.astimezone(_zone(self.zone)).date(), pattern, self.language)

    def day(self, day: _Day) -> str:
        """Return a day of the calendar, which is the same in every zone."""
        return _date_words(day, _ISO if self.date_format == "iso" else "medium", self.language)

    def time(self, moment: datetime) -> str:
        """Return for example "14:05" or "2:05 PM"."""
        local = moment.astimezone(_zone(self.zone))
        return _time_words(local.hour, local.minute, _CLOCKS[self.clock], self.language)

    def datetime(self, moment: datetime) -> str:
        """Return date and time."""
        return f"{self.date(moment)}, {self.time(moment)}"


# Babel reads a pattern anew for every date; a page shows the same few days again and again.
@lru_cache(maxsize=5_000)
def _date_words(day: date, pattern: str, language: str) -> str:
    return format_date(day, pattern, locale=_LOCALES.get(language, language))


@lru_cache(maxsize=5_000)
def _time_words(hour: int, minute: int, pattern: str, language: str) -> str:
    return format_time(time(hour, minute), pattern, locale=_LOCALES.get(language, language))


@lru_cache(maxsize=1000)
def _zone(name: str) -> tzinfo:
    return ZoneInfo(name)
