"""How mails are handed over: in the open to nobody but this machine, and headers that nobody can add to."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from email.message import EmailMessage
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extranet.mail.delivery import Delivery, Folder, Server, ServerDown, delivery_of
from extranet.mail.messages import Undeliverable, compose
from tenants.errors import BadSettings
from tenants.mail_server import MailServer, Security
from tenants.settings import read_settings
from tests.front_door.door import make_certificate
from tests.services.service import free_port
from tests.services.smtp import Mailbox, smtp_server, tls_context

AT = datetime(2026, 11, 22, 13, 5, tzinfo=UTC)
CONTENT = {
    "to": "anna@acme.example",
    "subject": "A new password",
    "text": "Hello Anna,\n",
    "html": "<p>Hello Anna,</p>\n",
    "language": "en",
    "sender": "Acme",
    "host": "acme.example.com",
}
FROM = "no-reply@example.com"
ID = "ab" * 16


def message(**content: str) -> EmailMessage:
    return compose(ID, AT, {**CONTENT, **content}, FROM)


@pytest.fixture
def certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """A certificate for localhost that this system trusts."""
    chain, key = make_certificate(tmp_path / "tls", "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(chain))
    return chain, key


def hand_over(delivery: Delivery) -> None:
    try:
        delivery.hand_over(message(), "acme")
    finally:
        delivery.close()


def test_starttls_and_a_password(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    mailbox = Mailbox()
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("hunter2\n")
    with smtp_server(mailbox, starttls=tls_context(*certificate), login=("secretary", "hunter2")) as port:
        settings = read_settings(
            {
                "EXTRANET_SMTP_URL": f"smtp+starttls://secretary@localhost:{port}",
                "EXTRANET_SMTP_PASSWORD_FILE": str(password),
            }
        )
        hand_over(delivery_of(settings))
    assert mailbox.encrypted == [True]


def test_tls_from_the_first_byte(certificate: tuple[Path, Path]) -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox, tls=tls_context(*certificate)) as port:
        hand_over(Server(MailServer(Security.TLS, "localhost", port), ""))
    assert mailbox.encrypted == [True]


def test_a_wrong_password_is_the_server_s_matter_and_no_mail_s(certificate: tuple[Path, Path]) -> None:
    mailbox = Mailbox()
    with (
        smtp_server(mailbox, starttls=tls_context(*certificate), login=("secretary", "hunter2")) as port,
        pytest.raises(ServerDown, match="535") as down,
    ):
        hand_over(Server(MailServer(Security.STARTTLS, "localhost", port, "secretary"), "hunter3"))
    assert "hunter3" not in str(down.value)


def test_a_server_that_offers_no_tls_gets_nothing() -> None:
    mailbox = Mailbox()
    with smtp_server(mailbox) as port, pytest.raises(ServerDown, match="STARTTLS"):
        hand_over(Server(MailServer(Security.STARTTLS, "localhost", port, "secretary"), "hunter2"))
    assert mailbox.taken == []


@pytest.mark.parametrize("security", [Security.STARTTLS, Security.TLS])
def test_a_certificate_nobody_vouches_for_gets_nothing(tmp_path: Path, security: Security) -> None:
    mailbox = Mailbox()
    context = tls_context(*make_certificate(tmp_path / "tls", "localhost"))
    how = {"tls": context} if security is Security.TLS else {"starttls": context}
    with smtp_server(mailbox, **how) as port, pytest.raises(ServerDown, match=r"(?i)certificate"):
        hand_over(Server(MailServer(security, "localhost", port), ""))
    assert mailbox.taken == []


def test_a_certificate_for_another_name_gets_nothing(certificate: tuple[Path, Path]) -> None:
    mailbox = Mailbox()
    with (
        smtp_server(mailbox, starttls=tls_context(*certificate)) as port,
        pytest.raises(ServerDown, match=r"(?i)certificate"),
    ):
        hand_over(Server(MailServer(Security.STARTTLS, "127.0.0.1", port), ""))
    assert mailbox.taken == []


def test_who_is_not_there_takes_nothing() -> None:
    server = Server(MailServer(Security.NONE, "127.0.0.1", free_port()), "")
    with pytest.raises(ServerDown, match="ConnectionRefused"):
        hand_over(server)
    server.close()


def test_a_password_file_that_others_can_read_is_refused(tmp_path: Path) -> None:
    password = tmp_path / "password"
    password.touch(0o644)
    password.chmod(0o644)
    settings = read_settings(
        {"EXTRANET_SMTP_URL": "smtps://secretary@localhost", "EXTRANET_SMTP_PASSWORD_FILE": str(password)}
    )
    with pytest.raises(BadSettings, match="open to others"):
        delivery_of(settings)


def test_without_a_server_mails_are_files_of_their_owner_s_alone(tmp_path: Path) -> None:
    delivery = delivery_of(read_settings({"EXTRANET_HOME": str(tmp_path)}))
    hand_over(delivery)
    # After a crash it comes again, and is the same.
    hand_over(delivery)
    (file,) = (tmp_path / "mail").rglob("*.eml")
    assert file == tmp_path / "mail" / "acme" / f"20261122-130500-{ID}.eml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in (file.parent, file.parent.parent)} == {0o700}
    assert b"\r\nSubject: A new password\r\n" in file.read_bytes()


def test_two_tenants_files_lie_apart(tmp_path: Path) -> None:
    folder = Folder(read_settings({"EXTRANET_HOME": str(tmp_path)}))
    folder.hand_over(message(), "acme")
    folder.hand_over(message(), "globex")
    assert sorted(path.parent.name for path in tmp_path.rglob("*.eml")) == ["acme", "globex"]


INJECTED = ["x\r\nBcc: eve@evil.example", "x\nBcc: eve@evil.example", "x\rBcc: eve@evil.example"]


@pytest.mark.parametrize("evil", INJECTED)
@pytest.mark.parametrize("header", ["sender", "subject", "to", "host"])
def test_a_header_with_a_line_break_is_refused(header: str, evil: str) -> None:
    with pytest.raises(Undeliverable) as refused:
        message(**{header: evil}).as_bytes()
    assert "evil" not in refused.value.fault


@given(st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=80))
def test_whatever_a_company_is_called_its_mails_come_from_us_alone(name: str) -> None:
    made = message(sender=name, subject=name)
    raw = made.as_bytes()
    head = raw.partition(b"\r\n\r\n")[0]
    assert head.count(b"\r\nFrom:") + head.startswith(b"From:") == 1
    assert [address.addr_spec for address in made["From"].addresses] == [FROM]
    assert {line.partition(b":")[0] for line in head.split(b"\r\n") if line[:1] not in {b" ", b"\t"}} == {
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"Auto-Submitted",
        b"X-Auto-Response-Suppress",
        b"MIME-Version",
        b"Content-Type",
        b"Content-Language",
    }


@pytest.mark.parametrize(
    "name",
    [
        '"Bank" <support@bank.example>',
        "support@bank.example",
        "Acme, Inc. (Paris)",
        "Élan & Cie",
        "株式会社",
        "a" * 100,
    ],
)
def test_a_company_that_is_called_like_an_address_is_only_called_so(name: str) -> None:
    made = message(sender=name)
    (address,) = made["From"].addresses
    assert (address.display_name, address.addr_spec) == (name, FROM)


def test_lines_are_short_enough_for_every_server() -> None:
    raw = message(text="a" * 5000, html=f"<p>{'é' * 5000}</p>", subject="é" * 300).as_bytes()
    assert max(len(line) for line in raw.split(b"\r\n")) <= 998
    assert b"\n" not in raw.replace(b"\r\n", b"")
