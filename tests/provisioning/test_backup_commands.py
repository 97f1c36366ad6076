"""extranet backup and extranet fleet backup, verify: what each says and refuses, and what people find afterwards."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from extranet.request.cookies import DEVICE_COOKIE, SESSION_COOKIE
from provisioning import backup_answers
from provisioning.commands import fleet_backups
from tests.console import Console
from tests.evidence import sees_every_change
from tests.platform import PASSWORD, Platform, open_platform
from tests.provisioning.test_terminal import terminal
from tests.provisioning.unfinished import leave_unfinished


def backed_up(console: Console, slug: str = "acme") -> str:
    """Back a tenant up; return the backup's id."""
    return str(console.done("backup", "create", slug, "--json").document["id"])


def file_of(console: Console, backup_id: str) -> Path:
    (found,) = [one for one in console.done("backup", "list", "--json").document if one["id"] == backup_id]
    return Path(found["file"])


@pytest.fixture
def platform(console: Console) -> Iterator[Platform]:
    opened = open_platform(console.home)
    yield opened
    opened.close()


def test_a_backup_is_made_listed_and_verified(console: Console) -> None:
    document = console.done("backup", "create", "acme", "--json").document
    assert list(document) == [
        "id",
        "slug",
        "file",
        "bytes",
        "schema_version",
        "made_at",
        "verified_at",
        "fault",
        "before_restore",
        "deleted",
    ]
    assert Path(document["file"]).stat().st_size == document["bytes"]
    assert (document["verified_at"], document["fault"], document["deleted"]) == (None, "", [])
    first, second = console.done("backup", "create", "acme", "--keep", "1").stdout.splitlines()[:2]
    assert re.fullmatch(r"acme is backed up: [0-9a-f]{12}, \d+\.\d KiB, in /.*\.extranet-backup", first)
    assert second == "1 older one was deleted."
    assert console.done("backup", "create", "acme", "--keep", "9").stdout.splitlines()[-1] == (
        "See whether it can be restored with: extranet backup verify acme"
    )
    assert (
        console.done("backup", "create", "acme", "--keep", "1").stdout.splitlines()[1] == "2 older ones were deleted."
    )
    said = console.done("backup", "verify", "acme").stdout
    assert re.fullmatch(r"[0-9a-f]{12} of acme is good: \d+ rows, 0 files, and every journal holds\.\n", said)
    backed_up(console, "globex")
    header, globex, acme = console.done("backup", "list").stdout.splitlines()
    assert re.split(r"  +", header) == ["Id", "Tenant", "Made (UTC)", "Size", "Schema", "Verified (UTC)"]
    assert (globex.split()[1], globex.split()[-1]) == ("globex", "never")
    assert acme.split()[1] == "acme"
    assert re.search(r"  \d{4}-\d\d-\d\d \d\d:\d\d$", acme)
    assert [one["slug"] for one in console.done("backup", "list", "acme", "--json").document] == ["acme"]


def test_without_a_backup_the_list_says_how_to_make_one(console: Console) -> None:
    assert console.done("backup", "list", "acme").stdout == (
        "There is no backup yet. Make one with: extranet backup create acme\n"
    )
    assert console.run("backup", "verify", "acme").refusal == (
        "acme has no backup. Make one with: extranet backup create acme"
    )
    assert console.run("backup", "list", "nobody").refusal.startswith("There is no tenant 'nobody'.")


def test_a_damaged_backup_is_refused_and_the_list_says_why(console: Console) -> None:
    backup_id = backed_up(console)
    os.truncate(file_of(console, backup_id), 2000)
    refusal = "This backup is damaged or cut off: part 1 does not open."
    assert console.run("backup", "verify", "acme", "--id", backup_id[:8]).refusal == refusal
    assert console.run("backup", "restore", "acme", "--yes-i-mean", "acme").refusal == refusal
    assert console.done("backup", "list", "acme").stdout.splitlines()[1].endswith(refusal)
    assert console.done("backup", "list", "acme", "--json").document[0]["fault"] == refusal


def test_a_file_or_an_id_not_both(console: Console) -> None:
    for verb in ("verify", "restore"):
        answer = console.run("backup", verb, "acme", "some.extranet-backup", "--id", "5f")
        assert answer.exit_code == 2
        assert "Name a file or an id, not both." in answer.stderr


