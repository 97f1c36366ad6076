"""A tenant is moved while its people use it: they stay signed in, and no save that was acknowledged is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from extranet.models import ProfileVersion
from tenants import lifecycle
from tenants.generation import RECHECK_SECONDS
from tenants.settings import Settings
from tenants.tenancy import Tenancy
from tenants.tenant import EMBEDDED
from tests.browser import Browser
from tests.console import PATIENCE, Console
from tests.platform import UNTOUCHED_CARD, Platform, open_platform
from tests.tenants.lives import everything_of, files_of, rows_of
from tests.tenants.world import HISTORY

SAVED = 303


@pytest.fixture
def served(movable_home: Settings) -> Iterator[Platform]:
    """The application over a home that knows of a server."""
    platform = open_platform(movable_home.home)
    yield platform
    platform.close()


class Writer(threading.Thread):
    """Somebody who saves again and again, and remembers what was acknowledged."""

    def __init__(self, browser: Browser) -> None:
        super().__init__()
        self.browser = browser
        self.token = browser.token()
        self.acknowledged: set[str] = set()
        self.refused: set[int] = set()
        self.ended = threading.Event()

    def run(self) -> None:
        number = 0
        while not self.ended.is_set():
            number += 1
            card = {"first_name": "Ben", "last_name": "Peeters", **UNTOUCHED_CARD, "about": f"number {number};"}
            status = self.browser.post("/preferences/profile", card, token=self.token).status_code
            if status == SAVED:
                self.acknowledged.add(f"number {number};")
            else:
                self.refused.add(status)
            time.sleep(0.002)


def move(home: Settings, to: str) -> None:
    answer = Console(home.home).run_for_real("tenant", "move", "acme", "--to", to)
    assert answer.exit_code == 0, answer


def saved_since(writer: Writer, count: int) -> None:
    end = time.monotonic() + PATIENCE
    while len(writer.acknowledged) <= count:
        assert time.monotonic() < end, "nothing is saved any more"
        time.sleep(0.01)


def test_no_acknowledged_save_is_lost_on_the_way_there_and_back(movable_home: Settings, served: Platform) -> None:
    writer = Writer(served.signed_in("acme", "ben"))
    writer.start()
    try:
        for server in ("pg1", EMBEDDED):
            saved_since(writer, len(writer.acknowledged) + 5)
            move(movable_home, server)
            saved_since(writer, len(writer.acknowledged) + 5)
    finally:
        writer.ended.set()
        writer.join(PATIENCE)
    with served.db("acme", writing=False) as db:
        kept = " ".join(db.scalars(select(ProfileVersion.changes)))
    assert {saved for saved in writer.acknowledged if saved not in kept} == set()
    assert writer.refused <= {503}


def test_browsers_stay_signed_in_and_everything_is_as_it_was(movable_home: Settings, served: Platform) -> None:
    anna = served.signed_in("acme", "anna")
    neighbour = served.signed_in("globex", "anna")
    before, files = rows_of(served.tenancy, served.tenant("acme")), files_of(served.tenancy, served.tenant("acme"))
    globex = everything_of(served.tenancy, "globex")
    for server in ("pg1", EMBEDDED):
        with Tenancy.open(movable_home, HISTORY) as operators:
            lifecycle.move_tenant(operators, "acme", server)
        time.sleep(RECHECK_SECONDS)
        assert served.tenant("acme").server == server
        assert anna.get("/").status_code == 200
        assert neighbour.get("/").status_code == 200
    after = rows_of(served.tenancy, served.tenant("acme"))
    assert after == before
    assert files_of(served.tenancy, served.tenant("acme")) == files
    assert everything_of(served.tenancy, "globex") == globex
