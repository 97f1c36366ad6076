"""The operator's connections to one PostgreSQL server, and what the server must allow before it holds tenants."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import Connection

from tenants.errors import ServerUnusable, TenantUnavailable
from tenants.postgresql import OLDEST_SERVER, first_line, hung_up
from tenants.stores.roles import GUARDED, TABLES_OWNER, TENANTS, guard_logins

_LOCK_SECONDS = 10
_CONNECT_SECONDS = 10
_SPARE_CONNECTIONS = 5
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*", re.ASCII)


class Administration:
    """Connections made with the operator's URL. One is kept for the server itself and closed by ``close``."""

    def __init__(self, name: str, url: str) -> None:
        self.name = name
        self.url = url
        self._lock = threading.RLock()
        self._kept: psycopg.Connection[Any] | None = None

    @contextmanager
    def server(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield the connection for what concerns the whole server, each statement a transaction of its own.

        Raises ServerUnusable when the server cannot be reached, or refuses.
        """
        with self._lock:
            if self._kept is None or self._kept.closed or hung_up(self._kept):
                self.close()
                self._kept = _connect(self.name, self.url, autocommit=True)
            try:
                yield self._kept
            except psycopg.Error as error:
                raise ServerUnusable(f"The server {self.name} refused: {first_line(error)}") from error

    def database(self, name: str) -> psycopg.Connection[Any]:
        """Return a new connection to one database; the caller closes it."""
        return _connect(self.name, make_conninfo(self.url, dbname=name), autocommit=False)

    def parameters(self, database: str) -> dict[str, str]:
        """Return the libpq environment that pg_dump and pg_restore connect with: a password never stands in argv."""
        given = conninfo_to_dict(self.url, dbname=database)
        names = _variables()
        return {names[key]: str(value) for key, value in given.items() if key in names and value is not None}

    def close(self) -> None:
        """Close the kept connection."""
        with self._lock:
            if self._kept is not None:
                self._kept.close()


@cache
def _variables() -> dict[str, str]:
    """Return the environment's name for each libpq parameter, as libpq itself tells it."""
    options = psycopg.pq.Conninfo.get_defaults()
    return {option.keyword.decode(): option.envvar.decode() for option in options if option.envvar}


def prepare_server(administration: Administration) -> list[str]:
    """Make what every tenant on a server needs; return what the server's own administrator has still to do, as SQL.

    Raises ServerUnusable when the credential cannot make databases and roles.
    """
    with administration.server() as admin:
        if admin.info.server_version < OLDEST_SERVER:
            found, oldest = admin.info.server_version // 10000, OLDEST_SERVER // 10000
            raise ServerUnusable(f"The server is PostgreSQL {found}; {oldest} is the oldest that keeps tenants apart.")
        row = admin.execute(
            "SELECT rolsuper OR (rolcreatedb AND rolcreaterole) FROM pg_roles WHERE rolname = current_user"
        ).fetchone()
        if row != (True,):
            raise ServerUnusable(
                f"The role {admin.info.user} cannot make databases and roles: ALTER ROLE ... CREATEDB CREATEROLE."
            )
        for role in (TABLES_OWNER, TENANTS):
            _make_group(admin, role)
        guard_logins(admin)
        told = [_close_to_public(admin, name) for name in ("postgres", "template1")]
        return [statement for statement in (*told, _let_guard(admin)) if statement]


def access_rules(operator: str, network: str, *, tls: bool = False) -> list[str]:
    """Return the lines of pg_hba.conf that keep tenants' logins apart even where a right was given by mistake.

    They go before all others. The operator's line is the first: who makes a role is a member of it, and so of the
    group that the last line turns away. Without a ``network`` they are about the server's socket.
    """
    name = operator if _PLAIN.fullmatch(operator) else '"' + operator.replace('"', '""') + '"'
    kind, place = (("hostssl" if tls else "host"), f" {network}") if network else ("local", "")
    return [
        f"{kind} all {name}{place} scram-sha-256",
        f"{kind} sameuser +{TENANTS}{place} scram-sha-256",
        f"host all +{TENANTS} all reject" if network else f"local all +{TENANTS} reject",
    ]


def free_connections(admin: psycopg.Connection[Any]) -> int:
    """Return how many connections a server has to give, but for a few that its administrators will want."""
    row = admin.execute(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
        " - coalesce(current_setting('reserved_connections', true), '0')::int"
    ).fetchone()
    return int(row[0]) - _SPARE_CONNECTIONS if row else 0


def make_database(admin: psycopg.Connection[Any], name: str, template: str, owner: str = "") -> None:
    """Copy a database into a new one that nobody but the operator, and its owner, can connect to at any moment."""
    new, owned = sql.Identifier(name), sql.SQL("OWNER {}").format(sql.Identifier(owner)) if owner else sql.SQL("")
    # Rights are never copied from a template: until they are set, PUBLIC could connect.
    admin.execute(
        sql.SQL("CREATE DATABASE {} {} TEMPLATE {} ALLOW_CONNECTIONS false").format(
            new, owned, sql.Identifier(template)
        )
    )
    admin.execute(
        sql.SQL(
            "REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO CURRENT_USER;"
            " ALTER DATABASE {0} ALLOW_CONNECTIONS true"
        ).format(new)
    )


def drop_database(admin: psycopg.Connection[Any], name: str) -> None:
    """Drop a database, whoever is connected; a missing one is no error."""
    admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def exists(admin: psycopg.Connection[Any], name: str) -> bool:
    """Tell whether there is such a database."""
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone() is not None


def raw_connection(connection: Connection) -> psycopg.Connection[Any]:
    """Return the driver's own connection."""
    raw: Any = connection.connection.dbapi_connection
    return raw  # type: ignore[no-any-return]


def put_in_place(admin: psycopg.Connection[Any], waiting: str, name: str, replaced: str) -> None:
    """Give one database the name of another, which is called ``replaced`` from then on, in one step.

    Raises TenantUnavailable while somebody is connected to either.
    """
    rename = sql.SQL("ALTER DATABASE {} RENAME TO {}")
    renamings = [(name, replaced), (waiting, name)] if exists(admin, name) else [(waiting, name)]
    try:
        with admin.transaction():
            for old, new in renamings:
                admin.execute(rename.format(sql.Identifier(old), sql.Identifier(new)))
    except psycopg.errors.ObjectInUse as error:
        raise TenantUnavailable(
            f"Somebody else is connected to the database {name}. Nothing was changed: end that session, "
            "and run this again."
        ) from error


def open_to_public(admin: psycopg.Connection[Any]) -> list[str]:
    """Return the databases of a server that every role may connect to, but for those that let nobody in."""
    rows = admin.execute(
        "SELECT datname FROM pg_database WHERE datallowconn AND has_database_privilege('public', oid, 'CONNECT')"
        " ORDER BY datname"
    )
    return [name for (name,) in rows]


def closing_statements(admin: psycopg.Connection[Any], database: str) -> sql.Composed:
    """Return what shuts everybody out of a database but the operator."""
    # Ours first: without it we would shut ourselves out.
    return sql.SQL(
        "GRANT CONNECT ON DATABASE {0} TO {1}; REVOKE CONNECT, TEMPORARY ON DATABASE {0} FROM PUBLIC;"
    ).format(sql.Identifier(database), sql.Identifier(admin.info.user))


def _make_group(admin: psycopg.Connection[Any], role: str) -> None:
    if admin.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is None:
        admin.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(role)))
    admin.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(role)))


