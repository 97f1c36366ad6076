"""What becomes of a mail: every way a server can answer, and every way a worker can find the outbox."""

from __future__ import annotations

import email.utils
import socket
import threading
import time
from datetime import timedelta

import pytest
import structlog
from sqlalchemy import update

from extranet.mail import delivery, leases
from extranet.mail import worker as worker_module
from extranet.mail.kinds import MailKind
from extranet.models import Mail, User
from extranet.models.base import utc_now
from extranet.security_log.events import Event
from extranet.security_log.operations import read_last
from tenants import lifecycle
from tenants.errors import TenantUnavailable
from tenants.mail_server import MailServer, Security
from tenants.rotation import rotate_keys
from tests.mail.conftest import Post
from tests.platform import SQLITE_ONLY, user_id
from tests.services.postgresql import Cluster
from tests.services.service import free_port
from tests.services.smtp import Mailbox, smtp_server
from tests.tenants.servers import cleaned, register

KEPT_ON = ("sqlite", "postgresql")
ANNA = "anna@acme.example"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "PATIENCE_SECONDS", 0.5)
    monkeypatch.setattr(worker_module, "_NOTING_PAUSES", (0.01, 0.01))


def test_a_mail_is_sent_once_and_its_content_forgotten(letters: Post, mailbox: Mailbox) -> None:
    mail_id = letters.write()
    assert letters.send() == 1
    assert letters.send() == 0
    (message,) = mailbox.messages
    assert message["Message-ID"] == f"<{mail_id}@acme.localhost>"
    assert [envelope.rcpt_tos for envelope in mailbox.taken] == [[ANNA]]
    assert [envelope.mail_from for envelope in mailbox.taken] == ["no-reply@localhost"]
    mail = letters.mail()
    assert mail.sent_at is not None
    assert (mail.content, mail.due_at, mail.leased_until, mail.given_up_at) == (b"", None, None, None)
    assert mail.attempts == 1


def test_a_mail_goes_where_it_is_told_to(letters: Post, mailbox: Mailbox) -> None:
    letters.write(kind=MailKind.CONFIRM_EMAIL, address="anna@new.example")
    letters.send()
    assert mailbox.taken[0].rcpt_tos == ["anna@new.example"]
    assert mailbox.messages[0]["To"] == "anna@new.example"


def test_its_headers_are_those_of_a_machine_and_name_the_tenant(letters: Post, mailbox: Mailbox) -> None:
    letters.write()
    created = letters.mail().created_at
    letters.send()
    (message,) = mailbox.messages
    assert message["From"] == "Acme <no-reply@localhost>"
    assert message["To"] == ANNA
    assert message["Subject"] == "Signed in with a new browser"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "All"
    assert message["Content-Language"] == "en"
    assert message["Reply-To"] is None
    assert email.utils.parsedate_to_datetime(message["Date"]) == created.replace(microsecond=0)
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]


@pytest.mark.parametrize("answer", ["451 4.3.0 not now anna@acme.example", "drop", "stall"])
def test_what_is_not_taken_is_tried_again_after_a_minute(letters: Post, mailbox: Mailbox, answer: str) -> None:
    mailbox.answers = [answer]
    letters.write()
    assert letters.send() == 0
    mail = letters.mail()
    assert (mail.attempts, mail.sent_at, mail.leased_until, mail.given_up_at) == (1, None, None, None)
    assert mail.content
    assert mail.due_at is not None
    assert timedelta(seconds=50) < mail.due_at - utc_now() <= timedelta(minutes=1)
    assert "@" not in mail.fault
    assert mail.fault
    assert letters.send() == 0
    letters.age(minutes=1)
    assert letters.send() == 1
    assert letters.mail().fault == ""


def test_a_mail_that_was_taken_without_a_word_comes_again_under_the_same_id(letters: Post, mailbox: Mailbox) -> None:
    mailbox.answers = ["after"]
    letters.write()
    assert letters.send() == 0
    letters.age(minutes=1)
    assert letters.send() == 1
    first, second = mailbox.ids
    assert first == second


