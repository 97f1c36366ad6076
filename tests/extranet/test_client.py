"""The client's address: from the socket, or from exactly the trusted proxy, and never made up."""

from __future__ import annotations

import ipaddress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from extranet.request.client import client_of
from extranet.request.current import current
from tenants.errors import NoTenant
from tenants.settings import read_settings
from tests.extranet.world import log_of, try_sign_in
from tests.platform import Platform, open_platform

PLAIN = read_settings({"EXTRANET_HOME": "home"})
PROXIED = replace(
    PLAIN,
    trusted_proxies=tuple(ipaddress.ip_network(text) for text in ("10.0.0.0/24", "2001:db8:ffff::/64")),
)
UNIX = replace(PLAIN, trust_unix_peer=True)


def environ(peer: str, **headers: str) -> dict[str, str]:
    return {"REMOTE_ADDR": peer, "wsgi.url_scheme": "http", **headers}


@pytest.mark.parametrize(
    ("peer", "address"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:DB8::0:7", "2001:db8::7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7%eth0", "192.0.2.7"),
        ("fe80::1%eth0", "fe80::1"),
        ("192.0.2.7%eth0", ""),
        ("192.0.2.07", ""),
        ("192.0.2.7:80", ""),
        ("[2001:db8::7]", ""),
        ("localhost", ""),
        ("", ""),
        ("1", ""),
    ],
)
def test_a_peer_has_one_spelling_or_none(peer: str, address: str) -> None:
    assert client_of(environ(peer), PLAIN).address == address


def test_nobody_is_believed_who_is_not_a_trusted_proxy() -> None:
    claims = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_CLIENT_PORT": "1"}
    for peer in ("192.0.2.7", "10.0.1.1", "::1", "garbage"):
        client = client_of(environ(peer, REMOTE_PORT="4711", **claims), PROXIED)
        assert client.address != "203.0.113.9"
        assert (client.scheme, client.port) == ("http", 4711)
    assert client_of(environ("", **claims), PROXIED).address == ""


@pytest.mark.parametrize("peer", ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8:ffff::5"])
@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        (" 2001:db8::9 ", "2001:db8::9"),
        ("::ffff:203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("203.0.113.9,", ""),
        ("unknown", ""),
        ("203.0.113.9:1234", ""),
        ("", ""),
    ],
)
def test_a_trusted_proxy_is_believed_about_the_last_hop(peer: str, forwarded: str, address: str) -> None:
    assert client_of(environ(peer, HTTP_X_FORWARDED_FOR=forwarded), PROXIED).address == address


def test_a_unix_socket_is_believed_when_the_settings_say_so() -> None:
    claims = {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_X_FORWARDED_PROTO": "https", "HTTP_X_CLIENT_PORT": "5555"}
    client = client_of(environ("", **claims), UNIX)
    assert (client.address, client.scheme, client.port) == ("203.0.113.9", "https", 5555)
    assert client_of(environ("192.0.2.7", **claims), UNIX).address == "192.0.2.7"


@pytest.mark.parametrize(
    ("text", "port"), [("40000", 40000), ("0", 0), ("65536", 0), ("-1", 0), ("٣", 0), ("", 0), ("9" * 5000, 0)]
)
def test_a_port_is_a_port_or_nought(text: str, port: int) -> None:
    assert client_of(environ("192.0.2.7", REMOTE_PORT=text), PLAIN).port == port


@given(st.text(max_size=60))
def test_whatever_a_proxy_says_becomes_an_address_or_nothing(forwarded: str) -> None:
    address = client_of(environ("10.0.0.1", HTTP_X_FORWARDED_FOR=forwarded), PROXIED).address
    assert address == "" or str(ipaddress.ip_address(address)) == address


def test_the_log_holds_the_address_and_port_that_the_proxy_saw(home: Path) -> None:
    platform = open_platform(home, trusted_proxies=PROXIED.trusted_proxies)
    try:
        browser = platform.browser(address="10.0.0.1")
        told = {"X-Forwarded-For": "203.0.113.9", "X-Client-Port": "5555"}
        browser.post("/login", {"username": "anna", "password": "wrong"}, headers=told)
        entry = log_of(platform)[-1]
        assert (entry.private["address"], entry.private["port"]) == ("203.0.113.9", 5555)
    finally:
        platform.close()


def test_an_address_nobody_knows_is_recorded_as_none_and_still_counted(platform: Platform) -> None:
    for _ in range(20):
        try_sign_in(platform.browser(address="garbage"), "nobody1")
    assert log_of(platform)[-1].private["address"] == ""
    answers = [try_sign_in(platform.browser(address="other garbage"), f"no{n}").status_code for n in range(21)]
    assert answers[-1] == 429


def test_outside_a_request_nothing_is_known_and_everything_says_so(platform: Platform) -> None:
    with pytest.raises(NoTenant):
        _ = current.state
    with platform.app.test_request_context("/", base_url="http://acme.localhost:8000"):
        from extranet.request import log

        log.begin()
        for name in ("client", "tenant", "keys", "files", "db", "cookie", "user", "origin"):
            with pytest.raises(NoTenant):
                getattr(current, name)
        assert not current.is_signed_in
