"""Tables that spreadsheets open: marked as UTF-8, separated as the reader's language expects, and free of formulas."""

from __future__ import annotations

import csv
import io
import string
from collections.abc import Iterable, Sequence
from urllib.parse import quote

from extranet.i18n import current_language

_PLAIN = frozenset(string.ascii_letters + string.digits + " -._()")
FORMULA_SIGNS = ("=", "+", "-", "@", "\t", "\r")


def write_sheet(rows: Iterable[Sequence[str]]) -> str:
    """Return rows as CSV in the reader's language's dialect."""
    text = io.StringIO()
    # The mark tells spreadsheets that the text is UTF-8; those in French and Dutch expect semicolons.
    text.write("\ufeff")
    writer = csv.writer(text, delimiter="," if current_language() == "en" else ";")
    writer.writerows([harmless(cell) for cell in row] for row in rows)
    return text.getvalue()


def harmless(cell: str) -> str:
    """Return a cell that no spreadsheet runs, quoted or not."""
    return f"'{cell}" if cell.startswith(FORMULA_SIGNS) else cell


def attachment(name: str) -> str:
    """Return a Content-Disposition for a file name in any language (RFC 6266)."""
    plain = "".join(
        letter if letter.isascii() and letter.isprintable() and letter not in '"\\%' else "_" for letter in name
    )
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
