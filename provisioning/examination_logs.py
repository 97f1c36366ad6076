"""Whether old entries leave the logs, for ``extranet doctor``."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from provisioning.commands.log_pruning import OPERATORS_DAYS
from provisioning.findings import Finding
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection, Table
    from sqlalchemy.orm import Session

# Who prunes once a month is not late.
_GRACE = timedelta(days=31)


def examine_logs(tenancy: Tenancy, tenant: Tenant) -> Iterator[Finding]:
    """Yield what is wrong when a tenant's logs reach back further than they should."""
    from extranet.models import activity_table, security_event_table
    from extranet.retention.logs import log_days

    with tenancy.open_db(tenant) as db:
        days = log_days(db)
        first = min(filter(None, (_first(db, table) for table in (security_event_table, activity_table))), default=None)
    yield from _finding(tenant.slug, first, days)


def examine_operators_journal(tenancy: Tenancy) -> Iterator[Finding]:
    """Yield what is wrong when the operators' own journal does."""
    with tenancy.registry.engine.connect() as connection:
        first = _first(connection, tenancy.operator_journal.entries)
    yield from _finding("operators", first, OPERATORS_DAYS)


def _first(db: Session | Connection, table: Table) -> datetime | None:
    from extranet.retention.logs import reaches_back_to

    return reaches_back_to(db, table)


def _finding(whose: str, first: datetime | None, days: int) -> Iterator[Finding]:
    from extranet.models.base import utc_now

    if first is not None and first < utc_now() - timedelta(days=days) - _GRACE:
        since = f"entries since {first:%Y-%m-%d}, and they are kept for {days} days"
        yield Finding(f"{whose} log", False, f"{since}. From cron: extranet log prune --all")
