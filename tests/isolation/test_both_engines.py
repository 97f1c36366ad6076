"""Every page says the same wherever its tenant is kept.

Pages are tested in detail with SQLite; this walk is why that is enough wherever a test does not ask for both.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import time_machine
from werkzeug.test import TestResponse

from tests.extranet.conftest import NOW
from tests.isolation.test_same_ids import READING, plant_both, visitor
from tests.platform import Platform, make_home, make_home_on_server, open_platform
from tests.services.postgresql import Cluster
from tests.tenants.servers import cleaned

DIFFERENT = {
    "/admin/usage": "It says how large the database is.",
    "/preferences/sessions": "Those that began in one instant stand there in any order.",
    "/preferences/security/app": "It shows a key that was just made, and draws it.",
}
_RANDOM = re.compile(r"[0-9a-f]{32}|[\w-]{40,}|(?<=\?v=)[0-9a-f]+")


@pytest.fixture
def kept_on() -> str:
    return "both"


@pytest.fixture
def clock() -> Iterator[time_machine.Traveller]:
    with time_machine.travel(NOW, tick=False) as clock:
        yield clock


@pytest.fixture
def both(cluster: Cluster, tmp_path: Path, clock: time_machine.Traveller) -> Iterator[tuple[Platform, Platform]]:
    with cleaned(cluster):
        make_home(tmp_path / "files")
        make_home_on_server(tmp_path / "server", cluster, prepare=plant_both).databases.restore()
        platforms = open_platform(tmp_path / "files"), open_platform(tmp_path / "server")
        plant_both(platforms[0])
        yield platforms
        for platform in platforms:
            platform.close()


def test_every_page_says_the_same_on_both(both: tuple[Platform, Platform], clock: time_machine.Traveller) -> None:
    assert set(READING) >= set(DIFFERENT)
    for rule, example in READING.items():
        on_files, on_server = (shown(visitor(platform, "acme", example).get(example.path)) for platform in both)
        assert on_files == on_server or rule in DIFFERENT, rule
        # Whoever signs in for the next page does so later than for this one.
        clock.shift(1)


def shown(page: TestResponse) -> list[str]:
    """Return what a reader sees line by line, without what is random."""
    text = page.text if page.mimetype.startswith("text/") else ""
    page.close()
    return [page.status, page.mimetype, page.headers.get("Location", ""), *_RANDOM.sub("", text).splitlines()]
