"""Which column of a file holds what, by headings in three languages."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.i18n import lazy
from extranet.models import Role

FIELDS = {
    "first_name": lazy("First name"),
    "last_name": lazy("Last name"),
    "email": lazy("E-mail"),
    "username": lazy("Username"),
    "role": lazy("Role"),
    "department": lazy("Department"),
    "position": lazy("Job title"),
}
REQUIRED = ("first_name", "last_name", "email")

# In the spelling that _plain makes of a heading.
_HEADINGS = {
    "first_name": "firstname givenname forename prenom voornaam",
    "last_name": "lastname surname familyname nom nomdefamille achternaam familienaam naam",
    "email": "email mail emailaddress mailaddress courriel adressemail adresseemail adressecourriel "
    "adresseelectronique emailadres mailadres",
    "username": "username login userid identifiant nomdutilisateur utilisateur gebruikersnaam gebruiker",
    "role": "role rol",
    "department": "department service departement afdeling dienst",
    "position": "jobtitle position title function fonction poste functie functietitel",
}
_BY_HEADING = {heading: field for field, headings in _HEADINGS.items() for heading in headings.split()}

# No administrators: whoever may do everything is chosen by hand, one at a time.
_ROLES = {
    Role.MANAGER: "manager responsable leidinggevende gestionnaire",
    Role.MEMBER: "member membre lid medewerker collaborateur",
    Role.GUEST: "guest invite gast",
    Role.ADMIN: "admin administrator administrateur beheerder",
}
_BY_ROLE = {word: role for role, words in _ROLES.items() for word in words.split()}


def map_columns(headings: Sequence[str]) -> dict[str, int]:
    """Return the column of each field that is there; raise Invalid for one that has to be, or is there twice."""
    columns: dict[str, int] = {}
    for place, heading in enumerate(headings):
        field = _BY_HEADING.get(_plain(heading))
        if field is None:
            continue
        if field in columns:
            raise Invalid("people", _("Two columns are headed %(heading)s.", heading=str(FIELDS[field])))
        columns[field] = place
    missing = [str(FIELDS[field]) for field in REQUIRED if field not in columns]
    if missing:
        wanted = ", ".join(missing)
        raise Invalid("people", _("There is no column with the heading: %(headings)s.", headings=wanted))
    return columns


def ignored(headings: Sequence[str]) -> list[str]:
    """Return the headings nothing is taken from."""
    return [heading.strip()[:60] for heading in headings if heading.strip() and _plain(heading) not in _BY_HEADING]


def role_called(word: str) -> Role | None:
    """Return the role a cell names in one of three languages, or None."""
    return _BY_ROLE.get(_plain(word))


def _plain(text: str) -> str:
    letters = unicodedata.normalize("NFKD", text.casefold())
    return re.sub(r"[^a-z0-9]", "", "".join(letter for letter in letters if not unicodedata.combining(letter)))
