"""extranet doctor: it names what is wrong, by tenant, and leaves the healthy ones alone."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from provisioning.commands import doctor
from tests.console import Console
from tests.provisioning.test_log import database_of, tamper
from tests.provisioning.unfinished import leave_unfinished
from tests.services.redis import Redis


def findings(console: Console, *options: str) -> dict[str, str]:
    """What needs attention: name -> sentence. The exit code must agree."""
    answer = console.run("doctor", *options, "--json")
    assert answer.stderr == ""
    assert all(list(finding) == ["about", "ok", "says"] for finding in answer.document)
    bad = {finding["about"]: finding["says"] for finding in answer.document if not finding["ok"]}
    assert answer.exit_code == (1 if bad else 0)
    return bad


def test_a_healthy_home_is_all_well(console: Console) -> None:
    console.done("tenant", "suspend", "globex")
    answer = console.done("doctor", "--logs")
    lines = answer.stdout.splitlines()
    assert lines[-1] == "11 checks, all well."
    assert all(line.startswith("ok   ") for line in lines[:-2])
    assert "ok   globex: suspended, key and database open" in lines
    assert "ok   operators' journal: every entry holds" in lines
    assert findings(console) == {}


def test_a_redis_that_does_not_answer_is_named_without_its_password(
    console: Console, redis_server: Redis, tmp_path: Path
) -> None:
    password = tmp_path / "redis.password"
    password.touch(0o600)
    password.write_text(redis_server.password)
    address = f"redis://{redis_server.host}:{redis_server.port}/0"
    console.environment.update(EXTRANET_REDIS_URL=address, EXTRANET_REDIS_PASSWORD_FILE=str(password))
    well = console.done("doctor")
    assert f"ok   Redis: {address} answers" in well.stdout
    assert redis_server.password not in well.stdout
    password.write_text("a-secret")
    (bad,) = findings(console).values()
    assert bad.startswith("Redis does not answer: ")
    assert "a-secret" not in bad


def test_a_fresh_home_is_all_well(empty_console: Console) -> None:
    empty_console.done("init")
    assert findings(empty_console, "--logs") == {}


def test_what_needs_attention_is_counted(console: Console) -> None:
    database_of(console, "acme").unlink()
    answer = console.run("doctor")
    assert answer.exit_code == 1
    assert answer.stdout.splitlines()[-1].endswith(" checks, 1 needs attention.")
    os.chmod(console.home, 0o755)
    assert console.run("doctor").stdout.splitlines()[-1].endswith(" checks, 2 need attention.")


def test_a_missing_database_is_named(console: Console) -> None:
    database = database_of(console, "acme")
    database.unlink()
    assert findings(console) == {"acme": f"{database} is missing."}


def test_a_database_cut_off_is_named(console: Console) -> None:
    database = database_of(console, "acme")
    os.truncate(database, database.stat().st_size - 1000)
    assert list(findings(console)) == ["acme"]


def test_a_database_that_lost_pages_is_named(console: Console) -> None:
    database = database_of(console, "acme")
    os.truncate(database, database.stat().st_size // 8192 * 4096)
    assert list(findings(console)) == ["acme"]


def test_a_database_with_a_damaged_page_is_named(console: Console) -> None:
    database = database_of(console, "acme")
    with closing(sqlite3.connect(database)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'profile'").fetchone()
    with open(database, "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 4096)
    assert "damaged" in findings(console)["acme"]


def test_another_tenants_database_in_place_of_its_own_is_named(console: Console) -> None:
    shutil.copy2(database_of(console, "globex"), database_of(console, "acme"))
    (sentence,) = findings(console).values()
    assert sentence.startswith("The database of acme is stamped for ")


def test_a_database_with_an_older_schema_is_named(console: Console) -> None:
    with closing(sqlite3.connect(database_of(console, "acme"))) as connection:
        connection.execute("PRAGMA user_version = 0")
    (sentence,) = findings(console).values()
    assert "has schema 0, this code needs" in sentence
    assert sentence.endswith(". Run: extranet fleet migrate")
    shown = console.done("tenant", "show", "acme").stdout
    assert "unknown: the database is behind this code. Run: extranet fleet migrate" in shown
    assert "cannot be opened" not in shown
    assert console.done("tenant", "show", "acme", "--json").document["users"] is None


def test_a_home_that_others_can_enter_is_named(console: Console) -> None:
    os.chmod(console.home, 0o750)
    assert findings(console) == {"home folder": f"{console.home} is open to others: chmod go= {console.home}"}


def test_a_registry_that_others_can_read_is_named(console: Console) -> None:
    registry = console.home / "registry.sqlite3"
    os.chmod(registry, 0o644)
    assert findings(console) == {"registry": f"{registry} is open to others: chmod go= {registry}"}


@pytest.mark.parametrize("folder", [True, False])
def test_a_tenants_folder_or_file_that_others_can_read_is_named(console: Console, folder: bool) -> None:
    path = database_of(console, "acme").parent if folder else database_of(console, "acme")
    os.chmod(path, 0o755)
    (sentence,) = findings(console).values()
    assert "is open to others" in sentence
    assert str(path) in sentence


def test_an_unfinished_creation_is_named_with_what_to_do(console: Console) -> None:
    leave_unfinished(console.home, "zoe")
    (sentence,) = findings(console).values()
    assert sentence == "its creation was cut short. Make it again with: extranet tenant create zoe"


def test_a_folder_that_no_tenant_owns_is_named(console: Console) -> None:
    (console.home / "tenants" / "restored").mkdir()
    assert list(findings(console)) == ["tenants/restored"]


def test_a_broken_log_is_named_when_logs_are_asked_for(console: Console) -> None:
    tamper(database_of(console, "acme"), "UPDATE security_event SET actor = 'mallory' WHERE sequence = 2")
    assert findings(console) == {}
    assert findings(console, "--logs") == {
        "acme log": "broken at entry 2: its column actor differs from what was signed"
    }


def test_a_broken_operators_journal_is_named(console: Console) -> None:
    console.done("tenant", "suspend", "acme")
    tamper(console.home / "registry.sqlite3", "UPDATE operator_event SET outcome = 'refused'", "operator_event")
    assert list(findings(console, "--logs")) == ["operators' journal"]


def test_a_tenant_whose_key_is_lost_is_named(console: Console) -> None:
    uuid = console.done("tenant", "show", "acme", "--json").document["uuid"]
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as connection, connection:
        connection.execute("DELETE FROM wrapped_key WHERE tenant_uuid = ?", [uuid.replace("-", "")])
    (sentence,) = findings(console).values()
    assert "holds no key" in sentence


def test_a_tenant_that_is_being_purged_needs_no_database_and_is_to_be_purged_again(console: Console) -> None:
    folder = database_of(console, "acme").parent
    shutil.rmtree(folder)
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as connection, connection:
        connection.execute("UPDATE tenant SET state = 'purged' WHERE slug = 'acme'")
    sentence = "its purge was cut short. Go on with: extranet tenant purge acme"
    assert findings(console) == {"acme": sentence}


def test_a_disk_that_fills_up_is_named(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LEAST_FREE_BYTES", shutil.disk_usage(console.home).total + 1)
    assert list(findings(console)) == ["disk"]


def test_a_home_without_its_folder_of_tenants_is_no_reason_to_stop(empty_console: Console) -> None:
    empty_console.done("init")
    Path(empty_console.home / "tenants").rmdir()
    assert findings(empty_console) == {}
