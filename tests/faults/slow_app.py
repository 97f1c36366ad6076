"""The application with one page more, which keeps a connection to its tenant's database busy."""

from __future__ import annotations

from sqlalchemy import text

from extranet.request.access import public
from extranet.request.current import current
from tests.faults.cheap_app import application


@public
def slow(milliseconds: int) -> str:
    current.db.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": milliseconds / 1000})
    return "slept"


application.add_url_rule("/slow/<int:milliseconds>", "slow", slow)
