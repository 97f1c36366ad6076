"""Step 1: the client's address, from the socket or from exactly the trusted proxy. Never made up."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Any

from flask import request

from extranet.request.current import current
from extranet.request.state import Client
from tenants.settings import Settings

_PORT = re.compile(r"[0-9]{1,5}", re.ASCII)

_REQUEST_ID = re.compile(r"[A-Za-z0-9-]{8,64}", re.ASCII)


def find() -> None:
    """Note who is asking, and the number the proxy gave the request."""
    client = current.state.client = client_of(request.environ, current.platform.settings)
    current.state.request_id = client.request_id or current.state.request_id


def client_of(environ: Mapping[str, Any], settings: Settings) -> Client:
    """Return the client of a WSGI request.

    A peer that is not a trusted proxy is the client itself, whatever its headers claim.
    """
    user_agent = environ.get("HTTP_USER_AGENT", "")
    peer = environ.get("REMOTE_ADDR", "")
    if not _is_trusted(peer, settings):
        return Client(_canonical(peer), _port(environ.get("REMOTE_PORT", "")), environ["wsgi.url_scheme"], user_agent)
    # The proxy overwrites the header with the one address it saw. Were there a list, only its last is the proxy's.
    forwarded = environ.get("HTTP_X_FORWARDED_FOR", "").rpartition(",")[2].strip()
    scheme = "https" if environ.get("HTTP_X_FORWARDED_PROTO") == "https" else "http"
    port, request_id = _port(environ.get("HTTP_X_CLIENT_PORT", "")), environ.get("HTTP_X_REQUEST_ID", "")
    return Client(
        _canonical(forwarded), port, scheme, user_agent, request_id if _REQUEST_ID.fullmatch(request_id) else ""
    )


def _is_trusted(peer: str, settings: Settings) -> bool:
    if not peer:
        # A unix socket has no peer address; who may open it is decided by its file mode.
        return settings.trust_unix_peer
    address = _canonical(peer)
    return bool(address) and any(ipaddress.ip_address(address) in network for network in settings.trusted_proxies)


def _canonical(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return ""
    if address.version == 4:
        return str(address)
    # The zone after "%" names a network card of this machine.
    return str(address.ipv4_mapped or ipaddress.IPv6Address(int(address)))


def _port(text: Any) -> int:
    number = int(text) if _PORT.fullmatch(str(text)) else 0
    return number if number <= 65535 else 0