def _let_guard(admin: psycopg.Connection[Any]) -> str:
    names = ", ".join(GUARDED)
    asked = "SELECT bool_and(has_parameter_privilege(name, 'SET')) FROM unnest(%s::text[]) AS name"
    if admin.execute(asked, (list(GUARDED),)).fetchone() == (True,):
        return ""
    return f"GRANT SET ON PARAMETER {names} TO {sql.Identifier(admin.info.user).as_string(admin)};"


def _close_to_public(admin: psycopg.Connection[Any], database: str) -> str:
    if database not in open_to_public(admin):
        return ""
    closing = closing_statements(admin, database)
    admin.execute(closing)
    # Whoever is not the owner gets a warning, no error: what counts is whether it has worked.
    return closing.as_string(admin) if database in open_to_public(admin) else ""


def _connect(server: str, url: str, *, autocommit: bool) -> psycopg.Connection[Any]:
    try:
        return psycopg.connect(
            make_conninfo(url, **{"connect_timeout": _CONNECT_SECONDS, **conninfo_to_dict(url)}),
            autocommit=autocommit,
            application_name="extranet operator",
            options=f"-c lock_timeout={_LOCK_SECONDS}s",
        )
    except psycopg.Error as error:
        raise ServerUnusable(f"The server {server} cannot be reached: {first_line(error)}") from error
