"""What is left of a tenant, wherever it might be: a slug is nobody else's before the answer is nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from sqlalchemy import Column, Connection, func, select

from tenants.errors import SlugTaken
from tenants.registry_tables import backup_table, database_login_table, outbox_table, wrapped_key_table
from tenants.slugs import find_buried
from tenants.stores import store_of
from tenants.stores.store import Store
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED

_ROWS: dict[str, Column[UUID]] = {
    "wrapped key": wrapped_key_table.c.tenant_uuid,
    "database login": database_login_table.c.tenant_uuid,
    "backup": backup_table.c.tenant_uuid,
    "outbox": outbox_table.c.tenant_uuid,
}
"""What the registry keeps of a tenant beside the tenant itself."""


def all_stores(tenancy: Tenancy) -> list[Store]:
    """Return every store there is; raise ServerUnusable."""
    names = [EMBEDDED, *(server.name for server in tenancy.servers.all())]
    return [store_of(tenancy, name) for name in names]


def folders_of(tenancy: Tenancy, tenant_uuid: UUID) -> list[Path]:
    """Return the folders that a tenant's files and backups are in, where there are any."""
    settings = tenancy.settings
    return [folder for folder in (settings.folder_of(tenant_uuid), settings.backups_of(tenant_uuid)) if folder.exists()]


def what_is_left(tenancy: Tenancy, tenant_uuid: UUID) -> list[str]:
    """Return, in words, what is left of a tenant; empty when all is gone.

    Raises ServerUnusable when a server cannot be asked: what nobody has looked for is not proved gone.
    """
    found = [what for store in all_stores(tenancy) for what in store.remains(tenant_uuid)]
    found += [str(folder) for folder in folders_of(tenancy, tenant_uuid)]
    with tenancy.registry.engine.connect() as connection:
        found += _rows_left(connection, tenant_uuid)
    return found


def refuse_slug_with_remains(tenancy: Tenancy, slug: str) -> None:
    """Raise SlugTaken when anything is left of a purged tenant whose slug this was, as after an old copy came back."""
    with tenancy.registry.engine.connect() as connection:
        buried = find_buried(connection, slug)
    for tombstone in buried:
        if left := what_is_left(tenancy, tombstone.tenant_uuid):
            raise SlugTaken(
                f"The slug {slug!r} was a purged tenant's, and of that one there is still: {', '.join(left)}."
            )


def _rows_left(connection: Connection, tenant_uuid: UUID) -> Iterator[str]:
    for what, column in _ROWS.items():
        count = connection.execute(select(func.count()).where(column == tenant_uuid)).scalar_one()
        if count:
            yield f"{count} {what}{'' if count == 1 else 's'} in the registry"
