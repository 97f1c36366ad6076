"""PostgreSQL servers as the registry knows them, and how a tenant's own login reaches its database.

What can create or drop a database, the operator's credential, is in a file that this module never opens.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Connection, Row, delete, func, insert, select, union, update
from sqlalchemy.exc import IntegrityError

from tenants import postgresql
from tenants.budget import ConnectionBudget
from tenants.errors import BadSeal, NoSuchServer, ServerInUse, ServerTaken, TenantUnavailable
from tenants.keys import TenantKeys
from tenants.moments import now
from tenants.registry import Registry
from tenants.registry_tables import database_login_table, server_table, tenant_table
from tenants.sealed_columns import seal_of
from tenants.tenant import Tenant

_SEAL = seal_of(database_login_table.c.password)
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Server:
    """One registered server.

    ``address`` is a libpq connection string without user, password and database; several hosts may stand in it.
    ``connections`` is how many this platform may have open there, all processes of all nodes together.
    ``pooled`` says that the address is a pooler's, in transaction mode.
    ``identity`` is what the cluster calls itself; empty when it does not tell.
    """

    name: str
    address: str
    pooled: bool
    connections: int
    identity: str = ""


class Servers:
    """Registered servers, and connections to the tenant databases on them.

    ``share`` says how many of a server's connections are this process's.
    """

    def __init__(
        self, registry: Registry, keys_of: Callable[[Tenant], TenantKeys], share: Callable[[Server], int]
    ) -> None:
        self._registry = registry
        self._keys_of = keys_of
        self._share = share
        self._lock = threading.Lock()
        self._budgets: dict[str, ConnectionBudget] = {}

    def all(self) -> list[Server]:
        """Return every registered server, by name."""
        with self._registry.engine.connect() as connection:
            return [_server(row) for row in connection.execute(select(server_table).order_by(server_table.c.name))]

    def by_name(self, name: str) -> Server:
        """Return one server; raise NoSuchServer."""
        with self._registry.engine.connect() as connection:
            row = connection.execute(select(server_table).where(server_table.c.name == name)).one_or_none()
        if row is None:
            raise NoSuchServer(f"There is no server {name!r}. See: extranet server list")
        return _server(row)

    def add(self, server: Server) -> None:
        """Register a server; raise ServerTaken."""
        try:
            with self._registry.changing() as connection:
                connection.execute(insert(server_table).values(**asdict(server), added_at=now()))
        except IntegrityError as error:
            raise ServerTaken(f"There is a server {server.name!r} already.") from error

    def change(self, server: Server) -> None:
        """Register another address or number of connections for a server; raise NoSuchServer.

        A process that has it open learns of another number when it starts anew.
        """
        ours = server_table.c.name == server.name
        with self._registry.changing() as connection:
            if connection.execute(update(server_table).where(ours).values(**asdict(server))).rowcount == 0:
                raise NoSuchServer(f"There is no server {server.name!r}.")

    def remove(self, name: str) -> None:
        """Forget a server that holds no tenant; raise NoSuchServer or ServerInUse."""
        with self._registry.changing() as connection:
            if held := _held_by(connection, name):
                raise ServerInUse(f"The server {name} still holds {_listed(held)}.")
            if connection.execute(delete(server_table).where(server_table.c.name == name)).rowcount == 0:
                raise NoSuchServer(f"There is no server {name!r}. See: extranet server list")

    def by_room(self) -> list[str]:
        """Return the names of all servers, that with the fewest tenants first."""
        held = select(func.count()).where(tenant_table.c.server == server_table.c.name).scalar_subquery()
        with self._registry.engine.connect() as connection:
            return list(connection.execute(select(server_table.c.name).order_by(held, server_table.c.name)).scalars())

    def new_login(self, tenant: Tenant, server: str) -> str:
        """Make, store and return the password of a tenant's own role on a server."""
        password = _new_password()
        with self._registry.writing() as connection:
            self._store(connection, tenant, server, [password])
        return password

    def renew_login(self, tenant: Tenant, server: str) -> str:
        """Store a new password before the one in use and return it; the same again until ``settle_login``.

        Until then both are tried, so that none fails on whichever side of the change the server is.
        """
        with self._registry.writing() as connection:
            known = self._passwords_of(connection, tenant, server)
            if len(known) == 1:
                known = [_new_password(), *known]
                self._store(connection, tenant, server, known)
        return known[0]

    def settle_login(self, tenant: Tenant, server: str) -> None:
        """Forget all passwords but the newest: the server has it."""
        with self._registry.writing() as connection:
            self._store(connection, tenant, server, self._passwords_of(connection, tenant, server)[:1])

    def forget_login(self, tenant_uuid: UUID, server: str) -> None:
        """Remove a stored password; a missing one is no error."""
        with self._registry.writing() as connection:
            connection.execute(_logins(tenant_uuid, server))

    def connect(self, tenant: Tenant, budget: ConnectionBudget) -> psycopg.Connection[Any]:
        """Connect to a tenant's database as its own role, within a budget; raise TenantUnavailable."""
        server = self.by_name(tenant.server)
        *newer, last = self._passwords_as_kept(tenant)
        for password in newer:
            with suppress(TenantUnavailable):
                return _connect(server, tenant, password, budget)
        return _connect(server, tenant, last, budget)

    def password_of(self, tenant: Tenant) -> str:
        """Return the newest password of a tenant's own role; raise TenantUnavailable. For operators' examinations."""
        return self._passwords_as_kept(tenant)[0]

    def budget_of(self, name: str, make_room: Callable[[], bool]) -> ConnectionBudget:
        """Return this process's budget on a server, made at first use; raise NoSuchServer."""
        with self._lock:
            budget = self._budgets.get(name)
        if budget is None:
            made = ConnectionBudget(self._share(self.by_name(name)), make_room)
            with self._lock:
                budget = self._budgets.setdefault(name, made)
        return budget

    def _passwords_as_kept(self, tenant: Tenant) -> list[str]:
        with self._registry.engine.connect() as connection:
            sealed = self._sealed(connection, tenant, tenant.server)
        # Opening asks the registry too. If each of the few who may do so held a connection meanwhile, all would wait
        # for another one.
        return self._opened(tenant, tenant.server, sealed)

    def _passwords_of(self, connection: Connection, tenant: Tenant, server: str) -> list[str]:
        """Return the passwords that may be the right one, the newest first."""
        return self._opened(tenant, server, self._sealed(connection, tenant, server))

    def _sealed(self, connection: Connection, tenant: Tenant, server: str) -> bytes:
        ours = select(database_login_table.c.password).where(
            database_login_table.c.tenant_uuid == tenant.uuid, database_login_table.c.server == server
        )
        sealed: bytes | None = connection.execute(ours).scalar_one_or_none()
        if sealed is None:
            raise TenantUnavailable(f"{tenant.slug} has no login on the server {server}.")
        return sealed

    def _opened(self, tenant: Tenant, server: str, sealed: bytes) -> list[str]:
        try:
            opened = self._keys_of(tenant).open(_SEAL.purpose, sealed, context=_SEAL.bound_to(server))
        except BadSeal as error:
            raise TenantUnavailable(f"The login of {tenant.slug} on {server} was altered: {error}") from error
        return opened.decode().split()

    def _store(self, connection: Connection, tenant: Tenant, server: str, passwords: list[str]) -> None:
        plain = " ".join(passwords).encode()
        sealed = self._keys_of(tenant).seal(_SEAL.purpose, plain, context=_SEAL.bound_to(server))
        connection.execute(_logins(tenant.uuid, server))
        connection.execute(insert(database_login_table).values(tenant_uuid=tenant.uuid, server=server, password=sealed))


