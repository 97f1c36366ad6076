from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select, update

from extranet.mail.delivery import delivery_of
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.mail.worker import Worker
from extranet.models import Mail, User
from extranet.models.mail import MAIL_SEAL
from tenants.mail_server import MailServer, Security
from tenants.registry_tables import outbox_table
from tests.mail.examples import VALUES
from tests.platform import Platform, user_id
from tests.services.smtp import Mailbox, smtp_server


@dataclass
class Post:
    """The mails of one platform: written as operations write them, sent by workers of this test's own."""

    platform: Platform
    server: MailServer | None = None
    workers: list[Worker] = field(default_factory=list)

    def write(
        self, slug: str = "acme", kind: MailKind = MailKind.NEW_BROWSER, username: str = "anna", **values: Any
    ) -> str:
        """Post a mail; return its id."""
        with self.platform.db(slug) as db:
            post(db, kind, db.get_one(User, user_id(username)), **{**VALUES[kind], **values})
            (mail,) = [new for new in db.new if isinstance(new, Mail)]
            return mail.id

    def worker(self) -> Worker:
        """Return a worker whose tenancy is the platform's own."""
        settings = replace(self.platform.settings, mail_server=self.server)
        worker = Worker(self.platform.tenancy, delivery_of(settings))
        self.workers.append(worker)
        return worker

    def send(self) -> int:
        """Send what is due now; return how many mails left."""
        worker = self.worker()
        worker.run(once=True)
        return worker.sent

    def mails(self, slug: str = "acme") -> list[Mail]:
        with self.platform.db(slug, writing=False) as db:
            return list(db.scalars(select(Mail).order_by(Mail.created_at, Mail.id)))

    def mail(self, slug: str = "acme") -> Mail:
        (mail,) = self.mails(slug)
        return mail

    def content(self, mail: Mail, slug: str = "acme") -> dict[str, str]:
        keys = self.platform.tenancy.keys_of(self.platform.tenant(slug))
        opened: dict[str, str] = json.loads(keys.open(MAIL_SEAL.purpose, mail.content, MAIL_SEAL.bound_to(mail.id)))
        return opened

    def age(self, slug: str = "acme", **by: int) -> None:
        """Let time pass for a tenant's mails, and for what the registry says of them."""
        passed = timedelta(**by)
        moments = ("created_at", "due_at", "leased_until", "sent_at", "given_up_at")
        with self.platform.db(slug) as db:
            for mail in db.scalars(select(Mail)):
                for name in moments:
                    if (moment := getattr(mail, name)) is not None:
                        setattr(mail, name, moment - passed)
        with self.platform.tenancy.registry.writing() as connection:
            for row in connection.execute(select(outbox_table)).all():
                earlier = {name: getattr(row, name) - passed for name in ("noted_at", "look_at")}
                mine = outbox_table.c.tenant_uuid == row.tenant_uuid
                connection.execute(update(outbox_table).where(mine).values(earlier))

    def noted(self) -> list[Any]:
        """What the registry says of outboxes."""
        with self.platform.tenancy.registry.engine.connect() as connection:
            return list(connection.execute(select(outbox_table)).all())


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def port(mailbox: Mailbox) -> Iterator[int]:
    with smtp_server(mailbox) as port:
        yield port


@pytest.fixture
def letters(platform: Platform, port: int) -> Iterator[Post]:
    """A platform whose mails go to a real server."""
    letters = Post(platform, MailServer(Security.NONE, "127.0.0.1", port))
    yield letters
    for worker in letters.workers:
        worker._delivery.close()
