"""A real SMTP server on a loopback port, which can be told to behave badly."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.services.service import HOST, free_port


class Mailbox:
    """What a server has taken, and how it answers: ``answers`` are used up one by one, then everything is taken.

    An answer is a reply to the mail's last byte; "drop" ends the connection instead, "stall" says nothing,
    "after" takes the mail and ends the connection before saying so.
    """

    def __init__(self) -> None:
        self.taken: list[Envelope] = []
        self.answers: list[str] = []
        self.recipient_answers: dict[str, str] = {}
        self.sender_answer = ""
        self.pause = 0.0
        self.encrypted: list[bool] = []
        self.connections = 0

    @property
    def messages(self) -> list[EmailMessage]:
        """What was taken, parsed as strictly as Python can."""
        policy = email.policy.SMTP.clone(raise_on_defect=True)
        return [email.message_from_bytes(envelope.original_content or b"", policy=policy) for envelope in self.taken]

    @property
    def ids(self) -> list[str]:
        return [str(message["Message-ID"]) for message in self.messages]

    async def handle_EHLO(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, name: str, lines: list[str]
    ) -> Any:
        self.connections += 1
        session.host_name = name
        return lines

    async def handle_MAIL(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        envelope.mail_from = address
        return self.sender_answer or "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: Any
    ) -> str:
        if answer := self.recipient_answers.get(address):
            return answer
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        answer = self.answers.pop(0) if self.answers else ""
        if self.pause:
            await asyncio.sleep(self.pause)
        if answer == "stall":
            await asyncio.sleep(60)
        if answer not in {"", "after"}:
            if answer == "drop":
                server.transport.close()
            return answer
        self.taken.append(envelope)
        self.encrypted.append(server.transport.get_extra_info("ssl_object") is not None)
        if answer == "after":
            server.transport.close()
        return "250 OK"


@contextmanager
def smtp_server(
    mailbox: Mailbox,
    *,
    port: int = 0,
    starttls: ssl.SSLContext | None = None,
    tls: ssl.SSLContext | None = None,
    login: tuple[str, str] | None = None,
) -> Iterator[int]:
    """Serve a mailbox; yield the port.

    With ``starttls`` it wants STARTTLS first, with ``tls`` it speaks nothing else, with ``login`` it asks who is there.
    """

    def check(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: Any) -> AuthResult:
        given = (data.login.decode(), data.password.decode()) if isinstance(data, LoginPassword) else None
        return AuthResult(success=given == login, handled=False)

    controller = Controller(
        mailbox,
        hostname=HOST,
        port=port or free_port(),
        tls_context=starttls,
        ssl_context=tls,
        require_starttls=starttls is not None,
        authenticator=check if login else None,
        auth_required=login is not None,
    )
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def tls_context(chain: Path, key: Path) -> ssl.SSLContext:
    """Return what a server shows its certificate with."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain, key)
    return context
