"""While a fleet is migrated: newer code tells who is not there yet to come back, older code works on what is new."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from extranet import app
from tenants.fleet.journal import StepState
from tenants.fleet.migration import migrate_tenant
from tenants.tenancy import Tenancy
from tests.extranet.world import DISPLAY, row_of
from tests.platform import Platform, open_platform

NEWER = "tests.histories.added_column"


@pytest.fixture
def newer(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Platform]:
    """The application of a release that needs a newer schema than any tenant has."""
    monkeypatch.setattr(app, "HISTORY", NEWER)
    opened = open_platform(home)
    yield opened
    opened.close()


def migrate(platform: Platform, slug: str) -> None:
    with Tenancy.open(platform.settings, NEWER) as tenancy:
        report = migrate_tenant(tenancy, tenancy.registry.by_slug(slug), None)
    assert report.state is StepState.DONE


@pytest.mark.parametrize(
    ("language", "title", "soon"),
    [
        ("en", "Being updated", "back in a few minutes"),
        ("fr", "Mise à jour en cours", "de retour dans quelques minutes"),
        ("nl", "Wordt bijgewerkt", "Over enkele minuten"),
    ],
)
def test_who_is_not_migrated_yet_is_told_to_come_back(newer: Platform, language: str, title: str, soon: str) -> None:
    answer = newer.browser().get("/login", headers={"Accept-Language": language})
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert title in answer.text
    assert soon in answer.text


def test_each_tenant_is_back_as_soon_as_it_is_migrated(newer: Platform) -> None:
    assert newer.browser().get("/login").status_code == 503
    migrate(newer, "acme")
    assert newer.signed_in("acme").get("/").status_code == 200
    assert newer.browser("globex").get("/login").status_code == 503


def test_older_code_works_on_a_newer_schema(platform: Platform) -> None:
    browser = platform.signed_in()
    migrate(platform, "acme")
    assert browser.get("/").status_code == 200
    assert browser.post("/preferences/display", {**DISPLAY, "theme": "dark"}).status_code == 303
    assert row_of(platform).theme == "dark"
    assert platform.signed_in(username="ben").get("/").status_code == 200
    restarted = open_platform(platform.settings.home)
    assert restarted.signed_in().get("/").status_code == 200
    restarted.close()
