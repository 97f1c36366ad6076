"""Only Host decides which tenant answers: no other header, no query, no request line; and no answer names a tenant."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest
from werkzeug.test import EnvironBuilder, TestResponse, run_wsgi_app
from werkzeug.wrappers import Request

from extranet.request.cookies import SESSION_COOKIE
from tenants import lifecycle
from tenants.keys import new_key
from tenants.registry import WrappedKey
from tenants.tenant import EMBEDDED, State, Tenant
from tests.evidence import ask, said, sees_every_change, untouched
from tests.platform import PASSWORD, SLUGS, Platform

ACME, GLOBEX = "acme.localhost:8000", "globex.localhost:8000"

LEAD_TO_ACME = [
    "acme.localhost:8000",
    "acme.localhost",
    "acme.localhost:80",
    "acme.localhost:1",
    "acme.localhost:65535",
    "ACME.localhost:8000",
    "AcMe.LocalHost",
]
MALFORMED = [
    "",
    " ",
    ".",
    ":8000",
    "acme.localhost.",
    "acme.localhost.:8000",
    "acme.localhost..",
    ".acme.localhost",
    "acme..localhost",
    " acme.localhost",
    "acme.localhost ",
    "\tacme.localhost",
    "acme.localhost\x00",
    "acme.localhost\x00.globex.localhost",
    "acme.localhost:",
    "acme.localhost:65536",
    "acme.localhost:-1",
    "acme.localhost:8000:8000",
    "acme.localhost:80 80",
    "acme.localhost:http",
    "acme.localhost:\u0668\u0660",
    "acme.localhost/",
    "acme.localhost/../globex",
    "acme.localhost?globex",
    "acme.localhost#globex",
    "acme.localhost,globex.localhost",
    "acme.localhost, globex.localhost",
    "globex.localhost;acme.localhost",
    "user@acme.localhost",
    "acme.localhost@globex.localhost",
    "http://acme.localhost",
    "-acme.localhost",
    "acme-.localhost",
    "ac_me.localhost",
    "*.localhost",
    "%61cme.localhost",
    "acm\u00e9.localhost",
    "\uff41cme.localhost",
    "acme\u3002localhost",
    "ac\u212aer.localhost",
    "[::1]",
    "[::1]:8000",
    "::1",
    "127.0.0.1",
    "127.0.0.1:8000",
    "2130706433",
    f"{'a' * 64}.localhost",
    f"{'a.' * 130}localhost",
]
UNKNOWN = [
    "0x7f000001",
    "localhost",
    "localhost:8000",
    "never.localhost",
    "acm.localhost",
    "acmee.localhost",
    "www.acme.localhost",
    "acme.globex.localhost",
    "acme.acme.localhost",
    "acme",
    "acme.example",
    "acme.localhost.example",
    "acme.localhosts",
    "evilacme.localhost",
    "www.localhost",
    "admin.localhost",
    "xn--acm-dma.localhost",
]
PATHS = ["/", "/login", "/preferences/profile", "/people/x/avatar", "/nowhere", "/robots.txt"]


@pytest.fixture
def kept_on() -> str:
    """A host is read before any tenant's database is opened."""
    return "sqlite"


def ask_host(platform: Platform, host: str | None, path: str = "/login", **environ: Any) -> TestResponse:
    """Send a request whose environ says exactly this about its host; None leaves the header out."""
    built = EnvironBuilder(
        path, base_url="http://placeholder.invalid", method=environ.pop("method", "GET")
    ).get_environ()
    for name in ("HTTP_HOST", "RAW_URI", "REQUEST_URI"):
        built.pop(name)
    # What a server puts here comes from its socket; it must not be asked.
    built |= {"SERVER_NAME": "globex.localhost", "SERVER_PORT": "8000", "REMOTE_ADDR": "192.0.2.10", "REMOTE_PORT": "4"}
    if host is not None:
        built["HTTP_HOST"] = host
    body, status, headers = run_wsgi_app(platform.app, built | environ, buffered=True)
    return TestResponse(body, status, headers, Request(built))


