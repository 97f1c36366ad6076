"""What the platform is told by its environment: one frozen table, read once, checked at start."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from tenants.errors import BadHost, BadSettings
from tenants.hosts import parse_host
from tenants.mail_server import MailServer, parse_mail_from, parse_mail_server

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX_PEER = "unix"
"""In EXTRANET_TRUSTED_PROXIES: believe whoever can open the unix socket (nginx, by its file mode)."""

_DEMO_PORT = 8000
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?(?::[0-9]{1,5})?", re.ASCII)

HELP = {
    "EXTRANET_HOME": "state folder: registry, tenant databases, files (default: var)",
    "EXTRANET_DOMAIN": "tenants answer at <slug>.<domain>; a port may follow when it is not 443 (default: localhost)",
    "EXTRANET_REGISTRY_URL": "the registry's database: sqlite:///PATH or postgresql://USER@HOST/DATABASE, its "
    "password in a file that passfile= names (default: SQLite in the home folder)",
    "EXTRANET_MASTER_KEY_FILE": "file with the master key, readable by its owner alone (default: systemd's "
    "credentials folder, then master.key in the home folder)",
    "EXTRANET_TRUSTED_PROXIES": "networks, or 'unix', whose X-Forwarded-For is believed (default: none)",
    "EXTRANET_WORKERS": "gunicorn workers (default: one a processor, at least two)",
    "EXTRANET_NODES": "machines that serve this platform: they share each server's connections (default: 1)",
    "EXTRANET_REDIS_URL": "redis://HOST:PORT/DATABASE or rediss:// or unix://, without a password: counts attempts and "
    "carries wake-ups between machines (default: none, the registry counts)",
    "EXTRANET_REDIS_PASSWORD_FILE": "file with Redis's password, readable by its owner alone (default: no password)",
    "EXTRANET_SMTP_URL": "the server that takes mails: smtps://USER@HOST:PORT or smtp+starttls://, without a password; "
    "smtp:// for one on this machine (default: none, extranet worker writes mails into the home folder)",
    "EXTRANET_SMTP_PASSWORD_FILE": "file with that server's password, readable by its owner alone (default: none)",
    "EXTRANET_MAIL_FROM": "address that mails come from (default: no-reply at EXTRANET_DOMAIN)",
    "EXTRANET_SSO_INSIDE": "hosts (or host:port) inside your networks that tenants may name as identity provider; "
    "plain http on this machine alone (default: none, only public addresses over TLS)",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything the web application and the command line must agree on."""

    home: Path
    domain: str
    port: int
    registry_url: str
    master_key_file: Path
    trusted_proxies: tuple[Network, ...]
    trust_unix_peer: bool
    workers: int
    nodes: int
    redis_url: str
    redis_password_file: Path | None
    mail_server: MailServer | None
    mail_password_file: Path | None
    mail_from: str
    sso_inside: frozenset[str]

    @property
    def is_local(self) -> bool:
        """Whether browsers treat every host here as secure without TLS."""
        return _is_local(self.domain)

    @property
    def scheme(self) -> str:
        """``http`` on localhost, ``https`` everywhere else."""
        return "http" if self.is_local else "https"

    def host_of(self, slug: str) -> str:
        """Return the host a slug answers at."""
        return f"{slug}.{self.domain}"

    def origin(self, host: str) -> str:
        """Return scheme, host and, where it is not the default one, port, as a browser's Origin spells them."""
        default = 80 if self.scheme == "http" else 443
        return f"{self.scheme}://{host}" + ("" if self.port == default else f":{self.port}")

    def folder_of(self, tenant_uuid: UUID) -> Path:
        """Return the folder that holds one tenant's database and files. Built from the UUID alone."""
        return self.home / "tenants" / str(tenant_uuid)

    def backups_of(self, tenant_uuid: UUID) -> Path:
        """Return the folder that holds one tenant's backups."""
        return self.home / "backups" / str(tenant_uuid)

    def mails_of(self, slug: str) -> Path:
        """Return the folder that mails of a tenant become files in, while no server takes them."""
        return self.home / "mail" / slug


