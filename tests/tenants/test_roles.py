"""What a tenant's own role can do on a PostgreSQL server, tried with its own password and psql's means."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from psycopg import sql

from tenants.servers import database_name
from tenants.settings import read_settings
from tenants.stores import roles
from tenants.stores.administration import Administration, prepare_server
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import Tenant
from tests.services.postgresql import Cluster
from tests.tenants.servers import create, login

LINES = (
    "host all provisioner 127.0.0.1/32 scram-sha-256",
    "host sameuser +extranet_tenants 127.0.0.1/32 scram-sha-256",
    "host all +extranet_tenants all reject",
    "host all all 127.0.0.1/32 scram-sha-256",
)
"""What the server's administrator is told to put into pg_hba.conf."""


@pytest.fixture
def registry_database(pg_tenancy: Tenancy, cluster: Cluster, tmp_path: Any) -> str:
    """Another platform's registry, on the very server that holds the tenants."""
    cluster.execute("CREATE ROLE registrar LOGIN PASSWORD 'x'")
    cluster.execute("CREATE DATABASE registry OWNER registrar")
    url = cluster.url("registry", "registrar", "x")
    initialise(read_settings({"EXTRANET_HOME": str(tmp_path / "other"), "EXTRANET_REGISTRY_URL": url}))
    return "registry"


@pytest.fixture
def own(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant) -> Iterator[psycopg.Connection[Any]]:
    """Acme's role in acme's database."""
    with login(pg_tenancy, cluster, pg_acme) as connection:
        yield connection


@pytest.fixture
def walls(cluster: Cluster) -> Iterator[None]:
    """The lines in pg_hba.conf."""
    cluster.write_hba(LINES)
    yield
    cluster.write_hba()


def test_a_customers_name_is_nowhere_on_the_server(pg_tenancy: Tenancy, cluster: Cluster) -> None:
    # Other tests keep registries here, whose refusals quote a slug.
    written = len(cluster.log())
    create(pg_tenancy, "acmesarl")
    shown = str(
        [
            cluster.execute("SELECT datname, shobj_description(oid, 'pg_database'), datacl::text FROM pg_database"),
            cluster.execute("SELECT rolname, rolconfig, shobj_description(oid, 'pg_authid') FROM pg_roles"),
            cluster.execute("SELECT * FROM pg_shdescription"),
            cluster.execute("SELECT datname, usename, application_name FROM pg_stat_activity"),
        ]
    )
    assert "t_" in shown
    assert "acme" not in shown.lower()
    assert "acme" not in cluster.log()[written:].lower()


def test_a_role_is_refused_by_every_database_but_its_own(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant, registry_database: str
) -> None:
    ((template,),) = cluster.execute("SELECT datname FROM pg_database WHERE datname ~ '^tpl_'")
    for database in (database_name(pg_globex.uuid), "postgres", "template1", "template0", registry_database, template):
        with pytest.raises(psycopg.OperationalError, match=r"permission denied|not currently accepting connections"):
            login(pg_tenancy, cluster, pg_acme, database)
    login(pg_tenancy, cluster, pg_acme).close()


def test_even_with_a_right_given_by_mistake_the_lines_in_pg_hba_refuse(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant, registry_database: str, walls: None
) -> None:
    ours, theirs = database_name(pg_acme.uuid), database_name(pg_globex.uuid)
    for database in (theirs, "postgres", "template1", registry_database):
        cluster.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(*map(sql.Identifier, (database, ours))))
    try:
        for database in (theirs, "postgres", "template1", registry_database):
            with pytest.raises(psycopg.OperationalError, match=r"pg_hba\.conf rejects connection"):
                login(pg_tenancy, cluster, pg_acme, database)
    finally:
        for database in ("postgres", "template1"):
            cluster.execute(f"REVOKE CONNECT ON DATABASE {database} FROM {ours}")
    login(pg_tenancy, cluster, pg_acme).close()
    # Those who are no tenants come in as before, and new tenants can be made.
    create(pg_tenancy, "initech")


