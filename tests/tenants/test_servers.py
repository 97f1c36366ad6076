from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import select, text

from tenants import budget as budgets
from tenants import postgresql, schema
from tenants.databases import Databases
from tenants.errors import (
    NoSuchServer,
    ReadOnlyDatabase,
    SchemaBehind,
    ServerInUse,
    ServerTaken,
    TenantUnavailable,
    WrongStamp,
)
from tenants.registry import WrappedKey
from tenants.registry_tables import database_login_table
from tenants.servers import Server, database_name
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.services.pgbouncer import PgBouncer
from tests.services.postgresql import Cluster
from tests.services.programs import PGBOUNCER, need
from tests.tenants.servers import create, login, register
from tests.tenants.world import HISTORY, Note, in_children, note

PG1 = Server("pg1", "host=a,b port=5432,5433 target_session_attrs=read-write", False, 50)
BUDGET = 6


def text_of(databases: Databases, tenant: Tenant) -> str:
    with databases.open(tenant) as db:
        return db.scalars(select(Note.changes)).one()


def opened(cluster: Cluster) -> int:
    """Count the connections that the platform has open."""
    asked = "SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^t_' AND application_name = 'extranet'"
    ((count,),) = cluster.execute(asked)
    return int(count)


def limited(tenancy: Tenancy, limit: int) -> Databases:
    """Open the databases as a process that may have so many connections."""
    tenancy.servers._share = lambda _server: limit
    return Databases(tenancy.settings, schema.head(HISTORY), tenancy.servers)


@pytest.fixture
def twenty(pg_tenancy: Tenancy) -> list[Tenant]:
    return [create(pg_tenancy, f"tenant{number}") for number in range(20)]


def test_servers_are_registered_listed_changed_and_forgotten(tenancy: Tenancy) -> None:
    servers = tenancy.servers
    other = Server("alpha", "host=127.0.0.1", True, 20)
    servers.add(PG1)
    servers.add(other)
    assert servers.all() == [other, PG1]
    assert servers.by_name("pg1") == PG1
    changed = Server("pg1", "host=c", True, 10)
    servers.change(changed)
    assert servers.all() == [other, changed]
    servers.remove("pg1")
    assert servers.all() == [other]


def test_what_is_no_server_is_refused(tenancy: Tenancy) -> None:
    tenancy.servers.add(PG1)
    before = tenancy.registry.generation()
    with pytest.raises(ServerTaken, match="'pg1'"):
        tenancy.servers.add(PG1)
    absent = Server("absent", "", False, 1)
    for act in (
        lambda: tenancy.servers.by_name("absent"),
        lambda: tenancy.servers.change(absent),
        lambda: tenancy.servers.remove("absent"),
        lambda: tenancy.servers.budget_of("absent", lambda: False),
    ):
        with pytest.raises(NoSuchServer, match="'absent'"):
            act()
    assert tenancy.registry.generation() == before


def _move(tenancy: Tenancy, tenant: Tenant, **values: object) -> None:
    with tenancy.registry.changing() as connection:
        assignments = ", ".join(f"{name} = :{name}" for name in values)
        connection.execute(text(f"UPDATE tenant SET {assignments} WHERE slug = :slug"), {"slug": tenant.slug, **values})


