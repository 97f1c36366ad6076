"""Making what a backup holds ready beside what a tenant has, which is served meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO
from uuid import UUID

from sqlalchemy import Connection

from tenants import schema
from tenants.backups.archive import Header, read_header
from tenants.backups.contents import Contents, file_digests
from tenants.backups.manifest import Head, Manifest
from tenants.backups.placing import Placing
from tenants.backups.verifying import store_for
from tenants.copying import copy_all
from tenants.databases import TenantSession
from tenants.resealing import reseal, reseal_files, to_newest
from tenants.stores import store_of
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, Tenant


@dataclass(frozen=True, slots=True)
class Return:
    """What a tenant is brought back to, and what it leaves, which ``safety`` is the backup of.

    ``left`` are the heads of the journals it leaves, by journal: whoever noted one of them finds out what became of it.
    Both are empty when what it leaves is too damaged.
    """

    header: Header
    manifest: Manifest
    safety: UUID | None = None
    left: Mapping[str, Head] = field(default_factory=dict)


Prepare = Callable[[TenantSession, Return], None]
"""Changes the restored rows before anybody can see them."""


def stage(tenancy: Tenancy, tenant: Tenant, source: BinaryIO, back_to: Return) -> Contents:
    """Fill a database that waits aside; return the rest of the archive, for ``finish``.

    ``source`` is an archive that was examined, from behind its header on.
    """
    aside, keys = store_of(tenancy, tenant.server).aside(), tenancy.keys_of(tenant)
    aside.destroy(tenant.uuid)

    def fill(db: TenantSession) -> None:
        db.info["keys"] = keys
        if back_to.header.key_version < keys.newest:
            reseal(db.connection(), schema.tables_of(tenancy.history), to_newest(keys))

    contents = Contents(source, back_to.header, keys)
    embedded, dump = contents.database()
    if embedded == (tenant.server == EMBEDDED):
        aside.load(tenant, dump)
        if _is_older(tenancy, back_to.manifest):
            with aside.changing_schema(tenant) as connection:
                schema.upgrade(connection, tenancy.history)
        with aside.filling(tenant, origin=tenant.uuid) as db:
            fill(db)
    else:
        # The tenant has moved since.
        with store_for(tenancy, tenant, embedded).scratch(dump) as rows:
            bring_up_to_date(tenancy, rows, back_to.manifest)
            aside.create(tenant)
            with aside.filling(tenant) as db:
                copy_all(rows, db.connection(), tenancy.history, keys.with_retired(), lambda _done, _total: None)
                fill(db)
    return contents


def finish(tenancy: Tenancy, tenant: Tenant, contents: Contents, back_to: Return, prepare: Prepare) -> list[str]:
    """Put files back, and write the last of what waits aside; return the files that the backup has none of.

    Once what the tenant leaves is in a backup: these files are no part of that.
    """
    surplus = _put_files_back(tenancy, tenant, contents, back_to)
    with store_of(tenancy, tenant.server).aside().filling(tenant, origin=tenant.uuid) as db:
        db.info["keys"] = tenancy.keys_of(tenant)
        prepare(db, back_to)
    return surplus


def put_missing_back(tenancy: Tenancy, tenant: Tenant, source: BinaryIO, back_to: Return) -> None:
    """Look once more, after the rows were replaced: whoever replaced a picture just before removes the older one."""
    there = tenancy.files_of(tenant).names()
    if not set(file_digests(back_to.manifest)).issubset(there):
        source.seek(0)
        contents = Contents(source, read_header(source), tenancy.keys_of(tenant))
        contents.database()
        _put_files_back(tenancy, tenant, contents, back_to)


def _put_files_back(tenancy: Tenancy, tenant: Tenant, contents: Contents, back_to: Return) -> list[str]:
    placing, keys = Placing(tenancy, tenant, back_to.manifest), tenancy.keys_of(tenant)
    for name, file in contents.files():
        placing.put_back(name, file)
    surplus = placing.finish()
    if back_to.header.key_version < keys.newest:
        reseal_files(tenancy.files_of(tenant), to_newest(keys))
    return surplus


def bring_up_to_date(tenancy: Tenancy, rows: Connection, manifest: Manifest) -> None:
    """Bring a scratch database to the schema of this release, before it is read."""
    if not _is_older(tenancy, manifest):
        return
    with rows.engine.execution_options(writing=True).connect() as writer:
        if writer.dialect.name == "sqlite":
            raw: Any = writer.connection.dbapi_connection
            # As in changing_schema: a table that is rebuilt must not take with it what refers to its rows.
            raw.execute("PRAGMA foreign_keys=OFF")
        with writer.begin():
            schema.upgrade(writer, tenancy.history)


def _is_older(tenancy: Tenancy, manifest: Manifest) -> bool:
    return manifest.moment.schema_version < schema.head(tenancy.history)
