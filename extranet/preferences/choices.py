"""The lists people choose from, in their own language."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from typing import Any
from zoneinfo import available_timezones

from babel import Locale

from extranet.i18n import LANGUAGES, current_language, gettext, lazy

SECTORS = {
    "agriculture": lazy("Agriculture and food"),
    "industry": lazy("Industry and manufacturing"),
    "energy": lazy("Energy, water and waste"),
    "construction": lazy("Construction and property"),
    "trade": lazy("Trade and distribution"),
    "transport": lazy("Transport and logistics"),
    "hospitality": lazy("Hotels and restaurants"),
    "technology": lazy("Information technology and telecoms"),
    "media": lazy("Media and publishing"),
    "finance": lazy("Banking and insurance"),
    "consulting": lazy("Consulting, legal and accounting"),
    "research": lazy("Science and research"),
    "public": lazy("Public administration"),
    "education": lazy("Education and training"),
    "health": lazy("Health and social care"),
    "culture": lazy("Culture, sport and leisure"),
    "associations": lazy("Associations and foundations"),
    "other": lazy("Other services"),
}
CHANNELS = {"email": lazy("E-mail"), "phone": lazy("Phone"), "post": lazy("Post")}
VISIBILITIES = {
    "company": lazy("Everyone in the company"),
    "folders": lazy("People who share a folder with me"),
    "admins": lazy("Administrators only"),
}
DATE_FORMATS = {"locale": lazy("As usual in my language"), "iso": lazy("ISO (2026-11-22)")}
CLOCKS = {"24h": "14:30", "12h": "2:30 PM"}
THEMES = {
    "system": lazy("Like my device"),
    "light": lazy("Light"),
    "dark": lazy("Dark"),
    "contrast": lazy("High contrast"),
}
# "Unknown", groupings and test codes: nobody has an address there.
_NO_PLACES = frozenset({"ZZ", "EU", "EZ", "UN", "QO", "XA", "XB"})
DENSITIES = {"comfortable": lazy("Comfortable"), "compact": lazy("Compact")}
ROWS = (10, 25, 50, 100)

# One name for each third of the wheel's twelve parts: the number tells neighbours apart.
_HUE_NAMES = (
    lazy("Rose"),
    lazy("Orange"),
    lazy("Amber"),
    lazy("Olive"),
    lazy("Green"),
    lazy("Emerald"),
    lazy("Teal"),
    lazy("Azure"),
    lazy("Blue"),
    lazy("Violet"),
    lazy("Purple"),
    lazy("Magenta"),
)


def pairs(choices: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return a list of choices for a form."""
    return list(choices.items())


def pairs_or_none(choices: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return a list of choices that begins with none."""
    return [("", lazy("Not given")), *choices.items()]


def hues() -> list[tuple[int, str]]:
    """Return the 36 accents the stylesheet knows, by name."""
    return [(hue, f"{_HUE_NAMES[hue // 30]} {hue}") for hue in range(0, 360, 10)]


def languages() -> list[tuple[str, str]]:
    """Return each language under its own name."""
    return list(LANGUAGES.items())


def countries() -> dict[str, str]:
    """Return country names by code, sorted by name."""
    return _countries(current_language())


def country_pairs() -> list[tuple[str, str]]:
    """Return countries for a form; the first choice is none."""
    return [("", gettext("Not given")), *countries().items()]


@lru_cache(maxsize=1)
def time_zones() -> tuple[str, ...]:
    """Return the IANA zones named after places; the rest are aliases."""
    areas = ("Africa/", "America/", "Antarctica/", "Asia/", "Atlantic/", "Australia/", "Europe/", "Indian/", "Pacific/")
    return ("UTC", *sorted(zone for zone in available_timezones() if zone.startswith(areas)))


@lru_cache(maxsize=len(LANGUAGES))
def _countries(language: str) -> dict[str, str]:
    names = {str(code): str(name) for code, name in Locale(language).territories.items()}
    places = {
        code: name for code, name in names.items() if len(code) == 2 and code.isalpha() and code not in _NO_PLACES
    }
    return dict(sorted(places.items(), key=lambda place: _sort_key(place[1])))


def _sort_key(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFD", name) if not unicodedata.combining(letter)).lower()
