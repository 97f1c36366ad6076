"""The operator's connections to one PostgreSQL server, and what the server must allow before it holds tenants."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tenants.errors import ServerUnusable
from tenants.postgresql import OLDEST_SERVER
from tenants.stores.roles import TABLES_OWNER, TENANTS

_LOCK_SECONDS = 10


class Administration:
    """Connections made with the operator's URL. One is kept for the server itself and closed by ``close``."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self._url = url
        self._lock = threading.RLock()
        self._kept: psycopg.Connection[Any] | None = None

    @contextmanager
    def server(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield the connection for what concerns the whole server, each statement a transaction of its own."""
        with self._lock:
            if self._kept is None or self._kept.closed or self._kept.broken:
                self._kept = _connect(self.name, self._url, autocommit=True)
            yield self._kept

    def database(self, name: str) -> psycopg.Connection[Any]:
        """Return a new connection to one database; the caller closes it."""
        return _connect(self.name, make_conninfo(self._url, dbname=name), autocommit=False)

    def parameters(self, database: str) -> dict[str, str]:
        """Return the libpq environment that pg_dump and pg_restore connect with: a password never stands in argv."""
        given = conninfo_to_dict(self._url, dbname=database)
        return {_VARIABLES[key]: str(value) for key, value in given.items() if key in _VARIABLES and value is not None}

    def close(self) -> None:
        """Close the kept connection."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()


_VARIABLES = {
    "host": "PGHOST",
    "hostaddr": "PGHOSTADDR",
    "port": "PGPORT",
    "user": "PGUSER",
    "password": "PGPASSWORD",
    "passfile": "PGPASSFILE",
    "dbname": "PGDATABASE",
    "sslmode": "PGSSLMODE",
    "sslrootcert": "PGSSLROOTCERT",
    "sslcert": "PGSSLCERT",
    "sslkey": "PGSSLKEY",
    "target_session_attrs": "PGTARGETSESSIONATTRS",
    "connect_timeout": "PGCONNECT_TIMEOUT",
}


def prepare_server(administration: Administration) -> list[str]:
    """Make what every tenant on a server needs; return what the server's own administrator has still to do, as SQL.

    Raises ServerUnusable when the credential cannot make databases and roles.
    """
    with administration.server() as admin:
        if admin.info.server_version < OLDEST_SERVER:
            raise ServerUnusable(f"The server is PostgreSQL {admin.info.server_version // 10000}; 14 is the oldest.")
        row = admin.execute(
            "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row != (True,):
            raise ServerUnusable(
                f"The role {admin.info.user} cannot make databases and roles: ALTER ROLE ... CREATEDB CREATEROLE."
            )
        for role in (TABLES_OWNER, TENANTS):
            _make_group(admin, role)
        return [statement for name in ("postgres", "template1") if (statement := _close_to_public(admin, name))]


def open_to_public(admin: psycopg.Connection[Any]) -> list[str]:
    """Return the databases of a server that every role may connect to, but for those that let nobody in."""
    rows = admin.execute(
        "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')"
        " ORDER BY datname"
    )
    return [name for (name,) in rows]


def _make_group(admin: psycopg.Connection[Any], role: str) -> None:
    if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


def _close_to_public(admin: psycopg.Connection[Any], database: str) -> str:
    if database not in open_to_public(admin):
        return ""
    statement = sql.SQL("REVOKE CONNECT, TEMPORARY ON DATABASE {} FROM PUBLIC").format(sql.Identifier(database))
    keep = sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(
        sql.Identifier(database), sql.Identifier(admin.info.user)
    )
    try:
        # Ours first: without it we would shut ourselves out.
        admin.execute(keep)
        admin.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        pass
    # Whoever is not the owner gets a warning, no error: what counts is whether it has worked.
    if database not in open_to_public(admin):
        return ""
    return f"{keep.as_string(admin)}; {statement.as_string(admin)};"


def _connect(server: str, url: str, *, autocommit: bool) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            url,
            autocommit=autocommit,
            application_name="extranet operator",
            options=f"-c lock_timeout={_LOCK_SECONDS}s",
        )
    except psycopg.Error as error:
        raise ServerUnusable(f"The server {server} cannot be reached: {str(error).strip().splitlines()[0]}") from error
