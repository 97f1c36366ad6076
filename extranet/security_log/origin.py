"""Where an event came from: a browser at an address, or an operator at the command line."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_LONGEST_USER_AGENT = 400

OPERATOR = "operator"
NOBODY = "anonymous"
EVERYBODY = "everybody"


@dataclass(frozen=True, slots=True)
class Origin:
    """What is noted about the other side. ``address`` is "" when it is not known; it is never made up."""

    address: str
    port: int
    user_agent: str
    request_id: str
    browser_ref: str = ""
    login_ref: str = ""

    @classmethod
    def operator(cls, user: str, machine: str) -> Origin:
        """Return the origin of a command typed by a person with a shell on ``machine``."""
        return cls(address="", port=0, user_agent=f"command line: {user}@{machine}", request_id="")


def printable(text: str, longest: int = _LONGEST_USER_AGENT) -> str:
    """Return text that cannot break a line, a terminal, a table or the direction of writing."""
    kept = (character for character in text[:longest] if unicodedata.category(character)[0] != "C")
    return "".join(kept)
