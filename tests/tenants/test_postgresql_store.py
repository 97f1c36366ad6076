"""What only a PostgreSQL server has: templates, credentials, an operator's connections, programs that dump."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo
from sqlalchemy import select

from tenants import databases, lifecycle, schema
from tenants.errors import Busy, ServerUnusable, SlugTaken, TenantUnavailable, UnknownHost
from tenants.keys import PLATFORM
from tenants.lifecycle import creating
from tenants.locks import Locks
from tenants.registry import Registry
from tenants.registry_tables import database_login_table, wrapped_key_table
from tenants.servers import Servers, database_name
from tenants.settings import Settings
from tenants.stores import access, dumps, roles, store_of, template
from tenants.stores import administration as administration_module
from tenants.stores import postgresql as postgresql_store
from tenants.stores.administration import (
    Administration,
    access_rules,
    drop_database,
    make_database,
    open_to_public,
    prepare_server,
)
from tenants.stores.credentials import credential_file, read_credential, remove_credential, write_credential
from tenants.stores.postgresql import PostgresqlStore
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned, create, login
from tests.tenants.world import HISTORY, Note, in_children, journal_of, kill_this_process, killed_in_child, prepare


@pytest.fixture
def administration(pg_tenancy: Tenancy, cluster: Cluster) -> Iterator[Administration]:
    made = Administration("pg1", cluster.provisioner())
    yield made
    made.close()


def names_on(cluster: Cluster) -> set[str]:
    """Return every database and role of a tenant's, but for those that are kept for other tests."""
    rows = cluster.execute(
        "SELECT datname FROM pg_database WHERE datname ~ '^(t_|scratch_)'"
        " UNION ALL SELECT rolname FROM pg_roles WHERE rolname ~ '^t_' AND NOT EXISTS"
        " (SELECT FROM pg_database WHERE datname = 'pristine_' || left(rolname, 34))"
    )
    return {name for (name,) in rows}


def assert_nothing_is_left_over(tenancy: Tenancy, cluster: Cluster) -> None:
    known = {tenant.uuid for tenant in tenancy.registry.all()}
    assert {UUID(name) for name in os.listdir(tenancy.settings.home / "tenants")} == known
    with tenancy.registry.engine.connect() as connection:
        keys = set(connection.execute(select(wrapped_key_table.c.tenant_uuid)).scalars())
        logins = set(connection.execute(select(database_login_table.c.tenant_uuid)).scalars())
    assert keys == known | {PLATFORM}
    assert logins == known
    assert names_on(cluster) == {name for uuid in known for name in (database_name(uuid), roles.owner_name(uuid))}


def assert_served(tenancy: Tenancy, slug: str) -> None:
    tenant = tenancy.resolver.resolve(f"{slug}.localhost")
    with tenancy.open_db(tenant) as db:
        assert db.scalars(select(Note.changes)).one() == f"hello {slug}"
        assert journal_of(tenancy.keys_of(tenant)).verify(db) == 0


STEPS: list[tuple[Any, str]] = [
    (Locks, "hold"),
    (creating, "_undo_unfinished"),
    (creating, "_register"),
    (Registry, "add"),
    (creating, "_make_folder"),
    (PostgresqlStore, "create"),
    (PostgresqlStore, "remains"),
    (postgresql_store, "template_database"),
    (template, "_build"),
    (template, "make_database"),
    (schema, "upgrade"),
    (template, "_drop_others"),
    (Servers, "new_login"),
    (roles, "make_roles"),
    (postgresql_store, "make_database"),
    (PostgresqlStore, "filling"),
    (roles, "own_everything"),
    (postgresql_store, "write_stamp"),
    (roles, "grant_rows"),
    (PostgresqlStore, "_finish"),
    (access, "let_in"),
    (databases.TenantSession, "commit"),
    (Registry, "move_to"),
]


def _killed_before(_step: Callable[..., Any]) -> Callable[..., Any]:
    return kill_this_process


