"""Answers for people: columns that line up, folded to a terminal's width, and nothing but text."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

_GAP = "  "
_NARROWEST = 8


def layout(header: Sequence[str], rows: Sequence[Sequence[str]], width: int | None) -> Iterator[str]:
    """Yield a table's lines, the header first. Without a ``width`` every row stays on one line, for a pipe."""
    table = [header, *rows]
    columns = [max(_width(row[number]) for row in table) for number in range(len(header))]
    if width is not None:
        _squeeze(columns, width - len(_GAP) * (len(columns) - 1))
    for row in table:
        yield from _lines(row, columns)


def card(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield one thing's lines, a property each."""
    labels = [key.removesuffix("_bytes").replace("_", " ") for key in document]
    width = max(map(len, labels))
    for label, value in zip(labels, document.values(), strict=True):
        yield f"{label:<{width}}  {_said(value)}"


def _said(value: Any) -> str:
    match value:
        case None:
            return "unknown: the database cannot be opened, see extranet doctor"
        case list():
            return ", ".join(value) or "none"
        case dict():
            return ", ".join(f"{count} {what}" for what, count in value.items()) or "none"
        case int():
            return f"{value / 1024**2:.1f} MiB"
    return str(value)


def _squeeze(columns: list[int], room: int) -> None:
    while sum(columns) > room and max(columns) > _NARROWEST:
        columns[columns.index(max(columns))] -= 1


def _lines(row: Sequence[str], columns: list[int]) -> Iterator[str]:
    folded = [list(_fold(cell, column)) for cell, column in zip(row, columns, strict=True)]
    for number in range(max(map(len, folded))):
        parts = [cell[number] if number < len(cell) else "" for cell in folded]
        padded = (part + " " * (column - _width(part)) for part, column in zip(parts, columns, strict=True))
        yield _GAP.join(padded).rstrip()


def _fold(cell: str, column: int) -> Iterator[str]:
    line = ""
    for character in cell:
        if _width(line + character) > column:
            # Between words where there are any; an address or an id is cut where the room ends.
            before, _space, begun = (line, "", "") if character == " " else line.rpartition(" ")
            yield before or line
            line = begun if before else ""
            if character == " ":
                continue
        line += character
    yield line


def _width(text: str) -> int:
    # A terminal gives Chinese and Japanese characters two cells, and an accent that joins the letter before it none.
    return sum(
        0 if unicodedata.combining(character) else 2 if unicodedata.east_asian_width(character) in "WF" else 1
        for character in text
    )
