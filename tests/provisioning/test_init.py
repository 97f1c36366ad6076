"""extranet init: it makes what is missing, keeps what is there and never makes a second key."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.console import Console
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned


def test_it_makes_a_home_for_its_owner_alone_and_says_what_to_do_next(empty_console: Console) -> None:
    home = empty_console.home
    answer = empty_console.run_for_real("init")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == f"Ready: {home}"
    assert f"The master key is in {home / 'master.key'}. Back it up" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "Make a tenant with: extranet tenant create"
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_answers_in_json(empty_console: Console) -> None:
    home = empty_console.home
    assert empty_console.done("init", "--json").document == {
        "home": str(home),
        "registry": str(home / "registry.sqlite3"),
        "upgraded_from": None,
        "master_key_file": str(home / "master.key"),
        "domain": "localhost",
    }


def test_a_second_time_it_keeps_everything(console: Console) -> None:
    key = (console.home / "master.key").read_bytes()
    before = console.contents()
    console.done("init")
    console.done("init")
    assert (console.home / "master.key").read_bytes() == key
    assert console.contents()[0] == before[0]


def test_it_never_makes_a_new_key_for_an_old_registry(console: Console) -> None:
    (console.home / "master.key").unlink()
    assert "Put the key back" in console.run("init").refusal
    assert not (console.home / "master.key").exists()


def test_a_home_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refusal = Console(tmp_path / "file" / "home").run("init").refusal
    assert refusal == f"Not a directory: {tmp_path / 'file' / 'home'}."


@pytest.mark.parametrize("url", ["mysql://db/registry", "sqlite://", "sqlite:///:memory:"])
def test_a_registry_that_is_not_supported_is_refused(empty_console: Console, url: str) -> None:
    refusal = "EXTRANET_REGISTRY_URL must be sqlite:///PATH or postgresql://USER@HOST/DATABASE."
    assert empty_console.run("init", EXTRANET_REGISTRY_URL=url).refusal == refusal


def test_a_registry_whose_url_cannot_be_read_is_refused_without_its_password(empty_console: Console) -> None:
    url = "postgresql://user:secret@[db/registry"
    refusal = "EXTRANET_REGISTRY_URL cannot be read: postgresql://USER@HOST/DATABASE."
    assert empty_console.run("init", EXTRANET_REGISTRY_URL=url).refusal == refusal


def test_a_registry_that_cannot_be_reached_is_said_in_one_sentence(empty_console: Console) -> None:
    refusal = empty_console.run("init", EXTRANET_REGISTRY_URL="postgresql://user:secret@127.0.0.1:1/registry").refusal
    assert refusal.startswith("The server cannot be reached: ")
    assert "secret" not in refusal


def test_a_registry_on_postgresql_is_made_and_said_without_its_password(
    empty_console: Console, cluster: Cluster
) -> None:
    with cleaned(cluster):
        cluster.execute("CREATE ROLE registrar LOGIN PASSWORD 'secret'")
        cluster.execute("CREATE DATABASE of_init OWNER registrar")
        console = Console(empty_console.home, EXTRANET_REGISTRY_URL=cluster.url("of_init", "registrar", "secret"))
        answer = console.done("init")
        assert answer.stdout.splitlines()[1] == "The registry is the database of_init on 127.0.0.1."
        assert "secret" not in answer.stdout
        console.done("init")
        assert console.run("doctor").exit_code == 0
        cluster.execute("GRANT CONNECT ON DATABASE of_init TO PUBLIC")
        assert "Every role of its server may connect" in console.run("doctor").stdout
        console.done("init")
        assert console.run("doctor").exit_code == 0


def test_it_says_when_it_upgraded_an_older_registry(console: Console) -> None:
    assert console.done("init", "--json").document["upgraded_from"] is None
    make_older(console.home / "registry.sqlite3")
    assert "extranet init" in console.run("tenant", "list").refusal
    answer = console.done("init")
    assert "It had schema 1 and was upgraded to this code's." in answer.stdout.splitlines()
    assert [tenant["slug"] for tenant in console.done("tenant", "list", "--json").document] == ["acme", "globex"]
    make_older(console.home / "registry.sqlite3")
    assert console.done("init", "--json").document["upgraded_from"] == 1


def make_older(registry: Path) -> None:
    """Take away what the second revision has brought."""
    with closing(sqlite3.connect(registry)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        before = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
        kept = [
            "tenant",
            "host",
            "former_slug",
            "wrapped_key",
            "generation",
            "throttle",
            "operator_event",
            "operator_event_head",
        ]
        for name in before - {*kept, "alembic_version"}:
            connection.execute(f"DROP TABLE {name}")
        connection.execute("ALTER TABLE wrapped_key DROP COLUMN retired_at")
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
        connection.execute("PRAGMA user_version = 1")


def test_two_at_once_make_one_home(empty_console: Console) -> None:
    processes = [empty_console.start("init") for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert empty_console.run("doctor").exit_code == 0
