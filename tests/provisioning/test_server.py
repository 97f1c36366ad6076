"""extranet server: servers come and go; what opens them is neither shown, logged nor given to the web."""

from __future__ import annotations

import os
import pty
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict

from tenants.servers import database_name
from tenants.settings import read_settings
from tenants.stores.credentials import credential_file, read_credential
from tenants.tenancy import Tenancy
from tests.console import Answer, Console, mapping_of
from tests.services.pgbouncer import PgBouncer
from tests.services.postgresql import Cluster
from tests.services.programs import PGBOUNCER, need
from tests.tenants.servers import cleaned
from tests.tenants.world import HISTORY


@pytest.fixture(autouse=True)
def _nothing_stays(cluster: Cluster, second_cluster: Cluster) -> Iterator[None]:
    with cleaned(cluster), cleaned(second_cluster):
        yield


@pytest.fixture
def registered(console: Console, cluster: Cluster) -> Answer:
    return add(console, cluster)


def add(console: Console, cluster: Cluster, *options: str, name: str = "pg1") -> Answer:
    return console.done("server", "add", name, *options, stdin=f"{cluster.provisioner()}\n")


def servers(console: Console) -> list[dict[str, object]]:
    listed: list[dict[str, object]] = console.done("server", "list", "--json").document
    return listed


def secret_of(cluster: Cluster) -> str:
    cluster.provisioner()
    return cluster._passwords["provisioner"]


def test_a_server_is_registered_and_says_what_is_left_to_do(console: Console, second_cluster: Cluster) -> None:
    for name in ("postgres", "template1"):
        second_cluster.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    lines = add(console, second_cluster).stdout.splitlines()
    port = second_cluster.port
    # 200, less 3 for superusers and 5 to spare, three quarters of it.
    assert lines[0] == f"pg1 can hold tenants: host=127.0.0.1 port={port}, up to 144 connections."
    told = [line.strip() for line in lines if line.startswith("  ")]
    statements, rules = told[:-3], told[-3:]
    assert rules == [
        "host all provisioner 127.0.0.1/32 scram-sha-256",
        "host sameuser +extranet_tenants 127.0.0.1/32 scram-sha-256",
        "host all +extranet_tenants all reject",
    ]
    for statement in statements:
        second_cluster.execute(statement)
    document = add(console, second_cluster, "--json").document
    assert (document["statements"], document["replaced"]) == ([], True)
    second_cluster.write_hba([*document["rules"], "host all all 127.0.0.1/32 scram-sha-256"])
    try:
        assert console.create("zoe", "--server", "pg1").exit_code == 0
        assert console.run("doctor").exit_code == 0
    finally:
        second_cluster.write_hba()


def test_a_tenant_is_made_where_it_is_told_and_shows_it(console: Console, registered: Answer) -> None:
    assert console.create("zoe", "--server", "pg1", "--json").document["server"] == "pg1"
    shown = console.done("tenant", "show", "zoe", "--json").document
    assert shown["server"] == "pg1"
    # The database is on the server, and counts.
    assert shown["storage_bytes"] > 1024**2
    assert sum(shown["users"].values()) == 1
    listed = {tenant["slug"]: tenant["server"] for tenant in console.done("tenant", "list", "--json").document}
    assert listed == {"acme": "embedded", "globex": "embedded", "zoe": "pg1"}


def test_a_tenant_whose_server_cannot_be_asked_takes_nobody_knows_how_much(
    console: Console, registered: Answer
) -> None:
    console.create("zoe", "--server", "pg1")
    credential_file(read_settings(console.environment), "pg1").unlink()
    assert console.done("tenant", "show", "zoe", "--json").document["storage_bytes"] is None


def test_the_url_is_kept_for_operators_alone_and_nowhere_else(
    console: Console, cluster: Cluster, registered: Answer
) -> None:
    secret = secret_of(cluster)
    assert read_credential(read_settings(console.environment), "pg1") == cluster.provisioner()
    assert secret not in registered.stdout + registered.stderr
    assert secret not in console.done("server", "list").stdout + console.done("server", "list", "--json").stdout
    kept = [path for path in console.home.rglob("*") if path.is_file() and secret.encode() in path.read_bytes()]
    assert kept == [console.home / "operator" / "pg1.url"]
    assert kept[0].stat().st_mode & 0o777 == 0o600
    assert secret not in cluster.log()


