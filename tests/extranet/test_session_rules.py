"""What a tenant may make stricter about its people's sessions, and what makes one doubtful."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import event as sql_events
from sqlalchemy import select, update

from extranet.accounts import logins
from extranet.models import Company, Login
from tests.browser import Browser
from tests.extranet.world import events_after, names
from tests.platform import BOTH, PASSWORD, Platform, user_id

WINDOWS = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0 Safari/537.36"
UPDATED = "Mozilla/5.0 (X11; Linux x86_64; rv:141.0) Gecko/20100101 Firefox/141.0"


def allow(platform: Platform, minutes: int, slug: str = "acme") -> None:
    with platform.db(slug) as db:
        db.execute(update(Company).values(idle_minutes=minutes))


def login_rows(platform: Platform, slug: str = "acme") -> list[Login]:
    with platform.db(slug, writing=False) as db:
        return list(db.scalars(select(Login).order_by(Login.started_at)))


@BOTH
@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_login_ends_after_as_many_idle_minutes_as_the_tenant_says(
    platform: Platform, clock: time_machine.Traveller, slug: str
) -> None:
    other = {"acme": "globex", "globex": "acme"}[slug]
    here, there = platform.signed_in(slug), platform.signed_in(other)
    allow(platform, 5, slug)
    clock.shift(timedelta(minutes=5) - timedelta(seconds=1))
    assert here.get("/").status_code == 200
    clock.shift(timedelta(minutes=5))
    recorded = events_after(platform, lambda: here.get("/"), slug)
    assert names(recorded) == ["login_expired"]
    assert here.get("/").status_code == 303
    assert there.get("/").status_code == 200


@BOTH
def test_the_page_lists_no_login_that_has_been_idle_too_long(platform: Platform, clock: time_machine.Traveller) -> None:
    platform.signed_in()
    allow(platform, 10)
    clock.shift(timedelta(minutes=10))
    platform.signed_in()
    with platform.db("acme", writing=False) as db:
        assert len(logins.active_logins(db, user_id("anna"))) == 1


def test_what_was_ended_while_idle_does_not_come_back_with_a_longer_rule(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    thief = platform.signed_in()
    allow(platform, 5)
    clock.shift(timedelta(minutes=6))
    owner = platform.signed_in()
    recorded = events_after(platform, lambda: owner.post("/preferences/sessions/end-others"))
    assert recorded[0].details["others"] == 0
    allow(platform, 60)
    assert thief.get("/").status_code == 303
    assert {login.end_reason for login in login_rows(platform)} == {"ended", ""}


def test_what_was_forgotten_while_idle_does_not_come_back_with_a_longer_rule(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    thief = platform.signed_in()
    allow(platform, 5)
    clock.shift(timedelta(minutes=6))
    owner = platform.signed_in()
    owner.post(f"/preferences/browsers/{login_rows(platform)[0].browser_id}/forget")
    allow(platform, 60)
    assert thief.get("/").status_code == 303


def end_others(browser: Browser) -> str:
    return browser.post("/preferences/sessions/end-others").headers["Location"]


def test_a_session_that_goes_on_in_another_browser_is_noted_and_has_to_prove_itself(platform: Platform) -> None:
    browser = platform.signed_in()
    browser.user_agent = WINDOWS
    recorded = events_after(platform, lambda: browser.get("/"))
    assert [(entry.event, entry.actor, entry.outcome) for entry in recorded] == [("login_moved", user_id("anna"), "ok")]
    assert recorded[0].private["user_agent"] == WINDOWS
    assert recorded[0].private["login"] == login_rows(platform)[0].id
    assert browser.get("/").status_code == 200, "it does not end"
    assert events_after(platform, lambda: browser.get("/")) == []
    assert end_others(browser) == "/confirm?next=/preferences/sessions"
    assert browser.post("/confirm", {"password": PASSWORD}).status_code == 303
    assert end_others(browser) == "/preferences/sessions"


def test_the_very_request_that_comes_from_another_browser_is_asked_for_proof(platform: Platform) -> None:
    browser = platform.signed_in()
    token = browser.token()
    browser.user_agent = WINDOWS
    response = browser.post("/preferences/sessions/end-others", token=token)
    assert response.headers["Location"] == "/confirm?next=/preferences/sessions"
    assert login_rows(platform)[0].proved_at is None


def test_an_updated_browser_is_the_same_browser(platform: Platform) -> None:
    browser = platform.signed_in()
    browser.user_agent = UPDATED
    assert events_after(platform, lambda: browser.get("/")) == []
    assert end_others(browser) == "/preferences/sessions"


def test_a_session_that_jumps_to_and_fro_does_not_fill_the_log(platform: Platform) -> None:
    browser = platform.signed_in()
    first = browser.user_agent

    def jump() -> None:
        for number in range(40):
            browser.user_agent = (first, WINDOWS)[number % 2]
            browser.get("/")

    assert names(events_after(platform, jump)) == ["login_moved"] * 10
    assert login_rows(platform)[0].proved_at is None


def test_forgetting_the_browser_in_use_clears_what_it_kept(platform: Platform) -> None:
    browser = platform.signed_in()
    response = browser.post(f"/preferences/browsers/{login_rows(platform)[0].browser_id}/forget")
    assert response.headers["Location"] == "/login"
    assert response.headers["Clear-Site-Data"] == '"cache"'


@BOTH
def test_who_is_signed_in_is_found_in_one_query(platform: Platform) -> None:
    """Whatever a session's rules are, a page asks the database once who is there."""
    browser = platform.signed_in()
    asked: list[str] = []
    with platform.db("acme", writing=False) as db:
        engine = db.get_bind().engine
    sql_events.listen(engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    assert browser.get("/confirm").status_code == 303
    assert len([statement for statement in asked if "SELECT" in statement]) == 1