def test_the_pauses_grow_to_six_hours_and_end_after_three_days(letters: Post, mailbox: Mailbox) -> None:
    mailbox.recipient_answers[ANNA] = "450 4.2.0 full"
    letters.write()
    pauses = []
    while letters.mail().given_up_at is None:
        letters.send()
        mail = letters.mail()
        if mail.due_at is not None:
            pause = mail.due_at - utc_now()
            pauses.append(round(pause / timedelta(minutes=1)))
            letters.age(seconds=int(pause.total_seconds()) + 1)
    assert pauses[:10] == [1, 2, 4, 8, 16, 32, 64, 128, 256, 360]
    assert set(pauses[10:]) == {360}
    assert timedelta(days=2, hours=12) < timedelta(minutes=sum(pauses)) <= timedelta(days=3)
    assert letters.mail().content == b""
    assert letters.mail().fault == "450 4.2.0"
    assert mailbox.taken == []


def test_a_mail_that_waited_for_days_is_not_given_up_at_the_first_no(letters: Post, mailbox: Mailbox) -> None:
    letters.write()
    letters.age(days=5)
    mailbox.answers = ["451 later"]
    letters.send()
    assert letters.mail().given_up_at is None
    letters.age(minutes=1)
    assert letters.send() == 1


@pytest.mark.parametrize("where", ["recipient", "content"])
def test_what_is_refused_for_good_is_given_up_and_said_in_the_log(letters: Post, mailbox: Mailbox, where: str) -> None:
    said = "550 5.1.1 <anna@acme.example> is nobody"
    if where == "recipient":
        mailbox.recipient_answers[ANNA] = said
    else:
        mailbox.answers = [said]
    letters.write()
    letters.write(username="ben")
    assert letters.send() == 1
    anna, ben = sorted(letters.mails(), key=lambda mail: mail.sent_at is not None)
    assert anna.given_up_at is not None
    assert (anna.fault, anna.content, anna.due_at, anna.sent_at) == ("550 5.1.1", b"", None, None)
    assert ben.sent_at is not None
    with letters.platform.db("acme", writing=False) as db:
        (entry,) = [entry for entry in read_last(db, 20) if entry.event == Event.MAIL_GIVEN_UP]
    assert entry.subject == anna.user_id
    assert entry.details["kind"] == "new_browser"
    assert entry.details["fault"] == "550 5.1.1"
    assert ANNA not in str(entry)


def test_while_no_server_answers_no_mail_loses_an_attempt(letters: Post, mailbox: Mailbox, port: int) -> None:
    letters.server = MailServer(Security.NONE, "127.0.0.1", free_port())
    letters.write()
    with structlog.testing.capture_logs() as lines:
        assert letters.send() == 0
    assert [line["event"] for line in lines] == ["mail server"]
    mail = letters.mail()
    assert (mail.attempts, mail.leased_until, mail.fault) == (0, None, "")
    letters.server = MailServer(Security.NONE, "127.0.0.1", port)
    assert letters.send() == 1


def test_a_server_that_closes_while_it_refuses_is_asked_again(letters: Post, mailbox: Mailbox) -> None:
    mailbox.recipient_answers[ANNA] = "421 4.3.2 closing"
    letters.write()
    letters.write(username="ben")
    assert letters.send() == 1
    assert sorted(mail.fault for mail in letters.mails()) == ["", "421 4.3.2"]


