"""What waits for an administrator's answer. Changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flask import url_for

from extranet.accounts.held import held_people
from extranet.admin import factor_resets
from extranet.i18n import gettext as _
from extranet.request.current import current
from extranet.support import finding


@dataclass(frozen=True, slots=True)
class Waiting:
    """One thing to answer, and the page to do it on."""

    title: str
    url: str


def waiting() -> list[Waiting]:
    """Return what waits for whoever is signed in: support asks administrators alone, and answers nothing itself."""
    if not current.user.is_admin or current.user.visit:
        return []
    return [*_support(), *_resets(), *_held()]


def _support() -> Iterator[Waiting]:
    if finding.waiting(current.db):
        title = _("Support asks for access to %(company)s", company=current.tenant.name)
        yield Waiting(title, url_for("support.show"))


def _resets() -> Iterator[Waiting]:
    for person, asked in factor_resets.to_approve(current.db, current.user.id):
        title = _("%(by)s asks to reset the second factors of %(name)s", by=asked.name, name=person.name)
        yield Waiting(title, url_for("admin.person", user_id=person.id))


def _held() -> Iterator[Waiting]:
    for person in held_people(current.db):
        title = _("%(name)s was shut out after a report and has to be let in again", name=person.name)
        yield Waiting(title, url_for("admin.person", user_id=person.id))
