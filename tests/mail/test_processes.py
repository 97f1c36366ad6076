"""Real workers, each a process of its own: killed, stopped and in company, against a real server."""

from __future__ import annotations

import json
import signal
import stat
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.console import Console
from tests.mail.conftest import Post
from tests.platform import SLUGS
from tests.services.redis import Redis
from tests.services.smtp import Mailbox

KEPT_ON = ("sqlite", "postgresql")
PATIENCE = 30.0
MAILS_A_TENANT = 15


@pytest.fixture
def console(letters: Post, port: int) -> Console:
    return Console(letters.platform.settings.home, EXTRANET_SMTP_URL=f"smtp://127.0.0.1:{port}")


@contextmanager
def working(console: Console, **environment: str) -> Iterator[subprocess.Popen[str]]:
    worker = console.start("worker", environment=environment)
    try:
        yield worker
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.communicate()


def until(happens: Callable[[], object], otherwise: str) -> None:
    end = time.monotonic() + PATIENCE
    while not happens():
        assert time.monotonic() < end, otherwise
        time.sleep(0.02)


def write_all(letters: Post) -> list[str]:
    return [letters.write(slug) for _ in range(MAILS_A_TENANT) for slug in SLUGS]


def all_sent(letters: Post) -> bool:
    return all(mail.sent_at is not None for slug in SLUGS for mail in letters.mails(slug))


def ids_of(mailbox: Mailbox) -> Counter[str]:
    return Counter(name.strip("<>").partition("@")[0] for name in mailbox.ids)


def test_a_worker_killed_in_the_middle_loses_none(letters: Post, mailbox: Mailbox, console: Console) -> None:
    written = write_all(letters)
    mailbox.pause = 0.03
    killed = 0
    while killed < 3:
        with working(console) as worker:
            before = len(mailbox.taken)
            until(lambda before=before: len(mailbox.taken) > before + 3, "It sends nothing.")
            worker.send_signal(signal.SIGKILL)
            worker.wait()
        killed += 1
        for slug in SLUGS:
            letters.age(slug, minutes=9)
    mailbox.pause = 0.0
    done = console.run_for_real("worker", "--once")
    assert done.exit_code == 0, done
    assert all_sent(letters)
    found = ids_of(mailbox)
    assert set(found) == set(written)
    # Only the one at hand when a worker was killed may have come twice, each time under the same id.
    assert sum(found.values()) - len(written) <= killed


def test_several_workers_share_the_mails_and_send_none_twice(letters: Post, mailbox: Mailbox, console: Console) -> None:
    written = write_all(letters)
    mailbox.pause = 0.05
    workers = [console.start("worker") for _ in range(3)]
    until(lambda: all_sent(letters), "Not all are sent.")
    for worker in workers:
        worker.send_signal(signal.SIGTERM)
    shares = [worker.communicate()[1].count('"outcome": "sent"') for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0, 0]
    assert sorted(ids_of(mailbox).elements()) == sorted(written)
    assert sum(shares) == len(written)
    assert sum(share > 0 for share in shares) >= 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_told_to_stop_ends_after_the_mail_at_hand(
    letters: Post, mailbox: Mailbox, console: Console, number: signal.Signals
) -> None:
    write_all(letters)
    mailbox.pause = 0.3
    with working(console) as worker:
        until(lambda: mailbox.taken, "It sends nothing.")
        worker.send_signal(number)
        stdout, stderr = worker.communicate(timeout=PATIENCE)
    assert worker.returncode == 0, stderr
    sent = [mail for slug in SLUGS for mail in letters.mails(slug) if mail.sent_at is not None]
    assert len(sent) == len(mailbox.taken) < MAILS_A_TENANT
    assert stdout == f"{len(sent)} {'mail' if len(sent) == 1 else 'mails'} sent.\n"
    assert not [mail for slug in SLUGS for mail in letters.mails(slug) if mail.leased_until is not None]


def test_a_running_worker_sends_what_is_posted_within_seconds(
    letters: Post, mailbox: Mailbox, console: Console
) -> None:
    with working(console):
        for number in (1, 2):
            letters.write()
            until(lambda number=number: len(mailbox.taken) == number, "It does not look.")


def test_it_says_a_line_a_mail_and_none_of_its_words(letters: Post, mailbox: Mailbox, console: Console) -> None:
    mail_id = letters.write()
    done = console.run_for_real("worker", "--once", "--json")
    assert done.document == {"sent": 1}
    (line,) = [json.loads(line) for line in done.stderr.splitlines()]
    assert set(line) == {"event", "id", "kind", "tenant", "outcome", "level", "timestamp"}
    assert (line["id"], line["outcome"]) == (mail_id, "sent")


def test_without_a_server_mails_become_files(letters: Post) -> None:
    home = letters.platform.settings.home
    mail_id = letters.write("globex")
    done = Console(home).run_for_real("worker", "--once")
    assert (done.exit_code, done.stdout) == (0, "1 mail sent.\n")
    (file,) = Path(home, "mail", "globex").iterdir()
    assert file.name.endswith(f"-{mail_id}.eml")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert letters.mail("globex").sent_at is not None


def test_a_redis_wakes_it_at_once(
    letters: Post, mailbox: Mailbox, console: Console, redis_server: Redis, tmp_path: Path
) -> None:
    password_file = tmp_path / "redis.password"
    password_file.touch(0o600)
    password_file.write_text(redis_server.password)
    environment = {
        "EXTRANET_REDIS_URL": f"redis://{redis_server.host}:{redis_server.port}/0",
        "EXTRANET_REDIS_PASSWORD_FILE": str(password_file),
    }
    with working(console, **environment) as worker:
        letters.write()
        until(lambda: len(mailbox.taken) == 1, "It does not look.")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(PATIENCE) == 0


def test_a_wrong_setting_is_one_sentence(letters: Post, console: Console) -> None:
    answer = console.run("worker", "--once", EXTRANET_SMTP_URL="smtp://mail.example.com")
    assert "EXTRANET_SMTP_URL" in answer.refusal


def test_the_doctor_says_when_mails_wait_or_were_lost(letters: Post, mailbox: Mailbox, console: Console) -> None:
    letters.write()
    letters.write("globex")
    letters.write("globex", username="ben")
    assert "mail:" not in console.run("doctor").stdout
    letters.age(minutes=16)
    letters.age("globex", minutes=16)
    answer = console.run("doctor")
    assert answer.exit_code == 1
    assert "BAD  acme mail: 1 mail waits for more than 15 minutes: is extranet worker running" in answer.stdout
    assert "BAD  globex mail: 2 mails wait for more than 15 minutes" in answer.stdout
    mailbox.recipient_answers["anna@acme.example"] = "550 no"
    letters.send()
    said = console.run("doctor").stdout
    assert "globex mail" not in said
    assert "BAD  acme mail: 1 mail could not be delivered in the last 7 days." in said
    assert "extranet log show acme" in said
    letters.age(days=8)
    assert "mail:" not in console.run("doctor").stdout


def test_the_doctor_lets_the_mails_of_a_suspended_tenant_wait(letters: Post, console: Console) -> None:
    letters.write()
    letters.age(hours=1)
    console.done("tenant", "suspend", "acme")
    assert "acme mail" not in console.run("doctor").stdout
