"""Preferences > Sign-in history: what the security log says about oneself."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from flask import Response, redirect, request, url_for
from werkzeug.wrappers import Response as AnyResponse

from extranet.accounts import operations
from extranet.accounts.browsers import describe_browser
from extranet.i18n import current_language, lazy
from extranet.i18n import gettext as _
from extranet.preferences.blueprint import blueprint
from extranet.request import pages
from extranet.request.cookies import change_session
from extranet.request.current import current
from extranet.request.events import note
from extranet.security_log.events import Event, Outcome
from extranet.security_log.operations import count_about, read_about
from tenants.journal import Entry

LABELS = {
    Event.SIGNED_IN: lazy("Signed in"),
    Event.SIGN_IN_REFUSED: lazy("Sign-in refused: wrong password or disabled account"),
    Event.SIGN_IN_THROTTLED: lazy("Sign-in refused: too many attempts"),
    Event.NEW_BROWSER: lazy("New browser"),
    Event.SIGNED_OUT: lazy("Signed out"),
    Event.LOGIN_EXPIRED: lazy("Signed out automatically"),
    Event.LOGIN_ENDED: lazy("Session ended"),
    Event.BROWSER_FORGOTTEN: lazy("Browser forgotten"),
    Event.BROWSER_RENAMED: lazy("Browser renamed"),
    Event.PASSWORD_CHANGED: lazy("Password changed"),
    Event.PASSWORD_CHANGE_REFUSED: lazy("Password change refused: wrong current password"),
    Event.STRANGER_REPORTED: lazy("Reported as done by somebody else"),
    Event.USER_CREATED: lazy("Account created"),
    Event.USER_INVITED: lazy("Invitation made"),
    Event.USER_DISABLED: lazy("Account disabled"),
    Event.USER_ENABLED: lazy("Account enabled"),
    Event.USER_UNLOCKED: lazy("Failed attempts forgotten"),
    Event.INVITATION_ACCEPTED: lazy("Invitation accepted, password set"),
    Event.INVITATION_REFUSED: lazy("Invitation refused"),
    Event.UPLOAD_REFUSED: lazy("Upload refused"),
    Event.COMPANY_CHANGED: lazy("Company registration changed"),
    Event.LOG_VIEWED: lazy("The operator of this service viewed the security log"),
    Event.LOG_EXPORTED: lazy("The operator of this service exported the security log"),
    Event.ALL_SIGNED_OUT: lazy("Everybody was signed out by the operator of this service"),
    Event.RESTORED: lazy("A backup was restored by the operator of this service"),
    Event.HISTORY_EXPORTED: lazy("Sign-in history downloaded"),
    Event.CSRF_REFUSED: lazy("Form refused: not sent from this extranet, or too old"),
    Event.COOKIE_TAMPERED: lazy("Cookie refused"),
    Event.COOKIE_DUPLICATE: lazy("Cookie refused: sent twice"),
    Event.ACCESS_DENIED: lazy("Page refused: not for this role"),
}


# By name: an older or newer release may have written kinds that this one does not know.
_LABELS_BY_NAME = {event.value: label for event, label in LABELS.items()}


@dataclass(frozen=True, slots=True)
class ShownEvent:
    """An entry as the page shows it."""

    at: datetime
    label: str
    outcome: str
    address: str
    browser: str


@dataclass(frozen=True, slots=True)
class Pager:
    """Which page of how many."""

    page: int
    pages: int

    @property
    def previous(self) -> int | None:
        """The page before, if any."""
        return self.page - 1 if self.page > 1 else None

    @property
    def next(self) -> int | None:
        """The page after, if any."""
        return self.page + 1 if self.page < self.pages else None


@blueprint.get("/history")
def history() -> str:
    """Show one page of one's own entries, newest first."""
    rows = current.user.rows_per_page
    count = count_about(current.db, current.user.id)
    pager = _pager(request.args.get("page", "1"), count, rows)
    entries = read_about(current.db, current.user.id, offset=(pager.page - 1) * rows, limit=rows)
    return pages.render("preferences/history.html", events=[_shown(entry) for entry in entries], pager=pager)


@blueprint.post("/history/not-me")
def report_stranger() -> AnyResponse:
    """Act on "this wasn't me": shut everybody else out, then ask for a new password."""
    operations.report_stranger(current.db, current.user.id, login_id=current.user.login_id, origin=current.origin)
    change_session(notice=pages.STRANGER_REPORTED)
    return redirect(url_for("preferences.security"), 303)


@blueprint.get("/history.csv")
def history_csv() -> Response:
    """Download one's own entries."""
    answer = Response(_csv_of(_shown(entry) for entry in read_about(current.db, current.user.id)), mimetype="text/csv")
    note(Event.HISTORY_EXPORTED, details={}, outcome=Outcome.OK)
    answer.headers["Content-Disposition"] = 'attachment; filename="sign-in-history.csv"'
    return answer


def _pager(asked: str, count: int, rows: int) -> Pager:
    last = max(1, -(-count // rows))
    page = int(asked) if asked.isascii() and asked.isdigit() and len(asked) < 9 else 1
    return Pager(min(max(page, 1), last), last)


def _shown(entry: Entry) -> ShownEvent:
    return ShownEvent(
        entry.at,
        str(_LABELS_BY_NAME.get(entry.event, entry.event)),
        entry.outcome,
        entry.private.get("address", ""),
        describe_browser(entry.private.get("user_agent", "")),
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