def answer_of(response: TestResponse) -> tuple[int, list[tuple[str, str]], str]:
    headers = sorted((name, value) for name, value in response.headers if name != "X-Request-Id")
    return response.status_code, headers, response.text


def names_a_tenant(response: TestResponse) -> bool:
    words = said(response)
    return any(slug.encode() in words for slug in SLUGS)


def test_every_well_formed_spelling_of_a_host_leads_to_its_tenant(platform: Platform) -> None:
    for host in LEAD_TO_ACME:
        shown = ask_host(platform, host)
        assert shown.status_code == 200, host
        assert "Acme" in shown.text
        assert "Globex" not in shown.text


def test_a_malformed_host_is_refused_without_a_word_about_anybody(platform: Platform) -> None:
    refusals = set()
    for host in [None, *MALFORMED]:
        for path in ("/login", "/nowhere"):
            shown = ask_host(platform, host, path)
            assert shown.status_code == 400, host
            assert not names_a_tenant(shown), host
            assert "Set-Cookie" not in shown.headers
            refusals.add(shown.text)
    assert len(refusals) == 1


def test_an_unknown_host_is_not_found_whatever_is_asked_of_it(platform: Platform) -> None:
    for host in UNKNOWN:
        for path in PATHS:
            for method in ("GET", "POST"):
                shown = ask_host(platform, host, path, method=method)
                assert shown.status_code == 404, (host, path, method)
                assert not names_a_tenant(shown), host


def test_static_files_are_the_same_at_every_host_and_name_nobody(platform: Platform) -> None:
    """A page that refuses wants its stylesheet too, and it must not tell by it whether there is a tenant."""
    shown = [ask_host(platform, host, "/static/tokens.css") for host in (ACME, GLOBEX, *UNKNOWN)]
    assert {response.status_code for response in shown} == {200}
    assert len({response.text for response in shown}) == 1
    assert not any(names_a_tenant(response) or "Set-Cookie" in response.headers for response in shown)


HINTS: dict[str, dict[str, str]] = {
    "X-Forwarded-Host": {"HTTP_X_FORWARDED_HOST": GLOBEX},
    "X-Forwarded-Host, a list": {"HTTP_X_FORWARDED_HOST": f"{GLOBEX}, {ACME}"},
    "X-Forwarded-Server": {"HTTP_X_FORWARDED_SERVER": GLOBEX},
    "X-Forwarded-Port": {"HTTP_X_FORWARDED_PORT": "9000"},
    "X-Forwarded-Prefix": {"HTTP_X_FORWARDED_PREFIX": "/globex"},
    "X-Original-Host": {"HTTP_X_ORIGINAL_HOST": GLOBEX},
    "X-Original-URL": {"HTTP_X_ORIGINAL_URL": f"http://{GLOBEX}/login"},
    "X-Rewrite-URL": {"HTTP_X_REWRITE_URL": f"http://{GLOBEX}/login"},
    "X-Host": {"HTTP_X_HOST": GLOBEX},
    "X-HTTP-Host-Override": {"HTTP_X_HTTP_HOST_OVERRIDE": GLOBEX},
    "X-Tenant": {"HTTP_X_TENANT": "globex"},
    "X-Tenant-ID": {"HTTP_X_TENANT_ID": "globex"},
    "X-Frappe-Site-Name": {"HTTP_X_FRAPPE_SITE_NAME": "globex"},
    "Forwarded": {"HTTP_FORWARDED": f"host={GLOBEX};proto=http;for=192.0.2.1"},
    "Origin": {"HTTP_ORIGIN": f"http://{GLOBEX}"},
    "Referer": {"HTTP_REFERER": f"http://{GLOBEX}/login"},
    "Cookie": {"HTTP_COOKIE": "tenant=globex; slug=globex"},
    "SERVER_NAME": {"SERVER_NAME": "globex.localhost"},
    "SCRIPT_NAME": {"SCRIPT_NAME": ""},
    "query": {"QUERY_STRING": f"tenant=globex&host={GLOBEX}&slug=globex"},
    "request line with a query": {"RAW_URI": f"/login?http://{GLOBEX}/"},
    "request line with two slashes": {"RAW_URI": f"//{GLOBEX}/login"},
}


