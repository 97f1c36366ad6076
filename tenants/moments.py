"""Moments as the registry keeps them."""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> datetime:
    """Return this moment, naive UTC: SQLite keeps no zone, and PostgreSQL's "timestamp" then means the same."""
    return datetime.now(UTC).replace(tzinfo=None)