# -- restore --


def test_people_find_what_there_was_and_nothing_old_lets_them_in(console: Console, platform: Platform) -> None:
    sees_every_change(platform)
    old = platform.signed_in(username="ben")
    assert old.get("/").status_code == 200
    invitation = platform.invite("acme", "zoe")
    backup_id = backed_up(console)
    platform.signed_in().post("/preferences/profile", {})
    with platform.db("acme") as db:
        db.connection().exec_driver_sql("UPDATE company SET legal_name = 'Changed since'")
    said = console.done("backup", "restore", "acme", "--id", backup_id, "--yes-i-mean", "acme").stdout
    assert re.fullmatch(
        r"acme is as it was on \d{4}-\d\d-\d\d \d\d:\d\d UTC\. Everybody signs in anew\.\n"
        r"What it had before is in the backup [0-9a-f]{12}\.\n"
        r"Accounts that were disabled or erased since then are as they were, too: go through them\.\n",
        said,
    )
    # The application has served all the time.
    visitor = platform.browser()
    for name in (SESSION_COOKIE, DEVICE_COOKIE):
        visitor.set_cookie(name, old.cookie(name))
    assert visitor.get("/").headers["Location"] == "/login?next=/"
    browser = platform.browser()
    assert browser.get(invitation).status_code == 410
    browser.sign_in("anna", PASSWORD)
    assert "Changed since" not in browser.get("/preferences/company").text
    assert "A backup was restored by the operator of this service" in browser.get("/preferences/history").text
    assert platform.signed_in("globex").get("/").status_code == 200
    assert "every" in console.done("backup", "verify", "acme").stdout
    assert console.run("log", "verify", "--all").exit_code == 0


def test_even_a_cookie_that_would_open_finds_no_login_browser_or_invitation(
    console: Console, platform: Platform
) -> None:
    platform.signed_in(username="ben")
    platform.invite("acme", "zoe")
    backed_up(console)
    console.done("backup", "restore", "acme", "--yes-i-mean", "acme")
    with platform.db("acme", writing=False) as db:
        query = db.connection().exec_driver_sql
        assert query("SELECT DISTINCT end_reason FROM login").scalars().all() == ["restored"]
        assert query("SELECT count(*) FROM login WHERE ended_at IS NULL").scalar_one() == 0
        assert query("SELECT count(*) FROM known_browser WHERE forgotten_at IS NULL").scalar_one() == 0
        assert query("SELECT count(*) FROM known_browser").scalar_one() == 1
        assert query("SELECT end_reason FROM invitation WHERE ended_at IS NOT NULL").scalars().all() == ["restored"]
    last = console.done("log", "export", "acme", "--json").document[-2]
    assert (last["event"], last["actor"]) == ("restored", "operator")
    assert sorted(last["details"]) == ["backup", "heads", "kept", "left", "made_at", "request"]
    assert re.fullmatch(r"\d+:[0-9a-f]{64}", last["details"]["left"]["security_event"])


def test_a_rehearsal_says_what_would_be_and_does_nothing(console: Console) -> None:
    backup_id = backed_up(console)
    console.done("backup", "verify", "acme")
    before = console.contents()
    answer = console.done("backup", "restore", "acme", "--dry-run", "--json").document
    assert (answer["slug"], answer["id"], answer["files"]) == ("acme", backup_id, 0)
    assert answer["rows"] > 10
    said = console.done("backup", "restore", "acme", str(file_of(console, backup_id)), "--dry-run").stdout
    assert re.fullmatch(r"acme would be as it was on .* UTC: \d+ rows, 0 files\.\n", said)
    said = console.done("backup", "restore", "acme", "--as", "twin", "--dry-run").stdout
    assert said.startswith("twin would be acme as it was on ")
    assert console.contents() == before
    assert console.run("backup", "restore", "acme", "--as", "globex", "--dry-run").refusal.startswith(
        "There is a tenant"
    )


def test_without_the_slug_once_more_nothing_is_replaced(console: Console) -> None:
    backed_up(console)
    before = console.contents()
    for meant in ([], ["--yes-i-mean", "globex"]):
        refusal = console.run("backup", "restore", "acme", *meant).refusal
        assert refusal == "acme was not named once more; nothing was changed. See: --yes-i-mean acme."
    assert console.contents() == before


