"""Destroying a closed tenant and everything that is kept of it, wherever that is.

First of all the tenant becomes ``purged``: from then on nothing serves it and nothing brings it back, and a purge that
was cut short is only finished. Its registry row goes last, once it is proved that nothing else is left. With its keys
go all copies of its backups that somebody may have elsewhere: nothing opens them any more.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import delete, select

from tenants import slugs, unfinished
from tenants.durable import sync
from tenants.errors import IllegalTransition, NoSuchTenant, TenantUnavailable
from tenants.lifecycle.holding import begun_before, held_tenant
from tenants.lifecycle.left import all_stores, folders_of, what_is_left
from tenants.lifecycle.states import refuse_unless
from tenants.moments import now
from tenants.registry_database import forget_deleted
from tenants.registry_tables import (
    backup_table,
    database_login_table,
    former_slug_table,
    host_table,
    outbox_table,
    tenant_table,
    wrapped_key_table,
)
from tenants.slugs import Tombstone
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

GRACE = timedelta(days=30)
"""How long a tenant stays closed before it is purged, unless an operator insists."""

_VERB = "purge"


@dataclass(frozen=True, slots=True)
class PurgePlan:
    """What a purge would destroy, and from when on it may. ``files`` and ``bytes`` are what is in the folders."""

    due: datetime
    databases: list[str]
    folders: list[Path]
    files: int
    bytes: int
    backups: list[str]
    keys: int
    hosts: list[str]
    former_slugs: list[str]


def plan_purge(tenancy: Tenancy, slug: str) -> PurgePlan:
    """Return what a purge would destroy, and change nothing. Raises IllegalTransition, NoSuchTenant, ServerUnusable."""
    tenant = tenancy.registry.by_slug(slug)
    refuse_unless(tenant, State.CLOSED, State.PURGED)
    registry = tenancy.registry
    folders = folders_of(tenancy, tenant.uuid)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    return PurgePlan(
        due=_due(tenancy, tenant),
        databases=[what for store in all_stores(tenancy) for what in store.remains(tenant.uuid)],
        folders=folders,
        files=len(files),
        bytes=sum(file.stat().st_size for file in files),
        backups=_backups_of(tenancy, tenant),
        keys=len(registry.keys_of(tenant.uuid)),
        hosts=registry.hosts_of(tenant),
        former_slugs=registry.former_slugs_of(tenant),
    )


def refuse_purge(tenancy: Tenancy, slug: str, *, at_once: bool = False) -> None:
    """Raise NoSuchTenant or IllegalTransition when a tenant cannot be purged, before anybody is asked about it."""
    try:
        tenant = tenancy.registry.by_slug(slug)
    except NoSuchTenant:
        _tombstone(tenancy, slug)
    else:
        _refuse_early(tenancy, tenant, at_once)


def purge_tenant(tenancy: Tenancy, slug: str, *, at_once: bool = False) -> Tombstone:
    """Destroy a closed tenant for ever; return its tombstone. ``at_once`` does not wait for the end of the grace.

    One that was cut short goes on when it is asked for again; one that was purged already is only looked for.
    Raises IllegalTransition, NoSuchTenant, Busy, and ServerUnusable or TenantUnavailable while something of it cannot
    be destroyed.
    """
    try:
        with held_tenant(tenancy, slug) as tenant:
            _begin(tenancy, tenant, at_once)
            for step in _STEPS:
                _note(tenancy, tenant, step.__name__.strip("_"))
                step(tenancy, tenant)
            _prove(tenancy, tenant)
            return _bury(tenancy, tenant)
    except NoSuchTenant:
        return _buried(tenancy, slug)


def _begin(tenancy: Tenancy, tenant: Tenant, at_once: bool) -> None:
    _refuse_early(tenancy, tenant, at_once)
    begun_before(tenancy, tenant, _VERB)
    if tenant.state is State.CLOSED:
        tenancy.registry.move_to(tenant, State.PURGED)


def _refuse_early(tenancy: Tenancy, tenant: Tenant, at_once: bool) -> None:
    refuse_unless(tenant, State.CLOSED, State.PURGED)
    due = _due(tenancy, tenant)
    if tenant.state is State.CLOSED and not at_once and now() < due:
        closed = f"{due - GRACE:%Y-%m-%d}"
        raise IllegalTransition(f"{tenant.slug} was closed on {closed}: it can be purged from {due:%Y-%m-%d} on.")


def _due(tenancy: Tenancy, tenant: Tenant) -> datetime:
    return tenancy.registry.dates_of(tenant).changed_at + GRACE


def _note(tenancy: Tenancy, tenant: Tenant, step: str) -> None:
    with tenancy.registry.writing() as connection:
        unfinished.advance(connection, unfinished.begin(connection, tenant.uuid, _VERB, step), step)


def _databases(tenancy: Tenancy, tenant: Tenant) -> None:
    tenancy.databases.forget(tenant)
    for store in all_stores(tenancy):
        # Wherever a copy of it may have been left.
        if store.remains(tenant.uuid):
            store.destroy(tenant.uuid)


def _folders(tenancy: Tenancy, tenant: Tenant) -> None:
    mails = [tenancy.settings.mails_of(slug) for slug in (tenant.slug, *tenancy.registry.former_slugs_of(tenant))]
    for folder in (*folders_of(tenancy, tenant.uuid), *(folder for folder in mails if folder.exists())):
        shutil.rmtree(folder)
        sync(folder.parent)


def _keys(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.registry.changing() as connection:
        for table in (wrapped_key_table, database_login_table, backup_table, outbox_table):
            connection.execute(delete(table).where(table.c.tenant_uuid == tenant.uuid))
    forget_deleted(tenancy.registry.engine, wrapped_key_table.name)


# Each does nothing where there is nothing left to do: after a kill all of them run again.
_STEPS: tuple[Callable[[Tenancy, Tenant], None], ...] = (_databases, _folders, _keys)


def _prove(tenancy: Tenancy, tenant: Tenant) -> None:
    if left := what_is_left(tenancy, tenant.uuid):
        raise TenantUnavailable(f"Of {tenant.slug} there is still: {', '.join(left)}. Purge it again.")


def _bury(tenancy: Tenancy, tenant: Tenant) -> Tombstone:
    former = tenancy.registry.former_slugs_of(tenant)
    with tenancy.registry.changing() as connection:
        for table in (host_table, former_slug_table):
            connection.execute(delete(table).where(table.c.tenant_uuid == tenant.uuid))
        connection.execute(delete(tenant_table).where(tenant_table.c.uuid == tenant.uuid))
        slugs.bury(connection, tenant.uuid, [tenant.slug, *former])
        unfinished.end(connection, tenant.uuid)
    return _buried(tenancy, tenant.slug)


def _buried(tenancy: Tenancy, slug: str) -> Tombstone:
    found = _tombstone(tenancy, slug)
    if left := what_is_left(tenancy, found.tenant_uuid):
        raise TenantUnavailable(f"{slug} was purged, and of it there is again: {', '.join(left)}.")
    return found


def _tombstone(tenancy: Tenancy, slug: str) -> Tombstone:
    with tenancy.registry.engine.connect() as connection:
        found = slugs.find_buried(connection, slug)
    if not found:
        raise NoSuchTenant(f"There is no tenant {slug!r}.")
    return found[0]


def _backups_of(tenancy: Tenancy, tenant: Tenant) -> list[str]:
    ours: Any = select(backup_table.c.file).where(backup_table.c.tenant_uuid == tenant.uuid)
    with tenancy.registry.engine.connect() as connection:
        return sorted(connection.execute(ours).scalars())
