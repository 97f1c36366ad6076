"""Requests that two programs could read in two ways reach neither; what a client says of itself is not believed."""

from __future__ import annotations

import os
import re
import stat

import pytest

from tests.front_door.door import Door, Visitor
from tests.front_door.test_hosts import ACME, FROM_NGINX

pytestmark = pytest.mark.front_door

POST = f"POST /login HTTP/1.1\r\nHost: {ACME}\r\n"
GET = f"GET /login HTTP/1.1\r\nHost: {ACME}\r\n"

AMBIGUOUS = {
    "a length and chunks": f"{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x",
    "chunks and a length": f"{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": f"{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\naaaaaa",
    "a list of lengths": f"{POST}Content-Length: 5, 5\r\n\r\naaaaa",
    "a signed length": f"{POST}Content-Length: +5\r\n\r\naaaaa",
    "a hexadecimal length": f"{POST}Content-Length: 0x5\r\n\r\naaaaa",
    "an unknown encoding": f"{POST}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "an encoding twice": f"{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    "a folded header": f"{GET}X-A: b\r\n c\r\n\r\n",
    "a folded host": f"GET /login HTTP/1.1\r\nHost: {ACME}\r\n .globex\r\n\r\n",
    "a space before the colon": f"{GET}X-Forwarded-For : 6.6.6.6\r\n\r\n",
    "a space before the host's colon": f"GET /login HTTP/1.1\r\nHost : {ACME}\r\n\r\n",
    "a bare carriage return": f"{GET}X-A: b\rX-B: c\r\n\r\n",
    "a zero byte": f"{GET}X-A: b\0c\r\n\r\n",
    "a method in lower case": f"get /login HTTP/1.1\r\nHost: {ACME}\r\n\r\n",
    "a version of two digits": f"GET /login HTTP/11.1\r\nHost: {ACME}\r\n\r\n",
    "another protocol's version": f"GET /login HTTP/2.0\r\nHost: {ACME}\r\n\r\n",
    "a target without a slash": f"GET login HTTP/1.1\r\nHost: {ACME}\r\n\r\n",
    "the whole server": f"OPTIONS * HTTP/1.1\r\nHost: {ACME}\r\n\r\n",
}


@pytest.mark.parametrize("what", AMBIGUOUS)
def test_an_ambiguous_request_is_refused_at_both_doors(door: Door, what: str) -> None:
    raw = AMBIGUOUS[what].encode("latin-1")
    through, straight = door.ask_raw(raw), door.ask_gunicorn(raw.replace(b"\r\n", f"\r\n{FROM_NGINX}".encode(), 1))
    assert through.status in {400, 501, 505}
    assert straight.status in {400, 501, 505}
    assert through.tenant == ""


def test_a_chunk_of_no_size_is_refused_by_nginx(door: Door) -> None:
    # gunicorn reads a body only when a view asks for it, and this one is refused before that.
    assert door.ask_raw(f"{POST}Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n".encode()).status == 400


def test_line_feeds_alone_never_reach_the_application(door: Door) -> None:
    raw = f"GET /login HTTP/1.1\nHost: {ACME}\nConnection: close\n\n".encode()
    assert door.ask_gunicorn(raw).status == 400
    # nginx reads them, and writes the request anew.
    assert door.ask_raw(raw).tenant == "acme"


@pytest.mark.parametrize("method", ["TRACE", "OPTIONS", "PUT", "DELETE", "PATCH", "PROPFIND", "NONSENSE"])
@pytest.mark.parametrize("path", ["/login", "/preferences/profile", "/logout", "/"])
def test_other_methods_run_no_view(door: Door, method: str, path: str) -> None:
    answer = door.ask(path, method=method, headers=[("Content-Length", "0")])
    assert answer.status in {401, 403, 405}
    assert not answer.all("Set-Cookie")


@pytest.mark.parametrize(
    "path",
    [
        "/healthz",
        "/readyz",
        "/metrics",
        "//healthz",
        "/%68ealthz",
        "/x/../readyz",
        "/./healthz",
        "/healthz?a",
        "/healthz#a",
    ],
)
def test_pages_for_the_machine_are_not_let_out(door: Door, path: str) -> None:
    answer = door.ask(path)
    assert answer.status == 404
    assert "ok" not in re.sub("<[^>]*>", "", answer.text).split()


def test_pages_for_the_machine_answer_at_the_socket(door: Door) -> None:
    for path in ("/healthz", "/readyz"):
        answer = door.ask_gunicorn(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        assert (answer.status, answer.text) == (200, "ok\n")


FORGED = [
    ("X-Forwarded-For", "6.6.6.6"),
    ("X-Forwarded-For", "7.7.7.7, 8.8.8.8"),
    ("X-Real-IP", "6.6.6.6"),
    ("Forwarded", 'for=6.6.6.6;host=globex.extranet.test;proto=http;by="[::1]"'),
    ("X-Client-Port", "1"),
    ("X-Forwarded-Proto", "http"),
    ("X-Forwarded-Protocol", "http"),
    ("X-Forwarded-Ssl", "off"),
    ("X-Forwarded-Scheme", "http"),
    ("X-Forwarded-Host", "globex.extranet.test"),
    ("X-Forwarded-Server", "globex.extranet.test"),
    ("X-Forwarded-Port", "80"),
    ("X-Forwarded-Prefix", "/adm"),
    ("X-Original-Host", "globex.extranet.test"),
    ("X-Host", "globex.extranet.test"),
    ("X-Original-URL", "/healthz"),
    ("X-Rewrite-URL", "/healthz"),
    ("X-Script-Name", "/adm"),
    ("SCRIPT_NAME", "/adm"),
    ("REMOTE_USER", "ben"),
    ("X_Tenant", "globex"),
    ("X-Tenant", "globex"),
    ("X_Forwarded_For", "6.6.6.6"),
    ("X-HTTP-Method-Override", "DELETE"),
    ("X-Request-Id", "forged-by-a-client"),
    ("True-Client-IP", "6.6.6.6"),
    ("CF-Connecting-IP", "6.6.6.6"),
    ("Upgrade", "h2c"),
]


def test_forged_headers_change_neither_tenant_nor_scheme_nor_the_address_in_the_log(door: Door) -> None:
    visitor = Visitor(door, "acme", source="127.0.0.9")
    page = visitor.get("/login", FORGED)
    assert (page.status, page.tenant) == (200, "acme")
    assert "forged" not in page["X-Request-Id"]
    # Were the scheme believed, the form would be refused; were the host, its origin would not match.
    answer = visitor.sign_in("ben", FORGED)
    assert (answer["Location"], len(answer.all("Set-Cookie"))) == ("/", 2)
    document = door.extranet("log", "show", "acme", "--last", "200")
    signed_in = [entry for entry in document if entry["event"] == "signed_in" and entry["address"] == "127.0.0.9"]
    assert [entry["port"] for entry in signed_in] == [answer.port]
    assert not {"6.6.6.6", "7.7.7.7", "8.8.8.8"} & {entry["address"] for entry in document}


def test_headers_with_underscores_are_refused_at_the_socket(door: Door) -> None:
    for header in ("SCRIPT_NAME: /adm", "X_Tenant: globex", "REMOTE_USER: anna", "X_Forwarded_For: 6.6.6.6"):
        raw = f"{GET}{FROM_NGINX}{header}\r\nConnection: close\r\n\r\n".encode()
        assert door.ask_gunicorn(raw).status == 400


def test_the_socket_is_for_its_owner_and_group_alone(door: Door) -> None:
    found = os.stat(door.socket)
    assert stat.S_ISSOCK(found.st_mode)
    assert stat.S_IMODE(found.st_mode) == 0o660


def test_the_access_log_holds_no_query_and_no_invitation(door: Door) -> None:
    door.ask("/login?next=/a-secret-in-a-query")
    links = ("/invitation", "/reset", "/stranger", "/email/confirm", "/email/undo", "/support")
    for page in links:
        door.ask(f"{page}/a-secret-in-a-path")
    log = (door.folder / "access.log").read_text()
    assert '"path":"/login"' in log
    for page in links:
        assert f'"path":"{page}/-"' in log
    assert "a-secret" not in log


def test_a_redirect_of_the_router_stays_on_its_host_whatever_the_port(door: Door, anna: Visitor) -> None:
    assert anna.get("/preferences")["Location"] == "/preferences/"
    assert anna.get("/preferences?a=b")["Location"] == "/preferences/?a=b"
    assert anna.get("//preferences//profile")["Location"] == "/preferences/profile"
    assert anna.get("//evil.example/..//preferences").all("Location") in ([], ["/evil.example/../preferences"])