def test_at_a_terminal_the_slug_is_asked_for_and_which_backup_is_meant_is_said(console: Console) -> None:
    backup_id = backed_up(console)
    with terminal() as (ours, theirs):
        process = console.start("backup", "restore", "acme", stdin=theirs, start_new_session=True)
        os.close(theirs)
        os.write(ours, b"acme\n")
        stdout, stderr = process.communicate(timeout=60)
    assert (process.returncode, stdout[:17]) == (0, "acme is as it was")
    asked = " ".join(stderr.split())
    assert "What acme has now will be replaced by " in asked
    assert file_of(console, backup_id).name in asked
    assert re.search(r", made on \d{4}-\d\d-\d\d \d\d:\d\d UTC\. Type acme to go on", asked)


def test_a_file_that_the_list_does_not_know_is_restored_too(console: Console, tmp_path: Path) -> None:
    copy = shutil.copy(file_of(console, backed_up(console)), tmp_path / "copy")
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("DELETE FROM backup")
    document = console.done("backup", "restore", "acme", str(copy), "--yes-i-mean", "acme", "--json").document
    assert list(document) == ["slug", "id", "made_at", "replaced"]
    assert document["replaced"]
    with terminal() as (ours, theirs):
        process = console.start("backup", "restore", "acme", str(copy), stdin=theirs, start_new_session=True)
        os.close(theirs)
        os.write(ours, b"no\n")
        assert str(copy) in "".join(process.communicate(timeout=60)[1].split())
    assert process.returncode == 1


def test_what_is_damaged_is_replaced_when_told_to(console: Console) -> None:
    document = console.done("tenant", "show", "acme", "--json").document
    backed_up(console)
    (Path(document["folder"]) / f"{document['uuid']}.sqlite3").unlink()
    assert (
        "To replace it all the same, say --damaged."
        in console.run("backup", "restore", "acme", "--yes-i-mean", "acme").refusal
    )
    said = console.done("backup", "restore", "acme", "--damaged", "--yes-i-mean", "acme").stdout
    assert "Nothing was kept of before." in said
    assert console.done("tenant", "show", "acme", "--json").document["users"] == {"active": 3}


def test_a_new_tenant_is_made_of_a_backup(console: Console) -> None:
    backed_up(console)
    said = console.done("backup", "restore", "acme", "--as", "twin").stdout.splitlines()
    assert said[0] == "twin is ready at http://twin.localhost:8000"
    assert re.fullmatch(r"It has what acme had on .* UTC, under a key of its own\.", said[1])
    document = console.done("backup", "restore", "acme", "--as", "third", "--json").document
    assert (document["slug"], document["state"]) == ("third", "active")
    platform = open_platform(console.home)
    for slug in ("twin", "third", "acme"):
        assert platform.signed_in(slug).get("/").status_code == 200
    platform.close()
    log = console.done("log", "export", "twin", "--json").document
    (entry,) = [entry for entry in log if entry["event"] == "restored"]
    assert entry["details"]["source"] == console.done("tenant", "show", "acme", "--json").document["uuid"]
    for taken in ("globex", "acme"):
        assert (
            console.run("backup", "restore", "acme", "--as", taken).refusal == f"There is a tenant {taken!r} already."
        )


# -- all tenants --


def test_every_tenant_is_backed_up_and_verified_past_those_that_fail(console: Console) -> None:
    console.done("fleet", "backup")
    answer = console.done("fleet", "verify")
    assert re.fullmatch(r"The newest backups of 2 tenants are good, found in \d+\.\d s\.\n", answer.stdout)
    assert answer.stderr.splitlines()[-1].startswith("2 of 2 done, 0 failed, ")
    document = console.done("tenant", "show", "acme", "--json").document
    (Path(document["folder"]) / f"{document['uuid']}.sqlite3").unlink()
    answer = console.run("fleet", "backup", "--keep", "1")
    assert answer.exit_code == 1
    lines = answer.stdout.splitlines()
    assert re.fullmatch(r"1 tenant backed up, \d+\.\d KiB, in \d+\.\d s\.", lines[0])
    assert lines[1] == "1 tenant failed:"
    assert lines[2].startswith("  acme: ")
    assert lines[2].endswith(" is missing.")
    failed = console.run("fleet", "backup", "--json").document
    assert [one["slug"] for one in failed["done"]] == ["globex"]
    assert [one["slug"] for one in failed["failed"]] == ["acme"]
    os.truncate(failed_file := file_of(console, failed["done"][0]["id"]), 1000)
    assert failed_file.exists()
    answer = console.run("fleet", "verify", "--json")
    assert (answer.exit_code, [one["slug"] for one in answer.document["failed"]]) == (1, ["globex"])
    assert [entry.event for entry in console.journal()].count("fleet verify") == 2


