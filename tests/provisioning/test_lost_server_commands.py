"""A database server is lost for good: what an operator types, and what the doctor says when it comes back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from tests.console import Console
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned


@pytest.fixture
def two(console: Console, cluster: Cluster, second_cluster: Cluster) -> Iterator[Console]:
    """A home with zoe on pg1, backed up, and the server pg2."""
    with cleaned(cluster), cleaned(second_cluster):
        for name, each in (("pg1", cluster), ("pg2", second_cluster)):
            console.done("server", "add", name, stdin=f"{each.provisioner()}\n")
        assert console.create("zoe", "--server", "pg1").exit_code == 0
        console.done("backup", "create", "zoe")
        yield console


@contextmanager
def down(cluster: Cluster) -> Iterator[None]:
    cluster.stop()
    try:
        yield
    finally:
        cluster.start()


def test_a_tenant_is_restored_in_its_place_on_another_server_and_the_old_one_is_never_served_again(
    two: Console, cluster: Cluster
) -> None:
    there = ("backup", "restore", "zoe", "--damaged", "--server", "pg2")
    with down(cluster):
        assert two.done(*there, "--dry-run").stdout.startswith("zoe would be as it was on ")
        assert "was not named once more" in two.run(*there).refusal
        said = two.done(*there, "--yes-i-mean", "zoe").stdout.splitlines()
        assert said[0].startswith("zoe is as it was on ")
        assert said[1] == "It is on pg2 now. What it had on the server that was lost is never served again."
        assert two.done("tenant", "show", "zoe", "--json").document["server"] == "pg2"
        entry = two.done("log", "export", "zoe", "--json").document[-2]
        assert entry["event"] == "restored"
    name = "t_" + two.done("tenant", "show", "zoe", "--json").document["uuid"].replace("-", "")
    told = [
        line for line in two.run("doctor").stdout.splitlines() if line.startswith("BAD  server pg1") and name in line
    ]
    assert len(told) == 3
    for line in told:
        assert "is of zoe, which is on pg2 in the registry and served from there." in line
        assert "drop" not in line
    two.done("server", "remove", "pg1")


def test_a_new_tenant_is_made_of_a_backup_where_it_is_told(two: Console, cluster: Cluster) -> None:
    with down(cluster):
        refusal = two.run("backup", "restore", "zoe", "--as", "twin").refusal
        assert refusal.endswith("To make it elsewhere, name another server with --server.")
        two.done("backup", "restore", "zoe", "--as", "twin", "--server", "pg2", "--dry-run")
        document = two.done("backup", "restore", "zoe", "--as", "twin", "--server", "pg2", "--json").document
        assert (document["slug"], document["server"]) == ("twin", "pg2")
    two.done("backup", "restore", "zoe", "--as", "third", "--server", "embedded")


def test_another_server_goes_with_a_new_tenant_or_with_one_that_is_lost(two: Console) -> None:
    answer = two.run("backup", "restore", "zoe", "--server", "pg2")
    assert answer.exit_code == 2
    assert "--server goes with --as, or with --damaged" in answer.stderr
    answer = two.run("backup", "restore", "zoe", "--server", "pg2", "--damaged", "--yes-i-mean", "zoe")
    assert "pg1, where zoe is, answers" in answer.refusal


@pytest.mark.parametrize(
    ("verb", "details", "sentence"),
    [
        (
            "rescue",
            '{"target": "pg2"}',
            "its restore to pg2 was cut short. Go on with: extranet backup restore zoe --damaged --server pg2",
        ),
        (
            "move",
            '{"origin": "pg1", "target": "pg2"}',
            "its move to pg2 was cut short; take it back with: extranet tenant move zoe --to pg1. Go on with: {0}pg2",
        ),
        (
            "move",
            '{"origin": "pg2", "target": "pg1"}',
            "its move to pg1 was cut short. Go on with: {0}pg1",
        ),
    ],
)
def test_the_doctor_says_how_to_go_on_or_back(two: Console, verb: str, details: str, sentence: str) -> None:
    uuid = two.done("tenant", "show", "zoe", "--json").document["uuid"].replace("-", "")
    with closing(sqlite3.connect(two.home / "registry.sqlite3")) as registry, registry:
        registry.execute("INSERT INTO unfinished VALUES (?, ?, 'staging', ?, '2026-01-01')", [uuid, verb, details])
    said = sentence.format("extranet tenant move zoe --to ")
    assert f"BAD  zoe: {said}" in two.run("doctor").stdout.splitlines()


def test_a_restore_a_second_time_takes_the_same_backup_and_the_list_says_which_is_which(console: Console) -> None:
    backup = console.done("backup", "create", "acme", "--json").document["id"]
    for _ in range(2):
        again = console.done("backup", "restore", "acme", "--yes-i-mean", "acme", "--json").document
        assert again["id"] == backup
    lines = console.done("backup", "list", "acme").stdout.splitlines()[1:]
    assert ["before a restore" in line for line in lines] == [True, True, False]
    listed = console.done("backup", "list", "acme", "--json").document
    assert [one["before_restore"] for one in listed] == [True, True, False]
    assert console.done("backup", "restore", "acme", "--id", listed[0]["id"], "--dry-run").exit_code == 0
