"""Tenant databases on one PostgreSQL server: a database, an owner and a login for each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO
from uuid import UUID, uuid4

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine

from tenants import postgresql
from tenants.databases import TenantSession, session_on
from tenants.errors import TenantUnavailable
from tenants.servers import Servers, database_name
from tenants.stamp import check_stamp, rewrite_stamp, write_stamp
from tenants.stores import dumps, roles
from tenants.stores.administration import Administration
from tenants.stores.template import template_database
from tenants.tenant import Tenant

_COMMENT = "extranet schema "
_OURS = re.compile(r"t_([0-9a-f]{32})", re.ASCII)
_TERMINATE_SECONDS = 5


class PostgresqlStore:
    """One server's databases. See ``Store`` for what each method promises."""

    def __init__(self, name: str, servers: Servers, administration: Administration, history: str) -> None:
        self.name = name
        self._servers = servers
        self._administration = administration
        self._history = history

    def create(self, tenant: Tenant) -> None:
        """Copy the template database, with a new owner and a new login that cannot connect yet."""
        self._create_from(tenant, template_database(self._administration, self._history))

    @contextmanager
    def filling(self, tenant: Tenant, origin: UUID | None = None) -> Iterator[TenantSession]:
        """Stamp and fill as the owner; the last statement of the transaction lets the login in."""
        with self._owner_engine(tenant) as engine, engine.execution_options(writing=True).connect() as connection:
            raw = _raw(connection)
            with session_on(connection, tenant) as db:
                db.connection()
                roles.own_everything(raw, tenant.uuid)
                if origin is None:
                    write_stamp(db.connection(), tenant)
                else:
                    rewrite_stamp(db.connection(), origin, tenant)
                yield db
                db.flush()
                self._finish(raw, tenant.uuid)
                raw.execute(_connect_right(sql.SQL("GRANT"), sql.SQL("TO"), tenant.uuid))
                db.commit()

    def destroy(self, tenant_uuid: UUID) -> None:
        """Drop the database, whoever is connected, then its roles and the stored password."""
        name = database_name(tenant_uuid)
        with self._administration.server() as admin:
            if _exists(admin, name):
                admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))
            roles.drop_roles(admin, tenant_uuid)
        self._servers.forget_login(tenant_uuid, self.name)

    def remains(self, tenant_uuid: UUID) -> list[str]:
        """Return the database and the roles that are left."""
        name, owner = database_name(tenant_uuid), roles.owner_name(tenant_uuid)
        with self._administration.server() as admin:
            left = [f"database {name} on {self.name}"] if _exists(admin, name) else []
            found = admin.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", ([name, owner],)).fetchall()
        return left + [f"role {role} on {self.name}" for (role,) in found]

    def versions(self) -> Mapping[UUID, int]:
        """Read what is noted on each database, all in one question to the server."""
        with self._administration.server() as admin:
            rows = admin.execute("SELECT datname, shobj_description(oid, 'pg_database') FROM pg_database").fetchall()
        return {UUID(match[1]): _version(noted) for name, noted in rows if (match := _OURS.fullmatch(name))}

    @contextmanager
    def changing_schema(self, tenant: Tenant) -> Iterator[Connection]:
        """Act as the owner, holding the lock that every writer of this database takes."""
        with (
            self._owner_engine(tenant, checked=True) as engine,
            engine.execution_options(writing=True).begin() as connection,
        ):
            raw = _raw(connection)
            roles.act_as_owner(raw, tenant.uuid)
            yield connection
            self._finish(raw, tenant.uuid)

    def fence(self, tenant: Tenant) -> None:
        """Take the login's right to connect away and end what it has open; wait until it is gone."""
        name = database_name(tenant.uuid)
        with self._administration.server() as admin:
            admin.execute(_connect_right(sql.SQL("REVOKE"), sql.SQL("FROM"), tenant.uuid))
            ended = admin.execute(
                "SELECT bool_and(pg_terminate_backend(pid, %s)) FROM pg_stat_activity"
                " WHERE datname = %s AND usename = %s",
                (_TERMINATE_SECONDS * 1000, name, name),
            ).fetchone()
        if ended == (False,):
            raise TenantUnavailable(f"Somebody is still connected to the database of {tenant.slug}.")

    def dump(self, tenant: Tenant, target: BinaryIO) -> None:
        """Write what pg_dump makes of it, custom format."""
        dumps.dump(self._administration, database_name(tenant.uuid), roles.owner_name(tenant.uuid), target)

    def load(self, tenant: Tenant, source: BinaryIO) -> None:
        """Restore with pg_restore into a new database of a new owner, in one transaction."""
        self._create_from(tenant, "template0")
        name = database_name(tenant.uuid)
        try:
            dumps.restore(self._administration, name, roles.owner_name(tenant.uuid), source)
            with self._administration.database(name) as connection:
                roles.act_as_owner(connection, tenant.uuid)
                check_stamp(connection, tenant)
        except psycopg.Error as error:
            self.destroy(tenant.uuid)
            raise TenantUnavailable(f"What was loaded for {tenant.slug} is no tenant database: {error}") from error
        except BaseException:
            self.destroy(tenant.uuid)
            raise

    @contextmanager
    def scratch(self, source: BinaryIO) -> Iterator[Connection]:
        """Restore into a database of no tenant, which is dropped at the end."""
        name = f"scratch_{uuid4().hex}"
        with self._administration.server() as admin:
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        try:
            dumps.restore(self._administration, name, "", source)
            engine = postgresql.make_engine(
                "The scratch database", lambda: self._administration.database(name), lambda _connection: None
            )
            try:
                with engine.connect() as connection:
                    yield connection
            finally:
                engine.dispose()
        finally:
            with self._administration.server() as admin:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    def size(self, tenant: Tenant) -> int:
        """Return what the server says the database takes."""
        with self._administration.server() as admin:
            row = admin.execute("SELECT pg_database_size(%s)", (database_name(tenant.uuid),)).fetchone()
        return int(row[0]) if row else 0

    def _create_from(self, tenant: Tenant, template: str) -> None:
        if left := self.remains(tenant.uuid):
            raise TenantUnavailable(f"{', '.join(left)} is in the way; nothing was made.")
        name = sql.Identifier(database_name(tenant.uuid))
        password = self._servers.new_login(tenant, self.name)
        with self._administration.server() as admin:
            roles.make_roles(admin, tenant.uuid, password)
            # Rights are never copied from a template: until they are set, PUBLIC could connect.
            admin.execute(
                sql.SQL("CREATE DATABASE {} OWNER {} TEMPLATE {} ALLOW_CONNECTIONS false").format(
                    name, sql.Identifier(roles.owner_name(tenant.uuid)), sql.Identifier(template)
                )
            )
            admin.execute(
                sql.SQL(
                    "REVOKE ALL ON DATABASE {0} FROM PUBLIC; GRANT CONNECT ON DATABASE {0} TO CURRENT_USER;"
                    " ALTER DATABASE {0} ALLOW_CONNECTIONS true"
                ).format(name)
            )

    def _finish(self, raw: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
        roles.grant_rows(raw, tenant_uuid)
        version = raw.execute("SELECT version_num::int FROM alembic_version").fetchone()
        comment = sql.Literal(f"{_COMMENT}{version[0] if version else 0}")
        name = sql.Identifier(database_name(tenant_uuid))
        raw.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, comment))

    @contextmanager
    def _owner_engine(self, tenant: Tenant, *, checked: bool = False) -> Iterator[Engine]:
        def check(connection: psycopg.Connection[Any]) -> None:
            if checked:
                roles.act_as_owner(connection, tenant.uuid)
                check_stamp(connection, tenant)

        engine = postgresql.make_engine(
            f"The database of {tenant.slug} on {self.name}",
            lambda: self._administration.database(database_name(tenant.uuid)),
            check,
        )
        try:
            yield engine
        finally:
            engine.dispose()


def _connect_right(verb: sql.SQL, direction: sql.SQL, tenant_uuid: UUID) -> sql.Composed:
    name = sql.Identifier(database_name(tenant_uuid))
    return sql.SQL("{} CONNECT ON DATABASE {} {} {}").format(verb, name, direction, name)


def _raw(connection: Connection) -> psycopg.Connection[Any]:
    raw: Any = connection.connection.dbapi_connection
    return raw  # type: ignore[no-any-return]


def _exists(admin: psycopg.Connection[Any], database: str) -> bool:
    return admin.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone() is not None


def _version(noted: str | None) -> int:
    number = (noted or "").removeprefix(_COMMENT)
    return int(number) if number.isdigit() else 0