def test_a_tenant_without_data_is_passed_over(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_unfinished(console.home, "zoe")
    monkeypatch.setattr(fleet_backups, "_SHOWN", 1)
    assert len(console.done("fleet", "backup", "--json").document["done"]) == 2
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("DELETE FROM backup")
    lines = console.run("fleet", "verify").stdout.splitlines()
    assert lines[1:] == [
        "2 tenants failed:",
        "  acme: acme has no backup. Make one with: extranet backup create acme",
        "  and 1 more: see --json",
    ]


# -- how old the last verified one is --


def test_a_tenant_says_when_its_last_verified_backup_was_made(console: Console) -> None:
    backed_up(console)
    shown = console.done("tenant", "show", "acme", "--json").document
    assert (shown["verified_backup"], shown["verified_backup_age"]) == ("none", "none")
    console.done("backup", "verify", "acme")
    shown = console.done("tenant", "show", "acme", "--json").document
    assert shown["verified_backup"].startswith(f"{datetime.now(UTC):%Y-%m-%dT}")
    assert shown["verified_backup_age"] == "less than a minute"


@pytest.mark.parametrize(
    ("ago", "words"),
    [
        (timedelta(seconds=59), "less than a minute"),
        (timedelta(seconds=61), "1 minute"),
        (timedelta(minutes=59), "59 minutes"),
        (timedelta(minutes=61), "1 hour"),
        (timedelta(hours=47), "1 day"),
        (timedelta(days=30), "30 days"),
    ],
)
def test_ages_are_said_in_the_largest_unit(ago: timedelta, words: str) -> None:
    assert backup_answers.age(backup_answers.now() - ago) == words


def test_sizes_are_said_so_that_small_ones_are_not_nothing() -> None:
    assert [backup_answers.size(count) for count in (5700, 5 * 1024**2)] == ["5.6 KiB", "5.0 MiB"]


def test_the_doctor_finds_tenants_that_have_been_without_a_verified_backup_for_too_long(console: Console) -> None:
    def make_older(table: str, column: str, days: int) -> None:
        with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
            registry.execute(f"UPDATE {table} SET {column} = datetime({column}, '-{days} days') || '.000000'")

    assert "ok   backups: no tenant has been without a verified one for 8 days" in console.done("doctor").stdout
    make_older("tenant", "created_at", 9)
    leave_unfinished(console.home, "zoe")
    lines = console.run("doctor").stdout
    for slug in ("acme", "globex"):
        assert f"BAD  {slug} backup: it has no verified backup. Make one: extranet backup create {slug}" in lines
    assert "zoe backup" not in lines
    console.done("fleet", "backup")
    assert "it has no verified backup" in console.run("doctor").stdout
    console.done("fleet", "verify")
    assert "ok   backups" in console.run("doctor").stdout
    make_older("backup", "made_at", 9)
    assert "BAD  acme backup: its newest verified backup is 9 days old." in console.run("doctor").stdout


def test_an_unfinished_restore_is_named_with_what_to_do(console: Console) -> None:
    uuid = console.done("tenant", "show", "acme", "--json").document["uuid"].replace("-", "")
    with closing(sqlite3.connect(console.home / "registry.sqlite3")) as registry, registry:
        registry.execute("INSERT INTO unfinished VALUES (?, 'restore', 'swapping', '{}', '2026-01-01')", [uuid])
    sentence = "BAD  acme: its restore was cut short. Go on with: extranet backup restore acme"
    assert sentence in console.run("doctor").stdout
