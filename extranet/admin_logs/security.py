"""Administration > Security log: sign-ins and what concerns accounts, with where it came from."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from babel.numbers import format_decimal
from flask import request
from werkzeug.wrappers import Response

from extranet.admin.blueprint import for_admins
from extranet.admin_logs import chart, finding, shown
from extranet.admin_logs.blueprint import blueprint
from extranet.admin_logs.frame import LogPage
from extranet.admin_logs.looking import today
from extranet.i18n import current_language
from extranet.i18n import gettext as _
from extranet.request.access import for_support, sensitive
from extranet.request.current import current
from extranet.security_log.words import SENTENCES


@blueprint.get("/security-log")
@for_admins
@for_support
def security_log() -> Response:
    """Show one page of what is asked for, newest first, and how many signed in by day."""
    return _PAGE.answer()


@blueprint.get("/security-log.csv")
@for_admins
@sensitive
def security_log_csv() -> Response:
    """Download what is asked for, all pages of it."""
    head = [_("When"), _("Event"), _("Result"), _("Person"), _("By"), _("IP address"), _("Browser"), _("Reason")]
    return _PAGE.answer_file(head, _lines, _("security log of %(company)s", company=current.tenant.name))


def _lines(event: shown.ShownEvent) -> list[list[str]]:
    result = shown.result_of(event.outcome)
    who = [event.person, event.actor, event.address, event.browser, event.reason]
    sentence = f"{event.sentence} {event.page}".strip()
    return [[event.at.isoformat(), sentence, result, *who]]


def _chart() -> dict[str, Any]:
    days, zone = chart.period_of(request.args.get("days", "")), ZoneInfo(current.user.time_zone)
    counted = finding.count_by_hour(current.db, chart.first_moment(days, zone, today()))
    return {
        "chart": chart.draw(counted, days, zone, today()),
        "days": days,
        "periods": chart.PERIODS,
        "most_opened": format_decimal(finding.MOST_OPENED, locale=current_language()),
    }


_PAGE = LogPage("security_log", "security", SENTENCES, finding.security_log, shown.show_event, True, _chart)
