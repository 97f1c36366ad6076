"""PostgreSQL goes and comes back under the application, which needs no restart of its own."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from extranet.request.access import public
from extranet.request.current import current
from tenants.settings import Settings
from tests.faults.world import requests_in_log, saving, until
from tests.platform import Platform
from tests.services.postgresql import Cluster, Mode

Open = Callable[[Settings], Platform]
WHERE = pytest.mark.parametrize("home", ["served", "served_whole"])


@public
def _sleep() -> str:
    current.db.execute(text("SELECT pg_sleep(10)"))
    return "slept"


@WHERE
@pytest.mark.parametrize(("how", "method"), [("fast", "GET"), ("immediate", "POST")])
def test_a_request_cut_short_is_one_clean_page_and_the_next_one_is_answered(
    request: pytest.FixtureRequest,
    open_over: Open,
    running: Cluster,
    written: Callable[[], str],
    home: str,
    how: Mode,
    method: str,
) -> None:
    platform = open_over(request.getfixturevalue(home))
    platform.app.add_url_rule("/sleep", "sleep", _sleep, methods=["GET", "POST"])
    browser = platform.signed_in()
    token = browser.token()
    with ThreadPoolExecutor(1) as pool:
        asked = (
            pool.submit(browser.get, "/sleep")
            if method == "GET"
            else pool.submit(browser.post, "/sleep", {}, token=token)
        )
        until(lambda: running.execute("SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "Nobody sleeps.")
        running.stop(how)
        cut = asked.result(10)
    assert (cut.status_code, int(cut.headers["Retry-After"]) > 0) == (503, True)
    assert "Temporarily unavailable" in cut.text
    for inside in ("Traceback", "psycopg", "terminating", "pg1", "127.0.0.1"):
        assert inside not in cut.text
    down = browser.get("/")
    assert (down.status_code, "Temporarily unavailable" in down.text) == (503, True)
    running.start()
    assert browser.get("/").status_code == 200
    assert platform.signed_in("globex").get("/").status_code == 200
    told = [json.loads(line) for line in written().splitlines()]
    assert {line["reason"] for line in told if "cannot be reached" in line.get("reason", "")}
    # Everybody who comes meanwhile meets the same: a line each, no traceback.
    assert [line for line in told if "exception" in line] == []


@pytest.mark.parametrize(("home", "how"), [("served", "fast"), ("served_whole", "immediate"), ("served_whole", "kill")])
def test_who_saves_meanwhile_loses_nothing_that_was_acknowledged(
    request: pytest.FixtureRequest,
    open_over: Open,
    running: Cluster,
    written: Callable[[], str],
    home: str,
    how: str,
) -> None:
    platform = open_over(request.getfixturevalue(home))
    with saving(platform) as writers:
        until(lambda: all(len(writer.acknowledged) > 3 for writer in writers), "Nobody saves.")
        if how == "kill":
            running.kill()
        else:
            running.stop(how)  # type: ignore[arg-type]
        until(lambda: all(writer.statuses[-1] == 503 for writer in writers), "Somebody is still answered.")
        running.start()
        began = time.monotonic()
        until(lambda: all(writer.statuses[-1] == 303 for writer in writers), "Somebody is not answered again.")
        assert time.monotonic() - began < 5
    for writer in writers:
        assert set(writer.statuses) == {303, 503}
        assert set(writer.acknowledged) <= requests_in_log(platform, writer.slug)
    written()
