"""A worker is killed in the middle of saving: what was acknowledged is there, and what it held is free again."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPException

import pytest

from tenants.settings import Settings
from tests.extranet.world import COMPANY
from tests.faults.node import Node, Visitor
from tests.faults.world import requests_in_log, until
from tests.platform import SLUGS, open_platform
from tests.services.postgresql import Cluster


@contextmanager
def saving_at(node: Node) -> Iterator[dict[str, list[str]]]:
    """Let two people at each tenant save, and keep what was acknowledged; a connection cut off is no answer."""
    acknowledged: dict[str, list[str]] = {slug: [] for slug in SLUGS}
    stop = threading.Event()

    def save(visitor: Visitor, token: str, name: str) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            with suppress(OSError, HTTPException):
                form = {**COMPANY, "street": f"{number} {name} street"}
                answer = visitor.post("/preferences/company", form, token)
                assert answer.status in {303, 503}, answer.text
                if answer.status == 303:
                    acknowledged[visitor.slug].append(answer.headers["X-Request-Id"])

    threads = []
    for slug in SLUGS:
        for number in range(2):
            visitor = node.visitor(slug)
            visitor.sign_in()
            threads.append(threading.Thread(target=save, args=(visitor, visitor.token(), f"{slug}{number}")))
    for thread in threads:
        thread.start()
    try:
        yield acknowledged
    finally:
        stop.set()
        for thread in threads:
            thread.join()


@pytest.mark.timeout(120)
def test_a_killed_worker_loses_nothing_acknowledged_and_leaves_nothing_held(served: Settings, cluster: Cluster) -> None:
    with Node(served.home) as node, saving_at(node) as acknowledged:
        # There is one share more than workers: the second one to die leaves none, unless the first one's came back.
        for pid in node.workers():
            kill_and_see_it_replaced(node, pid, cluster, acknowledged)
    platform = open_platform(served.home)
    for slug in SLUGS:
        assert set(acknowledged[slug]) <= requests_in_log(platform, slug)
    platform.close()
    assert "shares of the server" not in node.log()
    # A server process on its way out is still counted for a moment.
    cluster.until(lambda: not backends_of(cluster), "A connection stayed open.")


def kill_and_see_it_replaced(node: Node, pid: int, cluster: Cluster, acknowledged: dict[str, list[str]]) -> None:
    before = {slug: len(ids) for slug, ids in acknowledged.items()}
    backends = backends_of(cluster)
    os.kill(pid, signal.SIGKILL)
    until(lambda: pid not in node.workers() and len(node.workers()) == 2, "It was not replaced.")
    until(lambda: backends - backends_of(cluster), "Its connections are still open.")
    until(lambda: all(len(ids) > before[slug] + 3 for slug, ids in acknowledged.items()), "Nobody can save any more.")


def backends_of(cluster: Cluster) -> set[int]:
    rows = cluster.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'extranet'")
    return {pid for (pid,) in rows}
