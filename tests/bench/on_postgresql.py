"""Tenants on a real PostgreSQL, started for the measurement: making them, serving them, looking them over."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from extranet.app import HISTORY
from tenants.servers import Server
from tenants.stores import store_of
from tenants.stores.administration import Administration, prepare_server
from tenants.stores.credentials import write_credential
from tenants.stores.template import template_database
from tenants.tenancy import Tenancy
from tests.bench import home, servers
from tests.bench.home import Home
from tests.bench.load import Plan, run_apart
from tests.bench.rounds import Row, alternate, each_takes
from tests.services.postgresql import Cluster

_SERVER = "bench"
# Of the 200 the server allows: 60 for each of the workers and the one that might replace them.
_CONNECTIONS = 190
_WORKERS = 2
_VISITING = 16


def measure(folder: Path, tenants: int, rounds: int, seconds: float) -> list[Row]:
    """Creation beside a bare CREATE DATABASE from the same template; then the page and the check over all."""
    port = servers.free_port()
    on_files, on_server = (
        home.make_home(folder / "files", port, _WORKERS),
        home.make_home(folder / "pg", port, _WORKERS),
    )
    with Cluster() as cluster, on_server.open() as tenancy, on_files.open() as files:
        _register(on_server, tenancy, cluster)
        rows = _creations(tenancy, cluster, rounds)
        visits = home.add_visited_tenants(on_server, tenancy, tenants, server=_SERVER)
        beside = home.add_visited_tenants(on_files, files, tenants)
        rows += _check(tenancy, tenants, rounds)
        rows += _pages(folder, on_server, visits, on_files, beside, rounds, seconds)
    return rows


def _register(made: Home, tenancy: Tenancy, cluster: Cluster) -> None:
    url = cluster.provisioner()
    administration = Administration(_SERVER, url)
    prepare_server(administration)
    administration.close()
    write_credential(made.settings, _SERVER, url)
    tenancy.servers.add(Server(_SERVER, make_conninfo(host=cluster.host, port=cluster.port), False, _CONNECTIONS))


def _creations(tenancy: Tenancy, cluster: Cluster, rounds: int) -> list[Row]:
    numbers = count()
    administration = Administration(_SERVER, cluster.provisioner())
    template = sql.Identifier(template_database(administration, HISTORY))
    with psycopg.connect(cluster.provisioner(), autocommit=True) as admin:

        def bare() -> None:
            name = sql.Identifier(f"bare_{next(numbers)}")
            admin.execute(sql.SQL("CREATE ROLE {} LOGIN").format(name))
            admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(name, template))
            admin.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))

        def create() -> None:
            home.create_tenant(tenancy, f"made-{next(numbers)}", lambda _db, _admin: None, _SERVER)

        create()
        bare()
        inside = alternate(rounds, each_takes(5, 1e-3, create), each_takes(5, 1e-3, bare))
    administration.close()
    return [Row("create a tenant on PostgreSQL", "ms", *inside, "CREATE ROLE, DATABASE; REVOKE", "<= 1.5")]


def _check(tenancy: Tenancy, tenants: int, rounds: int) -> list[Row]:
    store = store_of(tenancy, _SERVER)
    inside = alternate(rounds, each_takes(1, 1e-3, store.versions), each_takes(1, 1e-3, tenancy.registry.generation))
    return [Row(f"read {tenants} schema versions on PostgreSQL", "ms", *inside, "one question to the registry")]


def _pages(
    folder: Path,
    on_server: Home,
    visits: list[tuple[str, str]],
    on_files: Home,
    beside: list[tuple[str, str]],
    rounds: int,
    seconds: float,
) -> list[Row]:
    with _serving(on_server, folder / "pg.log") as ours_server:
        _rate(ours_server, visits, seconds)
        ours = [_rate(ours_server, visits, seconds) for _ in range(rounds)]
    with _serving(on_files, folder / "files.log") as beside_server:
        _rate(beside_server, beside, seconds)
        theirs = [_rate(beside_server, beside, seconds) for _ in range(rounds)]
    return [Row(f"signed-in page, {len(visits)} tenants on PostgreSQL", "requests/s", ours, theirs, "on SQLite")]


@contextmanager
def _serving(made: Home, log: Path) -> Iterator[servers.Server]:
    with servers.product(made.environment, made.settings.port, log) as server:
        yield server


def _rate(server: servers.Server, visits: list[tuple[str, str]], seconds: float) -> float:
    (outcome,) = run_apart(Plan(server.port, seconds, _VISITING, visits))
    if outcome.failed or not outcome.done:
        raise RuntimeError(f"{outcome.failed} of {outcome.answered} answers were wrong: {outcome.first_failure}")
    return outcome.rate
