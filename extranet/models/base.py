"""What all tables share: the declarative base, opaque ids, UTC times, and the privacy class of every column."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import DateTime, Dialect, MetaData
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator

ID_LENGTH = 32

_CONSTRAINT_NAMES = {
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """Base of every model of a tenant database."""

    metadata = MetaData(naming_convention=_CONSTRAINT_NAMES)


def new_id() -> str:
    """Return a fresh opaque id, 128 random bits in hex. Never made from a name, never reused."""
    return secrets.token_hex(16)


def utc_now() -> datetime:
    """Return the present moment, aware, UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC datetime in Python, a naive one in the database (SQLite keeps no zone)."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Refuse naive values: they would silently mean the server's zone."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("A naive datetime was given to the database.")
        return value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Give the zone back."""
        return value if value is None else value.replace(tzinfo=UTC)


TECHNICAL: dict[str, Any] = {"personal": False}
"""The class of a column that says nothing about a person."""


def personal(
    category: str,
    *,
    erase: str,
    purpose: str = "account",
    basis: str = "contract",
    export: bool = True,
    retention: str = "member",
    source: str = "user",
) -> dict[str, Any]:
    """Classify a column that concerns a person; the words are those of PRIVACY_WORDS.

    One declaration drives export, erasure, retention and the processing register.
    """
    return {
        "personal": True,
        "category": category,
        "purpose": purpose,
        "basis": basis,
        "export": export,
        "erase": erase,
        "retention": retention,
        "source": source,
    }


PRIVACY_WORDS: dict[str, frozenset[Any]] = {
    "category": frozenset({"identity", "contact", "professional", "technical", "content", "financial", "preference"}),
    "purpose": frozenset({"account", "security", "directory", "company"}),
    "basis": frozenset({"contract", "legitimate_interest", "consent", "legal_obligation"}),
    "export": frozenset({True, False}),
    # What erasing a person does to the value.
    "erase": frozenset({"null", "pseudonym", "keep", "hash", "delete_row"}),
    # member: as long as the account; security: 12 months; login and mail: 30 days after its end; browser: 100 days.
    "retention": frozenset({"member", "security", "login", "browser", "invitation", "contract", "mail"}),
    "source": frozenset({"user", "admin", "system"}),
}


def opaque_reference(*, retention: str = "member", erase: str = "keep", purpose: str = "account") -> dict[str, Any]:
    """Classify a column that points to a person by opaque id alone; erasing the person empties what it points to."""
    return personal("technical", erase=erase, purpose=purpose, export=False, retention=retention, source="system")
