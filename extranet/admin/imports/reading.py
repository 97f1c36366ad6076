"""Reading an uploaded table: which letters, which separator, which rows. Raises Invalid with a sentence why not."""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from extranet.errors import Invalid
from extranet.i18n import gettext as _

LARGEST_BYTES = 1024 * 1024
MOST_ROWS = 10_000
_MOST_COLUMNS = 50
_LONGEST_CELL = 2_000
_SEPARATORS = (";", ",", "\t")
_FIELD = "people"
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file: the line it ends on, and its cells."""

    line: int
    cells: list[str]


def read_table(content: bytes) -> tuple[list[str], list[Row]]:
    """Return the headings and the rows that are not empty; raise Invalid."""
    if not content.strip():
        raise Invalid(_FIELD, _("Choose a file first; this one is empty."))
    if len(content) > LARGEST_BYTES:
        raise Invalid(_FIELD, too_large())
    text = decode(content)
    if text[:4].lower() == "sep=":
        # What spreadsheets write before everything else; which separator it is shows without it.
        text = "\n" + text.partition("\n")[2]
    rows = list(_rows(text, _separator(text)))
    if not rows:
        raise Invalid(_FIELD, _("There is nothing in this file."))
    headings, *people = rows
    if not people:
        raise Invalid(_FIELD, _("There is only one line in this file: the headings need people below them."))
    return headings.cells, people


def decode(content: bytes) -> str:
    """Return the text of a file in UTF-8, UTF-16 or Windows-1252; raise Invalid."""
    try:
        text = content.decode(_encoding(content))
    except UnicodeDecodeError as error:
        raise Invalid(_FIELD, _("The letters of this file cannot be read. Save it as CSV UTF-8.")) from error
    if "\0" in text:
        raise Invalid(_FIELD, _("This is not a CSV file. Save the table as CSV UTF-8 and upload that."))
    return text


def too_large() -> str:
    """Return what to say about a file over the limit."""
    return _("This file is too large: at most 1 MB, please.")


def _encoding(content: bytes) -> str:
    for mark, encoding in _MARKS:
        if content.startswith(mark):
            return encoding
    if content[1:40:2].strip(b"\0") == b"":
        return "utf-16-le"
    if content[0:40:2].strip(b"\0") == b"":
        return "utf-16-be"
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _separator(text: str) -> str:
    heading = next((line for line in text.splitlines() if line.strip()), "")
    return max(_SEPARATORS, key=lambda separator: len(next(csv.reader([heading], delimiter=separator), [])))


def _rows(text: str, separator: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    count = 0
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _not_a_table(reader.line_num) from error
        if cells is None:
            return
        if len(cells) > _MOST_COLUMNS or any(len(cell) > _LONGEST_CELL for cell in cells):
            raise _not_a_table(reader.line_num)
        if any(cell.strip() for cell in cells):
            count += 1
            if count > MOST_ROWS + 1:
                raise Invalid(_FIELD, _("These are too many rows: at most %(count)s at a time.", count=MOST_ROWS))
            yield Row(reader.line_num, cells)


def _not_a_table(line: int) -> Invalid:
    return Invalid(
        _FIELD, _("Line %(line)s cannot be read as a row of a table. A quotation mark may be open.", line=line)
    )
