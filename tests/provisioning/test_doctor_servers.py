"""extranet doctor on PostgreSQL servers: each wall between tenants is looked at, and tried where it cannot be seen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from uuid import uuid4

import pytest

from tenants.settings import read_settings
from tenants.stores import examining
from tenants.stores.credentials import credential_file, write_credential
from tenants.stores.examining import Rule, first_hole, is_local
from tests.console import Console
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

GENERAL = "host all all 127.0.0.1/32 scram-sha-256"
RULES = (
    "host all provisioner 127.0.0.1/32 scram-sha-256",
    "host sameuser +extranet_tenants 127.0.0.1/32 scram-sha-256",
    "host all +extranet_tenants all reject",
)


@pytest.fixture
def cluster(second_cluster: Cluster) -> Cluster:
    """A server on which nothing is kept for other tests: what nobody owns is what is looked for."""
    return second_cluster


@pytest.fixture
def served(console: Console, cluster: Cluster) -> Iterator[Console]:
    """A home with two tenants on a server that is as it should be, beside two in the home folder."""
    with cleaned(cluster):
        told = console.done("server", "add", "pg1", "--json", stdin=f"{cluster.provisioner()}\n").document
        for statement in told["statements"]:
            cluster.execute(statement)
        for slug in ("zoe", "yves"):
            assert console.create(slug, "--server", "pg1").exit_code == 0
        yield console
        cluster.write_hba()


def all_findings(console: Console, *options: str) -> dict[str, tuple[bool, str]]:
    answer = console.run("doctor", *options, "--json")
    assert answer.stderr == ""
    return {finding["about"]: (finding["ok"], finding["says"]) for finding in answer.document}


def bad(console: Console, *options: str) -> dict[str, str]:
    """What needs attention, but for backups, of which there are none."""
    found = all_findings(console, *options)
    return {about: says for about, (ok, says) in found.items() if not ok and "backup" not in about}


@contextmanager
def registry_of(console: Console) -> Iterator[sqlite3.Connection]:
    """The registry, past everything that guards it."""
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as connection, connection:
        yield connection


def name_of(console: Console, slug: str) -> str:
    uuid = str(console.done("tenant", "show", slug, "--json").document["uuid"])
    return f"t_{uuid.replace('-', '')}"


@contextmanager
def rules(cluster: Cluster, *lines: str) -> Iterator[None]:
    cluster.write_hba(lines)
    yield
    cluster.write_hba()


def use_superuser(console: Console, cluster: Cluster) -> None:
    """Let the operator's credential be one that may read pg_hba.conf."""
    write_credential(read_settings(console.environment), "pg1", cluster.url())


def test_a_server_as_it_should_be_is_all_well(served: Console, cluster: Cluster) -> None:
    with rules(cluster, *RULES, GENERAL):
        found = all_findings(served, "--logs")
    assert {about: says for about, (ok, says) in found.items() if not ok and "backup" not in about} == {}
    ((version,),) = cluster.execute("SHOW server_version")
    assert found["server pg1"][1].startswith(f"PostgreSQL {version.split()[0]}, 2 tenants")
    assert found["server pg1 access"][1].startswith("tried: neither rights nor pg_hba.conf")
    assert found["zoe"][1] == "active, key and database open"
    assert found["zoe log"][1] == "every entry holds"


def test_a_home_without_servers_is_asked_nothing_about_them(console: Console) -> None:
    assert not [about for about in all_findings(console) if about.startswith("server")]


def test_a_server_that_is_down_is_named_and_its_tenants_and_no_others(served: Console, cluster: Cluster) -> None:
    cluster.stop()
    try:
        found = bad(served)
    finally:
        cluster.start()
    assert sorted(found) == ["server pg1", "yves", "zoe"]
    assert "cannot be reached" in found["server pg1"]


def test_a_credential_that_is_missing_or_open_to_others_is_named(served: Console) -> None:
    file = credential_file(read_settings(served.environment), "pg1")
    file.chmod(0o644)
    assert "open to others" in bad(served)["server pg1"]
    file.unlink()
    assert bad(served)["server pg1"].endswith("extranet server add pg1")


@pytest.mark.parametrize("database", ["postgres", "template1", "zoe"])
def test_a_database_that_every_role_may_connect_to_is_named(served: Console, cluster: Cluster, database: str) -> None:
    name = name_of(served, database) if database == "zoe" else database
    cluster.execute(f"GRANT CONNECT ON DATABASE {name} TO PUBLIC")
    found = bad(served)
    # As server add tells it: the operator's own right first, who might have no other.
    assert found["server pg1 rights"] == (
        f'Every role may connect to {name}. Let it run: GRANT CONNECT ON DATABASE "{name}" TO "provisioner"; '
        f'REVOKE CONNECT, TEMPORARY ON DATABASE "{name}" FROM PUBLIC;'
    )
    cluster.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    assert bad(served) == {}


