"""A log as a file that spreadsheets open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from flask import Response

from extranet.admin.sheets import attachment, write_sheet
from extranet.admin_logs.filters import Filter
from extranet.admin_logs.finding import MOST_EXPORTED, Found
from extranet.i18n import gettext as _


def answer_sheet(rows: Iterable[Sequence[str]], name: str) -> Response:
    """Return rows as a download."""
    answer = Response(write_sheet(rows), mimetype="text/csv")
    answer.headers["Content-Disposition"] = attachment(f"{name} {datetime.now(UTC):%Y-%m-%d}.csv")
    return answer


def too_long(asked: Filter, found: Found) -> bool:
    """Tell whether a file would not hold all that was asked for; if so, say what to do."""
    if found.count <= MOST_EXPORTED and not found.unsearched:
        return False
    asked.errors["from"] = _(
        "A file holds at most %(most)s entries, and nothing is left out of it: choose a shorter period.",
        most=MOST_EXPORTED,
    )
    return True