def test_a_server_with_tenants_is_not_forgotten(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    tenancy.servers.add(PG1)
    _move(tenancy, acme, server="pg1")
    with pytest.raises(ServerInUse, match="still holds 1 tenant: acme\\."):
        tenancy.servers.remove("pg1")
    # One that is being destroyed, and one that is on its way there: its database and its login are there already.
    _move(tenancy, acme, state=State.PURGED)
    tenancy.servers.new_login(globex, "pg1")
    with pytest.raises(ServerInUse, match=r"still holds 2 tenants: acme, globex \(a move was cut short\)\."):
        tenancy.servers.remove("pg1")
    tenancy.servers.forget_login(globex.uuid, "pg1")
    _move(tenancy, acme, server=EMBEDDED)
    tenancy.servers.remove("pg1")


def test_of_many_tenants_that_hold_a_server_the_first_ten_are_named(tenancy: Tenancy) -> None:
    tenancy.servers.add(PG1)
    slugs = [f"t{number:02}" for number in range(12)]
    for slug in slugs:
        key = WrappedKey(1, "x", b"x")
        tenancy.registry.add(Tenant(uuid4(), slug, slug, State.ACTIVE, 1, 1, "pg1"), key)
    stranger = uuid4()
    with tenancy.registry.writing() as connection:
        connection.execute(database_login_table.insert().values(tenant_uuid=stranger, server="pg1", password=b"x"))
    with pytest.raises(ServerInUse) as refusal:
        tenancy.servers.remove("pg1")
    said = str(refusal.value)
    assert said.startswith("The server pg1 still holds 13 tenants: ")
    assert said.endswith(" and 3 more.")
    assert all(slug in said for slug in slugs[:9])


def test_new_tenants_go_where_the_fewest_are(tenancy: Tenancy, acme: Tenant, globex: Tenant) -> None:
    assert tenancy.servers.by_room() == []
    for name in ("pg2", "pg1"):
        tenancy.servers.add(Server(name, "", False, 50))
    assert tenancy.servers.by_room() == ["pg1", "pg2"]
    _move(tenancy, acme, server="pg1")
    assert tenancy.servers.by_room() == ["pg2", "pg1"]
    _move(tenancy, globex, server="pg2")
    assert tenancy.servers.by_room() == ["pg1", "pg2"]


def test_each_tenant_reads_its_own_rows_with_its_own_login(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    for tenant in (pg_acme, pg_globex):
        with pg_tenancy.open_db(tenant) as db:
            assert db.scalars(select(Note.changes)).one() == f"hello {tenant.slug}"
            who = db.execute(text("SELECT current_database(), session_user, current_user")).one()
            assert set(who) == {database_name(tenant.uuid)}


def test_a_password_lies_sealed_for_its_tenant_and_its_server_alone(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    passwords = {tenant.uuid: pg_tenancy.servers.password_of(tenant) for tenant in (pg_acme, pg_globex)}
    with pg_tenancy.registry.writing() as connection:
        sealed = {row.tenant_uuid: row.password for row in connection.execute(select(database_login_table))}
        assert passwords[pg_acme.uuid].encode() not in sealed[pg_acme.uuid]
        for owner, other in ((pg_acme, pg_globex), (pg_globex, pg_acme)):
            connection.execute(
                database_login_table.update()
                .where(database_login_table.c.tenant_uuid == owner.uuid)
                .values(password=sealed[other.uuid])
            )
    for tenant in (pg_acme, pg_globex):
        with pytest.raises(TenantUnavailable, match="was altered"):
            text_of(pg_tenancy.databases, tenant)


def test_a_password_of_another_server_opens_nothing(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    with pg_tenancy.registry.writing() as connection:
        connection.execute(database_login_table.update().values(server="pg2"))
    pg_tenancy.servers.add(Server("pg2", pg_tenancy.servers.by_name("pg1").address, False, 50))
    elsewhere = Tenant(pg_acme.uuid, "acme", "Acme", pg_acme.state, 1, 1, "pg2")
    with pytest.raises(TenantUnavailable, match="was altered"):
        text_of(pg_tenancy.databases, elsewhere)


def test_a_tenant_without_a_login_is_unavailable_and_only_that_one(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    pg_tenancy.servers.forget_login(pg_acme.uuid, "pg1")
    pg_tenancy.servers.forget_login(pg_acme.uuid, "pg1")
    with pytest.raises(TenantUnavailable, match="acme has no login on the server pg1"):
        text_of(pg_tenancy.databases, pg_acme)
    assert text_of(pg_tenancy.databases, pg_globex) == "hello globex"


def _stamped_for_another(cluster: Cluster, name: str) -> None:
    cluster.execute("UPDATE stamp SET tenant_uuid = %s", [uuid4()], dbname=name)


def _stamped_twice(cluster: Cluster, name: str) -> None:
    cluster.execute("INSERT INTO stamp VALUES (2, %s)", [uuid4()], dbname=name)


DAMAGES: dict[str, tuple[Callable[[Cluster, str], object], type[Exception], str]] = {
    "stamped for another": (_stamped_for_another, WrongStamp, "stamped for"),
    "stamped twice": (_stamped_twice, WrongStamp, "stamped for"),
    "unstamped": (lambda cluster, name: cluster.execute("DELETE FROM stamp", dbname=name), WrongStamp, "nobody"),
    "no table": (lambda cluster, name: cluster.execute("DROP TABLE stamp", dbname=name), TenantUnavailable, "stamp"),
    "old schema": (
        lambda cluster, name: cluster.execute("UPDATE alembic_version SET version_num = '0000'", dbname=name),
        SchemaBehind,
        "has schema 0",
    ),
    "no schema": (
        lambda cluster, name: cluster.execute("DELETE FROM alembic_version", dbname=name),
        SchemaBehind,
        "has schema 0",
    ),
    "missing": (
        lambda cluster, name: cluster.execute(f"DROP DATABASE {name} WITH (FORCE)"),
        TenantUnavailable,
        "does not exist",
    ),
    "closed": (
        lambda cluster, name: cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false"),
        TenantUnavailable,
        "not currently accepting connections",
    ),
    "no right": (
        lambda cluster, name: cluster.execute(f"REVOKE CONNECT ON DATABASE {name} FROM {name}"),
        TenantUnavailable,
        "permission denied",
    ),
    "no login": (
        lambda cluster, name: cluster.execute(f"ALTER ROLE {name} NOLOGIN"),
        TenantUnavailable,
        "not permitted to log in",
    ),
    "another password": (
        lambda cluster, name: cluster.execute(f"ALTER ROLE {name} PASSWORD 'x'"),
        TenantUnavailable,
        "authentication failed",
    ),
    "as many connections as the role may have": (
        lambda cluster, name: cluster.execute(f"ALTER ROLE {name} CONNECTION LIMIT 0"),
        TenantUnavailable,
        "too many connections",
    ),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_tenant_is_unavailable_and_only_that_one(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant, kind: str
) -> None:
    damage, error, why = DAMAGES[kind]
    damage(cluster, database_name(pg_acme.uuid))
    for _ in range(2):
        with pytest.raises(error, match=why) as caught:
            text_of(pg_tenancy.databases, pg_acme)
        assert isinstance(caught.value, TenantUnavailable)
        assert text_of(pg_tenancy.databases, pg_globex) == "hello globex"
    assert pg_tenancy.servers.budget_of("pg1", lambda: False).taken == 1


def test_a_database_that_comes_back_is_served_again_without_a_restart(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    name = database_name(pg_acme.uuid)
    assert text_of(pg_tenancy.databases, pg_acme) == "hello acme"
    cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])
    with pytest.raises(TenantUnavailable):
        text_of(pg_tenancy.databases, pg_acme)
    assert text_of(pg_tenancy.databases, pg_globex) == "hello globex"
    cluster.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    assert text_of(pg_tenancy.databases, pg_acme) == "hello acme"


def test_a_db_opened_for_reading_refuses_every_write(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    with pg_tenancy.open_db(pg_acme) as db:
        db.add(note("x", "2"))
        with pytest.raises(ReadOnlyDatabase):
            db.flush()
    with pg_tenancy.open_db(pg_acme, writing=True) as db:
        db.add(note("x", "2"))
        db.commit()


def test_a_connection_never_leads_to_another_database(pg_tenancy: Tenancy, twenty: list[Tenant]) -> None:
    databases = limited(pg_tenancy, BUDGET)
    wrong: list[str] = []
    visits: list[int] = []

    def visit(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(75):
            tenant = dice.choice(twenty)
            with databases.open(tenant, writing=dice.random() < 0.2) as db:
                found = db.execute(text("SELECT current_database(), current_user, tenant_uuid FROM stamp")).one()
                said = db.scalars(select(Note.changes)).one()
            name = database_name(tenant.uuid)
            if (*found, said) != (name, name, tenant.uuid, f"hello {tenant.slug}"):
                wrong.append(tenant.slug)
            visits.append(1)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(visit, range(4)))
    assert (wrong, len(visits)) == ([], 300)
    databases.close()


@contextmanager
def watched(cluster: Cluster) -> Iterator[list[int]]:
    """Count again and again how many connections the server sees."""
    seen, done = [0], threading.Event()

    def watch() -> None:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            while not done.wait(0.01):
                rows = connection.execute("SELECT count(*) FROM pg_stat_activity WHERE usename ~ '^t_'").fetchall()
                seen.append(rows[0][0])

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield seen
    finally:
        done.set()
        watcher.join()


def test_a_process_never_has_more_connections_open_than_its_share(
    pg_tenancy: Tenancy, cluster: Cluster, twenty: list[Tenant]
) -> None:
    databases = limited(pg_tenancy, BUDGET)

    def visit(seed: int) -> None:
        dice = random.Random(seed)
        for _ in range(3):
            tenant = dice.choice(twenty)
            assert text_of(databases, tenant) == f"hello {tenant.slug}"

    with watched(cluster) as seen, ThreadPoolExecutor(40) as pool:
        list(pool.map(visit, range(40)))
    # A server process that is on its way out is still counted for a moment.
    assert BUDGET - 1 <= max(seen) <= BUDGET + 2
    budget = pg_tenancy.servers.budget_of("pg1", lambda: False)
    assert budget.taken <= BUDGET
    databases.close()
    assert (budget.taken, len(budget._queue)) == (0, 0)
    cluster.until(lambda: opened(cluster) == 0, "A connection stayed open.")


def test_who_waits_gets_what_another_tenant_keeps_idle(pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant) -> None:
    databases = limited(pg_tenancy, 1)
    for tenant in (pg_acme, pg_globex, pg_acme):
        began = time.monotonic()
        assert text_of(databases, tenant) == f"hello {tenant.slug}"
        assert time.monotonic() - began < 2
    databases.close()


def test_who_waits_gets_what_a_busy_tenant_keeps_beside_what_it_uses(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    # A tenant that was never without a visitor used to keep its second connection while others waited in vain.
    databases = limited(pg_tenancy, 2)
    with databases.open(pg_acme) as db:
        db.scalars(select(Note)).all()
        assert text_of(databases, pg_acme) == "hello acme"
        assert pg_tenancy.servers.budget_of("pg1", lambda: False).taken == 2
        assert text_of(databases, pg_globex) == "hello globex"
        assert db.scalars(select(Note.changes)).one() == "hello acme"
    databases.close()


def test_a_second_connection_is_closed_before_anybodys_only_one(pg_tenancy: Tenancy, twenty: list[Tenant]) -> None:
    databases = limited(pg_tenancy, 3)
    once, twice, newcomer = twenty[:3]
    text_of(databases, once)
    with databases.open(twice) as first, databases.open(twice) as second:
        for db in (first, second):
            db.scalars(select(Note)).all()
    text_of(databases, newcomer)
    budget = pg_tenancy.servers.budget_of("pg1", lambda: False)
    assert budget.taken == 3
    for tenant in (once, twice, newcomer):
        assert postgresql.close_idle(databases._slots[tenant.uuid].reader)
    assert budget.taken == 0
    databases.close()


def test_when_all_are_in_use_who_waited_too_long_is_told(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_globex: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(budgets, "WAIT_SECONDS", 0.2)
    databases = limited(pg_tenancy, 1)
    with databases.open(pg_acme) as db:
        db.scalars(select(Note)).all()
        with pytest.raises(TenantUnavailable, match="All 1 connections"):
            text_of(databases, pg_globex)
    assert text_of(databases, pg_globex) == "hello globex"
    databases.close()


def test_when_the_server_dies_every_permit_comes_back_and_later_everything_goes_on(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    databases = limited(pg_tenancy, BUDGET)
    budget = pg_tenancy.servers.budget_of("pg1", lambda: False)

    def use(number: int) -> str:
        tenant = (pg_acme, pg_globex)[number % 2]
        try:
            with databases.open(tenant, writing=True) as db:
                db.execute(text("SELECT pg_sleep(0.3)"))
        except TenantUnavailable:
            return "unavailable"
        return "served"

    try:
        with ThreadPoolExecutor(8) as pool:
            using = [pool.submit(use, number) for number in range(8)]
            time.sleep(0.1)
            cluster.kill()
            assert {future.result(20) for future in using} == {"unavailable"}
    finally:
        cluster.start()
    for tenant in (pg_acme, pg_globex):
        assert text_of(databases, tenant) == f"hello {tenant.slug}"
    databases.close()
    assert budget.taken == 0


def test_a_child_process_opens_its_own_connections(pg_tenancy: Tenancy, pg_acme: Tenant) -> None:
    databases = pg_tenancy.databases

    def server_process() -> int:
        with databases.open(pg_acme) as db:
            number: int = db.execute(text("SELECT pg_backend_pid()")).scalar_one()
            return number

    before = server_process()
    of_children = in_children([server_process] * 3)
    assert len({before, *of_children}) == 4
    assert text_of(databases, pg_acme) == "hello acme"


def test_a_tenant_that_moved_is_opened_where_it_is_now(
    pg_tenancy: Tenancy, second_cluster: Cluster, pg_acme: Tenant
) -> None:
    register(pg_tenancy, second_cluster, "pg2")
    assert text_of(pg_tenancy.databases, pg_acme) == "hello acme"
    elsewhere = Tenant(pg_acme.uuid, "acme", "Acme", pg_acme.state, 1, 1, "pg2")
    pg_tenancy.servers.new_login(elsewhere, "pg2")
    with pytest.raises(TenantUnavailable, match="authentication failed"):
        text_of(pg_tenancy.databases, elsewhere)
    assert text_of(pg_tenancy.databases, pg_acme) == "hello acme"
    assert len(pg_tenancy.databases) == 1


def test_of_several_hosts_the_one_that_can_be_written_to_is_found(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant
) -> None:
    with cluster.standby() as standby:
        address = make_conninfo(
            host=f"{standby.host},{cluster.host}",
            port=f"{standby.port},{cluster.port}",
            target_session_attrs="read-write",
        )
        pg_tenancy.servers.change(Server("pg1", address, False, 50))
        with pg_tenancy.open_db(pg_acme, writing=True) as db:
            db.add(note("kept", "2"))
            db.commit()


@pytest.fixture
def bouncer(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant) -> Iterator[PgBouncer]:
    """A pooler that has two connections to give to each tenant."""
    need("pgbouncer", PGBOUNCER)
    names = [database_name(tenant.uuid) for tenant in (pg_acme, pg_globex)]
    with PgBouncer(cluster, {name: cluster.verifier(name) for name in names}, default_pool_size=2) as started:
        address = make_conninfo(host=started.host, port=started.port)
        pg_tenancy.servers.change(Server("pg1", address, True, 50))
        yield started


def test_through_a_pooler_each_tenant_reads_and_writes_its_own_rows(
    pg_tenancy: Tenancy, bouncer: PgBouncer, pg_acme: Tenant, pg_globex: Tenant
) -> None:
    def visit(number: int) -> None:
        tenant = (pg_acme, pg_globex)[number % 2]
        with pg_tenancy.open_db(tenant, writing=True) as db:
            found = db.get_one(Note, "1")
            assert found.changes.startswith(f"hello {tenant.slug}")
            found.changes += "!"
            db.commit()
        with pg_tenancy.open_db(tenant) as db:
            db.add(note("x", "2"))
            with pytest.raises(ReadOnlyDatabase):
                db.flush()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(visit, range(40)))
    for tenant in (pg_acme, pg_globex):
        assert text_of(pg_tenancy.databases, tenant) == f"hello {tenant.slug}" + 20 * "!"
    pools = {str(row["database"]) for row in bouncer.console("SHOW POOLS")}
    assert {database_name(tenant.uuid) for tenant in (pg_acme, pg_globex)} <= pools


def test_a_tenants_login_is_not_in_what_a_process_shows_of_itself(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant
) -> None:
    assert text_of(pg_tenancy.databases, pg_acme) == "hello acme"
    password = pg_tenancy.servers.password_of(pg_acme)
    for name in ("cmdline", "environ"):
        assert password.encode() not in Path(f"/proc/{os.getpid()}/{name}").read_bytes()
    assert password not in cluster.log()
    with pytest.raises(psycopg.OperationalError) as caught:
        login(pg_tenancy, cluster, pg_acme, "postgres").close()
    assert password not in str(caught.value)
