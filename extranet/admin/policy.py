"""Administration > Security policy: what is asked of everybody who signs in here."""

from __future__ import annotations

from datetime import date, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.admin.blueprint import blueprint, for_admins
from extranet.admin.finding import count_without_factor
from extranet.admin.forms import PolicyForm
from extranet.admin.settings_operations import change_policy
from extranet.models import Company
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.request import pages
from extranet.request.access import sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current


@blueprint.get("/policy")
@for_admins
@sensitive
def policy() -> Response:
    """Show the policy."""
    return _page(PolicyForm.of(_stored(_company())))


@blueprint.post("/policy")
@for_admins
@sensitive
def save_policy() -> Response:
    """Change the policy."""
    company = _company()
    stored = _stored(company)
    form = PolicyForm(request.form)
    if not form.validate() or not form.check_day(_today(company), stored["second_factor_from"]):
        return _page(form, 422)
    if form.is_overtaken_by(stored):
        return _page(form, 409)
    change_policy(
        current.db, {**form.values, "second_factor_from": _moment(form, company)}, current.origin, current.user.id
    )
    change_session(notice=pages.SAVED)
    return redirect(url_for("admin.policy"), 303)


def _company() -> Company:
    return current.db.get_one(Company, THE_COMPANY)


def _stored(company: Company) -> dict[str, Any]:
    stored = {name: getattr(company, name) for name in PolicyForm().values}
    moment = company.second_factor_from
    return {**stored, "second_factor_from": moment.astimezone(_zone(company)).date() if moment else None}


def _moment(form: PolicyForm, company: Company) -> datetime | None:
    day, before = form.second_factor_from.data, company.second_factor_from
    if day is None:
        # A day that has come stays: administrators need a second factor from then on, whatever the rule is later.
        return before if before is not None and before <= utc_now() else None
    begins = datetime.combine(day, time(), _zone(company))
    return before if before is not None and before.astimezone(_zone(company)).date() == day else begins


def _today(company: Company) -> date:
    return utc_now().astimezone(_zone(company)).date()


def _zone(company: Company) -> ZoneInfo:
    return ZoneInfo(company.time_zone)


def _page(form: PolicyForm, status: int = 200) -> Response:
    people, admins = count_without_factor(current.db)
    html = pages.render("admin/policy.html", form=form, people_without=people, admins_without=admins)
    return make_response(html, status)