REFUSED = {
    "make a table": "CREATE TABLE x (y int)",
    "make a temporary table": "CREATE TEMP TABLE x (y int)",
    "make a schema": "CREATE SCHEMA x",
    "make a function": "CREATE FUNCTION x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "make a view": "CREATE VIEW x AS SELECT 1",
    "make a trigger": "CREATE TRIGGER x BEFORE INSERT ON company_version EXECUTE FUNCTION security_event_refuse()",
    "make a database": "CREATE DATABASE x",
    "make a role": "CREATE ROLE x",
    "make an extension": "CREATE EXTENSION dblink",
    "reach elsewhere": "SELECT dblink('dbname=postgres', 'SELECT 1')",
    "make a foreign server": "CREATE SERVER x FOREIGN DATA WRAPPER postgres_fdw",
    "make an untrusted language": "CREATE LANGUAGE plperlu",
    "become the owner": "SET ROLE {owner}",
    "become an operator": "SET ROLE provisioner",
    "become a superuser": "SET SESSION AUTHORIZATION postgres",
    "join the owner": "GRANT {owner} TO {login}",
    "be let in elsewhere": "GRANT CONNECT ON DATABASE {other} TO {login}",
    "let everybody in": "ALTER DATABASE {login} ALLOW_CONNECTIONS false",
    "rise": "ALTER ROLE {login} SUPERUSER",
    "have more connections": "ALTER ROLE {login} CONNECTION LIMIT -1",
    "know others' passwords": "SELECT rolpassword FROM pg_authid",
    "drop a table": "DROP TABLE company_version",
    "change a table": "ALTER TABLE company_version ADD COLUMN x int",
    "empty a table": "TRUNCATE company_version",
    "lock everybody out": "BEGIN; LOCK TABLE stamp IN ACCESS EXCLUSIVE MODE",
    "stamp anew": "UPDATE stamp SET tenant_uuid = gen_random_uuid()",
    "stamp once more": "INSERT INTO stamp VALUES (2, gen_random_uuid())",
    "unstamp": "DELETE FROM stamp",
    "say it is newer": "UPDATE alembic_version SET version_num = '9999'",
    "change an event": "UPDATE security_event SET actor = 'nobody'",
    "move an event": "UPDATE security_event SET sequence = 7",
    "sign an event anew": "UPDATE security_event SET mac = ''",
    "delete an event": "DELETE FROM security_event",
    "delete all events": "TRUNCATE security_event",
    "say that events were pruned": "INSERT INTO security_event_base VALUES (1, '', 1, '', '')",
    "forget that events were pruned": "DELETE FROM activity_base",
    "let events be changed": "ALTER TABLE security_event DISABLE TRIGGER ALL",
    "let triggers rest": "SET session_replication_role = replica",
    "run a program": "COPY company_version TO PROGRAM 'id'",
    "read a program": "COPY company_version FROM PROGRAM 'id'",
    "write a file": "COPY company_version TO '/tmp/x'",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "read a file's bytes": "SELECT pg_read_binary_file('postgresql.conf')",
    "list files": "SELECT pg_ls_dir('.')",
    "take a file in": "SELECT lo_import('/etc/passwd')",
    "put a file out": "SELECT lo_export(1, '/tmp/x')",
    "read the rules": "SELECT * FROM pg_hba_file_rules",
    "read the settings' files": "SELECT * FROM pg_file_settings",
    "end others": "SELECT pg_terminate_backend({pid})",
    "cancel others": "SELECT pg_cancel_backend({pid})",
    "change a setting for all": "ALTER SYSTEM SET work_mem = '1GB'",
    "read the settings anew": "SELECT pg_reload_conf()",
    "raise its own limit of temporary files": "SET temp_file_limit = -1",
    "let libraries in": "LOAD 'dblink'",
    "replicate": "SELECT pg_create_physical_replication_slot('x')",
    "subscribe": "CREATE SUBSCRIPTION x CONNECTION '' PUBLICATION x",
    "publish": "CREATE PUBLICATION x FOR ALL TABLES",
}


