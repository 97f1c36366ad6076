"""Which tenant answers is decided by the host alone, spelt in one way, and the same all the way down."""

from __future__ import annotations

import ssl

import pytest

from tests.front_door.door import CUSTOM_HOST, UNCERTIFIED_HOST, Door

pytestmark = pytest.mark.front_door

ACME, GLOBEX = "acme.extranet.test", "globex.extranet.test"
FROM_NGINX = "X-Forwarded-Proto: https\r\nX-Forwarded-For: 192.0.2.1\r\nX-Client-Port: 40000\r\n"

# Spelling of the Host header under acme's TLS name -> nginx's answer, gunicorn's and the application's answer.
SPELLINGS = {
    ACME: (200, 200),
    "ACME.Extranet.TEST": (200, 200),
    f"{ACME}:443": (200, 200),
    f"{ACME}:8443": (200, 200),
    f"{ACME}:99999": (200, 400),
    f"{ACME}:": (421, 400),
    f"{ACME}:80:80": (421, 400),
    f"{ACME}.": (421, 400),
    f".{ACME}": (421, 400),
    "acme..extranet.test": (400, 400),
    f"user@{ACME}": (421, 400),
    f"user:secret@{ACME}": (421, 400),
    f"{ACME}@{GLOBEX}": (421, 400),
    f"{ACME}/login": (400, 400),
    f"{ACME}\\": (421, 400),
    f"{ACME}#": (421, 400),
    f"{ACME}?": (421, 400),
    f"{ACME}%00": (421, 400),
    f"{ACME},{GLOBEX}": (421, 400),
    f"{ACME} {GLOBEX}": (400, 400),
    f"{ACME}\t{GLOBEX}": (400, 400),
    "": (400, 400),
    "127.0.0.1": (421, 400),
    "[::1]": (421, 400),
    "2130706433": (421, 400),
    "localhost": (421, 404),
    "extranet.test": (421, 404),
    f"www.{ACME}": (421, 404),
    "*.extranet.test": (421, 400),
    "-acme.extranet.test": (421, 400),
    "acme_.extranet.test": (421, 400),
    "\N{KELVIN SIGN}acme.extranet.test": (421, 400),
    "xn--acme-x.extranet.test": (421, 404),
    "nobody.extranet.test": (421, 404),
}


