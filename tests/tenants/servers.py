"""PostgreSQL for tests of the core: a server registered as an operator registers it, tenants on it, and a broom."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from tenants import lifecycle
from tenants.servers import Server, database_name
from tenants.stores.administration import Administration, prepare_server
from tenants.stores.credentials import write_credential
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.services.postgresql import Cluster
from tests.services.pristine import set_aside
from tests.tenants.world import prepare

CONNECTIONS = 50


def register(
    tenancy: Tenancy, cluster: Cluster, name: str = "pg1", *, connections: int = CONNECTIONS, port: int = 0
) -> Server:
    """Let a cluster hold tenants. ``port`` is a pooler's in front of it."""
    administration = Administration(name, cluster.provisioner())
    # What the server's own administrator has to do, who alone may.
    for statement in prepare_server(administration):
        cluster.execute(statement)
    administration.close()
    write_credential(tenancy.settings, name, cluster.provisioner())
    address = make_conninfo(host=cluster.host, port=port or cluster.port)
    server = Server(name, address, bool(port), connections)
    tenancy.servers.add(server)
    return server


def create(tenancy: Tenancy, slug: str, server: str = "pg1") -> Tenant:
    """Make a tenant on a server, with one note and a journal, and return it active."""
    tenant, _ = lifecycle.create_tenant(tenancy, slug, slug.capitalize(), prepare, server)
    return tenant


def login(tenancy: Tenancy, cluster: Cluster, tenant: Tenant, dbname: str = "") -> psycopg.Connection[Any]:
    """Connect as a tenant's own role, past everything the product puts before it; to its own database or another."""
    role = database_name(tenant.uuid)
    return psycopg.connect(cluster.url(dbname or role, user=role, password=tenancy.servers.password_of(tenant)))


@contextmanager
def cleaned(cluster: Cluster) -> Iterator[None]:
    """Take away at the end what was made meanwhile, databases and roles; templates stay, they are the same for all."""
    databases, roles = _databases_and_roles(cluster)
    try:
        yield
    finally:
        made_databases, made_roles = _databases_and_roles(cluster)
        for name in sorted(made_databases - databases):
            set_aside(cluster.own(), name)
        if made := sorted(made_roles - roles):
            cluster.execute(sql.SQL("DROP ROLE {}").format(sql.SQL(", ").join(map(sql.Identifier, made))))


def _databases_and_roles(cluster: Cluster) -> tuple[set[str], set[str]]:
    # What every tenant shares belongs to the server, and what is kept for other tests to them.
    rows = cluster.execute(
        "SELECT 'database', datname FROM pg_database WHERE datname !~ '^(tpl|pristine)_' UNION ALL"
        " SELECT 'role', rolname FROM pg_roles WHERE rolname !~ '^(pg_|extranet_|pristine_|provisioner)' AND NOT EXISTS"
        " (SELECT FROM pg_database WHERE datname = 'pristine_' || left(rolname, 34))"
    )
    found: dict[str, set[str]] = {"database": set(), "role": set()}
    for kind, name in rows:
        found[kind].add(name)
    return found["database"], found["role"]