@pytest.fixture
def names(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, pg_globex: Tenant) -> Iterator[dict[str, str]]:
    with login(pg_tenancy, cluster, pg_globex) as theirs:
        yield {
            "login": database_name(pg_acme.uuid),
            "owner": roles.owner_name(pg_acme.uuid),
            "other": database_name(pg_globex.uuid),
            "pid": str(theirs.info.backend_pid),
        }


REFUSALS = {
    "42501": "not allowed",
    "0A000": "not supported, as it is from foreign libraries",
    "42704": "no such thing, and nobody but an administrator can make it",
    "42883": "no such function, since the extension was never made",
    "55000": "switched off",
}


def answer_to(connection: psycopg.Connection[Any], statement: str) -> str:
    """Return what the server says: a code of five letters, or nothing when it has done it."""
    try:
        connection.execute(statement.encode())
    except psycopg.Error as error:
        return error.sqlstate or str(error)
    finally:
        connection.execute("ROLLBACK")
    return ""


def test_a_role_reads_and_writes_rows_and_nothing_else(own: psycopg.Connection[Any], names: dict[str, str]) -> None:
    own.autocommit = True
    answers = {what: answer_to(own, statement.format(**names)) for what, statement in REFUSED.items()}
    assert {what: answer for what, answer in answers.items() if answer not in REFUSALS} == {}
    own.execute("INSERT INTO company_version VALUES ('2', 'x', now(), 'x')")
    own.execute("UPDATE company_version SET changes = 'y' WHERE id = '2'")
    own.execute("DELETE FROM company_version WHERE id = '2'")
    own.execute("SELECT * FROM stamp, alembic_version")


def test_the_sealed_part_of_an_event_can_be_erased_and_nothing_put_in_its_place(own: psycopg.Connection[Any]) -> None:
    own.execute(
        "INSERT INTO security_event (sequence, at, event, outcome, actor, subject, body, private, mac)"
        " VALUES (1, 'x', 'x', 'ok', '', '', '', 'sealed', '')"
    )
    own.commit()
    for statement in (
        "UPDATE security_event SET private = 'other'",
        "UPDATE security_event SET private = NULL, actor = 'nobody'",
    ):
        with pytest.raises(psycopg.Error), own.transaction():
            own.execute(statement.encode())
    own.execute("UPDATE security_event SET private = NULL")
    assert own.execute("SELECT private FROM security_event").fetchall() == [(None,)]


def test_even_the_owner_changes_no_event(
    pg_tenancy: Tenancy, cluster: Cluster, own: psycopg.Connection[Any], pg_acme: Tenant
) -> None:
    own.execute(
        "INSERT INTO security_event (sequence, at, event, outcome, actor, subject, body, private, mac)"
        " VALUES (1, 'x', 'x', 'ok', '', '', '', NULL, '')"
    )
    own.commit()
    administration = Administration("pg1", cluster.provisioner())
    with administration.database(database_name(pg_acme.uuid)) as owner:
        for statement in (
            "UPDATE security_event SET actor = 'nobody'",
            "DELETE FROM security_event",
            "TRUNCATE security_event",
        ):
            roles.act_as_owner(owner, pg_acme.uuid)
            with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="never changed"):
                owner.execute(statement.encode())
            owner.rollback()


def test_nobody_sees_what_another_tenant_asks(
    pg_tenancy: Tenancy, cluster: Cluster, own: psycopg.Connection[Any], pg_globex: Tenant
) -> None:
    with login(pg_tenancy, cluster, pg_globex) as theirs:
        theirs.execute("SELECT 'what globex asks'")
        seen = own.execute("SELECT query, client_addr, state FROM pg_stat_activity WHERE usename <> current_user")
        shown = seen.fetchall()
        assert len(shown) > 0
        assert {query for query, *_ in shown} == {"<insufficient privilege>"}
        assert {(address, state) for _, address, state in shown} == {(None, None)}
    member = "SELECT pg_has_role(current_user, %s, 'member')"
    for group in ("pg_read_all_stats", "pg_monitor", "pg_read_all_data", "pg_signal_backend", "provisioner"):
        assert own.execute(member, [group]).fetchone() == (False,)


