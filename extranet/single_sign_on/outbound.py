"""The only way out: one request to an address that an administrator typed, and as little trust as possible.

The name is resolved once, addresses inside networks are refused, and the connection goes to the very address that was
checked; TLS verifies the name. No redirects, no proxies, no cookies; bounded in time and bytes.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Self
from urllib.parse import urlsplit

from extranet.errors import ProviderUnfit, ProviderUnreachable
from extranet.i18n import gettext as _

CONNECT_SECONDS = 3.0
READ_SECONDS = 5.0
WHOLE_SECONDS = 10.0
MOST_BYTES = 256 * 1024
_LONGEST_URL = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_LOCAL_NAT64 = ipaddress.ip_network("64:ff9b:1::/48")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True, slots=True)
class Answer:
    """What the other side said."""

    host: str
    status: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Target:
    """An address that may be asked: where, and in which way."""

    tls: bool
    host: str
    port: int
    path: str

    @property
    def name(self) -> str:
        """Host and, where it is not the usual one, port."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == (443 if self.tls else 80) else f"{shown}:{self.port}"


class Outbound:
    """Asks identity providers. ``inside`` are the hosts (or host:port) the operator allows inside networks."""

    def __init__(self, inside: frozenset[str] = frozenset(), seconds: float = WHOLE_SECONDS) -> None:
        self._inside = inside
        self._seconds = seconds

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        # To read the machine's authorities takes longer than all else that a start does; most platforms ask nobody.
        return ssl.create_default_context()

    def get(self, url: str) -> Answer:
        """Fetch an address; raise ProviderUnreachable or ProviderUnfit."""
        return self._ask(self.target(url), "GET", None, {})

    def post(self, url: str, form: str, headers: Mapping[str, str]) -> Answer:
        """Send an encoded form to an address; raise ProviderUnreachable or ProviderUnfit."""
        kind = {"Content-Type": "application/x-www-form-urlencoded"}
        return self._ask(self.target(url), "POST", form.encode(), {**headers, **kind})

    def target(self, url: str) -> Target:
        """Return what an address names, without asking it; raise ProviderUnfit when it is none to be asked."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        except ValueError:
            host, port, parts = "", 0, urlsplit("")
        clean = url.isascii() and url.isprintable() and " " not in url and len(url) <= _LONGEST_URL
        if not (host and clean) or parts.username is not None or parts.fragment:
            raise ProviderUnfit(_("This is not an address of a sign-on provider."))
        tls = parts.scheme == "https"
        if not tls and not (parts.scheme == "http" and self._is_inside(host, port)):
            raise ProviderUnfit(_("An address of a sign-on provider begins with https://."))
        return Target(tls, host, port, (parts.path or "/") + (f"?{parts.query}" if parts.query else ""))

    def _is_inside(self, host: str, port: int) -> bool:
        return host in self._inside or f"{host}:{port}" in self._inside

    def _ask(self, target: Target, method: str, body: bytes | None, headers: Mapping[str, str]) -> Answer:
        try:
            with self._connected(target) as connection:
                said = {"Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close", **headers}
                connection.request(method, target.path, body, {"Host": target.name, **said})
                response = connection.getresponse()
                content = response.read(MOST_BYTES + 1)
        except ssl.SSLError as error:
            raise ProviderUnreachable(
                _("%(host)s shows no certificate that this service trusts.", host=target.host)
            ) from error
        except (OSError, http.client.HTTPException) as error:
            raise _silent(target) from error
        if len(content) > MOST_BYTES:
            raise ProviderUnfit(_("%(host)s sends far more than such an answer has.", host=target.host))
        if 300 <= response.status < 400:
            raise ProviderUnfit(
                _("%(host)s leads on to another address. Enter the one it leads to instead.", host=target.host)
            )
        return Answer(target.host, response.status, content)

    @contextmanager
    def _connected(self, target: Target) -> Iterator[http.client.HTTPConnection]:
        ends = time.monotonic() + self._seconds
        connection = http.client.HTTPConnection(target.host, target.port)
        with closing(connection), closing(self._open(target)) as plain:
            plain.settimeout(READ_SECONDS)
            # Each read has a limit, and so has the whole: else a byte every four seconds would hold us for ever.
            with _Deadline(ends - time.monotonic()) as deadline:
                connection.sock = deadline.watched = plain
                if target.tls:
                    secured = self._tls.wrap_socket(plain, server_hostname=target.host, do_handshake_on_connect=False)
                    connection.sock = deadline.watched = secured
                    secured.do_handshake()
                yield connection
                if deadline.has_passed:
                    raise TimeoutError

    def _open(self, target: Target) -> socket.socket:
        """Connect to the first address that answers, of those the name has and all of which may be asked."""
        addresses = _resolved(target)
        for address in addresses:
            self._check(target, address)
        fault: OSError | None = None
        for address in addresses[:2]:
            try:
                return socket.create_connection((str(address), target.port), timeout=CONNECT_SECONDS)
            except OSError as error:
                fault = error
        raise _silent(target) from fault

    def _check(self, target: Target, address: Address) -> None:
        if not target.tls and not address.is_loopback:
            raise ProviderUnfit(_("An address of a sign-on provider begins with https://."))
        if not _is_public(address) and not self._is_inside(target.host, target.port):
            raise ProviderUnfit(
                _(
                    "%(host)s is inside a network, where this service asks nobody. Your operator may allow it.",
                    host=target.host,
                )
            )


class _Deadline:
    """Hangs up on whoever is not done in time."""

    def __init__(self, seconds: float) -> None:
        self.watched: socket.socket | None = None
        self.has_passed = False
        self._timer = threading.Timer(max(0.0, seconds), self._hang_up)
        self._timer.daemon = True

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _hang_up(self) -> None:
        self.has_passed = True
        if self.watched is not None:
            # On the plain socket's own terms: TLS would want to say goodbye first.
            with suppress(OSError):
                socket.socket.shutdown(self.watched, socket.SHUT_RDWR)


def _is_public(address: Address) -> bool:
    """Tell whether an address is somebody's on the internet, whatever it is wrapped in."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return _is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address in _LOCAL_NAT64 or address.is_site_local:
            return False
        if address.ipv4_mapped or address.sixtofour or address.teredo:
            return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def _resolved(target: Target) -> list[Address]:
    """Return the addresses of a name; raise ProviderUnreachable."""
    found: list[Address] = []

    def look_up() -> None:
        try:
            rows = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return
        found.extend(ipaddress.ip_address(str(row[4][0]).partition("%")[0]) for row in rows)

    # The resolver knows no limit of ours: it is left to itself when it takes too long.
    looking = threading.Thread(target=look_up, daemon=True)
    looking.start()
    looking.join(CONNECT_SECONDS)
    if not found:
        raise ProviderUnreachable(_("The name %(host)s is not known. Check it for typing mistakes.", host=target.host))
    return list(dict.fromkeys(found))


def _silent(target: Target) -> ProviderUnreachable:
    return ProviderUnreachable(
        _("%(host)s does not answer. Is it running, and may this service reach it?", host=target.name)
    )