def test_what_was_typed_is_journaled_without_the_url(console: Console, cluster: Cluster, registered: Answer) -> None:
    console.run("server", "add", "pg2", stdin="postgresql://user:hunter2@127.0.0.1:1/postgres\n")
    console.done("server", "remove", "pg1")
    entries = console.journal()
    assert [(entry.event, entry.outcome) for entry in entries] == [
        ("server add", "ok"),
        ("server add", "refused"),
        ("server remove", "ok"),
    ]
    told = str([mapping_of(entry) for entry in entries])
    assert "pg1" in told
    assert secret_of(cluster) not in told
    assert "hunter2" not in told


def test_while_it_runs_nobody_else_on_the_machine_sees_the_url(console: Console, cluster: Cluster) -> None:
    seen = b""
    with console.start("server", "add", "pg1", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(f"{cluster.provisioner()}\n")
        process.stdin.close()
        while process.poll() is None:
            for name in ("cmdline", "environ"):
                with suppress(FileNotFoundError, ProcessLookupError):
                    seen += Path(f"/proc/{process.pid}/{name}").read_bytes()
            time.sleep(0.005)
    assert process.returncode == 0
    assert b"extranet" in seen
    assert secret_of(cluster).encode() not in seen


def test_on_a_terminal_it_is_asked_for_once_and_not_echoed(console: Console, cluster: Cluster) -> None:
    ours, theirs = pty.openpty()
    with console.start(
        "server", "add", "pg1", stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    ) as it:
        os.close(theirs)
        shown = b""
        while b"URL: " not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, f"{cluster.provisioner()}\n".encode())
        while it.poll() is None:
            try:
                shown += os.read(ours, 1000)
            except OSError:
                break
        it.wait(30)
    os.close(ours)
    assert it.returncode == 0, shown
    assert secret_of(cluster).encode() not in shown
    assert len(servers(console)) == 1


def test_the_url_can_come_from_a_file_of_the_operators_own(console: Console, cluster: Cluster, tmp_path: Path) -> None:
    file = tmp_path / "pg1.url"
    assert console.run("server", "add", "pg1", "--url-file", str(file)).refusal == f"No such file or directory: {file}."
    file.write_text(f"\n{cluster.provisioner()}\n")
    file.chmod(0o640)
    assert "is open to others" in console.run("server", "add", "pg1", "--url-file", str(file)).refusal
    file.chmod(0o600)
    console.done("server", "add", "pg1", "--url-file", str(file))
    file.write_bytes(b"postgresql://\xff\xfe")
    assert console.run("server", "add", "pg1", "--url-file", str(file)).refusal == f"{file} is not text in UTF-8."


@pytest.mark.parametrize(
    "text",
    [
        "hunter2",
        "postgresql://user:hunter2@[::1/postgres",
        "host=127.0.0.1 hunter2",
        "host=127.0.0.1 password='hunter2",
        "http://user:hunter2@127.0.0.1/",
        "postgresql://user:hunter2@127.0.0.1/postgres?hunter2=1",
        "user=u password=hunter2",
        "postgresql://",
    ],
)
def test_what_is_no_url_of_a_server_is_refused_without_being_shown(console: Console, text: str) -> None:
    refusal = console.run("server", "add", "pg1", stdin=f"{text}\n").refusal
    assert refusal.startswith(("This is no URL of a server", "The URL names no host"))
    assert "hunter2" not in refusal
    assert servers(console) == []


def test_nothing_on_standard_input_is_said(console: Console) -> None:
    assert console.run("server", "add", "pg1").refusal == "No URL came on standard input."


@pytest.mark.parametrize(
    "name", ["", "p", "PG1", "pg_1", "pg--1", "-pg", "embedded", "p" * 33, '../pg1"; DROP', "$(id)"]
)
def test_what_is_no_name_of_a_server_is_refused_and_names_no_file(
    console: Console, cluster: Cluster, name: str
) -> None:
    for arguments in (["add", "--", name], ["remove", "--", name]):
        refusal = console.run("server", *arguments, stdin=f"{cluster.provisioner()}\n").refusal
        assert refusal.startswith("A server's name is made of")
    assert not (console.home / "operator").exists()


def test_a_server_that_does_not_let_the_role_in_is_said_without_the_password(
    console: Console, cluster: Cluster
) -> None:
    for url, why in (
        (cluster.url(user="provisioner", password="hunter2"), "authentication failed"),
        ("postgresql://user:hunter2@127.0.0.1:1/postgres", "Connection refused"),
    ):
        refusal = console.run("server", "add", "pg1", stdin=f"{url}\n").refusal
        assert why in refusal
        assert "hunter2" not in refusal
    assert servers(console) == []
    assert not (console.home / "operator").exists()