def test_other_peoples_databases_are_their_own_affair(served: Console, cluster: Cluster) -> None:
    cluster.execute("CREATE DATABASE shop")
    assert bad(served) == {}


def test_a_right_given_by_mistake_is_found_by_trying(served: Console, cluster: Cluster) -> None:
    # The first by slug tries the doors of the second.
    name = name_of(served, "yves")
    cluster.execute(f"GRANT CONNECT ON DATABASE postgres TO {name}")
    try:
        assert bad(served) == {"server pg1 access": "the login of yves is let into postgres as well."}
        with rules(cluster, *RULES, GENERAL):
            assert bad(served) == {}
    finally:
        cluster.execute(f"REVOKE CONNECT ON DATABASE postgres FROM {name}")


def test_without_rules_rights_alone_keep_tenants_apart_and_that_is_said(served: Console) -> None:
    ok, says = all_findings(served)["server pg1 access"]
    assert ok
    assert says.startswith("tried: rights alone keep")


def test_a_login_that_is_not_let_in_at_all_proves_nothing(served: Console, cluster: Cluster) -> None:
    cluster.execute(f"ALTER ROLE {name_of(served, 'yves')} NOLOGIN")
    found = all_findings(served)
    assert found["server pg1 access"] == (True, "not tried: the login of yves is not let in, see yves")
    assert not found["yves"][0]


def test_a_login_whose_password_is_lost_is_named(served: Console, cluster: Cluster) -> None:
    with registry_of(served) as registry:
        registry.execute("DELETE FROM database_login")
    assert "has no login" in bad(served)["server pg1 access"]


def test_with_a_superusers_credential_the_rules_are_read(served: Console, cluster: Cluster) -> None:
    use_superuser(served, cluster)
    with rules(cluster, *RULES, GENERAL):
        ok, says = all_findings(served)["server pg1 access"]
    assert (ok, says) == (True, "pg_hba.conf lets each tenant's login into its own database alone")
    assert "line 4 of pg_hba.conf lets tenants' logins knock at all" in bad(served)["server pg1 access"]


def test_a_line_that_cannot_be_read_is_named(served: Console, cluster: Cluster) -> None:
    use_superuser(served, cluster)
    with rules(cluster, *RULES, GENERAL, "host all all 10.0.0.0/8 nonsense"):
        assert "line 7 of pg_hba.conf cannot be read" in bad(served)["server pg1 access"]


def test_a_server_without_tenants_cannot_be_tried(console: Console, cluster: Cluster) -> None:
    with cleaned(cluster):
        console.done("server", "add", "pg1", stdin=f"{cluster.provisioner()}\n")
        assert all_findings(console)["server pg1 access"][1].startswith("not tried: there is no tenant")


