"""A user agent in words a person recognises: coarse on purpose, it only has to tell one's own browsers apart."""

from __future__ import annotations

from extranet.i18n import lazy

# First match wins: every Chromium browser also says Chrome, and Chrome also says Safari.
_BROWSERS = (
    ("command line", lazy("Command line")),
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi", "Vivaldi"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("CrOS", "ChromeOS"),
    ("Linux", "Linux"),
)


def describe_browser(user_agent: str) -> str:
    """Return for example "Firefox, Windows"; "?" for what says nothing known."""
    found = [next((label for mark, label in marks if mark in user_agent), "") for marks in (_BROWSERS, _SYSTEMS)]
    return ", ".join(str(label) for label in found if label) or "?"