def test_a_worker_that_sleeps_wakes_when_it_is_told_to(letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_LOOK_EVERY_SECONDS", 60.0)
    worker = letters.worker()
    running = threading.Thread(target=worker.run)
    running.start()
    letters.write()
    end = time.monotonic() + 20
    while worker.sent == 0:
        assert time.monotonic() < end
        worker.wake()
        time.sleep(0.05)
    worker.stop()
    running.join(20)
    assert not running.is_alive()


def test_a_server_that_refuses_the_sender_costs_no_mail_an_attempt(letters: Post, mailbox: Mailbox) -> None:
    mailbox.sender_answer = "550 5.7.1 who are you"
    letters.write()
    assert letters.send() == 0
    assert letters.mail().attempts == 0
    mailbox.sender_answer = ""
    assert letters.send() == 1


def test_a_worker_rests_longer_and_longer_before_a_silent_server(letters: Post) -> None:
    letters.server = MailServer(Security.NONE, "127.0.0.1", free_port())
    letters.write()
    worker = letters.worker()
    for rest in (2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0):
        worker._rests_until = 0.0
        assert not worker._turn()
        assert worker._rest_seconds == rest
    with structlog.testing.capture_logs() as lines:
        assert not worker._turn()
    assert lines == []


def test_one_connection_serves_many_mails_and_is_made_anew_when_it_was_lost(mailbox: Mailbox, letters: Post) -> None:
    worker = letters.worker()
    for username in ("anna", "ben", "gus"):
        letters.write(username=username)
    worker.run(once=True)
    assert (len(mailbox.taken), mailbox.connections) == (3, 1)
    worker._delivery._connection.sock.shutdown(socket.SHUT_RDWR)
    letters.write()
    worker.run(once=True)
    assert (len(mailbox.taken), mailbox.connections) == (4, 2)


def test_what_cannot_be_opened_is_kept_for_three_days_and_holds_up_nobody(letters: Post, mailbox: Mailbox) -> None:
    broken = letters.write()
    letters.write(username="ben")
    with letters.platform.db("acme") as db:
        db.execute(update(Mail).where(Mail.id == broken).values(content=b"x" * 60))
    assert letters.send() == 1
    (mail,) = [mail for mail in letters.mails() if mail.id == broken]
    assert mail.fault == "cannot be opened: BadSeal"
    assert mail.due_at is not None


def test_an_address_no_server_takes_is_given_up(letters: Post, mailbox: Mailbox) -> None:
    letters.write(kind=MailKind.CONFIRM_EMAIL, address="zoë@new.example")
    letters.write(kind=MailKind.CONFIRM_EMAIL, address="zoe@bücher.example")
    letters.write(kind=MailKind.CONFIRM_EMAIL, address="nobody at@all")
    assert letters.send() == 1
    assert mailbox.taken[0].rcpt_tos == ["zoe@xn--bcher-kva.example"]
    assert sorted(mail.fault for mail in letters.mails()) == [
        "",
        "an address with letters before the @ that few servers take",
        "not an address",
    ]


@pytest.mark.parametrize("leave", [lifecycle.suspend_tenant, lifecycle.close_tenant])
def test_a_tenant_that_is_not_served_sends_nothing_until_it_is_again(letters: Post, mailbox: Mailbox, leave) -> None:
    letters.write()
    tenancy = letters.platform.tenancy
    leave(tenancy, "acme")
    assert letters.send() == 0
    come_back = lifecycle.resume_tenant if leave is lifecycle.suspend_tenant else lifecycle.reopen_tenant
    come_back(tenancy, "acme")
    letters.age(minutes=5)
    assert letters.send() == 1


def test_a_tenant_suspended_between_two_mails_stops_at_once(letters: Post, mailbox: Mailbox) -> None:
    letters.write()
    letters.write()
    worker = letters.worker()
    hand_over = worker._delivery.hand_over

    def suspend_first(message, slug: str) -> None:
        lifecycle.suspend_tenant(letters.platform.tenancy, "acme")
        hand_over(message, slug)

    worker._delivery.hand_over = suspend_first
    worker.run(once=True)
    # The one at hand was in the server's hands already, and that is noted.
    assert len(mailbox.taken) == 1
    assert sorted(mail.sent_at is None for mail in letters.mails()) == [False, True]


def test_a_flood_of_one_tenant_holds_up_no_other(letters: Post, mailbox: Mailbox) -> None:
    for _ in range(worker_module.MOST_A_TURN + 5):
        letters.write("acme")
    letters.write("globex")
    letters.send()
    whose = [str(message["From"]).partition(" ")[0] for message in mailbox.messages]
    assert whose.index("Globex") == worker_module.MOST_A_TURN
    assert len(whose) == worker_module.MOST_A_TURN + 6


def test_who_had_a_turn_stands_behind_those_who_wait(letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "_TENANTS_A_TURN", 1)
    monkeypatch.setattr(worker_module, "MOST_A_TURN", 1)
    for _ in range(3):
        letters.write("acme")
    letters.age("acme", hours=1)
    letters.write("globex")
    worker = letters.worker()
    worker._sweep._begins_at = float("inf")
    worker._turn()
    worker._turn()
    assert letters.mail("globex").sent_at is not None


def test_a_broken_database_holds_up_nobody_else(letters: Post, monkeypatch: pytest.MonkeyPatch) -> None:
    letters.write("acme")
    letters.write("globex")
    tenancy, open_db = letters.platform.tenancy, letters.platform.tenancy.open_db

    def fail_for_acme(tenant, *, writing: bool = False):
        if tenant.slug == "acme":
            raise TenantUnavailable("The database of acme is damaged.")
        return open_db(tenant, writing=writing)

    with monkeypatch.context() as patch, structlog.testing.capture_logs() as lines:
        patch.setattr(tenancy, "open_db", fail_for_acme)
        assert letters.send() == 1
    assert {line["why"] for line in lines if line["log_level"] == "error"} == {"The database of acme is damaged."}
    assert letters.mail("globex").sent_at is not None
    letters.age(minutes=1)
    assert letters.send() == 1


def test_a_mail_whose_sending_could_not_be_noted_is_not_sent_again_by_the_same_worker(
    letters: Post, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.write()
    worker = letters.worker()
    with monkeypatch.context() as patch:
        patch.setattr(worker_module, "note_sent", refuse)
        worker.run(once=True)
    assert len(mailbox.taken) == 1
    assert letters.mail().sent_at is None
    letters.age(minutes=10)
    worker.run(once=True)
    assert len(mailbox.taken) == worker.sent == 1
    assert letters.mail().sent_at is not None


def test_noting_is_tried_again_while_a_tenant_is_moved(
    letters: Post, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    letters.write()
    tries = []

    def at_the_second_try(db, mail_id: str, now) -> None:
        tries.append(mail_id)
        if len(tries) == 1:
            raise TenantUnavailable("It is being moved.")
        leases.note_sent(db, mail_id, now)

    monkeypatch.setattr(worker_module, "note_sent", at_the_second_try)
    assert letters.send() == 1
    assert letters.mail().sent_at is not None


def test_a_lease_that_ran_out_is_anybody_s_and_one_that_has_not_is_nobody_else_s(letters: Post) -> None:
    letters.write()
    with letters.platform.db("acme") as db:
        mail = leases.lease(db, utc_now())
        assert mail is not None
        assert leases.lease(db, utc_now()) is None
    assert letters.send() == 0
    letters.age(minutes=9)
    assert letters.send() == 1
    # The one who was too slow changes nothing any more.
    with letters.platform.db("acme") as db:
        leases.give_up(db, mail, utc_now(), "too late")
        leases.postpone(db, mail, utc_now(), "too late")
        leases.release(db, mail)
    mail = letters.mail()
    assert mail.sent_at is not None
    assert (mail.given_up_at, mail.due_at, mail.fault, mail.attempts) == (None, None, "", 2)


def test_rows_are_forgotten_a_month_after_their_end(letters: Post, mailbox: Mailbox) -> None:
    mailbox.recipient_answers[ANNA] = "550 no"
    letters.write()
    letters.write(username="ben")
    letters.send()
    letters.age(days=29)
    letters.write(username="gus")
    letters.send()
    assert len(letters.mails()) == 3
    letters.age(days=2)
    letters.send()
    assert [mail.user_id for mail in letters.mails()] == [user_id("gus")]


def test_a_line_a_mail_says_what_became_of_it_and_nothing_of_its_words(letters: Post, mailbox: Mailbox) -> None:
    mailbox.recipient_answers[ANNA] = "550 5.1.1 <anna@acme.example> is nobody"
    mailbox.recipient_answers["gus@acme.example"] = "450 4.2.0 <gus@acme.example> is full"
    ids = [letters.write(username=username) for username in ("anna", "ben", "gus")]
    with structlog.testing.capture_logs() as lines:
        letters.send()
    tenant = str(letters.platform.tenant("acme").uuid)
    outcomes = ["given up: 550 5.1.1", "sent", "postponed: 450 4.2.0"]
    assert lines == [
        {
            "event": "mail",
            "id": mail_id,
            "kind": "new_browser",
            "tenant": tenant,
            "outcome": outcome,
            "log_level": "info",
        }
        for mail_id, outcome in zip(ids, outcomes, strict=True)
    ]


def test_a_user_s_language_at_the_moment_of_posting_is_the_mail_s(letters: Post, mailbox: Mailbox) -> None:
    with letters.platform.db("acme") as db:
        db.get_one(User, user_id("anna")).language = "fr"
    letters.write()
    letters.send()
    assert mailbox.messages[0]["Content-Language"] == "fr"


def test_a_worker_that_is_told_to_stop_ends_after_the_mail_at_hand(letters: Post, mailbox: Mailbox) -> None:
    for _ in range(3):
        letters.write()
    worker = letters.worker()
    hand_over = worker._delivery.hand_over

    def stop_first(message, slug: str) -> None:
        worker.stop()
        hand_over(message, slug)

    worker._delivery.hand_over = stop_first
    worker.run()
    assert len(mailbox.taken) == 1
    assert sorted(mail.sent_at is None for mail in letters.mails()) == [False, True, True]


def test_the_server_comes_back_at_another_time(letters: Post, mailbox: Mailbox) -> None:
    port = free_port()
    letters.server = MailServer(Security.NONE, "127.0.0.1", port)
    letters.write()
    worker = letters.worker()
    worker.run(once=True)
    with smtp_server(mailbox, port=port):
        worker._rests_until = 0.0
        worker.run(once=True)
        assert worker.sent == 1
        assert worker._rest_seconds == 1.0


def refuse(*_: object) -> None:
    raise TenantUnavailable("The disk is full.")


@SQLITE_ONLY
def test_a_tenant_that_is_moved_while_its_mail_is_on_its_way_does_not_send_it_again(
    letters: Post, mailbox: Mailbox, cluster: Cluster
) -> None:
    letters.write()
    worker = letters.worker()
    hand_over = worker._delivery.hand_over

    def move_first(message, slug: str) -> None:
        lifecycle.move_tenant(letters.platform.tenancy, "acme", "pg1")
        hand_over(message, slug)

    worker._delivery.hand_over = move_first
    with cleaned(cluster):
        register(letters.platform.tenancy, cluster)
        worker.run(once=True)
        assert letters.platform.tenant("acme").server == "pg1"
        assert len(mailbox.taken) == 1
        assert letters.mail().sent_at is not None
        letters.platform.tenancy.databases.close()


@SQLITE_ONLY
def test_mails_that_wait_are_sent_after_a_new_key_was_made(letters: Post, mailbox: Mailbox) -> None:
    letters.write()
    sealed = letters.mail().content
    rotate_keys(letters.platform.tenancy, "acme", lambda *_: 0)
    assert letters.mail().content != sealed
    assert letters.send() == 1
    assert mailbox.messages[0]["To"] == ANNA


def test_a_mail_keeps_its_id_when_the_tenant_takes_another_slug(letters: Post, mailbox: Mailbox) -> None:
    mailbox.answers = ["451 later"]
    mail_id = letters.write()
    letters.send()
    lifecycle.rename_tenant(letters.platform.tenancy, "acme", "acme-group")
    letters.age("acme-group", minutes=1)
    assert letters.send() == 1
    assert mailbox.ids == [f"<{mail_id}@acme.localhost>"]
