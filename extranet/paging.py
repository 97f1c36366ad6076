"""Pages of a long list, newest first or by name: which one is asked for, and which come before and after."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pager:
    """Which page of how many."""

    page: int
    pages: int

    @property
    def previous(self) -> int | None:
        """The page before, if any."""
        return self.page - 1 if self.page > 1 else None

    @property
    def next(self) -> int | None:
        """The page after, if any."""
        return self.page + 1 if self.page < self.pages else None


def pager_of(asked: str, count: int, rows: int) -> Pager:
    """Return the page that an address asks for, ``rows`` to a page; the nearest there is."""
    last = max(1, -(-count // rows))
    number = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    return Pager(min(max(number, 1), last), last)
