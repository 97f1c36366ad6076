"""Preferences > Sign-in history: what the security log says about oneself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from extranet.accounts.browsers import describe_browser
from extranet.accounts.shutting_out import report_stranger as shut_others_out
from extranet.i18n import current_language
from extranet.i18n import gettext as _
from extranet.paging import pager_of
from extranet.preferences.blueprint import blueprint
from extranet.request import pages
from extranet.request.access import form_on, sensitive
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import count_about, read_about
from extranet.security_log.origin import NOBODY, OPERATOR, PROVIDER
from extranet.security_log.words import sentence_of
from tenants.journal import Entry


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An entry as the page shows it."""

    at: datetime
    label: str
    outcome: str
    address: str
    browser: str


@blueprint.get("/history")
def history() -> str:
    """Show one page of one's own entries, newest first."""
    rows = current.user.rows_per_page
    count = count_about(current.db, current.user.id)
    pager = pager_of(request.args.get("page", "1"), count, rows)
    entries = read_about(current.db, current.user.id, offset=(pager.page - 1) * rows, limit=rows)
    return pages.render("preferences/history.html", events=[_shown(entry) for entry in entries], pager=pager)


@blueprint.post("/history/not-me")
def report_stranger() -> AnyResponse:
    """Act on "this wasn't me": shut everybody else out, then ask for a new password and a look at second factors.

    Not sensitive: it is the way out for somebody in a hurry, and all it can do to an intruder's advantage is to
    demand the current password.
    """
    user = current.user
    has_password = shut_others_out(current.db, user.id, login_id=user.login_id, origin=current.origin)
    change_session(notice=pages.STRANGER_REPORTED if has_password else pages.STRANGER_REPORTED_NO_PASSWORD)
    return redirect(url_for("preferences.security"), 303)


@blueprint.get("/history.csv")
@sensitive
@form_on("preferences.history")
def history_csv() -> Response:
    """Download one's own entries."""
    answer = Response(_csv_of(_shown(entry) for entry in read_about(current.db, current.user.id)), mimetype="text/csv")
    note(Event.HISTORY_EXPORTED, details={}, outcome=Outcome.OK)
    answer.headers["Content-Disposition"] = 'attachment; filename="sign-in-history.csv"'
    return answer


def _shown(entry: Entry) -> ShownEvent:
    # From where a colleague did something is theirs.
    is_a_colleagues = entry.actor not in {current.user.id, NOBODY, OPERATOR, PROVIDER}
    return ShownEvent(
        entry.at,
        sentence_of(entry, current.user.id),
        entry.outcome,
        "" if is_a_colleagues else entry.private.get("address", ""),
        "" if is_a_colleagues else describe_browser(entry.private.get("user_agent", "")),
    )


def _csv_of(events: Iterator[ShownEvent]) -> str:
    text = io.StringIO()
    # Spreadsheets in French and Dutch expect semicolons; the mark tells them the text is UTF-8.
    text.write("\ufeff")
    writer = csv.writer(text, delimiter="," if current_language() == "en" else ";")
    writer.writerow([_("When"), _("Event"), _("Result"), _("IP address"), _("Browser")])
    for event in events:
        writer.writerow(
            [
                _harmless(cell)
                for cell in (event.at.isoformat(), event.label, _result(event.outcome), event.address, event.browser)
            ]
        )
    return text.getvalue()


def _result(outcome: str) -> str:
    return _("Succeeded") if outcome == Outcome.OK else _("Refused")


def _harmless(cell: str) -> str:
    # A spreadsheet runs a cell that begins like a formula, quoted or not.
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
