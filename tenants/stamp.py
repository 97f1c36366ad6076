"""The tenant's UUID written inside its own database, and read back by every connection before it serves.

A database restored, copied or routed to the wrong place is refused by its stamp.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any
from uuid import UUID

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Uuid, insert, update

from tenants.errors import SchemaBehind, WrongStamp
from tenants.tenant import Tenant

if TYPE_CHECKING:
    import psycopg

    Raw = sqlite3.Connection | psycopg.Connection[Any]

metadata = MetaData()

stamp_table = Table(
    "stamp",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False, info={"personal": False}),
    Column("tenant_uuid", Uuid, nullable=False, info={"personal": False}),
)


def write_stamp(connection: Connection, tenant: Tenant) -> None:
    """Mark a fresh database as this tenant's. The primary key makes a second stamp impossible."""
    connection.execute(insert(stamp_table).values(id=1, tenant_uuid=tenant.uuid))


def rewrite_stamp(connection: Connection, origin: UUID, tenant: Tenant) -> None:
    """Make a copy of one tenant's database another's; raise WrongStamp when it is not of ``origin``."""
    change = update(stamp_table).where(stamp_table.c.tenant_uuid == origin).values(tenant_uuid=tenant.uuid)
    if connection.execute(change).rowcount != 1:
        raise WrongStamp(f"This is not a copy of the database of {origin}.")


def check_stamp(connection: Raw, tenant: Tenant) -> None:
    """Raise WrongStamp unless the database behind a raw connection is this tenant's and nobody else's."""
    # SQLite keeps 32 hex digits, PostgreSQL a UUID.
    found = [str(row[0]).replace("-", "") for row in connection.execute("SELECT tenant_uuid FROM stamp LIMIT 2")]
    if found != [tenant.uuid.hex]:
        raise WrongStamp(f"The database of {tenant.slug} is stamped for {found or 'nobody'}, not for {tenant.uuid}.")


def check_database(connection: psycopg.Connection[Any], tenant: Tenant, schema_version: int) -> None:
    """Raise WrongStamp or SchemaBehind unless a connection leads to this tenant's own, current database."""
    check_stamp(connection, tenant)
    found = connection.execute("SELECT version_num::int FROM alembic_version").fetchone()
    version = found[0] if found else 0
    if version < schema_version:
        raise SchemaBehind(
            f"The database of {tenant.slug} has schema {version}, this code needs {schema_version}. "
            "Run: extranet fleet migrate"
        )
