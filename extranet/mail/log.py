"""How a worker writes its lines: one JSON object a line to standard error, as the web does."""

from __future__ import annotations

import sys

import structlog


def write_lines() -> None:
    """Set structlog up for a worker. No line holds an address, a subject or a word of a mail."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
