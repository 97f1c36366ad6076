"""PgBouncer in between, giving out its connections by the transaction: nobody sees anybody else's rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest
from psycopg.conninfo import make_conninfo

from extranet.models import Company
from extranet.security_log.operations import journal
from tenants.errors import TenantUnavailable
from tenants.servers import database_name
from tenants.settings import Settings
from tests.extranet.world import COMPANY, DISPLAY
from tests.faults.world import SERVER, make_home
from tests.platform import SLUGS, Platform
from tests.services.pgbouncer import PgBouncer
from tests.services.postgresql import Cluster
from tests.services.programs import PGBOUNCER, need
from tests.tenants.servers import cleaned

POOL_SIZE = 2
THREADS = 30


@pytest.fixture
def pooled(
    cluster: Cluster, tmp_path: Path, open_over: Callable[[Settings], Platform]
) -> Iterator[tuple[Platform, PgBouncer]]:
    """Tenants on a server that is reached through a pooler which knows their roles' verifiers and no password."""
    need("pgbouncer", PGBOUNCER)
    with cleaned(cluster), PgBouncer(cluster, {}, default_pool_size=POOL_SIZE) as bouncer:
        address = make_conninfo(host=bouncer.host, port=bouncer.port)
        platform = open_over(make_home(tmp_path / "home", cluster, address=address, pooled=True))
        roles = [database_name(platform.tenant(slug).uuid) for slug in SLUGS]
        bouncer.write_users({role: cluster.verifier(role) for role in roles})
        yield platform, bouncer
        platform.close()


def test_pages_work_and_the_log_holds_over_a_pooler(pooled: tuple[Platform, PgBouncer]) -> None:
    platform, _ = pooled
    assert platform.tenancy.servers.by_name(SERVER).pooled
    for slug in SLUGS:
        browser = platform.signed_in(slug)
        for theme in ("dark", "light"):
            assert browser.post("/preferences/display", {**DISPLAY, "theme": theme}).status_code == 303
            assert browser.post("/preferences/company", {**COMPANY, "legal_name": f"{slug} {theme}"}).status_code == 303
        assert browser.get("/").status_code == 200
        with platform.db(slug, writing=False) as db:
            assert journal(db.info["keys"]).verify(db) > 3
            assert db.query(Company).one().legal_name == f"{slug} light"


def test_thirty_threads_at_two_tenants_never_see_the_other_s_rows(
    pooled: tuple[Platform, PgBouncer], cluster: Cluster, written: Callable[[], str]
) -> None:
    platform, bouncer = pooled
    for slug in SLUGS:
        with platform.db(slug) as db:
            db.query(Company).one().legal_name = slug

    def visit(number: int) -> list[str]:
        slug = SLUGS[number % 2]
        seen: list[str] = []
        while len(seen) < 10:
            # A transaction each: the pooler may lead every one of them somewhere else. Fifteen at once may be more than
            # the line of a busy machine lets wait.
            with suppress(TenantUnavailable), platform.db(slug, writing=number % 3 == 0) as db:
                seen.append(db.query(Company).one().legal_name)
        return seen

    with ThreadPoolExecutor(THREADS) as pool:
        answers = list(pool.map(visit, range(THREADS)))
    for number, seen in enumerate(answers):
        assert seen == [SLUGS[number % 2]] * 10
    names = [database_name(platform.tenant(slug).uuid) for slug in SLUGS]
    for name in names:
        ((count,),) = cluster.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name])
        assert 0 < count <= POOL_SIZE
    assert len(bouncer.console("SHOW CLIENTS")) <= 1 + 2 * 4
    written()
