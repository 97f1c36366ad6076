"""Between the registry's note and the tenant's mail: whatever is cut short, no mail is lost and few are looked for."""

from __future__ import annotations

from datetime import timedelta
from uuid import uuid4

import pytest
import structlog
from sqlalchemy import delete

from extranet.mail import sweeping
from extranet.mail import worker as worker_module
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.models import Mail, User
from tenants import lifecycle
from tenants.errors import TenantUnavailable
from tenants.moments import now
from tenants.registry_tables import outbox_table
from tests.mail.conftest import Post
from tests.mail.examples import VALUES
from tests.platform import user_id
from tests.services.smtp import Mailbox

KEPT_ON = ("sqlite", "postgresql")


@pytest.fixture(autouse=True)
def _no_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the safety net away: what is sent here is sent because of a note."""
    monkeypatch.setattr(sweeping.Sweep, "some", lambda _self: False)


def test_a_mail_is_noted_where_it_is_posted(letters: Post) -> None:
    letters.write()
    (row,) = letters.noted()
    assert row.tenant_uuid == letters.platform.tenant("acme").uuid
    assert letters.send() == 1


def test_a_note_whose_mail_is_not_there_yet_is_kept_until_it_must_be(letters: Post, mailbox: Mailbox) -> None:
    platform = letters.platform
    with platform.tenancy.open_db(platform.tenant("acme"), writing=True) as db:
        post(db, MailKind.RESET, db.get_one(User, user_id("anna")), **VALUES[MailKind.RESET])
        platform.tenancy.outboxes.note(platform.tenant("acme").uuid)
        # A worker that looks right now finds nothing.
        assert letters.mails() == []
        db.commit()
    assert letters.send() == 1


def test_an_empty_outbox_is_looked_at_less_and_less_and_then_forgotten(letters: Post) -> None:
    letters.platform.tenancy.outboxes.note(letters.platform.tenant("acme").uuid)
    looks = []
    while letters.noted():
        letters.send()
        if rows := letters.noted():
            pause = (rows[0].look_at - now()).total_seconds()
            looks.append(round(pause))
            letters.age(seconds=int(pause) + 1)
    assert looks[0] == 1
    assert looks == sorted(looks)
    assert 5 < len(looks) < 15
    assert sum(looks) >= 40


def test_a_mail_that_waits_for_its_next_attempt_is_looked_at_then(letters: Post, mailbox: Mailbox) -> None:
    mailbox.answers = ["451 later"]
    letters.write()
    letters.send()
    (row,) = letters.noted()
    assert timedelta(seconds=50) < row.look_at - now() <= timedelta(minutes=1)
    # Another mail meanwhile does not wait with it.
    letters.write()
    assert letters.send() == 1
    (row,) = letters.noted()
    assert row.look_at - now() > timedelta(seconds=40)


def test_what_is_posted_while_a_worker_looks_is_not_forgotten(letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    uuid = letters.platform.tenant("acme").uuid
    letters.platform.tenancy.outboxes.note(uuid)
    letters.age(minutes=5)
    look = worker_module.next_look

    def look_and_be_late(db):
        seen = look(db)
        letters.write()
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "next_look", look_and_be_late)
        letters.worker()._turn()
    assert len(letters.noted()) == 1
    assert letters.send() == 1


def test_a_note_of_nobody_is_forgotten(letters: Post) -> None:
    tenancy = letters.platform.tenancy
    letters.write()
    with tenancy.registry.writing() as connection:
        connection.execute(outbox_table.update().values(tenant_uuid=uuid4()))
    assert letters.send() == 0
    assert letters.noted() == []


def test_a_tenant_that_is_not_served_is_looked_at_every_five_minutes(letters: Post) -> None:
    letters.write()
    lifecycle.suspend_tenant(letters.platform.tenancy, "acme")
    letters.send()
    (row,) = letters.noted()
    assert timedelta(minutes=4) < row.look_at - now() <= timedelta(minutes=5)


def test_a_registry_that_does_not_answer_is_waited_for(letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    letters.write()
    worker = letters.worker()
    with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
        patch.setattr(letters.platform.tenancy.outboxes, "due", refuse)
        assert not worker._turn()
    assert [line["event"] for line in lines] == ["registry"]
    worker._rests_until = 0.0
    worker.run(once=True)
    assert worker.sent == 1


def test_a_request_that_posts_a_mail_notes_it(letters: Post) -> None:
    # A second browser: somebody has to be told.
    letters.platform.signed_in("acme", "anna")
    with letters.platform.db("acme") as db:
        db.execute(delete(Mail))
    with letters.platform.tenancy.registry.writing() as connection:
        connection.execute(delete(outbox_table))
    letters.platform.signed_in("acme", "anna")
    assert [mail.kind for mail in letters.mails()] == ["new_browser"]
    assert letters.send() == 1


class TestSweep:
    """What finds a mail nobody has spoken of."""

    @pytest.fixture(autouse=True)
    def _no_sweep(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sweeping, "_AT_A_TIME", 1)

    def test_a_lost_note_is_made_good(self, letters: Post) -> None:
        letters.write("globex")
        with letters.platform.tenancy.registry.writing() as connection:
            connection.execute(delete(outbox_table))
        assert letters.send() == 1

    def test_it_comes_again_in_an_hour(self, letters: Post) -> None:
        worker = letters.worker()
        worker.run(once=True)
        letters.write()
        with letters.platform.tenancy.registry.writing() as connection:
            connection.execute(delete(outbox_table))
        worker.run(once=True)
        assert worker.sent == 0
        worker._sweep._begins_at -= 3600
        worker.run(once=True)
        assert worker.sent == 1

    def test_a_broken_tenant_does_not_end_it(self, letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
        letters.write("globex")
        with letters.platform.tenancy.registry.writing() as connection:
            connection.execute(delete(outbox_table))
        tenancy, open_db = letters.platform.tenancy, letters.platform.tenancy.open_db

        def fail_for_acme(tenant, *, writing: bool = False):
            return refuse() if tenant.slug == "acme" else open_db(tenant, writing=writing)

        monkeypatch.setattr(tenancy, "open_db", fail_for_acme)
        with structlog.testing.capture_logs() as lines:
            assert letters.send() == 1
        assert lines[0] == {
            "event": "sweep",
            "tenant": str(letters.platform.tenant("acme").uuid),
            "why": "It does not answer.",
            "log_level": "error",
        }

    def test_suspended_tenants_are_left_alone(self, letters: Post) -> None:
        letters.write()
        with letters.platform.tenancy.registry.writing() as connection:
            connection.execute(delete(outbox_table))
        lifecycle.suspend_tenant(letters.platform.tenancy, "acme")
        letters.send()
        assert letters.noted() == []


def refuse(*_: object) -> None:
    raise TenantUnavailable("It does not answer.")
