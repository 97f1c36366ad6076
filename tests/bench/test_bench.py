"""The bench itself: its parts work on something small. Nothing here is timed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from sqlalchemy import select

from extranet.app import create_app
from extranet.models import Login
from tests.bench import argon, ceiling, home, servers
from tests.bench.load import USER_AGENT, Plan, run
from tests.bench.rounds import Row, alternate, table


class Greeter(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"<h1>Hello</h1>" if self.headers["Host"] == "known" else b"?"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Greeter) as server:
        threading.Thread(target=server.serve_forever).start()
        yield server.server_address[1]
        server.shutdown()


def test_the_load_generator_counts_good_answers_and_bad_ones(port: int) -> None:
    (good,) = run(Plan(port, 0.1, 2, visits=[("known", "")]))
    assert good.done > 0
    assert good.failed == 0
    (bad,) = run(Plan(port, 0.1, 2, visits=[("unknown", "")]))
    assert bad.done == 0
    assert bad.failed == bad.answered > 0


def test_who_is_told_to_come_back_later_does_and_readers_go_slowly(tmp_path: Path) -> None:
    port = servers.free_port()
    made = home.make_home(tmp_path / "home", port, 1)
    with made.open() as tenancy:
        people, reader = home.add_people(made, tenancy, "crowded", 40)
        with servers.product(made.environment, port, tmp_path / "log") as server:
            crowd = Plan(
                port, 1.5, 12, people=people, password=home.PASSWORD, busy=503, apart=True, workers=server.workers
            )
            signed_in, read = run(crowd, Plan(port, 1.5, 1, [reader], pause=0.2))
            assert server.memory_of_all() > 0
        with tenancy.open_db(tenancy.registry.by_slug("crowded")) as db:
            addresses = set(db.scalars(select(Login.address).where(Login.address.like("127.1.0.%"))))
    assert (signed_in.failed, read.failed) == (0, 0)
    # Eight wait for a slot, the others for their turn to ask again.
    assert signed_in.put_off >= signed_in.sent_away >= 0
    assert signed_in.put_off >= 1
    assert signed_in.of_server > signed_in.of_load > 0, "hashing takes more than asking for it"
    assert len(addresses) > 1
    assert 2 <= read.answered <= 25


def test_argon2id_alone_is_counted_over_all_processes() -> None:
    pure = argon.measure(2, 0.2)
    assert pure.rate > 0
    assert pure.of_processor_time > 0


def test_both_sides_show_the_same_facts(tmp_path: Path) -> None:
    made = home.make_home(tmp_path / "home", 8000, 2)
    with made.open() as tenancy:
        ((host, cookie),) = home.add_visited_tenants(made, tenancy, 1)
        file = home.add_shared_tenant(tenancy, 1)
    app = create_app(made.settings)
    ours = app.test_client(use_cookies=False).get("/", base_url=f"http://{host}", headers={"Cookie": cookie})
    app.extensions["extranet"].tenancy.close()
    plain = ceiling.make_app({"CEILING_DATABASE": str(file), "CEILING_SECRET_KEY": "secret"})
    (header,) = ceiling.signed_in_cookies(plain, "localhost", ["person-0"], USER_AGENT)
    theirs = plain.test_client(use_cookies=False).get("/", headers={"Cookie": header, "User-Agent": USER_AGENT})
    for page in (ours, theirs):
        assert page.status_code == 200
        assert all(words in page.text for words in ("Hello Anna", "Firefox, Linux", "127.0.0.1", "Job title"))
    assert abs(len(ours.data) - len(theirs.data)) < len(ours.data) / 10


def test_rounds_alternate_and_the_table_shows_ratios() -> None:
    order: list[str] = []
    ours, beside = alternate(2, lambda: order.append("ours") or 3.0, lambda: order.append("beside") or 2.0)
    assert order == ["ours", "beside"] * 2
    row = Row("speed", "pages/s", ours, beside, "another", ">= 1")
    assert "1.50 (1.50-1.50)" in table([row])
    assert json.dumps(row.document())
