"""PostgreSQL servers as the registry knows them, and how a tenant's own login reaches its database.

What can create or drop a database, the operator's credential, is in a file that this module never opens.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import Row, delete, func, insert, select
from sqlalchemy.exc import IntegrityError

from tenants import postgresql
from tenants.budget import ConnectionBudget
from tenants.errors import NoSuchServer, ServerInUse, ServerTaken, TenantUnavailable
from tenants.keys import TenantKeys
from tenants.registry import Registry
from tenants.registry_tables import database_login_table, server_table, tenant_table
from tenants.tenant import EMBEDDED, Tenant

_PURPOSE = "database-login"
_CONNECT_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Server:
    """One registered server.

    ``address`` is a libpq connection string without user, password and database; several hosts may stand in it.
    ``connections`` is how many this platform may have open there, all processes of all nodes together.
    ``pooled`` says that the address is a pooler's, in transaction mode.
    """

    name: str
    address: str
    pooled: bool
    connections: int


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
            raise NoSuchServer(f"There is no server {name!r}.")
        return _server(row)

    def add(self, server: Server) -> None:
        """Register a server; raise ServerTaken."""
        values = {
            "name": server.name,
            "address": server.address,
            "pooled": server.pooled,
            "connections": server.connections,
            "added_at": datetime.now(UTC).replace(tzinfo=None),
        }
        try:
            with self._registry.changing() as connection:
                connection.execute(insert(server_table).values(**values))
        except IntegrityError as error:
            raise ServerTaken(f"There is a server {server.name!r} already.") from error

    def remove(self, name: str) -> None:
        """Forget a server that holds no tenant; raise NoSuchServer or ServerInUse."""
        with self._registry.changing() as connection:
            held = connection.execute(select(func.count()).where(tenant_table.c.server == name)).scalar_one()
            if held:
                raise ServerInUse(f"The server {name} still holds {held} {'tenant' if held == 1 else 'tenants'}.")
            if connection.execute(delete(server_table).where(server_table.c.name == name)).rowcount == 0:
                raise NoSuchServer(f"There is no server {name!r}.")

    def least_filled(self) -> str:
        """Return the server with the fewest tenants, or ``embedded`` when none is registered."""
        held = select(func.count()).where(tenant_table.c.server == server_table.c.name).scalar_subquery()
        with self._registry.engine.connect() as connection:
            best = connection.execute(select(server_table.c.name).order_by(held, server_table.c.name).limit(1))
            return best.scalar_one_or_none() or EMBEDDED

    def new_login(self, tenant: Tenant, server: str) -> str:
        """Make, store and return the password of a tenant's own role on a server."""
        password = secrets.token_urlsafe(32)
        sealed = self._keys_of(tenant).seal(_PURPOSE, password.encode(), context=server.encode())
        login = {"tenant_uuid": tenant.uuid, "server": server}
        with self._registry.writing() as connection:
            connection.execute(_logins(tenant.uuid, server))
            connection.execute(insert(database_login_table).values(**login, password=sealed))
        return password

    def forget_login(self, tenant_uuid: UUID, server: str) -> None:
        """Remove a stored password; a missing one is no error."""
        with self._registry.writing() as connection:
            connection.execute(_logins(tenant_uuid, server))

    def connect(self, tenant: Tenant, budget: ConnectionBudget) -> psycopg.Connection[Any]:
        """Connect to a tenant's database as its own role, within a budget; raise TenantUnavailable."""
        server = self.by_name(tenant.server)
        conninfo = make_conninfo(
            server.address,
            dbname=database_name(tenant.uuid),
            user=database_name(tenant.uuid),
            password=self._password_of(tenant),
            connect_timeout=_CONNECT_SECONDS,
            application_name="extranet",
        )
        return postgresql.connect(conninfo, pooled=server.pooled, budget=budget)

    def budget_of(self, name: str, make_room: Callable[[], bool]) -> ConnectionBudget:
        """Return this process's budget on a server, made at first use; raise NoSuchServer."""
        with self._lock:
            budget = self._budgets.get(name)
        if budget is None:
            made = ConnectionBudget(self._share(self.by_name(name)), make_room)
            with self._lock:
                budget = self._budgets.setdefault(name, made)
        return budget

    def _password_of(self, tenant: Tenant) -> str:
        ours = select(database_login_table.c.password).where(
            database_login_table.c.tenant_uuid == tenant.uuid, database_login_table.c.server == tenant.server
        )
        with self._registry.engine.connect() as connection:
            sealed = connection.execute(ours).scalar_one_or_none()
        if sealed is None:
            raise TenantUnavailable(f"{tenant.slug} has no login on the server {tenant.server}.")
        return self._keys_of(tenant).open(_PURPOSE, sealed, context=tenant.server.encode()).decode()


def database_name(tenant_uuid: UUID) -> str:
    """Return the name of a tenant's database and of its login role: who lists a server learns no customer."""
    return f"t_{tenant_uuid.hex}"


def _logins(tenant_uuid: UUID, server: str) -> Any:
    return delete(database_login_table).where(
        database_login_table.c.tenant_uuid == tenant_uuid, database_login_table.c.server == server
    )


def _server(row: Row[Any]) -> Server:
    return Server(row.name, row.address, row.pooled, row.connections)
