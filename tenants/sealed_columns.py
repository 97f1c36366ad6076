"""How a column says with what it is sealed, for whoever writes it, opens it, re-seals it or copies it elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, ColumnElement, Table

_KEY = "sealed"


@dataclass(frozen=True, slots=True)
class Sealed:
    """One column's seal: its purpose, and which column of the same row it is bound to.

    NULL and nothing at all (b"") are not sealed: they say that there is no value.
    """

    purpose: str
    context: str

    @property
    def info(self) -> dict[str, Any]:
        """What belongs into the column's ``info``."""
        return {_KEY: self}

    def bound_to(self, value: str | int) -> bytes:
        """Return the context of a value in the row where the context's column holds ``value``."""
        return value.to_bytes(8) if isinstance(value, int) else value.encode()


def seal_of(column: ColumnElement[Any]) -> Sealed:
    """Return the seal of a column that is declared to have one."""
    seal: Sealed = column.info[_KEY]
    return seal


def sealed_columns(table: Table) -> dict[Column[Any], Sealed]:
    """Return a table's sealed columns; most tables have none."""
    return {column: column.info[_KEY] for column in table.columns if _KEY in column.info}