def test_a_role_that_is_not_enough_is_refused(console: Console, cluster: Cluster) -> None:
    cluster.execute("CREATE ROLE weak LOGIN CREATEDB PASSWORD 'x'")
    cluster.execute("GRANT CONNECT ON DATABASE postgres TO weak")
    refusal = console.run("server", "add", "pg1", stdin=cluster.url(user="weak", password="x")).refusal
    assert refusal == "The role weak cannot make databases and roles: ALTER ROLE ... CREATEDB CREATEROLE."
    cluster.execute("REVOKE CONNECT ON DATABASE postgres FROM weak")


@pytest.mark.parametrize(
    ("connections", "why"), [("193", "193 connections are too many: the server has 192 to give"), ("6", "too few")]
)
def test_a_number_of_connections_that_cannot_work_is_refused(
    console: Console, cluster: Cluster, connections: str, why: str
) -> None:
    url = f"{cluster.provisioner()}\n"
    answer = console.run("server", "add", "pg1", "--connections", connections, stdin=url, EXTRANET_WORKERS="2")
    assert why in answer.refusal
    assert servers(console) == []


def test_several_hosts_pass_through_and_the_rest_of_the_url_stays_the_operators(
    console: Console, cluster: Cluster
) -> None:
    dsn = (
        f"host=127.0.0.1,127.0.0.2 port={cluster.port},5433 target_session_attrs=read-write sslmode=prefer"
        f" user=provisioner password={secret_of(cluster)} dbname=postgres options='-c work_mem=1MB' connect_timeout=3"
    )
    console.done("server", "add", "pg1", "--connections", "60", stdin=dsn)
    (found,) = servers(console)
    assert found == {
        "name": "pg1",
        "address": found["address"],
        "pooled": False,
        "connections": 60,
        "tenants": 0,
        "fault": "",
    }
    assert conninfo_to_dict(str(found["address"])) == {
        "host": "127.0.0.1,127.0.0.2",
        "port": f"{cluster.port},5433",
        "target_session_attrs": "read-write",
        "sslmode": "prefer",
    }
    assert console.create("zoe", "--server", "pg1").exit_code == 0


def test_again_under_the_same_name_it_replaces_what_is_known(console: Console, cluster: Cluster) -> None:
    add(console, cluster)
    console.create("zoe", "--server", "pg1")
    answer = add(console, cluster, "--connections", "30")
    assert "It was registered before: credential, address and connections are replaced." in answer.stdout
    assert [(found["name"], found["connections"], found["tenants"]) for found in servers(console)] == [("pg1", 30, 1)]
    assert console.done("tenant", "show", "zoe", "--json").document["users"] is not None


def test_a_server_that_holds_tenants_does_not_become_another(
    console: Console, cluster: Cluster, second_cluster: Cluster
) -> None:
    add(console, cluster)
    console.create("zoe", "--server", "pg1")
    before = servers(console)
    elsewhere = console.run("server", "add", "pg1", stdin=second_cluster.provisioner())
    assert elsewhere.refusal == "pg1 holds 1 tenant, whose database is not on this server."
    cluster.execute("CREATE ROLE newcomer LOGIN CREATEDB CREATEROLE PASSWORD 'x'")
    cluster.execute("GRANT CONNECT ON DATABASE postgres TO newcomer")
    url = cluster.url(user="newcomer", password="x")
    assert "The role newcomer may not change" in console.run("server", "add", "pg1", stdin=url).refusal
    assert servers(console) == before
    assert read_credential(read_settings(console.environment), "pg1") == cluster.provisioner()
    cluster.execute("REVOKE CONNECT ON DATABASE postgres FROM newcomer")


def test_through_a_pooler_tenants_come_in_and_operators_do_not(console: Console, cluster: Cluster) -> None:
    need("pgbouncer", PGBOUNCER)
    with PgBouncer(cluster, {}) as bouncer:
        through = f"{bouncer.host}:{bouncer.port}"
        # It takes in more than the server gives.
        answer = add(console, cluster, "--through", through, "--connections", "500")
        assert f"host={bouncer.host} port={bouncer.port} (pooler), up to 500" in answer.stdout
        assert "the second for the pooler's." in answer.stdout
        uuid = console.create("zoe", "--server", "pg1", "--json").document["uuid"]
        name = f"t_{uuid.replace('-', '')}"
        assert console.done("tenant", "show", "zoe", "--json").document["users"] is None
        bouncer.write_users({name: cluster.verifier(name)})
        assert console.done("tenant", "show", "zoe", "--json").document["users"] is not None


