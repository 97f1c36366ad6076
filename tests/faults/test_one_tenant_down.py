"""One tenant's database refuses everybody; no other tenant notices."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest
from psycopg import sql

from tenants.servers import database_name
from tenants.settings import Settings
from tests.faults.world import until
from tests.platform import Platform
from tests.services.postgresql import Cluster


@pytest.fixture
def platform(served: Settings, open_over: Callable[[Settings], Platform]) -> Platform:
    return open_over(served)


@pytest.fixture
def shut(platform: Platform, cluster: Cluster) -> Iterator[Callable[[bool], None]]:
    """Let nobody into acme's database and put out who is inside, or let them in again."""
    name = database_name(platform.tenant("acme").uuid)

    def shut(closed: bool) -> None:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        cluster.execute(allow.format(sql.Identifier(name), sql.Literal(not closed)))
        if closed:
            cluster.execute("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name])

    yield shut
    shut(False)


def test_one_database_that_refuses_is_one_tenant_s_trouble(
    platform: Platform, shut: Callable[[bool], None], written: Callable[[], str]
) -> None:
    acme, globex = platform.signed_in(), platform.signed_in("globex")
    other: list[int] = []
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            other.append(globex.get("/").status_code)

    visiting = threading.Thread(target=visit)
    visiting.start()
    try:
        for _ in range(2):
            shut(True)
            refused = [acme.get("/") for _ in range(5)]
            refused.append(platform.browser().get("/login"))
            for answer in refused:
                assert (answer.status_code, "Temporarily unavailable" in answer.text) == (503, True)
                assert answer.headers["Retry-After"]
            shut(False)
            until(lambda: acme.get("/").status_code == 200, "It does not recover.")
    finally:
        stop.set()
        visiting.join()
    assert len(other) > 10
    assert set(other) == {200}
    assert "is not currently accepting connections" in written()
