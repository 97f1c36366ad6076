"""A mail of one tenant never holds another's words, host, name, colour or address, and opens in its own row alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from email.message import EmailMessage

import pytest
from sqlalchemy import select, update

from extranet.mail.colours import accent_of
from extranet.mail.kinds import MailKind
from extranet.models import Company, Mail
from extranet.models.company import THE_COMPANY
from extranet.models.mail import MAIL_SEAL
from tenants import lifecycle
from tenants.errors import BadSeal
from tenants.mail_server import MailServer, Security
from tests.mail.conftest import Post
from tests.mail.examples import VALUES
from tests.platform import SLUGS, Platform
from tests.services.smtp import Mailbox, smtp_server

HUES = {"acme": 20, "globex": 200}
OTHER = {"acme": "globex", "globex": "acme"}


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def letters(platform: Platform, mailbox: Mailbox) -> Iterator[Post]:
    for slug, hue in HUES.items():
        with platform.db(slug) as db:
            db.get_one(Company, THE_COMPANY).accent_hue = hue
    with smtp_server(mailbox) as port:
        letters = Post(platform, MailServer(Security.NONE, "127.0.0.1", port))
        yield letters
        for worker in letters.workers:
            worker._delivery.close()


def everything_in(message: EmailMessage) -> str:
    bodies = [str(part.get_content()) for part in message.iter_parts()]
    return "\n".join([*(f"{name}: {value}" for name, value in message.items()), *bodies])


def test_every_mail_is_its_own_tenant_s_from_first_to_last(letters: Post, mailbox: Mailbox) -> None:
    for kind in VALUES:
        for slug in SLUGS:
            letters.write(slug, kind)
    letters.send()
    assert len(mailbox.taken) == 2 * len(MailKind)
    for envelope, message in zip(mailbox.taken, mailbox.messages, strict=True):
        ((_, _, domain),) = [to.partition("@") for to in envelope.rcpt_tos]
        slug = domain.partition(".")[0]
        said = everything_in(message)
        assert slug in said
        assert str(message["From"]).startswith(slug.capitalize())
        assert str(message["Message-ID"]).endswith(f"@{slug}.localhost>")
        assert accent_of(HUES[slug]).light in said
        for foreign in (OTHER[slug], OTHER[slug].capitalize(), accent_of(HUES[OTHER[slug]]).light):
            assert foreign not in said


def test_a_mail_does_not_open_in_another_tenant(letters: Post, mailbox: Mailbox) -> None:
    mail_id = letters.write("acme")
    letters.write("globex")
    stolen = letters.mail("acme").content
    keys = letters.platform.tenancy.keys_of(letters.platform.tenant("globex"))
    with pytest.raises(BadSeal):
        keys.open(MAIL_SEAL.purpose, stolen, MAIL_SEAL.bound_to(mail_id))
    with letters.platform.db("globex") as db:
        db.execute(update(Mail).values(id=mail_id, content=stolen))
    letters.send()
    assert [str(message["Message-ID"]) for message in mailbox.messages] == [f"<{mail_id}@acme.localhost>"]
    assert letters.mail("globex").fault == "cannot be opened: BadSeal"


def test_a_mail_does_not_open_in_another_row(letters: Post, mailbox: Mailbox) -> None:
    first, second = letters.write(), letters.write(kind=MailKind.RESET, username="ben")
    contents = {mail.id: mail.content for mail in letters.mails()}
    with letters.platform.db("acme") as db:
        db.execute(update(Mail).where(Mail.id == first).values(content=contents[second]))
    letters.send()
    assert [str(message["To"]) for message in mailbox.messages] == ["ben@acme.example"]


def test_what_waits_is_sealed(letters: Post) -> None:
    letters.write("acme", MailKind.RESET)
    content = letters.mail().content
    for word in ("anna", "acme", "link", "password", "Hello"):
        assert word.encode() not in content
    assert json.dumps("Hello")[1:-1] in letters.content(letters.mail())["text"]


def test_links_lead_to_the_tenant_whatever_the_request_says(letters: Post, mailbox: Mailbox) -> None:
    browser = letters.platform.signed_in("acme", "anna")
    browser.post("/logout")
    again = letters.platform.browser("acme")
    for headers in ({"X-Forwarded-Host": "globex.localhost:8000"}, {"Forwarded": "host=globex.localhost"}):
        again.post("/login", {"username": "anna", "password": "correct horse battery staple"}, headers=headers)
    letters.send()
    assert mailbox.taken
    for message in mailbox.messages:
        assert "globex" not in everything_in(message)


def test_a_copy_of_a_tenant_sends_none_of_the_original_s_mails(letters: Post, mailbox: Mailbox) -> None:
    letters.write("acme")
    platform = letters.platform
    lifecycle.clone_tenant(platform.tenancy, "acme", lifecycle.NewTenant("acme-copy", "Copy"))
    with platform.db("acme-copy", writing=False) as db:
        assert list(db.scalars(select(Mail))) == []
    assert letters.send() == 1


def test_a_server_hears_of_one_tenant_s_people_in_that_tenant_s_mails_alone(letters: Post, mailbox: Mailbox) -> None:
    letters.write("acme")
    letters.write("globex")
    letters.send()
    assert sorted(envelope.rcpt_tos for envelope in mailbox.taken) == [["anna@acme.example"], ["anna@globex.example"]]
