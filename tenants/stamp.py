"""The tenant's UUID written inside its own database, and read back by every connection before it serves.

A database restored, copied or routed to the wrong place is refused by its stamp.
"""

from __future__ import annotations

import sqlite3

from sqlalchemy import Column, Connection, Integer, MetaData, Table, Uuid, insert

from tenants.errors import WrongStamp
from tenants.tenant import Tenant

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


def check_stamp(connection: sqlite3.Connection, tenant: Tenant) -> None:
    """Raise WrongStamp unless the database behind a raw connection is this tenant's and nobody else's."""
    found = [row[0] for row in connection.execute("SELECT tenant_uuid FROM stamp LIMIT 2")]
    if found != [tenant.uuid.hex]:
        raise WrongStamp(f"The database of {tenant.slug} is stamped for {found or 'nobody'}, not for {tenant.uuid}.")
