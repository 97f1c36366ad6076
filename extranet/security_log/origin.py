"""Where an event came from: a browser at an address, or an operator at the command line."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_LONGEST_USER_AGENT = 400

OPERATOR = "operator"
NOBODY = "anonymous"
EVERYBODY = "everybody"
PROVIDER = "identity-provider"
"""Who acts when the company's identity provider says what somebody's role is."""

_SUPPORT = "support:"


def support_actor(staff: str) -> str:
    """Return what both logs call somebody of the operator's staff who was let in: no user's id looks like it."""
    return f"{_SUPPORT}{staff}"


def supporter(actor: str) -> str:
    """Return the name, among the operator's staff, of who did something; "" for anybody else."""
    return actor.removeprefix(_SUPPORT) if actor.startswith(_SUPPORT) else ""


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
    text = text[:longest]
    # Nearly all is plain, and every page asks this about a browser.
    if text.isascii() and text.isprintable():
        return text
    kept = (character for character in text if unicodedata.category(character)[0] != "C")
    return "".join(kept)
