"""One command at a time on one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tenants import unfinished
from tenants.errors import IllegalTransition
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tenants.unfinished import Unfinished


@contextmanager
def held_tenant(tenancy: Tenancy, slug: str) -> Iterator[Tenant]:
    """Hold a tenant's lock and yield it as it is now; raise NoSuchTenant or Busy."""
    # A lock file is only ever named after a slug that the registry knows.
    tenancy.registry.by_slug(slug)
    with tenancy.locks.hold(slug):
        yield tenancy.registry.by_slug(slug)


def begun_before(tenancy: Tenancy, tenant: Tenant, verb: str) -> Unfinished | None:
    """Return how far ``verb`` came when it was cut short; raise IllegalTransition while anything else is unfinished."""
    with tenancy.registry.engine.connect() as connection:
        found = unfinished.find(connection, tenant.uuid)
    if found is not None and found.verb != verb:
        raise IllegalTransition(f"There is an unfinished {found.verb} of {tenant.slug}: run that again first.")
    return found