@pytest.mark.parametrize("through", ["here", "127.0.0.1", ":6432", "127.0.0.1:0", "127.0.0.1:99999", "a b:1", "[::1:1"])
def test_what_is_no_address_of_a_pooler_is_refused(console: Console, cluster: Cluster, through: str) -> None:
    refusal = console.run("server", "add", "pg1", "--through", through, stdin=cluster.provisioner()).refusal
    assert refusal == f"{through!r} is no address of a pooler, such as 127.0.0.1:6432."


@pytest.mark.parametrize("through", ["127.0.0.1:1", "[::1]:1"])
def test_a_pooler_that_is_not_there_is_said(console: Console, cluster: Cluster, through: str) -> None:
    refusal = console.run("server", "add", "pg1", "--through", through, stdin=cluster.provisioner()).refusal
    assert refusal.startswith(f"Nothing answers at {through}: ")


def test_servers_are_listed_with_what_they_hold_and_whether_they_answer(
    console: Console, cluster: Cluster, registered: Answer
) -> None:
    console.create("zoe", "--server", "pg1")
    assert console.done("server", "list").stdout.splitlines() == [
        "Name  Address" + " " * (len(f"host=127.0.0.1 port={cluster.port}") - 7) + "  Tenants  Connections  Reachable",
        f"pg1   host=127.0.0.1 port={cluster.port}  1        144          yes",
    ]
    credential_file(read_settings(console.environment), "pg1").unlink()
    answer = console.run("server", "list")
    assert "no: The operator's credential" in answer.stdout
    # As fleet status does: whatever runs it every night is to be told.
    assert answer.exit_code == 1


def test_a_server_that_is_down_is_listed_as_such(console: Console, cluster: Cluster, registered: Answer) -> None:
    cluster.stop()
    try:
        (found,) = console.run("server", "list", "--json").document
        assert "cannot be reached" in str(found["fault"])
    finally:
        cluster.start()


def test_without_servers_the_list_says_how_to_register_one(console: Console) -> None:
    assert "extranet server add" in console.done("server", "list").stdout


def test_a_server_is_forgotten_only_when_it_holds_nobody(console: Console, registered: Answer) -> None:
    console.create("zoe", "--server", "pg1")
    assert console.run("server", "remove", "pg1").refusal == "The server pg1 still holds 1 tenant: zoe."
    assert len(servers(console)) == 1


def test_a_forgotten_server_leaves_no_credential(console: Console, registered: Answer) -> None:
    assert console.done("server", "remove", "pg1").stdout.startswith("pg1 is forgotten.")
    assert list((console.home / "operator").iterdir()) == []
    assert console.run("server", "remove", "pg1").refusal == "There is no server 'pg1'. See: extranet server list"


def test_by_default_a_tenant_goes_to_the_least_filled_server(
    console: Console, cluster: Cluster, second_cluster: Cluster
) -> None:
    add(console, cluster)
    add(console, second_cluster, name="pg2")
    made = [console.create(f"zoe{number}", "--json").document["server"] for number in range(4)]
    assert sorted(made) == ["pg1", "pg1", "pg2", "pg2"]


def test_the_web_serves_a_tenant_on_a_server_without_the_operators_folder(console: Console, registered: Answer) -> None:
    console.create("zoe", "--server", "pg1")
    (console.home / "operator" / "pg1.url").unlink()
    with Tenancy.open(read_settings(console.environment), HISTORY, serving=True) as tenancy:
        tenant = tenancy.resolver.resolve("zoe.localhost")
        with tenancy.open_db(tenant) as db:
            raw = db.connection().connection.dbapi_connection
            assert isinstance(raw, psycopg.Connection)
            assert raw.info.user == database_name(tenant.uuid)


# -- one server, one name --


def test_one_server_is_not_registered_under_two_names(console: Console, cluster: Cluster, registered: Answer) -> None:
    sentence = (
        "This server is registered already, as pg1. To change its address, credential or connections: "
        "extranet server add pg1"
    )
    by_another_address = cluster.url(user="provisioner", password=secret_of(cluster)).replace("127.0.0.1", "localhost")
    for url in (cluster.provisioner(), by_another_address):
        assert console.run("server", "add", "pg2", stdin=url).refusal == sentence
    assert [found["name"] for found in servers(console)] == ["pg1"]
    assert not credential_file(read_settings(console.environment), "pg2").exists()
    # One that was registered before anybody noted which cluster it is, is asked.
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("UPDATE server SET identity = ''")
    assert console.run("server", "add", "pg2", stdin=cluster.provisioner()).refusal == sentence
    add(console, cluster)


