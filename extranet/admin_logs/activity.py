"""Administration > Activity: every change anybody made, with what it said before. Without addresses."""

from __future__ import annotations

from flask import make_response, redirect, url_for
from werkzeug.wrappers import Response

from extranet.activity.words import SENTENCES
from extranet.admin.blueprint import for_admins
from extranet.admin_logs import finding, shown
from extranet.admin_logs.blueprint import blueprint
from extranet.admin_logs.filters import Filter
from extranet.admin_logs.finding import Found
from extranet.admin_logs.looking import (
    asked_filter,
    missing_reason,
    note_download,
    note_look,
    pager_of,
    unread_notice,
    wanted_of,
)
from extranet.admin_logs.sheet import answer_sheet, too_long
from extranet.i18n import gettext as _
from extranet.request import pages
from extranet.request.access import sensitive
from extranet.request.current import current

_LOG = "activity"
_SECTION = "activity"
_MOST_NAMES = 300


@blueprint.get("/activity")
@for_admins
def activity() -> Response:
    """Show one page of what is asked for, newest first."""
    if (instead := unread_notice(_SECTION)) is not None:
        return instead
    asked = _asked()
    if asked.errors:
        return _page(asked, 422)
    if (instead := missing_reason(asked, _SECTION)) is not None:
        return instead
    note_look(asked, _LOG)
    return _page(asked)


@blueprint.get("/activity.csv")
@for_admins
@sensitive
def activity_csv() -> Response:
    """Download what is asked for, all pages of it."""
    asked = _asked()
    if asked.errors or unread_notice(_SECTION) or missing_reason(asked, _SECTION):
        return redirect(url_for("logs.activity", **asked.query), 303)
    found = finding.activity_log(current.db).find(wanted_of(asked))
    if too_long(asked, found):
        return _page(asked, 422)
    names = finding.names_of(current.db, shown.people_in(found.entries))
    rows = [[_("When"), _("By"), _("What was changed"), _("What or whom"), _("Field"), _("Before"), _("After")]]
    for entry in found.entries:
        change = shown.show_change(entry, names)
        first = [change.at.isoformat(), change.actor, change.sentence, change.subject]
        # A line a field: what changed together has the same moment.
        rows += [[*first, field.label, field.old, field.new] for field in change.changes] or [[*first, "", "", ""]]
    note_download(asked, _LOG, len(found.entries))
    return answer_sheet(rows, _("activity of %(company)s", company=current.tenant.name))


def kinds() -> dict[str, str]:
    """Return every change there is by its code, in the reader's words and order."""
    words = {change.value: str(sentence) for change, sentence in SENTENCES.items()}
    return dict(sorted(words.items(), key=lambda item: item[1].casefold()))


def _asked() -> Filter:
    asked = asked_filter(kinds())
    # There are none in this log: whatever an address says of them asks for nothing.
    asked.typed |= {"address": "", "result": ""}
    for name in ("address", "result"):
        asked.errors.pop(name, None)
    return asked


def _page(asked: Filter, status: int = 200) -> Response:
    log, wanted, rows = finding.activity_log(current.db), wanted_of(asked), current.user.rows_per_page
    pager = pager_of(0 if asked.errors else log.count(wanted))
    found = Found([], 0) if asked.errors else log.find(wanted, offset=(pager.page - 1) * rows, limit=rows)
    names = finding.names_of(current.db, shown.people_in(found.entries))
    html = pages.render(
        "admin_logs/activity.html",
        asked=asked,
        kinds=kinds(),
        people=finding.some_usernames(current.db, _MOST_NAMES),
        entries=[shown.show_change(entry, names) for entry in found.entries],
        found=found,
        pager=pager,
    )
    return make_response(html, status)
