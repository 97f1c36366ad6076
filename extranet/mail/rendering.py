"""The words of a mail in the language of whom it is to, as text and as HTML."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from sqlalchemy.orm import Session

from extranet.dates import Dates
from extranet.i18n import current_language, speaking
from extranet.i18n import gettext as _
from extranet.mail.colours import accent_of
from extranet.mail.kinds import MailKind
from extranet.mail.texts import words_of
from extranet.mail.words import Cause, Words
from extranet.models import Company, User
from extranet.models.company import THE_COMPANY
from tenants.databases import tenant_of

_TEMPLATES = Path(__file__).resolve().parent.parent / "templates" / "mail"


def render(db: Session, kind: MailKind, user: User, values: Mapping[str, Any]) -> dict[str, str]:
    """Return ``subject``, ``text`` and ``html`` of a mail to ``user``, and what its headers say of it.

    Everything is the tenant's own: its name as its pages show it, which only operators change, its host and its hue.
    """
    company, origin = _one_line(tenant_of(db).name), str(db.info["origin"])
    with speaking(user.language):
        cause = Cause(origin, company, user.username, _dates(user), values)
        words = words_of(kind, cause)
        hue = db.get_one(Company, THE_COMPANY).accent_hue
        return {
            "subject": _one_line(words.subject),
            "text": _text(words, cause, user.name),
            "html": _html(words, cause, user.name, hue),
            "language": current_language(),
            "sender": company,
            "host": origin.partition("://")[2].partition(":")[0],
        }


def _dates(user: User) -> Dates:
    return Dates(current_language(), user.time_zone, user.date_format, user.clock)


def _one_line(text: str) -> str:
    """Return text that cannot begin another header line: names are refused with such characters, and this is why."""
    kept = (" " if unicodedata.category(character)[0] == "C" else character for character in text)
    return " ".join("".join(kept).split())


def _text(words: Words, cause: Cause, name: str) -> str:
    parts = [_("Hello %(name)s,", name=name), *words.says]
    if words.link:
        parts.append(_("%(label)s:", label=words.button) + f"\n{words.link}")
    if words.facts:
        parts.append("\n".join(_("%(label)s: %(value)s", label=label, value=value) for label, value in words.facts))
    parts += words.then
    if words.stranger_link:
        stranger = _("This wasn’t me")  # noqa: RUF001
        parts.append(_("%(label)s:", label=stranger) + f"\n{words.stranger_link}")
    # "-- " is what mail programs know a signature by.
    parts.append("\n".join(("-- ", cause.company, cause.origin, *_why(words, cause))))
    return "\n\n".join(parts) + "\n"


def _html(words: Words, cause: Cause, name: str, hue: int) -> str:
    return _layout().render(
        words=words,
        cause=cause,
        name=name,
        why=_why(words, cause),
        accent=accent_of(hue),
        language=current_language(),
        # What lists of mails show beside the subject.
        preheader=words.says[0],
    )


def _why(words: Words, cause: Cause) -> tuple[str, str]:
    why = _("You get this mail because of your account at %(company)s.", company=cause.company)
    if words.may_be_off:
        return why, _("You can switch such mails off under Preferences, unless your company wants them sent.")
    return why, _("It is about the safety of your account and cannot be switched off. Nobody reads answers to it.")


@cache
def _layout() -> Template:
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # It looks the language up each time: one layout serves all of them.
    environment.globals["_"] = _
    return environment.get_template("layout.html")
