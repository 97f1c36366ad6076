"""Usernames proposed from names: in plain letters, and none that somebody has."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Iterable

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from extranet.models import User

_LONGEST = 60
# Letters that Unicode does not take apart.
_PLAIN = str.maketrans(
    {
        "ß": "ss",
        "æ": "ae",
        "œ": "oe",
        "ø": "o",
        "đ": "d",
        "ð": "d",
        "ł": "l",
        "þ": "th",
        "\N{LATIN SMALL LETTER DOTLESS I}": "i",
    }
)
_OTHER = re.compile(r"[^a-z0-9]+", re.ASCII)


def propose_username(db: Session, first_name: str, last_name: str, email: str) -> str:
    """Return a free username made of a name, or of an address when the name is written in other letters."""
    stem = stem_of(first_name, last_name, email)
    begins = stem.replace("_", r"\_")
    similar = or_(User.username.like(f"{begins}%", escape="\\"), User.email.like(f"{begins}%", escape="\\"))
    return free_name(stem, set(_names(db.execute(select(User.username, User.email).where(similar)))))


def stem_of(first_name: str, last_name: str, email: str) -> str:
    """Return what a username begins with: first and last name with a dot between."""
    parts = [part for part in (_plain(first_name), _plain(last_name)) if part]
    stem = ".".join(parts)[:_LONGEST].strip("-.")
    if len(parts) == 2 and len(stem) >= 3:
        return stem
    local = _plain(email.partition("@")[0])[:_LONGEST].strip("-")
    return local if len(local) >= 3 else "user"


def free_name(stem: str, taken: Container[str]) -> str:
    """Return the stem, or the stem and the first number with which nobody is called so."""
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}{number}"
    return name


def _names(rows: Iterable[tuple[str, str]]) -> Iterable[str]:
    return (name for row in rows for name in row)


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.lower().translate(_PLAIN))
    return _OTHER.sub("-", "".join(letter for letter in letters if not unicodedata.combining(letter))).strip("-")
