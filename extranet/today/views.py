"""The home page after signing in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from flask import Blueprint
from sqlalchemy import bindparam, select

from extranet.accounts.browsers import describe_browser
from extranet.accounts.logins import last_sign_in
from extranet.i18n import gettext as _
from extranet.models import Company, Profile
from extranet.request import pages
from extranet.request.access import for_support
from extranet.request.current import current
from extranet.today.waiting import waiting

blueprint = Blueprint("today", __name__)

# Plain columns, built once: the home page is seen most, and an object costs three times as much.
_profile, _company = Profile.__table__.c, Company.__table__.c
_PROFILE = select(
    _profile.position,
    _profile.department,
    _profile.phone,
    _profile.mobile,
    select(_company.welcome).scalar_subquery().label("welcome"),
).where(_profile.user_id == bindparam("user_id"))


@dataclass(frozen=True, slots=True)
class LastLogin:
    """The sign-in before this one, as the page shows it."""

    at: datetime
    address: str
    browser: str


@blueprint.get("/")
@for_support
def show() -> str:
    """Show the home page."""
    return pages.render(
        "today/show.html", now=datetime.now(UTC), last_login=_last_login(), missing=_missing(), waiting=waiting()
    )


def _last_login() -> LastLogin | None:
    before = last_sign_in(current.db, current.user.id, but=current.user.login_id)
    if before is None:
        return None
    return LastLogin(before.started_at, before.address, describe_browser(before.user_agent))


def _missing() -> list[str]:
    profile = current.db.execute(_PROFILE, {"user_id": current.user.id}).one_or_none()
    if profile is None:
        # Support is nobody of the company.
        return []
    current.state.welcome = profile.welcome
    wanted = {
        _("Picture"): current.user.avatar,
        _("Job title"): profile.position,
        _("Department"): profile.department,
        _("Phone"): profile.phone or profile.mobile,
    }
    return [label for label, given in wanted.items() if not given]
