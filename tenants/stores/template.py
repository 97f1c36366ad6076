"""The database that new tenants on a server are copied from, made once for each schema history."""

from __future__ import annotations

import psycopg
from psycopg import sql

from tenants import postgresql, schema
from tenants.stores.administration import Administration
from tenants.stores.roles import TABLES_OWNER

_BUILD_LOCK = 7_310_551


def template_database(administration: Administration, history: str) -> str:
    """Return the name of the template at the head of ``history``; make it when it is not there yet.

    Nobody can connect to it: a template in use cannot be copied.
    """
    name = f"tpl_{schema.digest(history)}"
    with administration.server() as admin:
        if not _is_ready(admin, name):
            admin.execute("SELECT pg_advisory_lock(%s)", (_BUILD_LOCK,))
            try:
                if not _is_ready(admin, name):
                    _build(administration, admin, name, history)
            finally:
                admin.execute("SELECT pg_advisory_unlock(%s)", (_BUILD_LOCK,))
    return name


def _build(administration: Administration, admin: psycopg.Connection[object], name: str, history: str) -> None:
    draft = sql.Identifier(f"{name}_part")
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(draft))
    admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(draft))
    admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(draft))
    engine = postgresql.make_engine(
        "The template", lambda: administration.database(f"{name}_part"), lambda _connection: None
    )
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
    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(draft))
    admin.execute(sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, sql.Identifier(name)))


def _is_ready(admin: psycopg.Connection[object], name: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None
