"""Logs that end: old entries go for good, a signed base says so, and whatever is done afterwards both chains hold."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from sqlalchemy import Connection, delete, select, text

from tenants import journal_bases, journal_pruning, lifecycle, pruning, rotation, unfinished
from tenants.backups.making import back_up
from tenants.backups.restoring import restore_tenant
from tenants.backups.verifying import verify_backup
from tenants.databases import TenantSession
from tenants.errors import AnchorPruned, BrokenJournal, CutOff, IllegalTransition
from tenants.journal import Journal
from tenants.journal_tables import base_of
from tenants.pruning import Pruned, plan_pruning, prune_logs, prune_operators_journal
from tenants.rotation import rotate_keys
from tenants.settings import Settings
from tenants.stores import store_of
from tenants.stores.embedded import EmbeddedStore
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED, State, Tenant
from tests.platform import SQLITE_ONLY
from tests.tenants.backups import prepare_restored
from tests.tenants.lives import killed_after, killed_before
from tests.tenants.test_journal import ACME, GLOBEX, Raw, journal_with
from tests.tenants.test_journal import append as append_one
from tests.tenants.world import HISTORY, activity, activity_head, entries, journal_of, killed_in_child

KEPT_ON = ("sqlite", "postgresql")

OLD, NEW = 7, 3
BASES = base_of(entries)


def journals_of(tenancy: Tenancy, slug: str) -> tuple[Journal, Journal]:
    keys = tenancy.keys_of(tenancy.registry.by_slug(slug))
    return journal_of(keys), Journal(activity, activity_head, keys)


def write(tenancy: Tenancy, slug: str, count: int) -> None:
    with tenancy.open_db(tenancy.registry.by_slug(slug), writing=True) as db:
        for journal in journals_of(tenancy, slug):
            for _ in range(count):
                append(db, journal, "event")
        db.commit()


def append(db: Any, journal: Journal, event: str) -> None:
    journal.append(db, event, "ok", actor="a", subject="s", details={}, private={"address": "::1"})


def fill(tenancy: Tenancy, slug: str = "acme") -> datetime:
    """Write old entries and new ones; return the moment between them."""
    write(tenancy, slug, OLD)
    between = datetime.now(UTC)
    write(tenancy, slug, NEW)
    return between


def tell(db: TenantSession, pruned: Pruned) -> None:
    append(db, journal_of(db.info["keys"]), "log_pruned")


def prune(tenancy: Tenancy, before: datetime, slug: str = "acme", say: pruning.Tell = tell) -> Pruned:
    return prune_logs(tenancy, slug, lambda _db: before, say)


def counts(tenancy: Tenancy, slug: str = "acme") -> list[int]:
    """Verify both logs and return how many entries they have."""
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        return [journal.verify(db) for journal in journals_of(tenancy, slug)]


def bases(tenancy: Tenancy, slug: str = "acme") -> list[list[tuple[int, int]]]:
    """Return up to which entry, and how many, were removed each time, by log."""
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        return [
            [(base.sequence, base.removed) for base in journal.bases.every(db)]
            for journal in journals_of(tenancy, slug)
        ]


def head_of(tenancy: Tenancy, slug: str = "acme") -> tuple[int, str]:
    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        return journals_of(tenancy, slug)[0].head(db)


def assert_guarded(tenancy: Tenancy, slug: str = "acme") -> None:
    for table in (entries, activity):
        with (
            pytest.raises(Exception, match="journal entries are never"),
            store_of(tenancy, tenancy.registry.by_slug(slug).server).changing_schema(
                tenancy.registry.by_slug(slug)
            ) as owner,
        ):
            owner.execute(delete(table))


def test_old_entries_go_and_a_signed_base_stays(tenancy: Tenancy, acme: Tenant) -> None:
    write(tenancy, "acme", 2)
    first = head_of(tenancy)
    write(tenancy, "acme", OLD - 2)
    last_old, between = head_of(tenancy), datetime.now(UTC)
    write(tenancy, "acme", NEW)
    newest = head_of(tenancy)
    plan = plan_pruning(tenancy, "acme", lambda _db: between)
    assert counts(tenancy) == [OLD + NEW, OLD + NEW]
    pruned = prune(tenancy, between)
    assert pruned.removed == plan.removed == {"security_event": OLD, "activity": OLD}
    assert pruned.begins_at == plan.begins_at == {"security_event": OLD + 1, "activity": OLD + 1}
    assert counts(tenancy) == [NEW + 1, NEW]
    assert bases(tenancy) == [[(OLD, OLD)], [(OLD, OLD)]]
    assert_guarded(tenancy)
    with tenancy.open_db(acme) as db:
        journal = journals_of(tenancy, "acme")[0]
        assert [journal.verify(db, anchor) for anchor in (last_old, newest)] == [NEW + 1] * 2
        with pytest.raises(AnchorPruned, match=rf"that head was pruned on {datetime.now(UTC):%Y-%m-%d}"):
            journal.verify(db, first)
        with pytest.raises(BrokenJournal, match=f"entry {OLD}: it does not match the head"):
            journal.verify(db, (OLD, "0" * 64))
        with pytest.raises(CutOff):
            journal.verify(db, (newest[0] + 2, newest[1]))
        stored = db.execute(select(entries).order_by(entries.c.sequence))
        assert [entry.sequence for entry in journal.read(iter(stored))] == list(range(OLD + 1, OLD + NEW + 2))
    assert counts(tenancy, "globex") == [0, 0]
    # Once more: nothing is old, and nothing is said.
    assert prune(tenancy, between).total == 0
    assert counts(tenancy) == [NEW + 1, NEW]
    # Later all of it is, and a log that is empty goes on where it was.
    assert prune(tenancy, datetime.now(UTC)).total == NEW + 1 + NEW
    assert bases(tenancy) == [[(OLD, OLD), (OLD + NEW + 1, NEW + 1)], [(OLD, OLD), (OLD + NEW, NEW)]]
    write(tenancy, "acme", 1)
    assert counts(tenancy) == [2, 1]


def test_many_go_in_several_transactions_and_leave_one_base(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    between = fill(tenancy)
    monkeypatch.setattr(pruning, "BATCH", 3)
    said = []
    prune(tenancy, between, say=lambda _db, pruned: said.append(dict(pruned.removed)))
    assert said == [{"security_event": OLD, "activity": OLD}]
    assert bases(tenancy) == [[(OLD, OLD)], [(OLD, OLD)]]
    assert counts(tenancy) == [NEW, NEW]


def test_of_a_broken_log_nothing_is_removed(tenancy: Tenancy, acme: Tenant) -> None:
    between = fill(tenancy)
    with store_of(tenancy, acme.server).changing_schema(acme) as owner:
        disabled = "DROP TRIGGER security_event_no_update"
        owner.execute(text(disabled if acme.server == EMBEDDED else f"{disabled} ON security_event"))
        # Among those that would stay.
        owner.execute(entries.update().where(entries.c.sequence == OLD + 2).values(actor="mallory"))
    for refused in (prune, lambda place, moment: plan_pruning(place, "acme", lambda _db: moment)):
        with pytest.raises(BrokenJournal, match=f"entry {OLD + 2}: its column actor"):
            refused(tenancy, between)
    assert bases(tenancy) == [[], []]


def test_what_fails_at_the_end_removes_nothing_and_the_guard_is_back(tenancy: Tenancy) -> None:
    between = fill(tenancy)

    def refuse(_db: TenantSession, _pruned: Pruned) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        prune(tenancy, between, say=refuse)
    assert counts(tenancy) == [OLD + NEW, OLD + NEW]
    assert bases(tenancy) == [[], []]
    assert_guarded(tenancy)


def test_a_closed_tenants_logs_end_too_without_a_word(tenancy: Tenancy, acme: Tenant) -> None:
    between = fill(tenancy)
    with tenancy.registry.writing() as connection:
        unfinished.begin(connection, acme.uuid, "move", "copying")
    with pytest.raises(IllegalTransition, match="unfinished move"):
        prune(tenancy, between)
    with tenancy.registry.writing() as connection:
        unfinished.end(connection, acme.uuid)
    tenancy.registry.move_to(acme, State.CLOSED)
    assert prune(tenancy, between).total == 2 * OLD
    assert counts(tenancy) == [NEW, NEW]


def test_the_operators_journal_ends_too(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = tenancy.operator_journal

    def note(count: int) -> None:
        for _ in range(count):
            with tenancy.registry.writing() as connection:
                append(connection, journal, "command")

    note(OLD)
    between = datetime.now(UTC)
    note(NEW)
    monkeypatch.setattr(pruning, "BATCH", 3)
    plan = prune_operators_journal(tenancy, between, dry_run=True)
    pruned = prune_operators_journal(tenancy, between)
    assert plan == pruned == Pruned(between, {"operators": OLD}, {"operators": OLD + 1})
    with tenancy.registry.engine.connect() as connection:
        assert journal.verify(connection) == NEW
    with pytest.raises(Exception, match="journal entries are never"), tenancy.registry.writing() as connection:
        connection.execute(delete(journal.entries))
    note(1)
    assert prune_operators_journal(tenancy, between).total == 0


# -- what becomes of it afterwards -------------------------------------------------------------------------------------


@pytest.mark.parametrize("server", [EMBEDDED, "pg1"])
def test_rotations_backups_clones_and_moves_take_it_along(
    movable: Tenancy, server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "_SETTLE_SECONDS", 0)
    if server != EMBEDDED:
        lifecycle.move_tenant(movable, "acme", server)
    before = counts(movable)
    between = fill(movable)
    back_up(movable, "acme")
    prune(movable, between)
    expected, removed = [NEW + 1, NEW], bases(movable)
    assert counts(movable) == expected
    assert removed == [[(count + OLD, count + OLD)] for count in before]

    rotate_keys(movable, "acme", lambda _db: 0)
    assert (counts(movable), bases(movable)) == (expected, removed)

    lifecycle.clone_tenant(movable, "acme", lifecycle.NewTenant("twin", "Twin", server))
    assert (counts(movable, "twin"), bases(movable, "twin")) == (expected, removed)
    # Its base is signed with its own key, for nobody else.
    write(movable, "twin", 1)
    assert prune(movable, datetime.now(UTC), "twin").total == sum(expected) + 2

    whole, _ = back_up(movable, "acme")
    assert verify_backup(movable, "acme").moment.rows["security_event_base"] == 1
    write(movable, "acme", 1)
    assert prune(movable, datetime.now(UTC)).total == sum(expected) + 2
    restore_tenant(movable, "acme", prepare_restored, backup_id=whole.id.hex)
    assert (counts(movable), bases(movable)) == ([expected[0] + 1, expected[1]], removed)

    lifecycle.move_tenant(movable, "acme", "pg1" if server == EMBEDDED else EMBEDDED)
    assert (counts(movable), bases(movable)) == ([expected[0] + 1, expected[1]], removed)
    assert prune(movable, datetime.now(UTC)).total > 0
    write(movable, "acme", 1)
    assert_guarded(movable)


# -- killed at any step ------------------------------------------------------------------------------------------------

STEPS: list[tuple[Any, str]] = [
    (pruning, "_verified"),
    (pruning, "_remove_batch"),
    (pruning, "remove_some"),
    (journal_pruning, "_remove"),
    (journal_pruning, "lifted"),
    (journal_bases.Bases, "replace_after"),
    (journal_bases.Bases, "add"),
    (EmbeddedStore, "changing_schema"),
]


@SQLITE_ONLY
@pytest.mark.parametrize(("place", "name"), STEPS, ids=[name for _, name in STEPS])
@pytest.mark.parametrize("wrap", [killed_before, killed_after])
def test_killed_at_any_step_it_goes_on_and_nothing_else_is_lost(
    settings: Settings, place: Any, name: str, wrap: Callable[[Callable[..., Any]], Callable[..., Any]], tmp_path: Path
) -> None:
    with Tenancy.open(settings, HISTORY) as tenancy:
        between = fill(tenancy)
    for nth in (1, 2, 4):
        home = shutil.copytree(settings.home, tmp_path / f"home{nth}")
        here = Settings(**{**vars_of(settings), "home": home, **moved(settings, home)})
        died = killed(here, between, place, wrap(getattr(place, name)), name, nth)
        assert died or nth > 1
        if died:
            with Tenancy.open(here, HISTORY) as tenancy:
                left = counts(tenancy)
                assert all(NEW <= count <= OLD + NEW for count in left)
                assert_guarded(tenancy)
                if sum(left) > 2 * NEW + 1:
                    prune(tenancy, between)
                assert counts(tenancy) == [NEW + 1, NEW]
                assert [sum(removed for _, removed in log) for log in bases(tenancy)] == [OLD, OLD]


def vars_of(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


def moved(settings: Settings, home: Path) -> dict[str, Any]:
    return {
        "registry_url": settings.registry_url.replace(str(settings.home), str(home)),
        "master_key_file": home / settings.master_key_file.relative_to(settings.home),
    }


def killed(settings: Settings, between: datetime, place: Any, dying: Callable[..., Any], name: str, nth: int) -> bool:
    real, calls = getattr(place, name), 0

    def called(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        return (dying if calls == nth else real)(*arguments, **options)

    def work() -> None:
        with ExitStack() as stack:
            stack.enter_context(patch.object(pruning, "BATCH", 3))
            stack.enter_context(patch.object(place, name, called))
            prune(stack.enter_context(Tenancy.open(settings, HISTORY)), between)

    return killed_in_child(work)


# -- tampered with -----------------------------------------------------------------------------------------------------


def cut(db: Connection, *ends: int) -> None:
    journal = journal_of(ACME)
    for end in ends:
        since = journal.bases.newest(db).sequence
        later = datetime.now(UTC) + timedelta(days=1)
        journal_pruning.remove_some(db, journal, later, since=since, most=end - since)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE security_event_base SET sequence = 3 WHERE sequence = 4",
        "UPDATE security_event_base SET sequence = 3, removed = 1 WHERE sequence = 4",
        "UPDATE security_event_base SET removed = 3 WHERE sequence = 4",
        "UPDATE security_event_base SET mac = zeroblob(32) WHERE sequence = 4",
        "UPDATE security_event_base SET mac = substr(mac, 1, 31) WHERE sequence = 4",
        "UPDATE security_event_base SET at = '2026' WHERE sequence = 2",
        "UPDATE security_event_base SET at = 7 WHERE sequence = 2",
        "UPDATE security_event_base SET signature = zeroblob(32) WHERE sequence = 2",
        "UPDATE security_event_base SET signature = 'text'",
        "DELETE FROM security_event_base WHERE sequence = 2",
        "DELETE FROM security_event_base WHERE sequence = 4",
        "DELETE FROM security_event_base",
        "INSERT INTO security_event_base SELECT 5, mac, 1, at, signature FROM security_event_base WHERE sequence = 4",
        "DELETE FROM security_event WHERE sequence = 5",
        "UPDATE security_event SET sequence = 4 WHERE sequence = 5",
    ],
)
def test_a_base_that_was_tampered_with_is_found(damage: str) -> None:
    with journal_with(6) as (db, raw):
        cut(db, 2, 4)
        assert journal_of(ACME).verify(db) == 2
        assert raw.execute(damage).rowcount > 0
        with pytest.raises(BrokenJournal):
            journal_of(ACME).verify(db)
        with pytest.raises(BrokenJournal):
            cut(db, 5)


def test_another_tenants_base_is_nobody_elses() -> None:
    with journal_with(4) as (db, _raw), journal_with(4, GLOBEX) as (_db, theirs):
        cut(db, 2)
        (row,) = db.execute(select(BASES)).all()
        insert_into(theirs, tuple(row))
        theirs.execute("DELETE FROM security_event WHERE sequence <= 2")
        with pytest.raises(BrokenJournal):
            journal_of(GLOBEX).verify(_db)


def insert_into(raw: Raw, values: tuple[Any, ...]) -> None:
    raw.execute("INSERT INTO security_event_base VALUES (?, ?, ?, ?, ?)", values)


def test_a_log_from_before_there_were_bases_is_read_as_it_is() -> None:
    with journal_with(3) as (db, raw):
        raw.execute("DROP TABLE security_event_base")
        assert Journal(entries, journal_of(ACME)._head, ACME, has_bases=False).verify(db) == 3
        append_one(db, ACME, 4)
