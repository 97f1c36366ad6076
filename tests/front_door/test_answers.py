"""What every answer says, whoever gives it: the application, gunicorn behind nginx, or nginx itself."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from itertools import cycle

import pytest

from tenants import lifecycle
from tests.front_door.conftest import SUSPENDABLE
from tests.front_door.door import Answer, Door, Visitor, exchange, until

pytestmark = pytest.mark.front_door

ONCE = (
    "Strict-Transport-Security",
    "Content-Security-Policy",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "Referrer-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "Permissions-Policy",
    "X-Robots-Tag",
    "Cache-Control",
    "Content-Type",
)


def check_headers(answer: Answer) -> None:
    counts = {name: len(answer.all(name)) for name in ONCE}
    assert counts == dict.fromkeys(ONCE, 1), answer
    assert answer["Strict-Transport-Security"] == "max-age=63072000; includeSubDomains"
    policy = answer["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "charset=utf-8" in answer["Content-Type"]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer.all("Server") == ["nginx"]


def test_every_kind_of_answer_carries_every_security_header_once(door: Door, anna: Visitor) -> None:
    for answer, status in (
        (anna.get("/preferences/profile"), 200),
        (door.ask("/login"), 200),
        (door.ask("/"), 303),
        (anna.get("/preferences"), 308),
        (anna.send_body("/preferences/profile", b"", "application/x-www-form-urlencoded"), 403),
        (anna.get("/preferences/x.css"), 404),
        (anna.send_body("/preferences/profile", bytes(300_000), "application/x-www-form-urlencoded"), 413),
        (anna.send_body("/preferences/profile", b"", "x/x", [("Cookie", "")]), 403),
    ):
        assert answer.status == status
        check_headers(answer)
        assert answer["Cache-Control"] == "no-store"
        assert "Cookie" in answer["Vary"]


def test_what_nginx_answers_itself_is_as_strict_and_tells_nothing(door: Door) -> None:
    for answer, status in (
        (door.ask("/healthz"), 404),
        (door.ask("/.extranet"), 404),
        (door.ask("/login", method="TRACE"), 405),
        (door.ask("/login", method="POST", body=bytes(2_000_000)), 413),
        (door.ask(f"/{'a' * 9000}"), 414),
        (door.ask("/login", headers=[("X-A", "a" * 70_000)]), 431),
        (door.ask_raw(b"GET /login HTTP/1.1\r\nHost: globex.extranet.test\r\nConnection: close\r\n\r\n"), 421),
        (door.ask_raw(b"GET /login HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"), 421),
        (door.ask_raw(b"GET /login HTTP/9.1\r\n\r\n"), 505),
        (door.ask_raw(b"nonsense\r\n\r\n"), 400),
    ):
        assert answer.status == status
        check_headers(answer)
        assert answer["Cache-Control"] == "no-store"
        assert "nginx" not in answer.text
        assert "gunicorn" not in answer.text
        assert not answer.tenant


def test_plain_http_on_the_tls_port_is_refused_plainly(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.https), timeout=10) as plain:
        answer = exchange(plain, b"GET / HTTP/1.1\r\nHost: acme.extranet.test\r\nConnection: close\r\n\r\n")
    assert answer.status in {0, 400}
    assert b"nginx" not in answer.body


def test_static_files_may_be_kept_and_pages_may_not(door: Door, anna: Visitor) -> None:
    sheet = door.ask("/static/tokens.css?v=1")
    assert sheet["Cache-Control"] == "public, max-age=31536000, immutable"
    assert "text/css" in sheet["Content-Type"]
    check_headers(sheet)
    for path in (
        "/static/",
        "/static/..%2fapp.py",
        "/static/../app.py",
        "/static/.gitignore",
        "/.git/config",
        "/wsgi.py",
    ):
        answer = door.ask(path)
        assert answer.status == 404
        assert answer["Cache-Control"] == "no-store"
    for answer in (anna.get("/"), anna.get("/preferences/sessions"), door.ask("/login")):
        assert (answer["Cache-Control"], answer["Vary"]) == ("no-store", "Cookie")
    # A page that sets a cookie above all.
    assert door.ask("/login").all("Set-Cookie")


@pytest.mark.parametrize(
    "path", ["/preferences/x.css", "/preferences/profile.css", "/preferences/profile/x.js", "/x.png"]
)
def test_a_page_does_not_pass_for_a_file_that_a_cache_would_keep(door: Door, anna: Visitor, path: str) -> None:
    assert anna.get(path).status == 404
    assert "anna@acme.example" not in anna.get(path).text


def test_the_cookies_are_host_only_and_the_device_is_known_for_a_hundred_days(door: Door) -> None:
    visitor = Visitor(door, "globex")
    answer = visitor.sign_in("gus")
    cookies = {line.partition("=")[0]: line for line in answer.all("Set-Cookie")}
    assert set(cookies) == {"__Host-session", "__Host-device"}
    for line in cookies.values():
        parts = {part.strip().lower() for part in line.split(";")[1:]}
        assert {"path=/", "secure", "httponly", "samesite=lax"} <= parts
        assert not any(part.startswith("domain") for part in parts)
    assert "max-age" not in cookies["__Host-session"].lower()
    assert "expires" not in cookies["__Host-session"].lower()
    assert "max-age=8640000" in cookies["__Host-device"].lower()


def test_a_picture_of_50_mb_is_refused_beside_its_field(anna: Visitor) -> None:
    answer = anna.post_picture("/preferences/profile/picture", bytes(50 * 1024 * 1024))
    assert answer.status == 413
    check_headers(answer)
    assert 'id="avatar-error"' in answer.text
    assert "at most 2 MB" in answer.text
    assert 'aria-invalid="true"' in answer.text
    assert anna.get("/preferences/profile").status == 200


def test_a_picture_beyond_that_is_refused_by_nginx(anna: Visitor) -> None:
    answer = anna.post_picture("/preferences/profile/picture", bytes(65 * 1024 * 1024))
    # Whoever still sends while the answer is on its way may not see it.
    assert answer.status in {0, 413}
    assert not answer.tenant


def test_a_large_body_anywhere_else_is_refused_by_nginx(anna: Visitor) -> None:
    for path in (
        "/preferences/profile",
        "/preferences/profile/picture/",
        "/preferences/profile/picture/remove",
        "/login",
    ):
        answer = anna.send_body(path, bytes(1024 * 1024 + 1), "application/x-www-form-urlencoded")
        assert (answer.status, answer.tenant) == (413, "")


def test_a_flood_at_the_doors_from_one_address_is_slowed_and_others_are_not(door: Door) -> None:
    doors = ("/login", "/login/second-step", "/login/passkey", "/forgotten", "/reset", "/invitation", "/sign-on/")
    raws = [f"GET {path} HTTP/1.1\r\nHost: acme.extranet.test\r\nConnection: close\r\n\r\n" for path in doors]
    with ExitStack() as stack:
        # All are connected before the first one asks: how quick this machine is does not matter.
        crowd = [stack.enter_context(door.tls(door.host("acme"), source="127.0.0.66")) for _ in range(80)]
        for connection, raw in zip(crowd, cycle(raws), strict=False):
            connection.sendall(raw.encode())
        answers = [exchange(connection, b"") for connection in crowd]
        assert door.ask("/login").status == 200
        # Whoever is refused at the doors still reads pages.
        assert door.ask("/robots.txt", source="127.0.0.66").status == 200
    # They share one count: none of them alone would have been too often.
    refused = [answer for answer in answers if answer.status == 429]
    assert 20 <= len(refused) <= 39
    check_headers(refused[0])
    assert refused[0]["Retry-After"] == "5"


def test_a_suspended_tenant_is_refused_within_a_second_and_the_others_are_not(door: Door, anna: Visitor) -> None:
    visitor = Visitor(door, SUSPENDABLE)
    visitor.sign_in("anna")
    # Every worker has the tenant in memory.
    for _ in range(8):
        assert visitor.get("/preferences/profile").status == 200
    lifecycle.suspend_tenant(door.platform.tenancy, SUSPENDABLE)
    try:
        suspended_at = time.monotonic()
        until(lambda: visitor.get("/preferences/profile").status == 503, "still served", patience=5)
        assert time.monotonic() - suspended_at < 1.5
        until(lambda: time.monotonic() - suspended_at > 1, "", patience=5)
        for path in ("/preferences/profile", "/login", "/", "/x"):
            answer = visitor.get(path)
            assert answer.status == 503
            check_headers(answer)
            assert not answer.all("Set-Cookie")
        assert anna.get("/preferences/profile").status == 200
        assert door.ask("/login", "globex").status == 200
    finally:
        lifecycle.resume_tenant(door.platform.tenancy, SUSPENDABLE)
    until(lambda: door.ask("/login", SUSPENDABLE).status == 200, "not served again", patience=5)
