"""Sign-ins and refused ones by day, as a drawing and as a table. Of everybody together: never of one person."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from extranet.admin_logs.finding import SIGN_INS

PERIODS = (30, 90)

STEP, GAP, HEIGHT = 10, 1.5, 100
# What happened at all is seen, however much happened on other days.
_LOWEST = 1.5


@dataclass(frozen=True, slots=True)
class Day:
    """One day: how many signed in and how many were refused, and where its two bars are drawn."""

    at: date
    signed_in: int
    refused: int
    x: float
    up: float
    down: float


@dataclass(frozen=True, slots=True)
class Chart:
    """All days of a period; bars go up from ``base`` for who signed in and down for who was refused."""

    days: list[Day]
    base: float

    @property
    def width(self) -> int:
        """How wide the drawing is, in its own measure."""
        return STEP * len(self.days)

    @property
    def signed_in(self) -> int:
        """How many signed in."""
        return sum(day.signed_in for day in self.days)

    @property
    def most_signed_in(self) -> int:
        """How many signed in on the busiest day."""
        return max(day.signed_in for day in self.days)

    @property
    def most_refused(self) -> int:
        """How many were refused on the worst day."""
        return max(day.refused for day in self.days)

    @property
    def refused(self) -> int:
        """How many were refused."""
        return sum(day.refused for day in self.days)


def period_of(asked: str) -> int:
    """Return how many days are asked for: one of the two there are."""
    return int(asked) if asked in {str(days) for days in PERIODS} else PERIODS[0]


def first_moment(days: int, zone: ZoneInfo, today: date) -> datetime:
    """Return when the first of so many days begins."""
    first = today - timedelta(days=days - 1)
    return datetime(first.year, first.month, first.day, tzinfo=zone).astimezone(UTC)


def draw(counted: Iterable[Any], days: int, zone: ZoneInfo, today: date) -> Chart:
    """Return the chart of what was counted by hour in UTC.

    Where a zone is half an hour off, half an hour at midnight counts for the neighbouring day.
    """
    good: Counter[date] = Counter()
    bad: Counter[date] = Counter()
    for hour, event, count in counted:
        day = datetime.fromisoformat(f"{hour}:00:00+00:00").astimezone(zone).date()
        (good if event in SIGN_INS else bad)[day] += count
    dates = [today - timedelta(days=ago) for ago in reversed(range(days))]
    most_up, most_down = (max(counts[day] for day in dates) for counts in (good, bad))
    scale = HEIGHT / max(most_up + most_down, 1)
    drawn = [
        Day(day, good[day], bad[day], STEP * at + GAP, _height(good[day], scale), _height(bad[day], scale))
        for at, day in enumerate(dates)
    ]
    return Chart(drawn, round(most_up * scale, 2) if most_up + most_down else HEIGHT)


def _height(count: int, scale: float) -> float:
    return round(max(count * scale, _LOWEST), 2) if count else 0
