"""The registry knows which tenants have mail: it is told before the mail is there, and forgets only what is over."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import select

from tenants import lifecycle, wakeups
from tenants.databases import TenantSession
from tenants.errors import TenantUnavailable
from tenants.moments import now
from tenants.outboxes import Noted
from tenants.registry_tables import outbox_table
from tenants.settings import read_settings
from tenants.shared_store import open_store
from tenants.tenancy import Tenancy, initialise
from tenants.wakeups import MAIL_CHANNEL, Wakeups
from tests.platform import SQLITE_ONLY
from tests.services.redis import Redis
from tests.tenants.world import HISTORY, note, prepare

KEPT_ON = ("sqlite", "postgresql")


def rows(tenancy: Tenancy) -> list[tuple[str, int]]:
    names = {tenant.uuid: tenant.slug for tenant in tenancy.registry.all()}
    with tenancy.registry.engine.connect() as connection:
        found = connection.execute(select(outbox_table).order_by(outbox_table.c.look_at)).all()
    return [(names.get(row.tenant_uuid, "nobody"), row.number) for row in found]


def write(db: TenantSession, key: str = "2") -> None:
    """Do what ``post`` does: write something, and say that it is mail."""
    db.add(note("mail", key))
    db.info["posted"] = True


def test_whoever_commits_mail_notes_it_first(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = tenancy.registry.by_slug("acme")
    with tenancy.open_db(acme, writing=True) as db:
        write(db)
        assert rows(tenancy) == []
        db.commit()
        assert rows(tenancy) == [("acme", 1)]
        # What is committed next holds no mail.
        db.add(note("no mail", "3"))
        db.commit()
        assert rows(tenancy) == [("acme", 1)]
        write(db, "4")
        db.commit()
        assert rows(tenancy) == [("acme", 2)]


def test_what_cannot_be_noted_is_not_committed(tenancy: Tenancy, monkeypatch: pytest.MonkeyPatch) -> None:
    acme = tenancy.registry.by_slug("acme")
    with monkeypatch.context() as patch, tenancy.open_db(acme, writing=True) as db:
        patch.setattr(tenancy.outboxes, "note", fail)
        write(db)
        with pytest.raises(TenantUnavailable):
            db.commit()
    with tenancy.open_db(acme) as db:
        assert db.get(type(note("")), "2") is None


def test_a_crash_between_the_two_leaves_a_note_and_no_mail(tenancy: Tenancy) -> None:
    acme = tenancy.registry.by_slug("acme")
    with tenancy.open_db(acme, writing=True) as db:
        write(db, "1")
        # The first key is taken: the commit fails after the note was written.
        with pytest.raises(Exception, match=r"(?i)unique"):
            db.commit()
    assert rows(tenancy) == [("acme", 1)]


def test_a_savepoint_notes_nothing_and_hides_nothing(tenancy: Tenancy) -> None:
    acme = tenancy.registry.by_slug("acme")
    with tenancy.open_db(acme, writing=True) as db:
        with db.begin_nested():
            write(db)
        assert rows(tenancy) == []
        db.commit()
    assert rows(tenancy) == [("acme", 1)]


def test_a_tenant_that_is_being_made_notes_the_mail_of_its_first_day(tenancy: Tenancy) -> None:
    def fill(db: TenantSession) -> None:
        prepare(db)
        write(db)

    lifecycle.create_tenant(tenancy, "initech", "Initech", fill)
    assert rows(tenancy) == [("initech", 1)]


def test_a_db_that_was_not_opened_by_a_tenancy_notes_nothing(tenancy: Tenancy) -> None:
    acme = tenancy.registry.by_slug("acme")
    with tenancy.databases.open(acme, writing=True) as db:
        write(db)
        db.commit()
    assert rows(tenancy) == []


def test_due_are_those_whose_moment_has_come_the_longest_waiting_first(tenancy: Tenancy) -> None:
    first, second, third = uuid4(), uuid4(), uuid4()
    for uuid in (first, second, third):
        tenancy.outboxes.note(uuid)
    assert [noted.tenant_uuid for noted in tenancy.outboxes.due(2)] == [first, second]
    (noted, *_) = tenancy.outboxes.due(9)
    tenancy.outboxes.look_again(noted, now() + timedelta(minutes=1))
    assert [noted.tenant_uuid for noted in tenancy.outboxes.due(9)] == [second, third]
    tenancy.outboxes.look_again(noted, now())
    assert [noted.tenant_uuid for noted in tenancy.outboxes.due(9)] == [second, third, first]
    # Noted again, it is due at once.
    tenancy.outboxes.look_again(noted, now() + timedelta(minutes=1))
    tenancy.outboxes.note(first)
    assert first in {noted.tenant_uuid for noted in tenancy.outboxes.due(9)}


def test_what_was_noted_again_meanwhile_is_neither_removed_nor_put_off(tenancy: Tenancy) -> None:
    uuid = uuid4()
    tenancy.outboxes.note(uuid)
    (seen,) = tenancy.outboxes.due(9)
    tenancy.outboxes.note(uuid)
    tenancy.outboxes.remove(seen)
    tenancy.outboxes.look_again(seen, now() + timedelta(days=1))
    (again,) = tenancy.outboxes.due(9)
    assert again == Noted(uuid, 2, again.noted_at)
    tenancy.outboxes.remove(again)
    assert tenancy.outboxes.due(9) == []


def test_a_mention_changes_nothing_of_what_is_known(tenancy: Tenancy) -> None:
    uuid = uuid4()
    tenancy.outboxes.mention(uuid)
    (seen,) = tenancy.outboxes.due(9)
    tenancy.outboxes.look_again(seen, now() + timedelta(days=1))
    tenancy.outboxes.mention(uuid)
    assert tenancy.outboxes.due(9) == []
    assert rows(tenancy) == [("nobody", 1)]


def test_twenty_who_note_at_once_leave_one_row(tenancy: Tenancy) -> None:
    uuid = uuid4()
    threads = [threading.Thread(target=tenancy.outboxes.note, args=(uuid,)) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert rows(tenancy) == [("nobody", 20)]


@SQLITE_ONLY
def test_nothing_is_left_of_a_purged_tenant(tenancy: Tenancy) -> None:
    acme = tenancy.registry.by_slug("acme")
    tenancy.outboxes.note(acme.uuid)
    lifecycle.rename_tenant(tenancy, "acme", "acme-group")
    for slug in ("acme", "acme-group", "globex"):
        tenancy.settings.mails_of(slug).mkdir(parents=True)
    lifecycle.close_tenant(tenancy, "acme-group")
    lifecycle.purge_tenant(tenancy, "acme-group", at_once=True)
    assert rows(tenancy) == []
    # While no server takes mails they are files.
    assert [folder.name for folder in (tenancy.settings.home / "mail").iterdir()] == ["globex"]


def test_a_listener_is_woken_once_the_mail_is_committed(
    tmp_path: Path, redis_server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wakeups, "_QUIET_SECONDS", 0.05)
    password_file = tmp_path / "redis.password"
    password_file.touch(0o600)
    password_file.write_text(redis_server.password)
    settings = read_settings(
        {
            "EXTRANET_HOME": str(tmp_path / "home"),
            "EXTRANET_REDIS_URL": f"redis://{redis_server.host}:{redis_server.port}/0",
            "EXTRANET_REDIS_PASSWORD_FILE": str(password_file),
        }
    )
    initialise(settings)
    woken = threading.Semaphore(0)
    store = open_store(settings)
    assert store is not None
    listener = Wakeups(store, woken.release, MAIL_CHANNEL)
    listener.listen()
    with Tenancy.open(settings, HISTORY) as tenancy:
        lifecycle.create_tenant(tenancy, "acme", "Acme", prepare)
        # It is woken when it begins to be heard from.
        assert woken.acquire(timeout=5)
        with tenancy.open_db(tenancy.registry.by_slug("acme"), writing=True) as db:
            write(db)
            db.flush()
            assert not woken.acquire(timeout=0.2)
            db.commit()
        assert woken.acquire(timeout=5)
        assert [noted.number for noted in tenancy.outboxes.due(9)] == [1]
        # What changes in the registry is announced elsewhere.
        tenancy.registry.announce()
        assert not woken.acquire(timeout=0.2)
    listener.close()
    for thread in threading.enumerate():
        if thread.name == "wakeups":
            thread.join(5)


def fail(*_: object) -> None:
    raise TenantUnavailable("The registry does not answer.")
