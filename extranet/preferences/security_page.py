"""The page of Preferences > Security as all its cards answer with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from flask import make_response
from werkzeug.wrappers import Response

from extranet.confirmation.operations import has_password
from extranet.factors import recovery_codes
from extranet.factors.operations import MOST_PASSKEYS, factors_of
from extranet.models.base import utc_now
from extranet.preferences.forms import PasswordForm
from extranet.request import pages
from extranet.request.current import current
from extranet.security_log.operations import last_report
from extranet.single_sign_on.shown import sign_on_of

_LATELY = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class RefusedName:
    """A passkey's new name as it was typed, and what is wrong with it."""

    typed: str
    message: str


@dataclass(frozen=True, slots=True)
class Suspect:
    """The days before somebody reported a stranger: what was added then may be the stranger's."""

    since: datetime
    until: datetime


def security_page(
    status: int = 200,
    *,
    form: PasswordForm | None = None,
    trouble: str = "",
    refused_names: dict[str, RefusedName] | None = None,
) -> Response:
    """Show the cards; ``trouble`` is said above them."""
    page = pages.render(
        "preferences/security.html",
        form=form or PasswordForm(),
        trouble=trouble,
        factors=factors_of(current.db, current.user.id),
        suspect=_suspect(),
        few=recovery_codes.FEW,
        most_passkeys=MOST_PASSKEYS,
        refused_names=refused_names or {},
        has_password=has_password(current.db, current.user.id),
        sign_on=sign_on_of(current.db, current.user.id),
    )
    return make_response(page, status)


def _suspect() -> Suspect | None:
    reported_at = last_report(current.db, current.user.id)
    if reported_at is None or utc_now() - reported_at > _LATELY:
        return None
    return Suspect(reported_at - _LATELY, reported_at)