def _killed_after(step: Callable[..., Any]) -> Callable[..., Any]:
    def then_die(*arguments: Any, **options: Any) -> None:
        step(*arguments, **options)
        kill_this_process()

    return then_die


@pytest.mark.parametrize("wrap", [_killed_before, _killed_after])
@pytest.mark.parametrize(("owner", "name"), STEPS, ids=[f"{owner.__name__}.{name}" for owner, name in STEPS])
def test_a_kill_at_any_step_leaves_nothing_that_is_served_and_the_next_try_succeeds(
    pg_tenancy: Tenancy, cluster: Cluster, owner: Any, name: str, wrap: Callable[[Callable[..., Any]], Any]
) -> None:
    settings = pg_tenancy.settings
    if owner in {template, schema}:
        forget_templates(cluster)

    def make() -> None:
        setattr(owner, name, wrap(getattr(owner, name)))
        with Tenancy.open(settings, HISTORY) as tenancy:
            create(tenancy, "initech")

    assert killed_in_child(make)
    with Tenancy.open(settings, HISTORY) as tenancy:
        if (name, wrap) == ("move_to", _killed_after):
            assert_served(tenancy, "initech")
        else:
            with pytest.raises(UnknownHost):
                tenancy.resolver.resolve("initech.localhost")
            create(tenancy, "initech")
    with Tenancy.open(settings, HISTORY) as tenancy:
        assert_served(tenancy, "initech")
        assert_nothing_is_left_over(tenancy, cluster)


def forget_templates(cluster: Cluster) -> None:
    for (name,) in cluster.execute("SELECT datname FROM pg_database WHERE datname ~ '^tpl_'"):
        cluster.execute(f"DROP DATABASE {name}")


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_failed_preparation_undoes_everything(
    pg_tenancy: Tenancy, cluster: Cluster, error: type[BaseException]
) -> None:
    def fail(_db: object) -> None:
        raise error

    with pytest.raises(error):
        lifecycle.create_tenant(pg_tenancy, "initech", "Initech", fail, "pg1")
    assert_nothing_is_left_over(pg_tenancy, cluster)


def test_a_server_that_dies_while_a_tenant_is_made_leaves_nothing_that_is_served(
    pg_tenancy: Tenancy, cluster: Cluster
) -> None:
    def crash(db: databases.TenantSession) -> str:
        cluster.kill()
        return prepare(db)

    try:
        with pytest.raises((ServerUnusable, TenantUnavailable)):
            lifecycle.create_tenant(pg_tenancy, "initech", "Initech", crash, "pg1")
    finally:
        cluster.start()
    with pytest.raises(UnknownHost):
        pg_tenancy.resolver.resolve("initech.localhost")
    create(pg_tenancy, "initech")
    assert_nothing_is_left_over(pg_tenancy, cluster)


