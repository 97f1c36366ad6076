"""Host header -> canonical host. Pure text: no look-ups, no default, one spelling for each name."""

from __future__ import annotations

import re

from tenants.errors import BadHost

_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"({_LABEL}(?:\.{_LABEL})*)(?::([0-9]{{1,5}}))?", re.ASCII)
_LONGEST_NAME = 253
_LONGEST_HEADER = _LONGEST_NAME + len(":65535")


def parse_host(header: str) -> str:
    """Return the lower-case DNS name in a Host header, its port dropped.

    Raises BadHost for anything else: lists, user info, trailing dots, IP literals, spaces, non-ASCII.
    """
    if len(header) > _LONGEST_HEADER:
        raise BadHost("The Host header is too long.")
    # str.lower() on non-ASCII would fold look-alikes (KELVIN SIGN) into letters.
    match = _HOST.fullmatch(header.lower()) if header.isascii() else None
    if match is None:
        raise BadHost("The Host header is not one DNS name.")
    name, port = match.groups()
    if len(name) > _LONGEST_NAME or (port is not None and int(port) > 65535):
        raise BadHost("The Host header is not one DNS name.")
    if name.rpartition(".")[2].isdigit():
        raise BadHost("The Host header is an address, not a name.")
    return name


def slug_label(host: str, domain: str) -> str:
    """Return the one label in front of ``domain``, or "" when ``host`` is not exactly one label under it."""
    label, dot, rest = host.partition(".")
    return label if dot and rest == domain else ""
