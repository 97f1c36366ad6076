"""Administration > Support access: who of the operator's support asks to come in, and the answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from flask import make_response, redirect, request, url_for
from sqlalchemy import select
from werkzeug.wrappers import Response

from extranet.admin.blueprint import for_admins
from extranet.errors import Invalid
from extranet.i18n import gettext as _
from extranet.models import SupportGrant, User
from extranet.request import pages
from extranet.request.access import for_support, form_on, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.security_log.origin import support_actor
from extranet.support import finding, operations
from extranet.support.blueprint import blueprint
from extranet.support.forms import GrantForm
from tenants.errors import NoSuchStaff, StaffNotReady

_FORMS = "support.show"


@dataclass(frozen=True, slots=True)
class Past:
    """A request or grant that is over, as the history tells it. ``pages`` is where its pages are listed, or ""."""

    grant: SupportGrant
    ended: str
    is_good: bool
    visits: int
    answered_by: str
    pages: str


@blueprint.get("/admin/support")
@for_admins
@for_support
def show() -> Response:
    """Show what is asked, what stands and what was."""
    return _page()


@blueprint.post("/admin/support/<grant_id>/grant")
@for_admins
@sensitive
@form_on(_FORMS)
def allow(grant_id: str) -> Response:
    """Let somebody in."""
    asked = operations.find_grant(current.db, grant_id)
    form = GrantForm(request.form, prefix=grant_id)
    if not form.validate():
        return _page(form, grant_id, status=422)
    try:
        operations.allow(
            current.db,
            grant_id,
            current.platform.tenancy.staff.by_name(asked.staff),
            hours=form.hours.data or 0,
            writes=form.writes.data,
            user_id=current.user.id,
            origin=current.origin,
        )
    except (NoSuchStaff, StaffNotReady):
        return _refused(_("Whoever asked for this may no longer be let in, says the operator of this service."))
    except Invalid as refused:
        current.db.rollback()
        form.reject(refused.field, refused.message)
        return _page(form, grant_id, refusal="" if refused.field else refused.message, status=422)
    return _done(pages.SUPPORT_GRANTED)


@blueprint.post("/admin/support/<grant_id>/decline")
@for_admins
def decline(grant_id: str) -> Response:
    """Say no."""
    try:
        operations.decline(current.db, grant_id, current.user.id, current.origin)
    except Invalid as refused:
        return _refused(refused.message)
    return _done(pages.SUPPORT_DECLINED)


@blueprint.post("/admin/support/<grant_id>/revoke")
@for_admins
def revoke(grant_id: str) -> Response:
    """End a grant at once. Not sensitive: whoever wants somebody out is not held up."""
    operations.revoke(current.db, grant_id, current.user.id, current.origin)
    return _done(pages.SUPPORT_REVOKED)


def _done(notice: int) -> Response:
    change_session(notice=notice)
    return redirect(url_for(_FORMS), 303)


def _refused(message: str) -> Response:
    current.db.rollback()
    return _page(refusal=message, status=422)


def _page(form: GrantForm | None = None, form_of: str = "", *, refusal: str = "", status: int = 200) -> Response:
    waiting = finding.waiting(current.db)
    html = pages.render(
        "support/admin.html",
        waiting=[(asked, form if form and asked.id == form_of else GrantForm.of(asked)) for asked in waiting],
        lapse={asked.id: asked.asked_at + finding.ANSWER_WITHIN for asked in waiting},
        standing=[(grant, _log_of(grant, grant.expires_at)) for grant in finding.standing(current.db)],
        past=_past(),
        refusal=refusal,
    )
    return make_response(html, status)


def _past() -> list[Past]:
    over = finding.over(current.db)
    visits, names = finding.visits_under(current.db, over), _names(over)
    words = _endings()
    return [
        Past(
            grant,
            words.get(how := finding.how_it_ended(grant), how),
            how in {"expired", "given_back"},
            visits.get(grant.id, 0),
            names.get(grant.answered_by or "", ""),
            _log_of(grant, grant.ended_at or grant.expires_at) if grant.expires_at else "",
        )
        for grant in over
    ]


def _names(grants: Any) -> dict[str, str]:
    ids = {grant.answered_by for grant in grants if grant.answered_by}
    people = select(User.id, User.first_name, User.last_name).where(User.id.in_(ids))
    return {row.id: f"{row.first_name} {row.last_name}" for row in current.db.execute(people)}


def _log_of(grant: SupportGrant, end: datetime | None) -> str:
    """Return where the log lists what was opened under a grant."""
    zone = ZoneInfo(current.user.time_zone)
    begin = grant.answered_at or grant.asked_at
    last = end or begin + timedelta(hours=grant.hours)
    days: dict[str, Any] = {"from": f"{begin.astimezone(zone):%Y-%m-%d}", "to": f"{last.astimezone(zone):%Y-%m-%d}"}
    return url_for("logs.security_log", person=support_actor(grant.staff), **days)


def _endings() -> dict[str, str]:
    return {
        "declined": _("Declined"),
        "lapsed": _("Never answered"),
        "expired": _("Time was up"),
        "revoked": _("Revoked"),
        "given_back": _("Given back by support"),
        "staff_left": _("Left the operator of this service"),
        "restored": _("Ended when a backup was restored"),
    }
