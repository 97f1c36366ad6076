"""A server with a standby: the primary dies, hangs or waits, and no word that was acknowledged is lost."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from tenants import postgresql_connection
from tenants.settings import Settings
from tests.extranet.world import DISPLAY
from tests.faults.world import SERVER, address_of, make_home, make_registry, requests_in_log, saving, settings_of, until
from tests.platform import Platform, add_tenant
from tests.services.postgresql import Cluster, Standby, _children
from tests.tenants.servers import cleaned, register

Open = Callable[[Settings], Platform]
Pair = tuple[Cluster, Standby]


@pytest.fixture
def on_pair(pair: Pair, tmp_path: Path) -> Settings:
    """Tenants and registry on whichever of the two can be written to."""
    primary, standby = pair
    registry = make_registry(primary, tmp_path, f"{primary.port},{standby.port}")
    return make_home(tmp_path / "home", primary, registry, address=address_of(primary, standby))


@contextmanager
def frozen(cluster: Cluster) -> Iterator[None]:
    """Hold a server as it is: it takes what is sent to it, and says nothing."""
    os.kill(cluster.pid, signal.SIGSTOP)
    pids = [*_children(cluster.pid), cluster.pid]
    try:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_people_save_on_when_the_primary_dies_and_its_standby_takes_over(
    pair: Pair, on_pair: Settings, open_over: Open, written: Callable[[], str], record_property: Callable[..., None]
) -> None:
    primary, standby = pair
    platform = open_over(on_pair)
    with saving(platform) as writers:
        until(lambda: all(len(writer.acknowledged) > 5 for writer in writers), "Nobody saves.")
        primary.kill()
        died = time.monotonic()
        before = [len(writer.acknowledged) for writer in writers]
        standby.promote()
        until(
            lambda: all(len(writer.acknowledged) > old for writer, old in zip(writers, before, strict=True)),
            "Nobody can save again.",
        )
        seconds = time.monotonic() - died
    record_property("failover_seconds", round(seconds, 2))
    assert seconds < 15
    for writer in writers:
        assert set(writer.statuses) <= {303, 503}
        assert writer.slowest < 15
        assert set(writer.acknowledged) <= requests_in_log(platform, writer.slug)
    written()


def test_a_primary_that_falls_silent_holds_nobody_for_long(
    pair: Pair, on_pair: Settings, open_over: Open, monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    monkeypatch.setattr(postgresql_connection, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setitem(postgresql_connection._REACHING, "connect_timeout", 2)
    primary, standby = pair
    platform = open_over(on_pair)
    browser = platform.signed_in()
    with frozen(primary):
        began = time.monotonic()
        assert browser.get("/").status_code == 503
        # One answer waited for from the tenant's database, and one from the registry.
        assert time.monotonic() - began < 6
        standby.promote()
        until(lambda: browser.get("/").status_code == 200, "The standby is not found.")
        assert browser.post("/preferences/display", DISPLAY).status_code == 303
    # Awake again, it still holds what is no longer so; nobody goes there who means to write.
    assert browser.get("/").status_code == 200
    assert "wait timeout expired" in written()


def test_a_server_that_hangs_holds_nobody_at_another_one(
    home: Path, cluster: Cluster, open_over: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql_connection, "_ANSWER_SECONDS", 1.0)
    monkeypatch.setitem(postgresql_connection._REACHING, "connect_timeout", 2)
    platform = open_over(settings_of(home))
    register(platform.tenancy, cluster, SERVER)
    slugs = [f"hanging{number}" for number in range(3)]
    with cleaned(cluster):
        for slug in slugs:
            add_tenant(platform.tenancy, slug, SERVER)
            assert platform.browser(slug).get("/login").status_code == 200
        see_it_hang(platform, slugs, cluster)
        platform.close()


def see_it_hang(platform: Platform, slugs: list[str], cluster: Cluster) -> None:
    with frozen(cluster):
        # The first to ask find out; those after them are told at once.
        first = [visit(platform, slug) for slug in slugs]
        assert [status for status, _ in first] == [503] * 3
        assert sum(seconds for _, seconds in first) < 3
        told = [visit(platform, slug) for slug in slugs * 10]
        assert {status for status, _ in told} == {503}
        # Now and then one tries: that is one thread, and a known time.
        assert sum(seconds for _, seconds in told) < 4
        assert visit(platform, "globex")[0] == 200
    until(lambda: all(visit(platform, slug)[0] == 200 for slug in slugs), "It is not found again.")


def visit(platform: Platform, slug: str) -> tuple[int, float]:
    began = time.monotonic()
    status = platform.browser(slug).get("/login").status_code
    return status, time.monotonic() - began


def test_a_commit_waits_for_a_lost_standby_for_a_while_and_readers_not_at_all(
    pair: Pair, on_pair: Settings, open_over: Open, monkeypatch: pytest.MonkeyPatch, written: Callable[[], str]
) -> None:
    monkeypatch.setattr(postgresql_connection, "_COMMIT_SECONDS", 0.5)
    _, standby = pair
    platform = open_over(on_pair)
    browser, other = platform.signed_in(), platform.signed_in("globex")
    tokens = browser.token(), other.token()
    standby.kill()
    for visitor, token in zip((browser, other), tokens, strict=True):
        began = time.monotonic()
        saved = visitor.post("/preferences/display", {**DISPLAY, "theme": "dark"}, token=token)
        assert saved.status_code == 503
        assert time.monotonic() - began < 3
        assert visitor.get("/").status_code == 200
    standby.start()
    for visitor in (browser, other):
        light = {**DISPLAY, "theme": "light"}
        until(lambda: visitor.post("/preferences/display", light).status_code == 303, "Nobody can save again.")  # noqa: B023
    written()


def test_a_server_that_follows_another_is_read_from_and_written_to_once_it_is_promoted(
    pair: Pair, tmp_path: Path, open_over: Open, written: Callable[[], str]
) -> None:
    """An address that leads to the standby alone, as after a switch that went half way."""
    primary, standby = pair
    platform = open_over(make_home(tmp_path / "home", primary))
    browser = platform.signed_in()
    server = platform.tenancy.servers.by_name(SERVER)
    following = make_conninfo(host=standby.host, port=standby.port)
    platform.tenancy.servers.change(replace(server, address=following))
    platform.tenancy.databases.close()
    assert browser.get("/preferences/display").status_code == 200
    for _ in range(3):
        refused = browser.post("/preferences/display", DISPLAY)
        assert (refused.status_code, "Temporarily unavailable" in refused.text) == (503, True)
    standby.promote()
    assert browser.post("/preferences/display", DISPLAY).status_code == 303
    assert "cannot set transaction read-write mode during recovery" in written()
