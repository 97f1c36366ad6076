"""The names of a person: each in its one spelling, and what they give away to a guesser."""

from __future__ import annotations

import re
import unicodedata
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import User
from tenants.databases import tenant_of

_USERNAME = re.compile(r"[a-z0-9](?:[a-z0-9._-]{1,62})[a-z0-9]", re.ASCII)


def parse_username(text: str) -> str:
    """Return a username in its one spelling; raise Invalid."""
    username = text.strip().lower()
    if not _USERNAME.fullmatch(username):
        raise Invalid(
            "username",
            _("A username has 3 to 64 of a-z, 0-9, dot, hyphen and underscore, and begins with a letter or digit."),
        )
    return username


def parse_email(text: str) -> str:
    """Return an e-mail address in its one spelling, lower case; raise Invalid."""
    from email_validator import EmailNotValidError, validate_email

    try:
        return validate_email(text.strip(), check_deliverability=False).normalized.lower()
    except EmailNotValidError as error:
        raise Invalid("email", _("%(text)s is not an e-mail address.", text=repr(text[:100]))) from error


def parse_person_name(text: str, field: str) -> str:
    """Return a first or last name, NFC and trimmed, 1 to 100 printable characters; raise Invalid."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 1 <= len(name) <= 100 or any(unicodedata.category(character)[0] == "C" for character in name):
        raise Invalid(field, _("A name has 1 to 100 printable characters."))
    return name


def guessable_words(db: Session, user: User) -> list[str]:
    """Return what a guesser would try first for this person."""
    tenant = tenant_of(db)
    local_part, _at, mail_domain = user.email.partition("@")
    host = urlsplit(db.info["origin"]).hostname or ""
    words = [user.username, user.first_name, user.last_name, local_part, mail_domain, tenant.slug, "extranet"]
    # Without the last label: "com" says nothing about anybody.
    return words + mail_domain.split(".")[:-1] + host.split(".")[:-1] + tenant.name.split()
