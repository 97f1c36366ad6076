"""What may be told of an error, to operators and in what they read: which and where, and nothing of anybody's rows."""

from __future__ import annotations

import sqlite3
import traceback
from pathlib import Path

import psycopg
from sqlalchemy.exc import DBAPIError

from tenants.errors import TenancyError

_LONGEST = 300


def fault_of(error: BaseException) -> str:
    """Return one line, at most 300 characters."""
    return _words(error).strip().partition("\n")[0][:_LONGEST]


def _words(error: BaseException) -> str:
    if isinstance(error, TenancyError):
        return str(error)
    cause: BaseException | None = error.orig if isinstance(error, DBAPIError) else error
    match cause:
        case sqlite3.Error():
            # SQLite names tables, columns and constraints, never a value.
            said = f": {cause}"
        case psycopg.Error():
            # PostgreSQL's own words may quote one.
            said = _named(cause)
        case OSError():
            said = f": {cause.strerror}" if cause.strerror else ""
        case _:
            said = ""
    return f"{type(cause).__name__}{said}{_place(error)}"


def _named(error: psycopg.Error) -> str:
    about = error.diag
    names = [name for name in (about.table_name, about.column_name, about.constraint_name) if name]
    return f": {'.'.join(names)}" if names else ""


def _place(error: BaseException) -> str:
    """Say where in a revision it happened, if it happened in one."""
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).parent.name == "versions"
    ]
    return f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
