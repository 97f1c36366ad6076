"""What a mail says, before it has a look: the same words for the text and for the HTML."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from extranet.dates import Dates
from extranet.i18n import gettext as _

# By whom a change was made that nobody of the company made.
_OPERATORS = frozenset({"", "operator"})


@dataclass(frozen=True, slots=True)
class Words:
    """One mail. ``button`` and ``link`` are what to do; ``stranger_link``, what to do when it was somebody else.

    A ``guarded`` one says what to do then, whether it has such a link or not.
    """

    subject: str
    says: tuple[str, ...]
    button: str = ""
    link: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    then: tuple[str, ...] = ()
    stranger_link: str = ""
    guarded: bool = False
    may_be_off: bool = False


@dataclass(frozen=True, slots=True)
class Cause:
    """What a mail is told about: at which company, to whom, and the values given to ``post``."""

    origin: str
    company: str
    username: str
    dates: Dates
    values: Mapping[str, Any] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """Return a value as text; "" when it was not given."""
        return str(self.values.get(name) or "")

    def moment(self, name: str) -> str:
        """Return a moment as this person writes it, with the zone it is told in."""
        return f"{self.dates.datetime(self.values[name])} ({self.dates.zone.replace('_', ' ')})"

    def link(self, name: str = "link") -> str:
        """Return a path as the whole address at the tenant's own host; "" when it was not given."""
        path = self.text(name)
        return f"{self.origin}{path}" if path else ""

    @property
    def by(self) -> str:
        """Who did it, as a sentence begins."""
        name = self.text("by")
        name = _("the operator of this service") if name in _OPERATORS else name
        return name[:1].upper() + name[1:]

    @property
    def where(self) -> tuple[tuple[str, str], ...]:
        """When, with which browser and from where, as far as that is known."""
        told = (
            (_("When"), self.moment("when")),
            (_("Browser"), self.text("browser")),
            (_("Address"), self.text("seen_from")),
        )
        return tuple((label, value) for label, value in told if value)