def read_settings(environ: Mapping[str, str] = os.environ) -> Settings:
    """Read and check the environment; raise BadSettings with one sentence when something is off."""
    unknown = sorted(name for name in environ if name.startswith("EXTRANET_") and name not in HELP)
    if unknown:
        raise BadSettings(f"Unknown setting {unknown[0]}. Known are: {', '.join(HELP)}.")
    home = Path(environ.get("EXTRANET_HOME") or "var").absolute()
    domain, port = _domain(environ.get("EXTRANET_DOMAIN") or "localhost")
    proxies = environ.get("EXTRANET_TRUSTED_PROXIES", "").replace(",", " ").split()
    return Settings(
        home=home,
        domain=domain,
        port=port,
        registry_url=environ.get("EXTRANET_REGISTRY_URL") or f"sqlite:///{home / 'registry.sqlite3'}",
        master_key_file=_master_key_file(environ, home),
        trusted_proxies=tuple(_network(text) for text in proxies if text != UNIX_PEER),
        trust_unix_peer=UNIX_PEER in proxies,
        workers=_number(environ, "EXTRANET_WORKERS", max(2, os.cpu_count() or 2)),
        nodes=_number(environ, "EXTRANET_NODES", 1),
        redis_url=_redis_url(environ.get("EXTRANET_REDIS_URL", "")),
        redis_password_file=_path_or_none(environ.get("EXTRANET_REDIS_PASSWORD_FILE", "")),
        mail_server=_mail_server(environ),
        mail_password_file=_path_or_none(environ.get("EXTRANET_SMTP_PASSWORD_FILE", "")),
        mail_from=parse_mail_from(environ.get("EXTRANET_MAIL_FROM", ""), domain),
        sso_inside=_hosts(environ.get("EXTRANET_SSO_INSIDE", "")),
    )


def _domain(text: str) -> tuple[str, int]:
    try:
        domain = parse_host(text)
    except BadHost as error:
        raise BadSettings(f"EXTRANET_DOMAIN is not a DNS name: {text!r}.") from error
    _, colon, port = text.partition(":")
    if colon:
        return domain, int(port)
    return domain, _DEMO_PORT if _is_local(domain) else 443


def _is_local(domain: str) -> bool:
    return domain == "localhost" or domain.endswith(".localhost")


def _master_key_file(environ: Mapping[str, str], home: Path) -> Path:
    if path := environ.get("EXTRANET_MASTER_KEY_FILE"):
        return Path(path).absolute()
    if credentials := environ.get("CREDENTIALS_DIRECTORY"):
        return Path(credentials) / "extranet-master-key"
    return home / "master.key"


def _network(text: str) -> Network:
    try:
        network = ipaddress.ip_network(text)
    except ValueError as error:
        raise BadSettings(f"EXTRANET_TRUSTED_PROXIES: {text!r} is neither a network nor 'unix'.") from error
    if network.prefixlen == 0:
        raise BadSettings(f"EXTRANET_TRUSTED_PROXIES: {text!r} would let anybody forge an address.")
    return network


def _redis_url(text: str) -> str:
    # Unlike a file, the environment is shown by many tools. What is refused is not quoted: it may hold a password.
    try:
        url = urlsplit(text)
    except ValueError:
        raise BadSettings("EXTRANET_REDIS_URL is not a URL.") from None
    if text and url.scheme not in {"redis", "rediss", "unix"}:
        raise BadSettings("EXTRANET_REDIS_URL begins with redis://, rediss:// or unix://.")
    if url.password is not None or "password" in parse_qs(url.query, keep_blank_values=True):
        raise BadSettings("EXTRANET_REDIS_URL holds no password: name a file in EXTRANET_REDIS_PASSWORD_FILE.")
    return text


def _mail_server(environ: Mapping[str, str]) -> MailServer | None:
    server = parse_mail_server(environ.get("EXTRANET_SMTP_URL", ""))
    has_password = bool(environ.get("EXTRANET_SMTP_PASSWORD_FILE"))
    if has_password != bool(server and server.user):
        raise BadSettings("EXTRANET_SMTP_URL names a user exactly when EXTRANET_SMTP_PASSWORD_FILE names a file.")
    return server


def _hosts(text: str) -> frozenset[str]:
    named = text.lower().replace(",", " ").split()
    for host in named:
        if not _HOST.fullmatch(host):
            raise BadSettings(f"EXTRANET_SSO_INSIDE: {host!r} is no host or host:port.")
    return frozenset(named)


def _path_or_none(text: str) -> Path | None:
    return Path(text).absolute() if text else None


def _number(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and 1 <= int(text) <= 64):
        raise BadSettings(f"{name} is a number from 1 to 64, not {text!r}.")
    return int(text)
