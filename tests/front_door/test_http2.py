"""What browsers really speak: several tenants' requests may come down one HTTP/2 connection, and are told to part."""

from __future__ import annotations

import socket
import ssl

import pytest

from tests.front_door.door import Door
from tests.front_door.test_hosts import ACME, GLOBEX

pytestmark = pytest.mark.front_door

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEADERS, _SETTINGS = 1, 4
_STATUS_IN_STATIC_TABLE = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


@pytest.mark.parametrize(
    ("authority", "host", "status"),
    [
        (ACME, "", 200),
        (ACME.upper(), "", 200),
        (f"{ACME}:8443", "", 200),
        (GLOBEX, "", 421),
        ("evil.example", "", 421),
        (f"{ACME}.", "", 421),
        (f"user@{ACME}", "", 421),
        (ACME, GLOBEX, 400),
        (GLOBEX, ACME, 400),
        ("", GLOBEX, 421),
        ("", ACME, 200),
        ("", "", 400),
    ],
)
def test_a_request_for_another_tenant_is_sent_to_a_connection_of_its_own(
    door: Door, authority: str, host: str, status: int
) -> None:
    asked = [(":method", "GET"), (":scheme", "https"), (":path", "/login")]
    asked += [(name, value) for name, value in ((":authority", authority), ("host", host)) if value]
    assert _ask(door, asked) == status


def _ask(door: Door, headers: list[tuple[str, str]]) -> int:
    context = ssl.create_default_context(cafile=door.folder / "wildcard" / "fullchain.pem")
    context.set_alpn_protocols(["h2"])
    plain = socket.create_connection(("127.0.0.1", door.https), timeout=20)
    with context.wrap_socket(plain, server_hostname=ACME) as connection:
        assert connection.selected_alpn_protocol() == "h2"
        # Literal names and values, nothing indexed, nothing compressed.
        block = b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0, b"") + _frame(_HEADERS, 0x5, 1, block))
        with connection.makefile("rb") as stream:
            while True:
                head = stream.read(9)
                payload = stream.read(int.from_bytes(head[:3]))
                if head[3] == _HEADERS:
                    return _status(payload)


def _status(block: bytes) -> int:
    # The table's size may be agreed on first.
    block = block.lstrip(b"\x20")
    if block[0] & 0x80:
        return _STATUS_IN_STATIC_TABLE[block[0] & 0x7F]
    return int(block[2:5])


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return len(payload).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload
