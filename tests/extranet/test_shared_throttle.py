"""Attempts by address counted in Redis, and in the registry while there is none to be had."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from extranet.request import log
from tests.browser import Browser
from tests.extranet.world import try_sign_in
from tests.platform import PASSWORD, Platform, copy_home, open_platform
from tests.services.redis import Redis


@pytest.fixture
def server(redis_server: Redis) -> Iterator[Redis]:
    """The Redis that tests share, empty, and running again afterwards."""
    with redis.Redis.from_url(redis_server.url, retry=Retry(NoBackoff(), 0)) as client:
        client.flushall()
    yield redis_server
    if not redis_server.is_running:
        redis_server.start()


@pytest.fixture
def platforms(pristine_home: Path, server: Redis, tmp_path: Path) -> Iterator[tuple[Platform, Platform]]:
    """Two applications with nothing in common but their keys and their Redis."""
    password = tmp_path / "redis.password"
    password.touch(0o600)
    password.write_text(server.password)
    shared = {"redis_url": f"redis://{server.host}:{server.port}/0", "redis_password_file": password}
    both = [open_platform(copy_home(pristine_home, tmp_path / name), **shared) for name in ("one", "other")]
    yield both[0], both[1]
    for platform in both:
        platform.close()


def names_tried(browsers: list[Browser], count: int) -> list[int]:
    return [
        try_sign_in(browsers[number % len(browsers)], f"nobody{number}-{id(browsers)}").status_code
        for number in range(count)
    ]


def test_an_address_has_twenty_attempts_over_all_nodes(platforms: tuple[Platform, Platform]) -> None:
    browsers = [platform.browser() for platform in platforms]
    assert names_tried(browsers, 24) == [422] * 20 + [429] * 4
    assert try_sign_in(platforms[0].browser(address="192.0.2.99"), "anna", PASSWORD).status_code == 303


def test_success_gives_an_attempt_back_whichever_node_it_was_at(platforms: tuple[Platform, Platform]) -> None:
    one, other = platforms
    names_tried([one.browser()], 19)
    for platform in (other, one, other):
        platform.browser().sign_in("anna", PASSWORD)
    assert names_tried([other.browser()], 2) == [422, 429]


def test_nobody_s_address_is_in_redis(platforms: tuple[Platform, Platform], server: Redis) -> None:
    names_tried([platforms[0].browser()], 1)
    with redis.Redis.from_url(server.url) as client:
        keys = client.keys()
        stored = [*keys, *(value for key in keys for value in client.hvals(key))]
    assert len(keys) == 3, "an address has two, all tenants together one"
    assert not any(b"192.0.2" in value or b"nobody" in value for value in stored)


def test_without_redis_every_node_still_counts_and_serves_and_says_so_once(
    platforms: tuple[Platform, Platform], server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = io.StringIO()
    monkeypatch.setattr("sys.stderr", written)
    log.configure()
    one, _ = platforms
    assert names_tried([one.browser()], 5) == [422] * 5
    server.kill()
    assert names_tried([one.browser()], 23) == [422] * 20 + [429] * 3
    one.browser(address="192.0.2.99").sign_in("anna", PASSWORD)
    (said,) = [line for line in map(json.loads, written.getvalue().splitlines()) if line["event"] == "redis"]
    assert "refused" in said["why"]
    assert server.password not in written.getvalue()
    monkeypatch.undo()
    log.configure()


def test_redis_is_used_again_once_it_is_back(
    platforms: tuple[Platform, Platform], server: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tenants.shared_store._REST_SECONDS", 0.0)
    browsers = [platform.browser() for platform in platforms]
    server.kill()
    names_tried(browsers, 2)
    server.start()
    assert names_tried(browsers, 21) == [422] * 20 + [429]