def test_what_the_registry_does_not_know_is_named_and_what_it_misses(served: Console, cluster: Cluster) -> None:
    stray, stray_role, scratch = f"t_{uuid4().hex}", f"t_{uuid4().hex}_own", f"scratch_{uuid4().hex}"
    for name in (stray, scratch):
        cluster.execute(f"CREATE DATABASE {name}")
        cluster.execute(f"REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    cluster.execute(f"CREATE ROLE {stray_role}")
    gone = name_of(served, "zoe")
    cluster.execute(f"DROP DATABASE {gone}")
    found = bad(served)
    assert {about for about in found if about.startswith("server")} == {
        f"server pg1 database {stray}",
        f"server pg1 database {scratch}",
        f"server pg1 role {stray_role}",
        "server pg1 zoe",
    }
    assert "belongs to no tenant in the registry" in found[f"server pg1 database {stray}"]
    assert found["server pg1 zoe"] == f"its database {gone} is not there."


def test_what_a_tenant_left_where_it_is_no_more_is_named(served: Console, cluster: Cluster) -> None:
    uuid = served.done("tenant", "show", "acme", "--json").document["uuid"]
    name = f"t_{str(uuid).replace('-', '')}"
    cluster.execute(f"CREATE ROLE {name}")
    assert bad(served) == {
        f"server pg1 role {name}": "is of acme, which is on embedded in the registry and served from there. Either "
        "this was left behind, by a move or a server that was lost. Keep it until you know which, and that nobody "
        "misses anything of it."
    }


def test_of_what_the_registry_knows_elsewhere_nobody_is_ever_told_to_drop_it(served: Console, cluster: Cluster) -> None:
    port = cluster.port
    with registry_of(served) as registry:
        # As before one was refused: another name of the same server.
        registry.execute(
            "INSERT INTO server SELECT 'pg0', address, pooled, connections, added_at, identity FROM server"
        )
    write_credential(read_settings(served.environment), "pg0", cluster.provisioner())
    databases = [f"server pg0 database {name_of(served, slug)}" for slug in ("zoe", "yves")]
    found = bad(served)
    assert set(databases) <= set(found)
    for says in found.values():
        assert "pg0 and pg1 are two names of one server" in says
        assert says.endswith("forget that name: extranet server remove pg0")
    cluster.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        found = bad(served)
        with registry_of(served) as registry:
            registry.execute("UPDATE server SET identity = '' WHERE name = 'pg1'")
            registry.execute(f"UPDATE server SET address = 'host=127.0.0.1 port={port}'")
        unknown = bad(served)
    finally:
        cluster.execute("GRANT EXECUTE ON FUNCTION pg_control_system() TO PUBLIC")
    for says in (*found.values(), *unknown.values()):
        assert "or pg0 and pg1 are one server" in says
        assert "drop" not in says
    served.done("server", "remove", "pg0")
    assert bad(served) == {}


def test_settings_that_make_a_server_unsafe_are_named(
    served: Console, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.execute("ALTER ROLE provisioner SET password_encryption = md5")
    try:
        assert bad(served) == {"server pg1 settings": "password_encryption is md5: set it to scram-sha-256."}
    finally:
        cluster.execute("ALTER ROLE provisioner RESET password_encryption")
    monkeypatch.setattr(examining, "is_local", lambda _host, _address: False)
    assert "unencrypted" in bad(served)["server pg1 settings"]


def test_more_connections_than_there_are_is_named(served: Console, cluster: Cluster) -> None:
    with registry_of(served) as registry:
        registry.execute("UPDATE server SET connections = 500")
    assert "It has 192 connections to give and 500 are registered" in bad(served)["server pg1 settings"]
    with registry_of(served) as registry:
        registry.execute("UPDATE server SET pooled = 1")
    assert bad(served) == {}


@pytest.mark.parametrize(
    ("host", "address", "local"),
    [
        ("/run/postgresql", "", True),
        ("@abstract", "", True),
        ("localhost", "", True),
        ("127.0.0.1", "127.0.0.1", True),
        ("::1", "", True),
        ("db.example.com", "127.0.0.1", True),
        ("db.example.com", "", False),
        ("db.example.com", "10.0.0.1", False),
        ("10.0.0.1", "", False),
    ],
)
def test_what_never_leaves_the_machine_is_told_apart(host: str, address: str, local: bool) -> None:
    assert is_local(host, address) is local


TENANTS = ["+extranet_tenants"]


@pytest.mark.parametrize(
    ("rule", "hole"),
    [
        (Rule(1, "host", ["all"], ["provisioner"], "all", "trust", None), ""),
        (Rule(1, "host", ["sameuser"], TENANTS, "255.255.255.0", "scram-sha-256", None), ""),
        (Rule(1, "host", ["replication"], ["all"], "all", "trust", None), ""),
        (Rule(1, "host", ["shop"], ["all"], "all", "md5", None), "line 1 of pg_hba.conf lets"),
        (Rule(1, "host", ["all"], ["t_x"], "all", "md5", None), "line 1 of pg_hba.conf lets"),
        (Rule(1, "hostssl", ["all"], TENANTS, "all", "reject", None), "line 2"),
        (Rule(1, "host", ["all"], TENANTS, "255.0.0.0", "reject", None), "line 2"),
        (Rule(1, "host", ["postgres"], TENANTS, "all", "reject", None), "line 2"),
        (Rule(1, "host", ["all"], TENANTS, "all", "reject", None), "closed"),
        (Rule(1, "host", ["all"], ["all"], "0.0.0.0", "reject", None), "closed"),
        (Rule(1, "local", ["all"], TENANTS, None, "reject", None), "closed"),
        (Rule(1, None, None, None, None, None, "nonsense"), "line 1 of pg_hba.conf cannot be read: nonsense"),
    ],
)
def test_the_first_line_that_lets_a_tenant_into_anothers_database_is_found(rule: Rule, hole: str) -> None:
    general = Rule(2, "host", ["all"], ["all"], "all", "scram-sha-256", None)
    alone, followed = first_hole([rule]), first_hole([rule, general])
    match hole:
        case "closed":
            assert (alone, followed) == ("", "")
        case "" | "line 2":
            assert alone == ""
            assert followed.startswith("line 2 of pg_hba.conf lets tenants' logins knock at all")
        case _:
            assert alone.startswith(hole)
            assert followed == alone


def test_logins_whose_errors_quote_rows_in_the_servers_log_are_named_and_registering_again_mends_it(
    served: Console, cluster: Cluster
) -> None:
    cluster.execute(f"ALTER ROLE {name_of(served, 'zoe')} RESET log_error_verbosity")
    assert "Errors of 1 tenants' logins stand in the server's log" in bad(served)["server pg1 settings"]
    cluster.set("log_error_verbosity", "terse")
    try:
        assert bad(served) == {}
    finally:
        cluster.set("log_error_verbosity", None)
    served.done("server", "add", "pg1", stdin=f"{cluster.provisioner()}\n")
    assert bad(served) == {}
