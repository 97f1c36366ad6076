"""What a tenant is: its record, its states and the rules for its slug."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID

from tenants.errors import BadName, BadSlug, IllegalTransition

EMBEDDED = "embedded"
"""The server name of tenants that live in SQLite files in the home folder."""

SLUG_PATTERN = r"[a-z0-9](?:-?[a-z0-9])*"
"""What a slug is made of; nginx matches hosts with the same pattern."""

SLUG_LENGTH = range(2, 33)

_SLUG = re.compile(SLUG_PATTERN, re.ASCII)

# Labels that mail, certificates, browsers or people already give a meaning to.
_RESERVED = """
    about account accounts admin administrator api app apps assets auth autoconfig autodiscover backup billing blog
    cdn contact cookies dashboard demo-admin dev dns docs download email extranet files forum ftp git help host
    hostmaster imap info internal invitation invitations ip isatap legal local localdomain localhost login logout
    mail media metrics monitor mx news noc ns ns1 ns2 ns3 ns4 oauth operator ops pop pop3 portal postmaster
    preferences privacy private proxy public registry root sales security server service shop sign-in signin smtp
    sql ssh ssl staff staging static stats status support sysadmin system tenant tenants test tls tracking update
    upload usenet users uucp vpn webmaster webmail well-known wpad www www1 www2
"""
RESERVED_SLUGS = frozenset(_RESERVED.split())


class State(StrEnum):
    """Where a tenant is in its life. Only an active one is served."""

    PROVISIONING = "provisioning"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    CLOSED = "closed"
    PURGED = "purged"


WITH_DATA = frozenset({State.ACTIVE, State.SUSPENDED, State.CLOSED})
"""States in which a tenant has a database and files, all of them: those of any other are half made or half gone."""

_TRANSITIONS = {
    State.PROVISIONING: {State.ACTIVE},
    State.ACTIVE: {State.SUSPENDED, State.CLOSED},
    State.SUSPENDED: {State.ACTIVE, State.CLOSED},
    State.CLOSED: {State.ACTIVE, State.PURGED},
    State.PURGED: set(),
}


@dataclass(frozen=True, slots=True)
class Tenant:
    """One customer organisation, as the registry knows it.

    ``epoch`` is part of every cookie's seal: raising it signs the whole tenant out.
    ``server`` says where its database lives (``embedded`` or a registered server).
    """

    uuid: UUID
    slug: str
    name: str
    state: State
    epoch: int
    key_version: int
    server: str


def check_transition(tenant: Tenant, target: State) -> None:
    """Raise IllegalTransition unless ``tenant`` may go to ``target``."""
    if target not in _TRANSITIONS[tenant.state]:
        raise IllegalTransition(f"{tenant.slug} is {tenant.state} and cannot become {target}.")


def parse_slug(text: str) -> str:
    """Return ``text`` when it is a free-standing, unreserved slug; raise BadSlug otherwise."""
    if len(text) not in SLUG_LENGTH:
        raise BadSlug("A slug has 2 to 32 characters.")
    if not _SLUG.fullmatch(text):
        raise BadSlug("A slug is made of a-z, 0-9 and single hyphens, and begins and ends with a letter or digit.")
    if text.isdigit():
        raise BadSlug("A slug needs at least one letter.")
    if text in RESERVED_SLUGS:
        raise BadSlug(f"The slug {text!r} is reserved.")
    return text


def parse_name(text: str) -> str:
    """Return a tenant's display name, NFC and trimmed, 1 to 100 characters; raise BadName otherwise."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= 100:
        raise BadName("A tenant's name has 1 to 100 characters.")
    if any(unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in name):
        raise BadName("A tenant's name holds no control characters.")
    return name
