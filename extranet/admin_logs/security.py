"""Administration > Security log: sign-ins and what concerns accounts, with where it came from."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from flask import make_response, redirect, request, url_for
from werkzeug.wrappers import Response

from extranet.admin.blueprint import for_admins
from extranet.admin_logs import chart, finding, shown
from extranet.admin_logs.blueprint import blueprint
from extranet.admin_logs.filters import Filter
from extranet.admin_logs.finding import Found
from extranet.admin_logs.looking import (
    asked_filter,
    missing_reason,
    note_download,
    note_look,
    pager_of,
    today,
    unread_notice,
    wanted_of,
)
from extranet.admin_logs.sheet import answer_sheet, too_long
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.access import sensitive
from extranet.request.current import current
from extranet.security_log.words import SENTENCES

_LOG = "security"
_SECTION = "security_log"
_MOST_NAMES = 300


@blueprint.get("/security-log")
@for_admins
def security_log() -> Response:
    """Show one page of what is asked for, newest first, and how many signed in by day."""
    if (instead := unread_notice(_SECTION)) is not None:
        return instead
    asked = asked_filter(kinds())
    if asked.errors:
        return _page(asked, 422)
    if (instead := missing_reason(asked, _SECTION)) is not None:
        return instead
    note_look(asked, _LOG)
    return _page(asked)


@blueprint.get("/security-log.csv")
@for_admins
@sensitive
def security_log_csv() -> Response:
    """Download what is asked for, all pages of it."""
    asked = asked_filter(kinds())
    if asked.errors or unread_notice(_SECTION) or missing_reason(asked, _SECTION):
        return redirect(url_for("logs.security_log", **asked.query), 303)
    found = finding.security_log(current.db).find(wanted_of(asked))
    if too_long(asked, found):
        return _page(asked, 422)
    names = finding.names_of(current.db, shown.people_in(found.entries))
    head = [_("When"), _("Event"), _("Result"), _("Person"), _("By"), _("IP address"), _("Browser"), _("Reason")]
    events = (shown.show_event(entry, names) for entry in found.entries)
    rows = [
        [
            event.at.isoformat(),
            event.sentence,
            shown.result_of(event.outcome),
            event.person,
            event.actor,
            event.address,
            event.browser,
            event.reason,
        ]
        for event in events
    ]
    note_download(asked, _LOG, len(found.entries))
    return answer_sheet([head, *rows], _("security log of %(company)s", company=current.tenant.name))


def kinds() -> dict[str, str]:
    """Return every event there is by its code, in the reader's words and order."""
    words = {event.value: str(sentence) for event, sentence in SENTENCES.items()}
    return dict(sorted(words.items(), key=lambda item: item[1].casefold()))


def _page(asked: Filter, status: int = 200) -> Response:
    found, pager = _found(asked)
    names = finding.names_of(current.db, shown.people_in(found.entries))
    html = pages.render(
        "admin_logs/security_log.html",
        asked=asked,
        kinds=kinds(),
        people=finding.some_usernames(current.db, _MOST_NAMES),
        events=[shown.show_event(entry, names) for entry in found.entries],
        found=found,
        pager=pager,
        most_opened=finding.MOST_OPENED,
        **_chart_values(),
    )
    return make_response(html, status)


def _found(asked: Filter) -> tuple[Found, Any]:
    if asked.errors:
        return Found([], 0), pager_of(0)
    log, wanted, rows = finding.security_log(current.db), wanted_of(asked), current.user.rows_per_page
    if wanted.network:
        found = log.find(wanted)
        pager = pager_of(found.count)
        begin = (pager.page - 1) * rows
        return Found(found.entries[begin : begin + rows], found.count, found.unsearched), pager
    pager = pager_of(log.count(wanted))
    return log.find(wanted, offset=(pager.page - 1) * rows, limit=rows), pager


def _chart_values() -> dict[str, Any]:
    days, zone = chart.period_of(request.args.get("days", "")), ZoneInfo(current.user.time_zone)
    counted = finding.count_by_hour(current.db, chart.first_moment(days, zone, today()))
    return {"chart": chart.draw(counted, days, zone, today()), "days": days, "periods": chart.PERIODS}