def test_a_server_that_refuses_says_why_in_one_sentence(
    pg_tenancy: Tenancy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(pg_tenancy, "initech")
    cluster.execute("ALTER ROLE provisioner NOCREATEDB")
    try:
        with pytest.raises(ServerUnusable, match=r"^The server pg1 refused: permission denied"):
            create(pg_tenancy, "hooli")
    finally:
        cluster.execute("ALTER ROLE provisioner CREATEDB")
    assert_nothing_is_left_over(pg_tenancy, cluster)


def test_of_many_that_create_the_same_slug_one_wins(pg_tenancy: Tenancy, cluster: Cluster) -> None:
    settings = pg_tenancy.settings

    def make() -> str:
        with Tenancy.open(settings, HISTORY) as tenancy:
            try:
                create(tenancy, "initech")
            except (Busy, SlugTaken) as error:
                return type(error).__name__
        return "won"

    assert in_children([make] * 5).count("won") == 1
    assert_served(pg_tenancy, "initech")
    assert_nothing_is_left_over(pg_tenancy, cluster)


def test_many_that_create_the_first_tenants_of_a_server_share_one_template(
    pg_tenancy: Tenancy, cluster: Cluster
) -> None:
    forget_templates(cluster)
    settings = pg_tenancy.settings

    def make(number: int) -> None:
        with Tenancy.open(settings, HISTORY) as tenancy:
            create(tenancy, f"tenant{number}")

    in_children([partial(make, number) for number in range(5)])
    for number in range(5):
        assert_served(pg_tenancy, f"tenant{number}")
    assert_nothing_is_left_over(pg_tenancy, cluster)
    assert templates(cluster) == {f"tpl_{schema.digest(HISTORY)}"}


def templates(cluster: Cluster) -> set[str]:
    return {name for (name,) in cluster.execute("SELECT datname FROM pg_database WHERE datname ~ '^tpl_'")}


def test_a_template_that_another_command_made_meanwhile_is_not_made_again(
    pg_tenancy: Tenancy, administration: Administration, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([False, True])
    monkeypatch.setattr(template, "_is_ready", lambda _admin, _name: next(answers))
    assert template.template_database(administration, HISTORY) == f"tpl_{schema.digest(HISTORY)}"


def test_templates_of_older_histories_go_when_a_newer_one_is_made(pg_tenancy: Tenancy, cluster: Cluster) -> None:
    forget_templates(cluster)
    older, in_use, foreign = (f"tpl_{digit * 16}" for digit in "abc")
    cluster.execute(f"CREATE DATABASE {older} OWNER provisioner")
    cluster.execute(f"CREATE DATABASE {in_use} OWNER provisioner")
    cluster.execute(f"CREATE DATABASE {foreign}")
    cluster.execute("CREATE DATABASE tpl_somebodys OWNER provisioner")
    with psycopg.connect(cluster.url(in_use)):
        create(pg_tenancy, "initech")
    newest = f"tpl_{schema.digest(HISTORY)}"
    # One in use by those whom the operator cannot send away, and one that is not the operator's, stay.
    assert templates(cluster) == {newest, in_use, foreign, "tpl_somebodys"}
    create(pg_tenancy, "hooli")
    assert in_use in templates(cluster)
    forget_templates(cluster)


def test_nobody_can_connect_to_a_template(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant) -> None:
    for role in ("postgres", "provisioner"):
        with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
            psycopg.connect(cluster.url(f"tpl_{schema.digest(HISTORY)}", role))


def test_at_no_moment_may_public_connect_to_what_is_being_made(pg_tenancy: Tenancy, cluster: Cluster) -> None:
    forget_templates(cluster)
    seen: set[tuple[str, bool]] = set()
    done = threading.Event()

    def watch() -> None:
        with psycopg.connect(cluster.url(), autocommit=True) as connection:
            while not done.is_set():
                rows = connection.execute(
                    "SELECT datname, datallowconn AND has_database_privilege('public', oid, 'CONNECT')"
                    " FROM pg_database WHERE datname ~ '^(t|tpl|scratch)_'"
                )
                seen.update(rows.fetchall())

    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(watch)
        tenant = create(pg_tenancy, "initech")
        store, dump = store_of(pg_tenancy, "pg1"), io.BytesIO()
        store.dump(tenant, dump)
        with store.scratch(io.BytesIO(dump.getvalue())):
            pass
        store.destroy(tenant.uuid)
        store.load(tenant, io.BytesIO(dump.getvalue()))
        done.set()
        watching.result(10)
    kinds = {name.partition("_")[0] for name, _ in seen}
    assert kinds == {"t", "tpl", "scratch"}
    assert {is_open for _, is_open in seen} == {False}


def test_a_login_that_was_fenced_out_is_gone_even_while_it_connects_again_and_again(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant
) -> None:
    done = threading.Event()
    held: list[psycopg.Connection[Any]] = []

    def come_back() -> None:
        while not done.is_set():
            try:
                held.append(login(pg_tenancy, cluster, pg_acme))
            except psycopg.OperationalError:
                time.sleep(0.001)

    with ThreadPoolExecutor(4) as pool:
        coming = [pool.submit(come_back) for _ in range(4)]
        time.sleep(0.1)
        store_of(pg_tenancy, "pg1").fence(pg_acme)
        asked = "SELECT count(*) FROM pg_stat_activity WHERE usename = %s"
        assert cluster.execute(asked, [database_name(pg_acme.uuid)]) == [(0,)]
        time.sleep(0.1)
        assert cluster.execute(asked, [database_name(pg_acme.uuid)]) == [(0,)]
        done.set()
        for future in coming:
            future.result(10)
    assert held
    for connection in held:
        connection.close()


def test_a_login_that_cannot_be_ended_is_said(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_TERMINATE_SECONDS", 0.05)
    with login(pg_tenancy, cluster, pg_acme) as connection:
        # A server process that stands still does not hear that it is to end.
        cluster.execute("SELECT 1")
        pid = connection.info.backend_pid
        os.kill(pid, 19)
        try:
            with pytest.raises(TenantUnavailable, match="still connected to the database of acme"):
                store_of(pg_tenancy, "pg1").fence(pg_acme)
        finally:
            os.kill(pid, 18)
    store_of(pg_tenancy, "pg1").fence(pg_acme)


def test_what_is_left_is_told_and_destroyed_piece_by_piece(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant
) -> None:
    store = store_of(pg_tenancy, "pg1")
    name, owner = database_name(pg_acme.uuid), roles.owner_name(pg_acme.uuid)
    told = {f"database {name} on pg1", f"role {name} on pg1", f"role {owner} on pg1"}
    assert set(store.remains(pg_acme.uuid)) == told
    cluster.execute(f"DROP DATABASE {name}")
    assert set(store.remains(pg_acme.uuid)) == told - {f"database {name} on pg1"}
    store.destroy(pg_acme.uuid)
    assert store.remains(pg_acme.uuid) == []


def test_a_database_is_dropped_whoever_is_connected(pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant) -> None:
    with login(pg_tenancy, cluster, pg_acme) as connection:
        store_of(pg_tenancy, "pg1").destroy(pg_acme.uuid)
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")


def test_a_version_that_cannot_be_read_counts_as_none(pg_tenancy: Tenancy, cluster: Cluster) -> None:
    store, unnoted, noted = store_of(pg_tenancy, "pg1"), uuid4(), uuid4()
    cluster.execute(f"CREATE DATABASE {database_name(unnoted)}")
    cluster.execute(f"CREATE DATABASE {database_name(noted)}")
    cluster.execute(f"COMMENT ON DATABASE {database_name(noted)} IS 'extranet schema new'")
    cluster.execute("CREATE DATABASE t_somebodys")
    versions = store.versions()
    assert {uuid: versions.get(uuid) for uuid in (unnoted, noted)} == {unnoted: 0, noted: 0}


def test_the_size_of_a_database_that_is_not_there_is_a_refusal(
    pg_tenancy: Tenancy, cluster: Cluster, pg_acme: Tenant
) -> None:
    store = store_of(pg_tenancy, "pg1")
    store.destroy(pg_acme.uuid)
    with pytest.raises(ServerUnusable, match="does not exist"):
        store.size(pg_acme)


# --- the operator's connections ---


def test_one_connection_is_kept_and_replaced_when_the_server_ended_it(
    administration: Administration, cluster: Cluster
) -> None:
    with administration.server() as admin:
        pid = admin.info.backend_pid
    with administration.server() as admin:
        assert admin.info.backend_pid == pid
    cluster.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with administration.server() as admin:
        assert admin.execute("SELECT 1").fetchone() == (1,)
        assert admin.info.backend_pid != pid
    administration.close()
    administration.close()
    with administration.server() as admin:
        assert admin.execute("SELECT 1").fetchone() == (1,)


def test_an_unused_administration_closes_nothing(cluster: Cluster) -> None:
    Administration("pg1", cluster.url()).close()


def test_a_server_that_cannot_be_reached_is_said_without_the_password(cluster: Cluster) -> None:
    for url in (
        cluster.url(password="wrong-secret"),
        "postgresql://postgres:wrong-secret@127.0.0.1:1/postgres",
        make_conninfo(host="nowhere.invalid", user="postgres", password="wrong-secret"),
    ):
        with pytest.raises(ServerUnusable, match=r"^The server pg1 cannot be reached: ") as caught:
            prepare_server(Administration("pg1", url))
        assert "wrong-secret" not in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_role_that_cannot_make_databases_and_roles_is_refused(cluster: Cluster) -> None:
    with cleaned(cluster):
        for options in ("CREATEDB", "CREATEROLE", ""):
            cluster.execute("DROP ROLE IF EXISTS weak")
            cluster.execute(f"CREATE ROLE weak LOGIN PASSWORD 'x' {options}")
            cluster.execute("GRANT CONNECT ON DATABASE template0 TO weak")
            cluster.execute("GRANT CONNECT ON DATABASE postgres TO weak")
            administration = Administration("pg1", cluster.url("postgres", "weak", "x"))
            with pytest.raises(ServerUnusable, match="The role weak cannot make databases and roles"):
                prepare_server(administration)
            administration.close()
            for database in ("template0", "postgres"):
                cluster.execute(f"REVOKE CONNECT ON DATABASE {database} FROM weak")


def test_a_server_too_old_is_refused(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(administration_module, "OLDEST_SERVER", 990000)
    administration = Administration("pg1", cluster.provisioner())
    with pytest.raises(ServerUnusable, match=r"is PostgreSQL [0-9]+; 99 is the oldest"):
        prepare_server(administration)
    administration.close()


def test_what_the_operator_may_not_do_is_told_to_the_servers_administrator(second_cluster: Cluster) -> None:
    administration = Administration("pg1", second_cluster.provisioner())
    second_cluster.execute("REVOKE SET ON PARAMETER temp_file_limit, log_error_verbosity FROM provisioner")
    for name in ("postgres", "template1"):
        second_cluster.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    *told, guards = prepare_server(administration)
    assert guards == 'GRANT SET ON PARAMETER temp_file_limit, log_error_verbosity TO "provisioner";'
    second_cluster.execute(guards)
    assert told == [
        f'GRANT CONNECT ON DATABASE "{name}" TO "provisioner";'
        f' REVOKE CONNECT, TEMPORARY ON DATABASE "{name}" FROM PUBLIC;'
        for name in ("postgres", "template1")
    ]
    with administration.server() as admin:
        assert {"postgres", "template1"} <= set(open_to_public(admin))
        for statement in told:
            second_cluster.execute(statement)
        assert not {"postgres", "template1"} & set(open_to_public(admin))
    assert prepare_server(administration) == []
    administration.close()
    for name in ("postgres", "template1"):
        second_cluster.execute(f"GRANT CONNECT, TEMPORARY ON DATABASE {name} TO PUBLIC")
    # A superuser needs nobody.
    superuser = Administration("pg1", second_cluster.url())
    assert prepare_server(superuser) == []
    superuser.close()


def test_the_lines_for_pg_hba_let_each_role_into_its_own_database_alone() -> None:
    assert access_rules("provisioner", "10.0.0.0/24") == [
        "host all provisioner 10.0.0.0/24 scram-sha-256",
        "host sameuser +extranet_tenants 10.0.0.0/24 scram-sha-256",
        "host all +extranet_tenants all reject",
    ]
    assert access_rules('Jo "x"', "::1/128")[0] == 'host all "Jo ""x""" ::1/128 scram-sha-256'


def test_a_database_is_made_with_or_without_an_owner_and_dropped_twice(
    administration: Administration, cluster: Cluster
) -> None:
    with administration.server() as admin:
        make_database(admin, 'odd "name"', "template0")
        assert 'odd "name"' not in open_to_public(admin)
        for _ in range(2):
            drop_database(admin, 'odd "name"')


def test_the_programs_get_their_password_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    administration = Administration(
        "pg1", "host=a,b port=1,2 user=u password=p sslmode=require channel_binding=require connect_timeout=3"
    )
    assert administration.parameters("base") == {
        "PGHOST": "a,b",
        "PGPORT": "1,2",
        "PGUSER": "u",
        "PGPASSWORD": "p",
        "PGSSLMODE": "require",
        "PGCHANNELBINDING": "require",
        "PGCONNECT_TIMEOUT": "3",
        "PGDATABASE": "base",
    }


# --- the programs ---


def test_while_it_dumps_no_password_stands_in_a_command_line(
    pg_tenancy: Tenancy, pg_acme: Tenant, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[list[str]] = []
    popen = subprocess.Popen

    def note(command: list[str], **options: Any) -> Any:
        started.append(command)
        return popen(command, **options)

    monkeypatch.setattr(subprocess, "Popen", note)
    # Nor does the operator's own environment lead astray.
    monkeypatch.setenv("PGOPTIONS", "-c nonsense=1")
    store, dump = store_of(pg_tenancy, "pg1"), io.BytesIO()
    store.dump(pg_acme, dump)
    dump.seek(0)
    with store.scratch(dump):
        pass
    secret = cluster._passwords["provisioner"]
    assert [Path(command[0]).name for command in started] == ["pg_dump", "pg_restore"]
    assert secret not in str(started)


@pytest.mark.parametrize("installed", [[], ["9", "15", "16"]])
def test_the_newest_program_is_taken_and_none_is_said(
    installed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for version in installed:
        (tmp_path / version / "bin").mkdir(parents=True)
        (tmp_path / version / "bin" / "pg_dump").touch()
    monkeypatch.setattr(dumps, "Path", lambda _path: tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    dumps._program.cache_clear()
    try:
        if installed:
            assert dumps._program("pg_dump") == str(tmp_path / "16" / "bin" / "pg_dump")
        else:
            with pytest.raises(ServerUnusable, match="pg_dump is not installed here: apt-get install"):
                dumps._program("pg_dump")
    finally:
        dumps._program.cache_clear()


# --- the credential ---


def test_a_credential_is_for_its_owner_alone_and_replaced_whole(settings: Settings) -> None:
    for url in ("postgresql://one", "postgresql://two"):
        write_credential(settings, "pg1", url)
        assert read_credential(settings, "pg1") == url
    path = credential_file(settings, "pg1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert os.listdir(path.parent) == ["pg1.url"]
    for _ in range(2):
        remove_credential(settings, "pg1")
    with pytest.raises(ServerUnusable, match="extranet server add pg1"):
        read_credential(settings, "pg1")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_credential_that_others_can_read_is_not_used(settings: Settings, mode: int) -> None:
    write_credential(settings, "pg1", "postgresql://one")
    credential_file(settings, "pg1").chmod(mode)
    with pytest.raises(ServerUnusable, match="open to others"):
        read_credential(settings, "pg1")


def test_a_credential_is_no_link(settings: Settings, tmp_path: Path) -> None:
    write_credential(settings, "pg1", "postgresql://one")
    path = credential_file(settings, "pg1")
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServerUnusable, match="cannot be read"):
        read_credential(settings, "pg1")


def test_the_web_reaches_its_tenants_without_the_operators_credential(
    pg_tenancy: Tenancy, pg_acme: Tenant, pg_settings: Settings
) -> None:
    remove_credential(pg_settings, "pg1")
    with Tenancy.open(pg_settings, HISTORY, serving=True) as tenancy:
        assert_served(tenancy, "acme")
        with pytest.raises(ServerUnusable, match="Only operators can do this"):
            create(tenancy, "initech")