@pytest.mark.parametrize("proxies", ["", "192.0.2.10"])
def test_nothing_but_host_chooses_the_tenant(platform: Platform, proxies: str) -> None:
    if proxies:
        trust(platform, proxies)
    for name, hint in HINTS.items():
        shown = ask_host(platform, ACME, **hint)
        assert shown.status_code == 200, name
        assert "Acme" in shown.text, name
        assert b"globex" not in said(shown), name
        refused = ask_host(platform, "never.localhost", **hint)
        assert refused.status_code == 404, name
        assert not names_a_tenant(refused), name


def trust(platform: Platform, proxy: str) -> None:
    """Make the one who asks a trusted proxy: its word about the address is taken, never about the host."""
    from dataclasses import replace
    from ipaddress import ip_network

    services = platform.app.extensions["extranet"]
    settings = replace(services.settings, trusted_proxies=(ip_network(proxy),))
    platform.app.extensions["extranet"] = replace(services, settings=settings)


FOREIGN_TARGETS = [
    f"http://{GLOBEX}/login",
    f"http://{ACME}/login",
    f"https://{GLOBEX}/",
    f"HTTP://{GLOBEX}/login",
    GLOBEX,
    "*",
    f"\\\\{GLOBEX}\\login",
]


@pytest.mark.parametrize("name", ["RAW_URI", "REQUEST_URI"])
def test_a_request_line_that_names_a_host_of_its_own_is_refused(platform: Platform, name: str) -> None:
    for target in FOREIGN_TARGETS:
        for host in (ACME, GLOBEX, "never.localhost"):
            refused = ask_host(platform, host, **{name: target})
            assert refused.status_code == 400, target
            assert not names_a_tenant(refused)


def test_a_form_cannot_choose_the_tenant(platform: Platform) -> None:
    visitor = platform.browser("acme")
    with untouched(platform, "globex"):
        data = {"username": "ben", "password": PASSWORD, "tenant": "globex", "host": GLOBEX, "slug": "globex"}
        assert visitor.post("/login?tenant=globex", data).status_code == 303
    assert "Acme" in visitor.get("/").text
    assert platform.browser("globex").get("/").status_code == 303


def test_redirects_and_pages_never_repeat_the_host_that_was_sent(platform: Platform) -> None:
    for host in ("acme.localhost:1", "ACME.localhost", "acme.localhost:65535"):
        moved = ask_host(platform, host, "/preferences/profile")
        assert moved.headers["Location"] == "/login?next=/preferences/profile"
        for path in ("/login", "/.well-known/security.txt", "/nowhere"):
            assert host not in ask_host(platform, host, path).text
        for path in ("/preferences", "//preferences", "/preferences//profile"):
            assert ask_host(platform, host, PATH_INFO=path).headers["Location"].startswith("/preferences/")


@pytest.fixture
def unseen(platform: Platform) -> list[str]:
    """Hosts of tenants that nobody is to know of: one being made, one purged, one purged under an earlier name."""
    sees_every_change(platform)
    tenancy = platform.tenancy
    for slug, state in (("begun", State.PROVISIONING), ("ended", State.ACTIVE)):
        tenant = Tenant(uuid4(), slug, slug.capitalize(), state, epoch=1, key_version=1, server=EMBEDDED)
        wrapped = tenancy.master_keys.wrap(tenant.uuid, 1, new_key())
        tenancy.registry.add(tenant, WrappedKey(1, tenancy.master_keys.newest, wrapped))
    ended = tenancy.registry.rename(tenancy.registry.by_slug("ended"), "ended2")
    tenancy.registry.add_host(ended, "ended.example")
    tenancy.registry.move_to(tenancy.registry.move_to(ended, State.CLOSED), State.PURGED)
    return ["begun.localhost", "ended.localhost", "ended2.localhost", "ended.example"]


