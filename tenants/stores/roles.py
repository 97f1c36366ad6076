"""The roles of a tenant database on PostgreSQL, and what each may do there.

``t_<uuid>_own`` cannot sign in; it owns the database and everything in it, and changes the schema.
``t_<uuid>`` is what the web signs in as: it reads and writes rows, and nothing else, in this one database.
"""

from __future__ import annotations

from typing import Any, LiteralString
from uuid import UUID

import psycopg
from psycopg import sql

from tenants.servers import database_name
from tenants.stores.scram import scram_verifier

TABLES_OWNER = "extranet_tables"
"""Owns what is in a template, until the copy is given to its tenant's own owner."""

TENANTS = "extranet_tenants"
"""Every tenant's login is a member: what a line of pg_hba.conf can name."""

_BASES = "SELECT name || '_base' FROM unnest(%s::text[]) AS name WHERE to_regclass(name || '_base') IS NOT NULL"

# A tenant is served by several processes; each opens at most four connections for it.
# Four for each of 32 processes: who forged a login still cannot take a whole server.
_CONNECTION_LIMIT = 4 * 32
_TIMEOUTS: dict[LiteralString, str] = {
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
}
# A runaway sort must not fill the server's disk, and the server's log must not hold the rows that an error is about.
# Only who was given the right may set these; where we were not, the server's own hold.
GUARDED = {"temp_file_limit": "1GB", "log_error_verbosity": "terse"}


def owner_name(tenant_uuid: UUID) -> str:
    """Return the name of the role that owns a tenant's database."""
    return f"{database_name(tenant_uuid)}_own"


def make_roles(admin: psycopg.Connection[Any], tenant_uuid: UUID, password: str) -> None:
    """Make both roles: the owner, and the login with its password."""
    login, owner = _names(tenant_uuid)
    statements = [
        sql.SQL("CREATE ROLE {} NOLOGIN").format(owner),
        sql.SQL(
            "CREATE ROLE {} LOGIN PASSWORD {} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS"
            " CONNECTION LIMIT {} IN ROLE {}"
        ).format(login, sql.Literal(scram_verifier(password)), sql.Literal(_CONNECTION_LIMIT), sql.Identifier(TENANTS)),
        # Before PostgreSQL 16 a role's maker is no member of it, and only a member may give it a database.
        sql.SQL("GRANT {}, {} TO CURRENT_USER").format(owner, login),
        *(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(login, sql.Identifier(name), sql.Literal(value))
            for name, value in _TIMEOUTS.items()
        ),
    ]
    admin.execute(sql.SQL("; ").join([*statements, *_guards(admin, database_name(tenant_uuid))]))


def guard_logins(admin: psycopg.Connection[Any]) -> None:
    """Give tenants' logins that were made before we had the right to it what a new one gets."""
    wanted = [f"{name}={value}" for name, value in GUARDED.items() if name in _settable(admin)]
    rows = admin.execute(
        "SELECT rolname FROM pg_roles WHERE rolname ~ '^t_[0-9a-f]{32}$'"
        " AND (rolconnlimit <> %s OR NOT coalesce(rolconfig, '{}') @> %s)",
        (_CONNECTION_LIMIT, wanted),
    )
    for (login,) in rows.fetchall():
        limited = sql.SQL("ALTER ROLE {} CONNECTION LIMIT {}").format(
            sql.Identifier(login), sql.Literal(_CONNECTION_LIMIT)
        )
        admin.execute(sql.SQL("; ").join([limited, *_guards(admin, login)]))


def _guards(admin: psycopg.Connection[Any], login: str) -> list[sql.Composed]:
    change = sql.SQL("ALTER ROLE {} SET {} = {}")
    return [
        change.format(sql.Identifier(login), sql.Identifier(name), sql.Literal(GUARDED[name]))
        for name in _settable(admin)
    ]


def _settable(admin: psycopg.Connection[Any]) -> list[str]:
    asked = "SELECT name FROM unnest(%s::text[]) AS name WHERE has_parameter_privilege(name, 'SET')"
    return [name for (name,) in admin.execute(asked, (list(GUARDED),)).fetchall()]


def exist(admin: psycopg.Connection[Any], tenant_uuid: UUID) -> bool:
    """Tell whether a tenant's login is there."""
    login = database_name(tenant_uuid)
    return admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (login,)).fetchone() is not None


def set_password(admin: psycopg.Connection[Any], tenant_uuid: UUID, password: str) -> None:
    """Give a tenant's login another password. Connections that are open stay open."""
    change = sql.SQL("ALTER ROLE {} PASSWORD {}")
    admin.execute(change.format(sql.Identifier(database_name(tenant_uuid)), sql.Literal(scram_verifier(password))))


def drop_roles(admin: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
    """Remove both roles; missing ones are no error."""
    admin.execute(sql.SQL("DROP ROLE IF EXISTS {}, {}").format(*_names(tenant_uuid)))


def own_everything(connection: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
    """Give what came with the template to the tenant's owner, and act as that owner until the transaction ends."""
    _, owner = _names(tenant_uuid)
    connection.execute(sql.SQL("REASSIGN OWNED BY {} TO {}").format(sql.Identifier(TABLES_OWNER), owner))
    act_as_owner(connection, tenant_uuid)


def act_as_owner(connection: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
    """Act as the tenant's owner until the transaction ends."""
    _, owner = _names(tenant_uuid)
    connection.execute(sql.SQL("SET LOCAL ROLE {}").format(owner))


def grant_rows(connection: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
    """Let the tenant's login read and write rows: none of the stamp or the version, none that a journal holds.

    Run as the owner, again after every change of the schema.
    """
    login, _ = _names(tenant_uuid)
    journals = connection.execute(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE tgname LIKE '%\\_no\\_update' AND NOT tgisinternal"
    ).fetchall()
    parts = [
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC"),
        sql.SQL("GRANT USAGE ON SCHEMA public TO {}").format(login),
        sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}").format(login),
        sql.SQL("GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {}").format(login),
        sql.SQL("REVOKE INSERT, UPDATE, DELETE ON stamp, alembic_version FROM {}").format(login),
    ]
    for (journal,) in journals:
        table = sql.Identifier(journal)
        parts.append(sql.SQL("REVOKE UPDATE, DELETE ON {} FROM {}").format(table, login))
        # Erasing somebody empties the sealed part of an entry; the trigger refuses anything else.
        parts.append(sql.SQL("GRANT UPDATE (private) ON {} TO {}").format(table, login))
    for (base,) in connection.execute(_BASES, ([journal for (journal,) in journals],)).fetchall():
        # What was removed for its age only an operator removes, and says.
        parts.append(sql.SQL("REVOKE INSERT, UPDATE, DELETE ON {} FROM {}").format(sql.Identifier(base), login))
    connection.execute(sql.SQL("; ").join(parts))


def _names(tenant_uuid: UUID) -> tuple[sql.Identifier, sql.Identifier]:
    return sql.Identifier(database_name(tenant_uuid)), sql.Identifier(owner_name(tenant_uuid))
