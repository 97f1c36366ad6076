"""extranet host: custom hosts come and go, each to one tenant."""

from __future__ import annotations

import pytest

from tests.browser import Browser
from tests.console import Console
from tests.platform import open_platform

HOST = "extranet.acme.example"


def test_a_custom_host_leads_to_its_tenant_until_it_is_removed(console: Console) -> None:
    added = console.done("host", "add", "acme", HOST)
    assert added.stdout.splitlines()[0] == f"{HOST} leads to acme."
    assert "certificate" in added.stdout
    assert status_of(console, HOST) == 200
    removed = console.done("host", "remove", "acme", HOST)
    assert removed.stdout == f"{HOST} no longer leads to acme.\n"
    assert status_of(console, HOST) == 404


def test_a_host_is_the_same_in_any_spelling(console: Console) -> None:
    assert console.done("host", "add", "acme", HOST.upper(), "--json").document == {"slug": "acme", "host": HOST}
    removed = console.done("host", "remove", "acme", HOST.title(), "--json")
    assert removed.document == {"slug": "acme", "host": HOST}


def test_every_host_that_leads_to_a_tenant_is_listed(console: Console) -> None:
    console.done("tenant", "rename", "acme", "acme-europe")
    console.done("host", "add", "acme-europe", HOST)
    assert console.done("host", "list", "acme-europe").stdout.splitlines() == [
        "Host                   Kind",
        "acme-europe.localhost  slug",
        "acme.localhost         former slug",
        "extranet.acme.example  custom",
    ]
    assert console.done("host", "list", "acme-europe", "--json").document == [
        {"host": "acme-europe.localhost", "kind": "slug"},
        {"host": "acme.localhost", "kind": "former slug"},
        {"host": HOST, "kind": "custom"},
    ]


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_host_that_leads_to_a_tenant_is_not_given_again(console: Console, slug: str) -> None:
    console.done("host", "add", "acme", HOST)
    before = console.contents()
    assert console.run("host", "add", slug, HOST).refusal == f"The host {HOST} already leads to a tenant."
    assert console.contents() == before


@pytest.mark.parametrize(
    "host",
    ["", "acme", "acme.example:8000", "192.0.2.1", "acme..example", "*.acme.example", "acme.example/x", "é.example"],
)
def test_what_is_no_host_name_is_refused(console: Console, host: str) -> None:
    before = console.contents()
    refusal = f"{host!r} is not a full host name such as extranet.example.com."
    assert console.run("host", "add", "acme", host).refusal == refusal
    assert console.run("host", "remove", "acme", host).refusal == refusal
    assert console.contents() == before


@pytest.mark.parametrize("host", ["globex.localhost", "nobody.localhost"])
def test_a_host_that_could_be_a_slugs_is_refused(console: Console, host: str) -> None:
    before = console.contents()
    assert "belong to slugs" in console.run("host", "add", "acme", host).refusal
    assert console.contents() == before


def test_only_its_own_tenant_gives_up_a_host(console: Console) -> None:
    console.done("host", "add", "acme", HOST)
    before = console.contents()
    assert console.run("host", "remove", "globex", HOST).refusal == f"The host {HOST} does not lead to globex."
    assert console.contents() == before


def status_of(console: Console, host: str) -> int:
    platform = open_platform(console.home)
    try:
        return Browser(platform.app, f"http://{host}").get("/login").status_code
    finally:
        platform.close()
