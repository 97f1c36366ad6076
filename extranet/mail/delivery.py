"""Handing a mail over: to a server, or into a folder where there is none."""

from __future__ import annotations

import re
import smtplib
import ssl
from contextlib import suppress
from email.message import EmailMessage
from functools import cached_property
from typing import Protocol

from extranet.mail.messages import Undeliverable
from tenants.durable import write_new
from tenants.mail_server import MailServer, Security
from tenants.secret_files import read_secret_file
from tenants.settings import Settings

# For each answer of the server; a mail is leased for longer than all of them together may take.
PATIENCE_SECONDS = 30.0
_ENHANCED = re.compile(rb"[245]\.\d{1,3}\.\d{1,3}(?=\s|$)")


class ServerDown(Exception):
    """Raised when no mail at all can be handed over just now; no single mail is at fault."""


class Postponed(Exception):
    """Raised when this mail could not be handed over now, and perhaps can later."""

    def __init__(self, fault: str) -> None:
        super().__init__(fault)
        self.fault = fault


class Delivery(Protocol):
    """Where mails go."""

    def hand_over(self, message: EmailMessage, slug: str) -> None:
        """Return when somebody else answers for the mail; raise Undeliverable, Postponed or ServerDown."""

    def close(self) -> None:
        """Let go of what is kept open."""


def delivery_of(settings: Settings) -> Delivery:
    """Return where this platform's mails go; raise BadSettings."""
    if settings.mail_server is None:
        return Folder(settings)
    file = settings.mail_password_file
    return Server(settings.mail_server, read_secret_file("EXTRANET_SMTP_PASSWORD_FILE", file) if file else "")


class Server:
    """One connection to the server that takes mails, kept from mail to mail while both sides want it."""

    def __init__(self, server: MailServer, password: str) -> None:
        self._server = server
        self._password = password
        self._connection: smtplib.SMTP | None = None

    def hand_over(self, message: EmailMessage, slug: str) -> None:
        """Return once the server has said 250: from then on it answers for the mail."""
        connection = self._connected()
        try:
            connection.send_message(message)
        except smtplib.SMTPRecipientsRefused as refused:
            self._reset()
            ((code, said),) = refused.recipients.values()
            raise _failure(code, said) from None
        except smtplib.SMTPDataError as refused:
            self._reset()
            raise _failure(refused.smtp_code, refused.smtp_error) from None
        except smtplib.SMTPSenderRefused as refused:
            # The sender is the same for every mail.
            self.close()
            raise ServerDown(f"refuses the sender: {_codes(refused.smtp_code, refused.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            # Perhaps it has taken the mail and could not say so: sent again, it has the same Message-ID.
            self._drop()
            raise Postponed(f"the connection ended: {type(error).__name__}") from error

    def close(self) -> None:
        """Say goodbye, as far as the server still listens."""
        if self._connection is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._drop()

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # The system's authorities, and the server's name is checked.
        return ssl.create_default_context()

    def _connected(self) -> smtplib.SMTP:
        if self._connection is not None and self._is_alive(self._connection):
            return self._connection
        self._drop()
        try:
            self._connection = self._connect()
        except smtplib.SMTPResponseException as error:
            raise ServerDown(f"answers {_codes(error.smtp_code, error.smtp_error)}") from None
        except (smtplib.SMTPException, OSError) as error:
            raise ServerDown(f"{type(error).__name__}: {getattr(error, 'strerror', None) or error}") from error
        return self._connection

    def _connect(self) -> smtplib.SMTP:
        where = self._server
        connection: smtplib.SMTP
        if where.security is Security.TLS:
            connection = smtplib.SMTP_SSL(where.host, where.port, timeout=PATIENCE_SECONDS, context=self._tls)
        else:
            connection = smtplib.SMTP(where.host, where.port, timeout=PATIENCE_SECONDS)
        try:
            if where.security is Security.STARTTLS:
                # Raises when the server offers none: nothing is sent in the open.
                connection.starttls(context=self._tls)
            if where.user:
                connection.login(where.user, self._password)
        except BaseException:
            connection.close()
            raise
        return connection

    def _is_alive(self, connection: smtplib.SMTP) -> bool:
        # Servers hang up on who stands idle; to find that out with a mail would cost it an attempt.
        try:
            return connection.noop()[0] == 250
        except (smtplib.SMTPException, OSError):
            return False

    def _reset(self) -> None:
        if self._connection is not None:
            try:
                self._connection.rset()
            except (smtplib.SMTPException, OSError):
                self._drop()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class Folder:
    """Where mails lie as files that a mail program opens, for who has no server: one folder a tenant."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def hand_over(self, message: EmailMessage, slug: str) -> None:
        """Write the mail; the newest file sorts last."""
        folder = self._settings.mails_of(slug)
        folder.parent.mkdir(mode=0o700, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        moment = message["Date"].datetime.strftime("%Y%m%d-%H%M%S")
        name = f"{moment}-{message['Message-ID'].strip('<>').partition('@')[0]}.eml"
        # Sent again after a crash, it is the same mail.
        with suppress(FileExistsError):
            write_new(folder / name, message.as_bytes())

    def close(self) -> None:
        """Do nothing: nothing is kept open."""


def _failure(code: int, said: bytes | str) -> Undeliverable | Postponed:
    fault = _codes(code, said)
    return Undeliverable(fault) if 500 <= code <= 599 else Postponed(fault)


def _codes(code: int, said: bytes | str) -> str:
    """Return the numbers of an answer alone: its words quote addresses."""
    found = _ENHANCED.match(said if isinstance(said, bytes) else said.encode())
    return f"{code} {found[0].decode()}" if found else str(code)
