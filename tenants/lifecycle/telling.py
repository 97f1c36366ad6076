"""What a tenant's own people can later read of what operators did with it: an entry in its own log.

The core knows neither that log's tables nor its words: whoever calls gives a function that writes the entry.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from tenants.databases import TenantSession
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

Tell = Callable[[TenantSession, Mapping[str, Any]], None]
"""Writes one entry about what the details say, in the ``db``'s transaction."""


def tell_people(tenancy: Tenancy, tenant: Tenant, tell: Tell | None, details: Mapping[str, Any]) -> None:
    """Write the entry, durable before this returns, into the log of a tenant that may be closed just now.

    It comes before the change itself: one that nobody was told of must not be, one told of twice does no harm.
    """
    if tell is not None:
        with tenancy.open_db(replace(tenant, state=State.ACTIVE), writing=True) as db:
            tell(db, details)
            db.commit()