def test_a_role_is_held_to_its_limits(own: psycopg.Connection[Any], cluster: Cluster, pg_acme: Tenant) -> None:
    for setting, value in (
        ("statement_timeout", "15s"),
        ("lock_timeout", "5s"),
        ("idle_in_transaction_session_timeout", "30s"),
    ):
        assert own.execute(sql.SQL("SHOW {}").format(sql.Identifier(setting))).fetchone() == (value,)
    rows = cluster.execute(
        "SELECT rolconnlimit, rolsuper, rolcreatedb, rolcreaterole, rolreplication, rolbypassrls, rolcanlogin"
        " FROM pg_roles WHERE rolname IN (%s, %s) ORDER BY rolname",
        [database_name(pg_acme.uuid), roles.owner_name(pg_acme.uuid)],
    )
    assert rows == [
        (128, False, False, False, False, False, True),
        (-1, False, False, False, False, False, False),
    ]


def settings_of(cluster: Cluster, tenant: Tenant) -> set[str]:
    asked = "SELECT unnest(rolconfig) FROM pg_roles WHERE rolname = %s"
    return {setting for (setting,) in cluster.execute(asked, [database_name(tenant.uuid)])}


GUARDS = {"temp_file_limit=1GB", "log_error_verbosity=terse"}


def test_who_was_given_the_right_limits_temporary_files_and_what_errors_say(
    pg_tenancy: Tenancy, cluster: Cluster
) -> None:
    assert settings_of(cluster, create(pg_tenancy, "acme")) >= GUARDS
    told = 'GRANT SET ON PARAMETER temp_file_limit, log_error_verbosity TO "provisioner";'
    cluster.execute("REVOKE SET ON PARAMETER temp_file_limit, log_error_verbosity FROM provisioner")
    try:
        globex = create(pg_tenancy, "globex")
        assert not settings_of(cluster, globex) & GUARDS
        administration = Administration("pg1", cluster.provisioner())
        assert prepare_server(administration) == [told]
        assert not settings_of(cluster, globex) & GUARDS
    finally:
        cluster.execute(told)
    # Those that were made before are caught up with.
    cluster.execute(f"ALTER ROLE {database_name(globex.uuid)} CONNECTION LIMIT 32")
    assert prepare_server(administration) == []
    assert settings_of(cluster, globex) >= GUARDS
    asked = "SELECT rolconnlimit FROM pg_roles WHERE rolname = %s"
    assert cluster.execute(asked, [database_name(globex.uuid)]) == [(128,)]
    administration.close()


def test_an_error_leaves_no_row_in_the_servers_log(own: psycopg.Connection[Any], cluster: Cluster) -> None:
    own.execute("INSERT INTO company_version VALUES ('ravenscroft', 'x', now(), 'x')")
    own.commit()
    for statement in (
        "INSERT INTO company_version VALUES (%s, 'x', now(), 'x')",
        "INSERT INTO company_version (id, changed_by) VALUES ('2', %s)",
    ):
        with pytest.raises(psycopg.IntegrityError, match="ravenscroft"):
            own.execute(statement.encode(), ["ravenscroft"])
        own.rollback()
    assert "violates" in cluster.log()
    assert "ravenscroft" not in cluster.log()


def test_a_password_goes_to_the_server_as_a_verifier(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant) -> None:
    cluster.set("log_statement", "all")
    administration = Administration("pg1", cluster.provisioner())
    try:
        with administration.server() as admin:
            roles.set_password(admin, pg_acme.uuid, "hunter2hunter2")
    finally:
        cluster.set("log_statement", None)
        administration.close()
    name = database_name(pg_acme.uuid)
    assert f'ALTER ROLE "{name}" PASSWORD' in cluster.log()
    assert "hunter2" not in cluster.log()
    assert cluster.verifier(name).startswith("SCRAM-SHA-256$")
    psycopg.connect(cluster.url(name, name, "hunter2hunter2")).close()
    with pytest.raises(psycopg.OperationalError):
        login(pg_tenancy, cluster, pg_acme)
