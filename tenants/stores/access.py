"""Who may connect to a tenant's database on PostgreSQL: its own login, or nobody but operators."""

from __future__ import annotations

import time
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql

from tenants.servers import database_name

_TERMINATE_SECONDS = 5


def let_in(connection: psycopg.Connection[Any], database: str, tenant_uuid: UUID) -> None:
    """Give a tenant's login the right to connect, from the end of the connection's transaction on."""
    connection.execute(_connect_right(sql.SQL("GRANT"), database, sql.SQL("TO"), tenant_uuid))


def shut_out(admin: psycopg.Connection[Any], database: str, tenant_uuid: UUID) -> bool:
    """Take that right away and end what the login has open; tell whether all of it is gone."""
    admin.execute(_connect_right(sql.SQL("REVOKE"), database, sql.SQL("FROM"), tenant_uuid))
    end, quiet = time.monotonic() + _TERMINATE_SECONDS, 0
    # Whoever was let in just before the right was taken away is seen a moment later: look twice.
    while quiet < 2 and time.monotonic() < end:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = %s",
            (database, database_name(tenant_uuid)),
        ).fetchall()
        quiet = 0 if ended else quiet + 1
        time.sleep(0.02)
    return quiet == 2


def _connect_right(verb: sql.SQL, database: str, direction: sql.SQL, tenant_uuid: UUID) -> sql.Composed:
    login = sql.Identifier(database_name(tenant_uuid))
    return sql.SQL("{} CONNECT ON DATABASE {} {} {}").format(verb, sql.Identifier(database), direction, login)
