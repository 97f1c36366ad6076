"""One tenant brought to the schema of this code, by a process that does nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from uuid import UUID

from tenants import schema, unfinished
from tenants.errors import Busy, NoSuchTenant
from tenants.faults import fault_of
from tenants.fleet.journal import Report, StepState
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import WITH_DATA, Tenant

Snapshot = Callable[[Tenancy, Tenant], object]
"""Keeps a tenant as it is before its migration. A function of a module: other processes find it by its name."""

# A command that changes one tenant holds its lock for a moment; a process of a run that was killed, until it has ended
# what it is at.
_PATIENCE_SECONDS = 10
_PAUSE_SECONDS = 0.05


class _Skipped(Exception):
    """Raised for a tenant that is not to be migrated after all; says why."""


def migrate_tenant(tenancy: Tenancy, tenant: Tenant, snapshot: Snapshot | None) -> Report:
    """Migrate one tenant in one transaction, which any failure rolls back; raise nothing but interrupts."""
    started = time.monotonic()
    state, found, fault = StepState.DONE, None, ""
    try:
        found = _migrate(tenancy, tenant, snapshot)
    except _Skipped as why:
        state, fault = StepState.SKIPPED, str(why)
    except Exception as error:  # noqa: BLE001 - a revision may raise anything, and the fleet goes on
        state, fault = StepState.FAILED, fault_of(error)
    return Report(tenant.uuid, state, round((time.monotonic() - started) * 1000), found, fault)


def _migrate(tenancy: Tenancy, known: Tenant, snapshot: Snapshot | None) -> int | None:
    """Return the version it had; None when nothing was to be done."""
    with _held(tenancy, known) as tenant:
        if snapshot is not None:
            snapshot(tenancy, tenant)
        with store_of(tenancy, tenant.server).changing_schema(tenant) as connection:
            found = schema.version_of(connection)
            if found >= schema.head(tenancy.history):
                return None
            schema.upgrade(connection, tenancy.history)
            return found


@contextmanager
def _held(tenancy: Tenancy, known: Tenant) -> Iterator[Tenant]:
    """Hold the tenant's lock, and yield it as it is now; raise _Skipped when there is nothing to migrate."""
    with ExitStack() as stack:
        tenant = _lock(stack, tenancy, known)
        if tenant.state not in WITH_DATA:
            raise _Skipped(f"It is {tenant.state}.")
        with tenancy.registry.engine.connect() as connection:
            begun = unfinished.find(connection, tenant.uuid)
        if begun is not None:
            raise _Skipped(f"Its {begun.verb} was begun and is not finished.")
        yield tenant


def _lock(stack: ExitStack, tenancy: Tenancy, tenant: Tenant) -> Tenant:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with ExitStack() as held:
                held.enter_context(tenancy.locks.hold(tenant.slug))
                now = _as_it_is(tenancy, tenant.uuid)
                if now.slug == tenant.slug:
                    stack.push(held.pop_all())
                    return now
                # Renamed since the plan was made: its lock has another name.
                tenant = now
        except Busy:
            if time.monotonic() > deadline:
                raise
            time.sleep(_PAUSE_SECONDS)


def _as_it_is(tenancy: Tenancy, uuid: UUID) -> Tenant:
    try:
        return tenancy.registry.by_uuid(uuid)
    except NoSuchTenant as error:
        raise _Skipped("It is no longer in the registry.") from error
