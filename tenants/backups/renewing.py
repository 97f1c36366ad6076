"""Making a new tenant of what a backup of another one holds: its own UUID and key, and nothing that opens the other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tenants.backups.contents import Contents
from tenants.backups.restoring import examined
from tenants.backups.staging import Prepare, Return, bring_up_to_date
from tenants.backups.verifying import choose, refuse_lost, store_for
from tenants.errors import ServerUnusable
from tenants.files import PURPOSE
from tenants.keys import TenantKeys
from tenants.lifecycle.cloning import Original, copy_as_new
from tenants.lifecycle.creating import NewTenant
from tenants.lifecycle.holding import held_tenant
from tenants.lifecycle.naming import refuse_taken
from tenants.stores.placement import refuse_unreachable
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant, parse_slug


def restore_as_new(
    tenancy: Tenancy,
    slug: str,
    new_slug: str,
    prepare: Prepare,
    *,
    backup_id: str = "",
    path: Path | None = None,
    server: str = "",
) -> tuple[Tenant, Return]:
    """Make a tenant from a backup of another one, which stays as it is; return it with what it was made of.

    ``prepare`` has the last word in the transaction that makes the new database whole. ``server`` is where that is to
    be, the other one's own if nothing is said; of the other one's server nothing else is asked. Raises BadArchive,
    NoSuchBackup, and what ``clone_tenant`` raises, with nothing made.
    """
    refuse_lost(tenancy, path)
    refuse_taken(tenancy, parse_slug(new_slug))
    with (
        held_tenant(tenancy, slug) as held,
        examined(tenancy, tenant := _placed(tenancy, held, server), choose(tenancy, held, backup_id, path)) as (
            source,
            header,
            manifest,
        ),
    ):
        keys = tenancy.keys_of(tenant).with_retired()
        contents = Contents(source, header, keys)
        embedded, dump = contents.database()
        with store_for(tenancy, tenant, embedded).scratch(dump) as rows:
            bring_up_to_date(tenancy, rows, manifest)
            original = Original(tenant.uuid, keys, rows, _opened(contents, keys))
            new = NewTenant(new_slug, manifest.name, tenant.server)
            back_to = Return(header, manifest)
            return copy_as_new(tenancy, original, new, lambda db, _told: prepare(db, back_to)), back_to


def rehearse_as_new(
    tenancy: Tenancy, slug: str, new_slug: str, *, backup_id: str = "", path: Path | None = None, server: str = ""
) -> Return:
    """Do of it what changes nothing, raising what it would raise; return what the new tenant would be made of."""
    refuse_lost(tenancy, path)
    refuse_taken(tenancy, parse_slug(new_slug))
    with (
        held_tenant(tenancy, slug) as tenant,
        examined(tenancy, _placed(tenancy, tenant, server), choose(tenancy, tenant, backup_id, path)) as (
            _,
            header,
            manifest,
        ),
    ):
        return Return(header, manifest)


def _placed(tenancy: Tenancy, tenant: Tenant, server: str) -> Tenant:
    # As if it were there: its backups are then looked at there, too.
    try:
        refuse_unreachable(tenancy, server or tenant.server)
    except ServerUnusable as error:
        raise ServerUnusable(f"{error} To make it elsewhere, name another server with --server.") from error
    return replace(tenant, server=server or tenant.server)


def _opened(contents: Contents, keys: TenantKeys) -> Iterator[tuple[str, bytes]]:
    for name, file in contents.files():
        yield name, keys.open(PURPOSE, file.read(), context=name.encode())