def test_where_nobody_can_tell_which_cluster_it_is_a_server_is_registered_all_the_same(
    console: Console, cluster: Cluster, second_cluster: Cluster, registered: Answer
) -> None:
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("UPDATE server SET identity = ''")
    credential_file(read_settings(console.environment), "pg1").unlink()
    add(console, second_cluster, name="pg2")
    second_cluster.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        add(console, second_cluster, name="pg3")
    finally:
        second_cluster.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")


def test_what_is_left_to_do_is_not_said_to_be_about_open_databases_alone(
    console: Console, second_cluster: Cluster
) -> None:
    second_cluster.provisioner()
    second_cluster.execute("GRANT CONNECT, TEMPORARY ON DATABASE postgres TO PUBLIC")
    # A cluster that no other test has used yet is open there as well.
    second_cluster.execute("GRANT CONNECT ON DATABASE template1 TO provisioner")
    second_cluster.execute("REVOKE CONNECT, TEMPORARY ON DATABASE template1 FROM PUBLIC")
    second_cluster.execute("REVOKE SET ON PARAMETER log_error_verbosity, temp_file_limit FROM provisioner")
    lines = add(console, second_cluster).stdout.splitlines()
    above = lines.index("Still to be run by the server's own administrator:")
    told = lines[above + 1 : lines.index("", above)]
    for statement in told:
        second_cluster.execute(statement.strip())
    keep = 'GRANT CONNECT ON DATABASE "postgres" TO "provisioner";'
    assert told == [
        f'  {keep} REVOKE CONNECT, TEMPORARY ON DATABASE "postgres" FROM PUBLIC;',
        '  GRANT SET ON PARAMETER temp_file_limit, log_error_verbosity TO "provisioner";',
    ]


# -- a server that is down --


def test_a_new_tenant_goes_to_the_least_filled_that_answers_and_who_was_passed_over_is_said(
    console: Console, cluster: Cluster, second_cluster: Cluster
) -> None:
    add(console, cluster)
    add(console, second_cluster, name="pg2")
    assert console.create("zoe", "--server", "pg2").exit_code == 0
    cluster.stop()
    try:
        answer = console.create("yves", "--json")
        assert answer.document["server"] == "pg2"
        assert answer.stderr.startswith("Passed over: The server pg1 cannot be reached: ")
        assert console.done("tenant", "clone", "zoe", "twin", "--json").document["server"] == "pg2"
        second_cluster.stop()
        refusal = console.create("xena").stderr
        assert "Error: No server answers. The server pg1 cannot be reached" in refusal
        assert "The server pg2 cannot be reached" in refusal
    finally:
        cluster.start()
        if not second_cluster.is_running:
            second_cluster.start()
    assert {tenant["slug"] for tenant in console.done("tenant", "list", "--json").document} == {
        *("acme", "globex", "twin", "yves", "zoe")
    }


def test_what_cannot_be_made_on_a_server_that_is_down_leaves_nothing(
    console: Console, cluster: Cluster, registered: Answer
) -> None:
    before = console.contents()
    cluster.stop()
    try:
        assert "cannot be reached" in console.create("zoe", "--server", "pg1").refusal
        assert "cannot be reached" in console.run("tenant", "clone", "acme", "twin", "--server", "pg1").refusal
        assert "cannot be reached" in console.run("tenant", "move", "acme", "--to", "pg1").refusal
    finally:
        cluster.start()
    assert console.contents() == before


def test_a_move_from_a_server_that_is_down_leaves_nothing_unfinished(
    console: Console, cluster: Cluster, second_cluster: Cluster
) -> None:
    add(console, cluster)
    add(console, second_cluster, name="pg2")
    console.create("zoe", "--server", "pg1")
    cluster.stop()
    try:
        assert "cannot be reached" in console.run("tenant", "move", "zoe", "--to", "pg2").refusal
    finally:
        cluster.start()
    assert "zoe: its move" not in console.run("doctor").stdout
    console.done("server", "remove", "pg2")
    assert console.done("tenant", "show", "zoe", "--json").document["users"]
