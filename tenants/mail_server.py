"""The server that takes this platform's mails, as EXTRANET_SMTP_URL names it."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.headerregistry import Address
from enum import StrEnum
from urllib.parse import SplitResult, unquote, urlsplit

from tenants.errors import BadSettings


class Security(StrEnum):
    """How the connection is kept from being read and changed on its way."""

    NONE = "smtp"
    TLS = "smtps"
    STARTTLS = "smtp+starttls"


_PORTS = {Security.NONE: 25, Security.TLS: 465, Security.STARTTLS: 587}


@dataclass(frozen=True, slots=True)
class MailServer:
    """Where mails are handed over, and as whom; ``user`` is "" where nobody has to say who they are."""

    security: Security
    host: str
    port: int
    user: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.security}://{host}:{self.port}"


def parse_mail_server(text: str) -> MailServer | None:
    """Return the server a URL names, None when there is none; raise BadSettings.

    What is refused is not quoted: unlike a file, the environment is shown by many tools, and this may hold a password.
    """
    if not text:
        return None
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise BadSettings("EXTRANET_SMTP_URL is not a URL.") from None
    if url.scheme not in list(Security):
        raise BadSettings("EXTRANET_SMTP_URL begins with smtps://, smtp+starttls:// or smtp://.")
    if url.password is not None:
        raise BadSettings("EXTRANET_SMTP_URL holds no password: name a file in EXTRANET_SMTP_PASSWORD_FILE.")
    if not url.hostname or _has_more(url):
        raise BadSettings("EXTRANET_SMTP_URL is like smtp+starttls://USER@HOST:PORT, without anything behind.")
    security = Security(url.scheme)
    if security is Security.NONE and not _is_loopback(url.hostname):
        raise BadSettings("EXTRANET_SMTP_URL: links in mails open accounts. smtp:// is for this machine alone.")
    return MailServer(security, url.hostname, port or _PORTS[security], unquote(url.username or ""))


def parse_mail_from(text: str, domain: str) -> str:
    """Return the address that mails come from; raise BadSettings."""
    address = text or f"no-reply@{domain}"
    if not _is_address(address):
        raise BadSettings(f"EXTRANET_MAIL_FROM is not an e-mail address: {address!r}.")
    return address


def _is_address(text: str) -> bool:
    try:
        parsed = Address(addr_spec=text)
    except (HeaderParseError, ValueError, IndexError):
        return False
    return bool(parsed.domain) and text.isascii() and text.isprintable()


def _has_more(url: SplitResult) -> bool:
    return url.path not in {"", "/"} or bool(url.query or url.fragment)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
