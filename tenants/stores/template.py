"""The database that new tenants on a server are copied from, made once for each schema history."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import psycopg
from psycopg import sql

from tenants import postgresql, schema
from tenants.stores.administration import Administration, drop_database, make_database
from tenants.stores.roles import TABLES_OWNER

_BUILD_LOCK = 7_310_551


def template_database(administration: Administration, history: str) -> str:
    """Return the name of the template at the head of ``history``; make it when it is not there yet.

    Nobody can connect to it: a template in use cannot be copied. Those of older histories go when it is made.
    """
    name = f"tpl_{schema.digest(history)}"
    with administration.server() as admin:
        if not _is_ready(admin, name):
            admin.execute("SELECT pg_advisory_lock(%s)", (_BUILD_LOCK,))
            try:
                if not _is_ready(admin, name):
                    _build(administration, admin, name, history)
                    _drop_others(admin, name)
            finally:
                admin.execute("SELECT pg_advisory_unlock(%s)", (_BUILD_LOCK,))
    return name


def _build(administration: Administration, admin: psycopg.Connection[Any], name: str, history: str) -> None:
    draft = f"{name}_part"
    drop_database(admin, draft)
    make_database(admin, draft, "template0")
    engine = postgresql.make_engine("The template", lambda: administration.database(draft), lambda _connection: None)
    try:
        with engine.execution_options(writing=True).begin() as connection:
            owner = sql.Identifier(TABLES_OWNER).as_string()
            connection.exec_driver_sql(f"GRANT USAGE, CREATE ON SCHEMA public TO {owner}")
            connection.exec_driver_sql(f"SET LOCAL ROLE {owner}")
            schema.upgrade(connection, history)
            connection.exec_driver_sql("RESET ROLE")
            connection.exec_driver_sql(f"REVOKE ALL ON SCHEMA public FROM {owner}")
    finally:
        engine.dispose()
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(draft)))
    admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(draft), sql.Identifier(name)))


def _drop_others(admin: psycopg.Connection[Any], name: str) -> None:
    rows = admin.execute("SELECT datname FROM pg_database WHERE datname ~ '^tpl_[0-9a-f]{16}$'").fetchall()
    for (other,) in rows:
        if other != name:
            # One that is being copied from just now, or that another role made, stays.
            with suppress(psycopg.errors.ObjectInUse, psycopg.errors.InsufficientPrivilege):
                drop_database(admin, other)


def _is_ready(admin: psycopg.Connection[Any], name: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