@pytest.mark.parametrize("host", SPELLINGS)
def test_every_spelling_of_a_host_is_the_tenants_own_or_refused(door: Door, host: str) -> None:
    nginx, gunicorn = SPELLINGS[host]
    through = door.ask_raw(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    straight = door.ask_gunicorn(
        f"GET /login HTTP/1.1\r\nHost: {host}\r\n{FROM_NGINX}Connection: close\r\n\r\n".encode()
    )
    assert (through.status, straight.status) == (nginx, gunicorn)
    assert through.tenant == ("acme" if nginx == 200 else "")
    assert straight.tenant == ("acme" if gunicorn == 200 else "")


@pytest.mark.parametrize("host", [GLOBEX, GLOBEX.upper(), CUSTOM_HOST])
def test_a_connection_made_for_one_tenant_carries_no_request_for_another(door: Door, host: str) -> None:
    answer = door.ask_raw(f"GET /login HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode(), ACME)
    assert (answer.status, answer.tenant) == (421, "")
    assert host.encode() not in answer.body


@pytest.mark.parametrize(
    ("request_line", "hosts", "nginx", "gunicorn"),
    [
        ("GET /login HTTP/1.1", [ACME, GLOBEX], 400, 400),
        ("GET /login HTTP/1.1", [ACME, ACME], 400, 400),
        ("GET /login HTTP/1.1", [], 400, 400),
        ("GET /login HTTP/1.0", [], 421, 400),
        (f"GET https://{GLOBEX}/login HTTP/1.1", [ACME], 421, 400),
        (f"GET https://{ACME}/login HTTP/1.1", [GLOBEX], 421, 400),
        (f"GET https://{GLOBEX}/login HTTP/1.1", [GLOBEX], 421, 400),
        (f"GET https://{ACME}/login HTTP/1.1", [], 400, 400),
        # Said twice and twice the same: nginx passes it on as what it means.
        (f"GET https://{ACME}/login HTTP/1.1", [ACME], 200, 400),
        (f"GET //{GLOBEX}/login HTTP/1.1", [ACME], 404, 404),
        (f"CONNECT {ACME}:443 HTTP/1.1", [ACME], 400, 400),
    ],
)
def test_two_answers_to_whose_host_it_is_are_refused(
    door: Door, request_line: str, hosts: list[str], nginx: int, gunicorn: int
) -> None:
    head = f"{request_line}\r\n" + "".join(f"Host: {host}\r\n" for host in hosts)
    through = door.ask_raw(f"{head}Connection: close\r\n\r\n".encode())
    straight = door.ask_gunicorn(f"{head}{FROM_NGINX}Connection: close\r\n\r\n".encode())
    assert (through.status, straight.status) == (nginx, gunicorn)
    assert "globex" not in (through.tenant, straight.tenant)


@pytest.mark.parametrize(
    "name", ["extranet.test", "www.acme.extranet.test", "evil.example", UNCERTIFIED_HOST, "x--y.extranet.test"]
)
def test_an_unknown_name_is_shown_no_certificate(door: Door, name: str) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        door.tls(name)


def test_a_connection_without_a_name_is_shown_no_certificate(door: Door) -> None:
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        door.tls("127.0.0.1")


def test_a_well_formed_name_of_nobody_is_a_page_that_names_nobody(door: Door) -> None:
    answer = door.ask("/login", "nobody")
    assert (answer.status, answer.tenant) == (404, "")
    assert "Set-Cookie" not in dict(answer.headers)


def test_a_custom_host_leads_to_its_tenant_under_its_own_certificate(door: Door) -> None:
    with door.tls(CUSTOM_HOST) as connection:
        certificate = connection.getpeercert()
    assert certificate is not None
    assert certificate["subjectAltName"] == (("DNS", CUSTOM_HOST),)
    assert door.ask("/login", CUSTOM_HOST).tenant == "acme"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_tls_is_refused(door: Door, version: ssl.TLSVersion) -> None:
    import socket

    old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    old.load_verify_locations(door.folder / "wildcard" / "fullchain.pem")
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = old.maximum_version = version
    with socket.create_connection(("127.0.0.1", door.https), timeout=10) as plain, pytest.raises(ssl.SSLError):
        old.wrap_socket(plain, server_hostname=ACME)


@pytest.mark.parametrize("host", [ACME, "ACME.extranet.test", f"{ACME}:80", "nobody.extranet.test", CUSTOM_HOST])
def test_plain_http_leads_a_known_name_to_tls_and_says_nothing_else(door: Door, host: str) -> None:
    answer = door.ask_plain(
        f"GET /preferences/profile?a=b HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    name = host.partition(":")[0].lower()
    assert answer.status == 308
    assert answer["Location"] == f"https://{name}:{door.https}/preferences/profile?a=b"
    assert not answer.all("Set-Cookie")


@pytest.mark.parametrize(
    "head",
    [
        "GET / HTTP/1.1\r\nHost: evil.example",
        "GET / HTTP/1.1\r\nHost: extranet.test",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1",
        f"GET / HTTP/1.1\r\nHost: {UNCERTIFIED_HOST}",
        "GET / HTTP/1.0",
        f"GET http://evil.example/ HTTP/1.1\r\nHost: {ACME}",
        f"POST /login HTTP/1.1\r\nHost: {ACME}\r\nContent-Length: 0",
        f"DELETE / HTTP/1.1\r\nHost: {ACME}",
    ],
)
def test_plain_http_closes_on_everything_else(door: Door, head: str) -> None:
    assert door.ask_plain(f"{head}\r\nConnection: close\r\n\r\n".encode()).status == 0
