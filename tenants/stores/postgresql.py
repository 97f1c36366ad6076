"""Tenant databases on one PostgreSQL server: a database, an owner and a login for each."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO
from uuid import UUID

import psycopg
from psycopg import sql
from sqlalchemy import Connection, Engine

from tenants import postgresql
from tenants.databases import TenantSession, session_on
from tenants.errors import TenantUnavailable
from tenants.servers import Servers, database_name
from tenants.stamp import check_stamp, rewrite_stamp, write_stamp
from tenants.stores import access, dumps, roles, store
from tenants.stores.administration import (
    Administration,
    drop_database,
    exists,
    make_database,
    put_in_place,
    raw_connection,
)
from tenants.stores.scratch import scratch_database
from tenants.stores.template import template_database
from tenants.tenant import Tenant

_COMMENT = "extranet schema "
_OURS = re.compile(r"t_([0-9a-f]{32})", re.ASCII)
_ASIDE = "_next"
_REPLACED = "_old"


class PostgresqlStore:
    """One server's databases. See ``Store`` for what each method promises.

    ``suffix`` is what the names of its databases end in, after a tenant's own; the roles are the tenant's in any case.
    """

    def __init__(
        self, name: str, servers: Servers, administration: Administration, history: str, suffix: str = ""
    ) -> None:
        self.name = name
        self._suffix = suffix
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
            raw = raw_connection(connection)
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
                access.let_in(raw, self._name(tenant.uuid), tenant.uuid)
                db.commit()

    def destroy(self, tenant_uuid: UUID) -> None:
        """Drop the databases, whoever is connected, then the roles and the stored password."""
        with self._administration.server() as admin:
            for name in self._names(tenant_uuid):
                if exists(admin, name):
                    admin.execute(sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name)))
                drop_database(admin, name)
            if not self._suffix:
                roles.drop_roles(admin, tenant_uuid)
        if not self._suffix:
            self._servers.forget_login(tenant_uuid, self.name)

    def remains(self, tenant_uuid: UUID) -> list[str]:
        """Return the databases and the roles that are left."""
        ours = [] if self._suffix else [database_name(tenant_uuid), roles.owner_name(tenant_uuid)]
        with self._administration.server() as admin:
            left = [f"database {name} on {self.name}" for name in self._names(tenant_uuid) if exists(admin, name)]
            found = admin.execute("SELECT rolname FROM pg_roles WHERE rolname = ANY(%s)", (ours,)).fetchall()
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
            raw = raw_connection(connection)
            roles.act_as_owner(raw, tenant.uuid)
            yield connection
            self._finish(raw, tenant.uuid)

    @contextmanager
    def reading(self, tenant: Tenant) -> Iterator[Connection]:
        """Read as the owner, whose statements may take as long as they take."""
        with self._owner_engine(tenant, checked=True) as engine, engine.begin() as connection:
            roles.act_as_owner(raw_connection(connection), tenant.uuid)
            yield connection

    @contextmanager
    def stopping(self, tenant: Tenant) -> Iterator[None]:
        """Hold the lock that every writer of this database takes."""
        with self._owner_engine(tenant, checked=True) as engine, engine.execution_options(writing=True).begin():
            yield

    def fence(self, tenant: Tenant) -> None:
        """Take the login's right to connect away and end what it has open; wait until it is gone."""
        name = database_name(tenant.uuid)
        with self._administration.server() as admin:
            if exists(admin, name) and not access.shut_out(admin, name, tenant.uuid):
                raise TenantUnavailable(f"Somebody is still connected to the database of {tenant.slug}.")

    def unfence(self, tenant: Tenant) -> None:
        """Let the login connect again."""
        with self._administration.server() as admin:
            if exists(admin, database_name(tenant.uuid)):
                access.let_in(admin, database_name(tenant.uuid), tenant.uuid)

    def renew_login(self, tenant: Tenant) -> None:
        """Change the password in both places; in between, both are tried."""
        password = self._servers.renew_login(tenant, self.name)
        with self._administration.server() as admin:
            roles.set_password(admin, tenant.uuid, password)
        self._servers.settle_login(tenant, self.name)

    def dump(self, tenant: Tenant, target: BinaryIO) -> None:
        """Write what pg_dump makes of it, custom format."""
        dumps.dump(self._administration, self._name(tenant.uuid), roles.owner_name(tenant.uuid), target)

    @contextmanager
    def dumping(
        self, tenant: Tenant, target: BinaryIO, at_moment: Callable[[], None], *, stopped: bool = False
    ) -> Iterator[Connection]:
        """Export the snapshot that is dumped, and read in it."""
        name, owner = self._name(tenant.uuid), roles.owner_name(tenant.uuid)
        with self._owner_engine(tenant, checked=True) as engine, engine.connect() as connection:
            with nullcontext() if stopped else engine.execution_options(writing=True).begin():
                connection.exec_driver_sql(f"SET LOCAL ROLE {owner}")
                snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar_one()
                at_moment()
            dumps.dump(self._administration, name, owner, target, snapshot)
            yield connection

    def load(self, tenant: Tenant, source: BinaryIO) -> None:
        """Restore with pg_restore into a new database of a new owner, in one transaction."""
        self._create_from(tenant, "template0")
        name = self._name(tenant.uuid)
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
        with scratch_database(self._administration, source) as connection:
            yield connection

    def aside(self) -> PostgresqlStore:
        """Return the store of databases beside the tenants' own, which no login ever hears of."""
        return PostgresqlStore(self.name, self._servers, self._administration, self._history, _ASIDE)

    def swap(self, tenant: Tenant) -> None:
        """Exchange the two databases' names in one transaction, once nobody is connected to the old one."""
        name = database_name(tenant.uuid)
        with self._administration.server() as admin:
            drop_database(admin, f"{name}{_REPLACED}")
            if exists(admin, f"{name}{_ASIDE}"):
                self.fence(tenant)
                put_in_place(admin, f"{name}{_ASIDE}", name, f"{name}{_REPLACED}")
                drop_database(admin, f"{name}{_REPLACED}")

    def size(self, tenant: Tenant) -> int:
        """Return what the server says the database takes."""
        with self._administration.server() as admin:
            row = admin.execute("SELECT pg_database_size(%s)", (self._name(tenant.uuid),)).fetchone()
        return int(row[0]) if row else 0

    def _create_from(self, tenant: Tenant, template: str) -> None:
        if left := self.remains(tenant.uuid):
            raise TenantUnavailable(f"{store.in_the_way(left)}; nothing was made.")
        with self._administration.server() as admin:
            if not roles.exist(admin, tenant.uuid):
                roles.make_roles(admin, tenant.uuid, self._servers.new_login(tenant, self.name))
            make_database(admin, self._name(tenant.uuid), template, roles.owner_name(tenant.uuid))

    def _finish(self, raw: psycopg.Connection[Any], tenant_uuid: UUID) -> None:
        roles.grant_rows(raw, tenant_uuid)
        version = raw.execute("SELECT version_num::int FROM alembic_version").fetchone()
        comment = sql.Literal(f"{_COMMENT}{version[0] if version else 0}")
        name = sql.Identifier(self._name(tenant_uuid))
        raw.execute(sql.SQL("COMMENT ON DATABASE {} IS {}").format(name, comment))

    def _name(self, tenant_uuid: UUID) -> str:
        return f"{database_name(tenant_uuid)}{self._suffix}"

    def _names(self, tenant_uuid: UUID) -> list[str]:
        own = self._name(tenant_uuid)
        return [own] if self._suffix else [own, f"{own}{_ASIDE}", f"{own}{_REPLACED}"]

    @contextmanager
    def _owner_engine(self, tenant: Tenant, *, checked: bool = False) -> Iterator[Engine]:
        def check(connection: psycopg.Connection[Any]) -> None:
            if checked:
                roles.act_as_owner(connection, tenant.uuid)
                check_stamp(connection, tenant)

        engine = postgresql.make_engine(
            f"The database of {tenant.slug} on {self.name}",
            lambda: self._administration.database(self._name(tenant.uuid)),
            check,
        )
        try:
            yield engine
        finally:
            engine.dispose()


def _version(noted: str | None) -> int:
    number = (noted or "").removeprefix(_COMMENT)
    return int(number) if number.isdigit() else 0