def test_a_tenant_being_made_and_a_purged_one_look_as_if_they_had_never_been(
    platform: Platform, unseen: list[str]
) -> None:
    for path in PATHS:
        for method in ("GET", "POST"):
            never = answer_of(ask_host(platform, "never.localhost", path, method=method))
            assert never[0] == 404
            for host in unseen:
                assert answer_of(ask_host(platform, host, path, method=method)) == never, host


def test_a_suspended_tenant_says_so_without_its_name_and_the_others_go_on(platform: Platform) -> None:
    sees_every_change(platform)
    signed_in = f"{SESSION_COOKIE}={platform.signed_in('acme', 'ben').cookie(SESSION_COOKIE)}"
    theirs = platform.signed_in("globex", "ben")
    lifecycle.suspend_tenant(platform.tenancy, "acme")
    with untouched(platform, "acme"):
        for path in PATHS:
            for cookie in ("", signed_in):
                shown = ask(platform, "acme", path, cookie=cookie)
                assert shown.status_code == 503
                assert shown.headers["Retry-After"]
                assert not names_a_tenant(shown)
                assert "Set-Cookie" not in shown.headers
    assert theirs.get("/").status_code == 200


def test_a_closed_tenant_is_gone_without_its_name(platform: Platform) -> None:
    sees_every_change(platform)
    platform.tenancy.registry.move_to(platform.tenant("acme"), State.CLOSED)
    with untouched(platform, "acme"):
        shown = ask_host(platform, ACME)
    assert shown.status_code == 410
    assert not names_a_tenant(shown)


def test_a_renamed_tenant_sends_its_old_host_on_with_the_path_and_without_the_query(platform: Platform) -> None:
    sees_every_change(platform)
    lifecycle.rename_tenant(platform.tenancy, "acme", "acme-europe")
    for method in ("GET", "POST"):
        moved = ask_host(platform, ACME, "/preferences/profile", method=method, QUERY_STRING="token=secret")
        assert moved.status_code == 308
        assert moved.headers["Location"] == "http://acme-europe.localhost:8000/preferences/profile"
        assert "Set-Cookie" not in moved.headers
    assert "Acme" in ask_host(platform, "acme-europe.localhost").text
    assert "Globex" in ask_host(platform, GLOBEX).text


def test_the_old_host_of_a_renamed_tenant_redirects_to_the_tenant_and_nowhere_else(platform: Platform) -> None:
    sees_every_change(platform)
    lifecycle.rename_tenant(platform.tenancy, "acme", "acme-europe")
    for path in (
        "//evil.example/",
        "//evil.example/%2e%2e",
        "/\\evil.example",
        "/\r\nSet-Cookie:a=b",
        "@evil.example/",
    ):
        moved = ask_host(platform, ACME, PATH_INFO=path)
        assert moved.status_code == 308, path
        assert moved.headers["Location"].startswith("http://acme-europe.localhost:8000/"), path
        assert "Set-Cookie" not in moved.headers, path


def test_a_custom_host_leads_to_its_tenant_until_it_is_taken_away(platform: Platform) -> None:
    sees_every_change(platform)
    lifecycle.add_host(platform.tenancy, "acme", "people.acme.example")
    assert "Acme" in ask_host(platform, "People.ACME.example").text
    for host in ("people.acme.example.", "x.people.acme.example", "acme.example", "people.acme.example.localhost"):
        assert ask_host(platform, host).status_code in {400, 404}
    platform.tenancy.registry.remove_host(platform.tenant("acme"), "people.acme.example")
    assert ask_host(platform, "people.acme.example").status_code == 404


def test_health_is_told_at_any_host_and_tells_nothing_else(platform: Platform) -> None:
    hosts = (ACME, GLOBEX, "never.localhost", "127.0.0.1")
    answers = {ask_host(platform, host, path).text for host in hosts for path in ("/healthz", "/readyz")}
    assert answers == {"ok\n"}
