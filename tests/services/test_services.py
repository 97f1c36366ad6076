"""That each server does what tests of the product rely on it for."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.services import programs
from tests.services.pgbouncer import PgBouncer
from tests.services.postgresql import Cluster, Mode
from tests.services.programs import PGBOUNCER, POSTGRES, REDIS, need
from tests.services.redis import Redis


@pytest.fixture
def primary() -> Iterator[Cluster]:
    """A cluster that nobody else misses."""
    need("postgresql", POSTGRES)
    with Cluster() as started:
        yield started


@pytest.fixture
def table(cluster: Cluster) -> Iterator[str]:
    """A table with one row in the cluster that tests share."""
    cluster.execute("CREATE TABLE kept AS SELECT 1 AS number")
    yield "kept"
    cluster.execute("DROP TABLE kept")


@pytest.fixture
def bouncer(cluster: Cluster) -> Iterator[PgBouncer]:
    """A pooler that has one connection to give, and knows verifiers only."""
    need("pgbouncer", PGBOUNCER)
    cluster.provisioner()
    with PgBouncer(cluster, {"provisioner": cluster.verifier("provisioner")}, default_pool_size=1) as started:
        yield started


def through(bouncer: PgBouncer, cluster: Cluster) -> psycopg.Connection[tuple[int]]:
    url = cluster.provisioner().replace(f":{cluster.port}/", f":{bouncer.port}/")
    return psycopg.connect(url, connect_timeout=5)


def test_the_provisioner_makes_databases_and_roles_and_is_no_superuser(cluster: Cluster) -> None:
    with psycopg.connect(cluster.provisioner(), autocommit=True) as connection:
        asked = "SELECT rolcreatedb, rolcreaterole, rolsuper FROM pg_roles WHERE rolname = current_user"
        assert connection.execute(asked).fetchone() == (True, True, False)
        connection.execute("CREATE DATABASE made")
        connection.execute("DROP DATABASE made")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT pg_reload_conf(), * FROM pg_authid")


def test_nobody_comes_in_without_a_password(cluster: Cluster) -> None:
    for user in ("postgres", "provisioner"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(cluster.url(user=user, password="wrong"))


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restart_keeps_what_was_saved(cluster: Cluster, table: str, mode: Mode) -> None:
    cluster.stop(mode)
    assert not cluster.is_running
    cluster.start()
    assert cluster.execute(f"TABLE {table}") == [(1,)]


def test_a_crash_ends_connections_in_midair_and_the_server_recovers(cluster: Cluster, table: str) -> None:
    with psycopg.connect(cluster.url()) as connection:
        connection.execute(f"INSERT INTO {table} VALUES (2)")
        cluster.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.commit()
    cluster.start()
    assert cluster.execute(f"TABLE {table}") == [(1,)]
    assert "was not properly shut down" in cluster.log()


def test_settings_and_rules_hold_from_the_next_connection_on(cluster: Cluster) -> None:
    cluster.set("work_mem", "5MB")
    assert cluster.execute("SHOW work_mem") == [("5MB",)]
    cluster.set("work_mem", None)
    assert cluster.execute("SHOW work_mem") != [("5MB",)]
    cluster.write_hba(["host all all 127.0.0.1/32 reject"])
    with pytest.raises(psycopg.OperationalError, match="rejects connection"):
        psycopg.connect(cluster.provisioner())
    cluster.write_hba()
    psycopg.connect(cluster.provisioner()).close()


def test_two_clusters_have_nothing_in_common(cluster: Cluster, second_cluster: Cluster, table: str) -> None:
    assert cluster.execute("SELECT to_regclass(%s) IS NULL", [table]) == [(False,)]
    assert second_cluster.execute("SELECT to_regclass(%s) IS NULL", [table]) == [(True,)]


def test_what_was_committed_is_on_the_standby_that_takes_over(primary: Cluster) -> None:
    with primary.standby() as standby:
        primary.execute("CREATE TABLE kept AS SELECT 1 AS number")
        primary.kill()
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            standby.execute("INSERT INTO kept VALUES (2)")
        standby.promote()
        standby.execute("INSERT INTO kept VALUES (2)")
        assert standby.execute("TABLE kept") == [(1,), (2,)]
        assert standby.url() != primary.url()


def test_a_commit_waits_for_the_standby_and_no_longer_once_there_is_none(cluster: Cluster, table: str) -> None:
    waiting = "SELECT FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    # The standby goes first, and whoever still waits for it is let go.
    with ThreadPoolExecutor(1) as pool, cluster.standby() as standby:
        standby.kill()
        saving = pool.submit(cluster.execute, f"INSERT INTO {table} VALUES (2)")
        cluster.until(lambda: cluster.execute(waiting), "Nobody waits.")
        assert not saving.done()
        standby.start()
        saving.result(10)
    cluster.execute(f"INSERT INTO {table} VALUES (3)")


def test_the_pooler_lets_in_by_the_cluster_s_verifier_and_shares_by_the_transaction(
    cluster: Cluster, bouncer: PgBouncer
) -> None:
    with through(bouncer, cluster) as one, through(bouncer, cluster) as other:
        pids = set()
        for connection in (one, other, one):
            pids.add(connection.execute("SELECT pg_backend_pid()").fetchone())
            connection.commit()
        assert len(pids) == 1


def test_the_pooler_lets_nobody_else_in(cluster: Cluster, bouncer: PgBouncer) -> None:
    bouncer.write_users({"somebody": "else"})
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        through(bouncer, cluster)
    bouncer.write_users({"provisioner": cluster.verifier("provisioner")})
    bouncer.restart()
    through(bouncer, cluster).close()


def test_redis_wants_its_password_and_keeps_nothing(redis_server: Redis) -> None:
    # By itself the client would try a refused password again for seconds.
    once = Retry(NoBackoff(), 0)
    stranger = redis.Redis(host=redis_server.host, port=redis_server.port, retry=once)
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with redis.Redis.from_url(redis_server.url) as client:
        client.set("name", "value")
        redis_server.kill()
        redis_server.start()
        assert client.get("name") is None


def test_a_server_leaves_nothing_behind() -> None:
    need("redis-server", REDIS)
    with pytest.raises(ZeroDivisionError), Redis() as server:
        raise ZeroDivisionError
    assert not server.is_running
    assert not server.folder.exists()


@pytest.mark.parametrize(("everything", "outcome"), [("1", pytest.fail.Exception), ("", pytest.skip.Exception)])
def test_what_is_missing_is_said(
    monkeypatch: pytest.MonkeyPatch, everything: str, outcome: type[BaseException]
) -> None:
    monkeypatch.setattr(programs, "missing", set())
    monkeypatch.setenv("REQUIRE_ALL", everything)
    with pytest.raises(outcome, match="apt-get install fancydb"):
        need("fancydb", "")
    assert programs.missing == {"fancydb"}
