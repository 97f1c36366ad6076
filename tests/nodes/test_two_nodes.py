"""What is done at one node holds at the other, within a second at most, with Redis between them or without."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from extranet.app import HISTORY
from tenants import lifecycle
from tenants.rotation import rotate_keys
from tenants.settings import read_settings
from tenants.tenancy import Tenancy
from tests.extranet.world import DISPLAY
from tests.faults.node import Node, Visitor
from tests.faults.world import until
from tests.nodes.conftest import Platform

ATTEMPTS = 20


@pytest.fixture
def operator(nodes: Platform) -> Iterator[Tenancy]:
    with Tenancy.open(read_settings(nodes.console.environment), HISTORY) as tenancy:
        yield tenancy


@pytest.fixture(autouse=True)
def _redis_runs(nodes: Platform) -> Iterator[None]:
    yield
    if nodes.redis and not nodes.redis.is_running:
        nodes.redis.start()


def test_who_signed_in_at_one_node_is_signed_in_at_the_other(nodes: Platform) -> None:
    visitor = nodes.one.visitor()
    visitor.sign_in()
    elsewhere = visitor.at(nodes.other)
    assert elsewhere.get("/").status == 200
    assert elsewhere.post("/preferences/display", {**DISPLAY, "theme": "dark"}).status == 303
    assert 'data-theme="dark"' in visitor.get("/").text or "dark" in visitor.get("/preferences/display").text
    assert elsewhere.post("/logout", {}).status == 303
    assert visitor.get("/").status == 303


def test_a_suspended_tenant_is_refused_at_both_within_a_second(
    nodes: Platform, operator: Tenancy, record_property: Callable[..., None]
) -> None:
    nodes.console.done("tenant", "suspend", "acme")
    time.sleep(1)
    for node in (nodes.one, nodes.other):
        assert [node.visitor().get("/login").status for _ in range(10)] == [503] * 10
    assert nodes.other.visitor("globex").get("/login").status == 200
    nodes.console.done("tenant", "resume", "acme")
    wait_until_served(nodes, "acme")
    stale = [staleness(nodes, operator) for _ in range(2)]
    record_property("stale_ms", [round(seconds * 1000) for seconds in stale])
    assert max(stale) < 1
    if nodes.redis:
        # Other work on this machine may hold one of them up.
        assert min(stale) < 0.25


def staleness(nodes: Platform, operator: Tenancy) -> float:
    """Suspend, while both are asked all the time; return for how long after it either still let a visitor in."""
    both = (nodes.one, nodes.other)
    with ThreadPoolExecutor(len(both)) as pool:
        asking = [pool.submit(ask_for, 1.2, node) for node in both]
        # Anywhere between two looks of theirs.
        time.sleep(0.05 + random.random() / 4)
        lifecycle.suspend_tenant(operator, "acme")
        suspended_at = time.monotonic()
        last = max(each.result() for each in asking)
    lifecycle.resume_tenant(operator, "acme")
    wait_until_served(nodes, "acme")
    return last - suspended_at


def wait_until_served(nodes: Platform, slug: str) -> None:
    both = (nodes.one, nodes.other)
    until(lambda: {node.visitor(slug).get("/login").status for node in both} == {200}, "It is not served again.")


def ask_for(seconds: float, node: Node) -> float:
    """Ask again and again; return when the last page was asked for that was given."""
    end, last = time.monotonic() + seconds, 0.0
    visitor = node.visitor()
    while (now := time.monotonic()) < end:
        if visitor.get("/.well-known/security.txt").status == 200:
            last = now
    return last


def test_a_renamed_tenant_answers_at_its_new_name_at_both(nodes: Platform) -> None:
    nodes.console.done("tenant", "rename", "globex", "initrode")
    try:
        time.sleep(1)
        for node in (nodes.one, nodes.other):
            moved = node.visitor("globex").get("/login")
            assert (moved.status, moved.headers["Location"]) == (308, "http://initrode.localhost:8000/login")
            assert node.visitor("initrode").get("/login").status == 200
    finally:
        nodes.console.done("tenant", "rename", "initrode", "globex")
        wait_until_served(nodes, "globex")


def test_a_new_key_is_used_at_both_and_nobody_is_signed_out(nodes: Platform, operator: Tenancy) -> None:
    before = nodes.one.visitor()
    before.sign_in()
    rotate_keys(operator, "acme", lambda _db: 0)
    for node in (nodes.one, nodes.other):
        assert before.at(node).get("/").status == 200
    after = nodes.other.visitor()
    after.sign_in()
    assert after.at(nodes.one).get("/").status == 200


def attempts(nodes: Platform, source: str, count: int) -> list[int]:
    """Try names nobody has, all from one address, at either node in turn."""
    visitors = [node.visitor(source=source) for node in (nodes.one, nodes.other)]
    tokens = [visitor.token() for visitor in visitors]
    return [try_name(visitors[number % 2], tokens[number % 2], f"nobody{number}") for number in range(count)]


def try_name(visitor: Visitor, token: str, name: str) -> int:
    return visitor.post("/login", {"username": f"{name}-{visitor.source}", "password": "wrong"}, token).status


def test_an_address_has_twenty_attempts_at_both_together(nodes: Platform) -> None:
    assert attempts(nodes, "127.0.0.7", ATTEMPTS + 4) == [422] * ATTEMPTS + [429] * 4
    assert nodes.other.visitor(source="127.0.0.8").sign_in().status == 303


@pytest.mark.parametrize("nodes", ["redis"], indirect=True)
def test_without_redis_all_is_still_counted_served_and_refused(nodes: Platform, operator: Tenancy) -> None:
    assert nodes.redis is not None
    visitor = nodes.one.visitor()
    visitor.sign_in()
    nodes.redis.kill()
    assert attempts(nodes, "127.0.0.9", ATTEMPTS + 4) == [422] * ATTEMPTS + [429] * 4
    assert visitor.at(nodes.other).get("/").status == 200
    assert staleness(nodes, operator) < 1
    nodes.redis.start()
    assert attempts(nodes, "127.0.0.10", 2) == [422] * 2
    for node in (nodes.one, nodes.other):
        assert nodes.redis.password not in node.log()
        assert "Traceback" not in node.log()