def database_name(tenant_uuid: UUID) -> str:
    """Return the name of a tenant's database and of its login role: who lists a server learns no customer."""
    return f"t_{tenant_uuid.hex}"


def _new_password() -> str:
    return secrets.token_urlsafe(32)


def _connect(server: Server, tenant: Tenant, password: str, budget: ConnectionBudget) -> psycopg.Connection[Any]:
    conninfo = make_conninfo(
        server.address,
        dbname=database_name(tenant.uuid),
        user=database_name(tenant.uuid),
        password=password,
        application_name="extranet",
    )
    return postgresql.connect(conninfo, pooled=server.pooled, budget=budget)


def _held_by(connection: Connection, server: str) -> list[str]:
    # Also one that is on its way to this server or from it, and has a login here.
    here = select(tenant_table.c.uuid).where(tenant_table.c.server == server)
    known = select(database_login_table.c.tenant_uuid).where(database_login_table.c.server == server)
    held = union(here, known).subquery()
    found = select(held.c.uuid, tenant_table.c.slug, tenant_table.c.server).outerjoin_from(
        held, tenant_table, tenant_table.c.uuid == held.c.uuid
    )
    rows = connection.execute(found.order_by(tenant_table.c.slug))
    return [f"{row.slug or row.uuid}{'' if row.server == server else ' (a move was cut short)'}" for row in rows]


def _listed(held: list[str]) -> str:
    more = f" and {len(held) - _SHOWN} more" if len(held) > _SHOWN else ""
    return f"{len(held)} {'tenant' if len(held) == 1 else 'tenants'}: {', '.join(held[:_SHOWN])}{more}"


def _logins(tenant_uuid: UUID, server: str) -> Any:
    return delete(database_login_table).where(
        database_login_table.c.tenant_uuid == tenant_uuid, database_login_table.c.server == server
    )


def _server(row: Row[Any]) -> Server:
    return Server(row.name, row.address, row.pooled, row.connections, row.identity)
