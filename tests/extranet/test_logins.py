"""What a login is: a row in one tenant's database, a secret in one browser, and an end."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
import time_machine
from sqlalchemy import func, select

from extranet.accounts import logins
from extranet.errors import NotFound
from extranet.models import KnownBrowser, Login
from extranet.models.login import hash_secret
from extranet.request import login as login_step
from tests.extranet.world import NEW_PASSWORD, disable, events_after, log_of, names, without_token
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id

SESSION = "__Host-session"


def login_rows(platform: Platform, slug: str = "acme") -> list[Login]:
    with platform.db(slug, writing=False) as db:
        return list(db.scalars(select(Login).order_by(Login.started_at)))


def replay(platform: Platform, value: str, slug: str = "acme"):
    browser = platform.browser(slug)
    browser.set_cookie(SESSION, value)
    return browser


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_only_a_hash_of_the_secret_is_stored(platform: Platform, slug: str) -> None:
    platform.signed_in(slug)
    (row,) = login_rows(platform, slug)
    assert len(row.secret_hash) == 32
    assert hash_secret(row.secret_hash) != row.secret_hash
    assert row.address == "192.0.2.10"
    assert row.expires_at - row.started_at == timedelta(hours=12)


def test_a_cookie_planted_before_signing_in_is_worthless_after(platform: Platform) -> None:
    victim, attacker = platform.browser(), platform.browser()
    token = attacker.token()
    planted = attacker.cookie(SESSION)
    victim.set_cookie(SESSION, planted)
    victim.post("/login", {"username": "anna", "password": PASSWORD}, token=token)
    assert victim.get("/").status_code == 200
    assert victim.cookie(SESSION) != planted
    assert attacker.get("/").status_code == 303
    assert victim.post("/preferences/display", {}, token=token).status_code == 403, "the old token is dead too"


def test_changing_the_password_renews_cookie_and_token_and_kills_the_old_ones(platform: Platform) -> None:
    browser = platform.signed_in()
    before, token = browser.cookie(SESSION), browser.token()
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303
    assert browser.cookie(SESSION) != before
    assert "Your password has been changed" in browser.get("/preferences/security").text
    assert replay(platform, before).get("/").status_code == 303
    assert browser.post("/preferences/display", {}, token=token).status_code == 403


def test_signing_out_ends_the_login_for_every_copy_of_its_cookie(platform: Platform) -> None:
    browser = platform.signed_in()
    copy, token = browser.cookie(SESSION), browser.token()
    recorded = events_after(platform, lambda: browser.post("/logout"))
    assert names(recorded) == ["signed_out"]
    assert recorded[0].actor == user_id("anna")
    assert replay(platform, copy).get("/preferences/profile").status_code == 303
    assert "You are signed out." in browser.get("/login").text
    assert "You are signed out." not in browser.get("/login").text
    assert browser.post("/login", {"username": "x", "password": "y"}, token=token).status_code == 403


def test_signing_out_clears_what_the_browser_kept(platform: Platform) -> None:
    assert platform.signed_in().post("/logout").headers["Clear-Site-Data"] == '"cache"'


def test_signing_out_twice_is_no_error(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme") as db:
        logins.end_logins(db, user_id("anna"), "ended")
    assert events_after(platform, lambda: browser.post("/logout")) == []
    assert browser.post("/logout").status_code == 303


def test_a_login_ends_after_an_hour_without_use(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    clock.shift(timedelta(minutes=59))
    assert browser.get("/").status_code == 200
    clock.shift(timedelta(minutes=59))
    assert browser.get("/").status_code == 200
    clock.shift(timedelta(minutes=60))
    recorded = events_after(platform, lambda: browser.get("/"))
    assert names(recorded) == ["login_expired"]
    assert (recorded[0].actor, recorded[0].private["address"]) == (user_id("anna"), "192.0.2.10")
    assert browser.get("/").headers["Location"].startswith("/login")
    assert login_rows(platform)[0].end_reason == "expired"


def test_a_login_ends_after_twelve_hours_however_busy(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    for _ in range(23):
        clock.shift(timedelta(minutes=31))
        assert browser.get("/").status_code == 200
    clock.shift(timedelta(minutes=7))
    assert browser.get("/").status_code == 303
    assert login_rows(platform)[0].end_reason == "expired"


def test_the_end_of_a_login_is_recorded_though_a_form_was_refused_by_it(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    """The event was rolled back with the form."""
    browser = platform.signed_in()
    token = browser.token()
    clock.shift(timedelta(minutes=61))
    recorded = events_after(platform, lambda: browser.post("/preferences/display", {}, token=token))
    assert names(recorded) == ["login_expired"]
    again = events_after(platform, lambda: browser.get("/"))
    assert again == []


@BOTH
def test_of_two_pages_that_find_a_login_expired_at_once_one_records_it(
    platform: Platform, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = platform.signed_in()
    clock.shift(timedelta(minutes=61))
    write = login_step.write_beside

    def after_the_other(change: Any) -> None:
        with platform.db("acme") as db:
            logins.end_login(db, user_id("anna"), login_rows(platform)[0].id, OPERATOR_ORIGIN)
        write(change)

    monkeypatch.setattr(login_step, "write_beside", after_the_other)
    assert names(events_after(platform, lambda: browser.get("/"))) == ["login_ended"]


@BOTH
def test_last_seen_is_written_once_a_minute(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    started = login_rows(platform)[0].last_seen_at
    clock.shift(timedelta(seconds=60))
    browser.get("/")
    assert login_rows(platform)[0].last_seen_at == started
    clock.shift(timedelta(seconds=1))
    browser.get("/")
    assert login_rows(platform)[0].last_seen_at == started + timedelta(seconds=61)
    clock.shift(timedelta(seconds=61))
    browser.post("/preferences/display", {})
    assert login_rows(platform)[0].last_seen_at == started + timedelta(seconds=122)


def test_a_page_is_shown_while_nothing_can_be_written(
    platform: Platform, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = platform.signed_in()
    started = login_rows(platform)[0].last_seen_at
    clock.shift(timedelta(seconds=61))
    monkeypatch.setattr("tenants.sqlite._BUSY_TIMEOUT_SECONDS", 0.05)
    platform.tenancy.databases.forget(platform.tenant("acme"))
    with platform.db("acme") as db:
        db.execute(select(func.count()).select_from(Login))
        assert browser.get("/").status_code == 200
        assert login_rows(platform)[0].last_seen_at == started
        assert browser.post("/preferences/display", {}).status_code == 503
    assert browser.get("/").status_code == 200
    assert login_rows(platform)[0].last_seen_at > started


@BOTH
def test_a_person_has_twenty_logins_and_the_longest_unused_goes_first(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browsers = []
    for _ in range(20):
        browsers.append(platform.signed_in())
        clock.shift(timedelta(seconds=10))
    clock.shift(timedelta(seconds=70))
    assert browsers[0].get("/").status_code == 200
    recorded = events_after(platform, lambda: browsers.append(platform.signed_in()))
    assert names(recorded) == ["login_ended", "new_browser", "signed_in"]
    assert recorded[0].details["surplus"] is True
    assert [browser.get("/").status_code for browser in browsers] == [200, 303] + [200] * 19


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_disabling_somebody_takes_effect_on_their_next_request(platform: Platform, slug: str) -> None:
    browser = platform.signed_in(slug, "ben")
    disable(platform, "ben", slug)
    assert browser.get("/").status_code == 303


def test_a_changed_role_takes_effect_on_the_next_request(platform: Platform) -> None:
    browser = platform.signed_in()
    assert "1 rue" not in browser.get("/preferences/company").text
    with platform.db("acme") as db:
        from extranet.models import User

        db.get_one(User, user_id("anna")).role = "member"
    assert browser.post("/preferences/company", {}).status_code == 403


def test_anonymous_visits_leave_nothing_behind(platform: Platform) -> None:
    def count() -> list[int]:
        with platform.db("acme", writing=False) as db:
            tables = ("login", "known_browser", "security_event", "throttle", "invitation")
            return [db.connection().exec_driver_sql(f"SELECT count(*) FROM {name}").scalar_one() for name in tables]

    before = count()
    for _ in range(50):
        platform.browser().get("/login")
    assert count() == before


@BOTH
def test_ending_every_login_of_a_tenant_leaves_the_other_tenant_alone(platform: Platform) -> None:
    here, there = platform.signed_in("acme"), platform.signed_in("globex")
    with platform.db("acme") as db:
        assert logins.end_all_logins(db, OPERATOR_ORIGIN, "operator") == 1
    assert here.get("/").status_code == 303
    assert there.get("/").status_code == 200
    assert names(log_of(platform))[-1] == "all_signed_out"


def test_one_cannot_end_a_login_of_somebody_else(platform: Platform) -> None:
    platform.signed_in("acme", "ben")
    (row,) = login_rows(platform)
    with platform.db("acme") as db:
        with pytest.raises(NotFound):
            logins.end_login(db, user_id("anna"), row.id, OPERATOR_ORIGIN)
        logins.sign_out(db, user_id("anna"), row.id, OPERATOR_ORIGIN)
    assert login_rows(platform)[0].ended_at is None


@BOTH
def test_two_people_at_one_browser_have_a_row_each_and_no_advantage(platform: Platform) -> None:
    browser = platform.signed_in("acme", "anna")
    browser.post("/logout")
    for number in range(5):
        browser.address = f"10.1.1.{number}"
        assert browser.post("/login", {"username": "ben", "password": "x"}).status_code == 422
    browser.address = "10.1.1.99"
    assert browser.post("/login", {"username": "ben", "password": PASSWORD}).status_code == 429
    other = platform.signed_in("acme", "gus")
    device = other.cookie("__Host-device")
    other.post("/logout")
    recorded = events_after(platform, lambda: other.sign_in("anna", PASSWORD))
    assert names(recorded)[0] == "new_browser"
    assert other.cookie("__Host-device") != device, "sealed anew"
    with platform.db("acme", writing=False) as db:
        pairs = db.execute(
            select(func.count(), func.count(func.distinct(KnownBrowser.user_id)))
            .group_by(KnownBrowser.device_hash)
            .order_by(func.count().desc())
        ).first()
    assert pairs is not None
    assert tuple(pairs) == (2, 2)


def test_a_page_differs_from_its_copy_in_nothing_but_the_token(platform: Platform) -> None:
    browser = platform.signed_in()
    first, second = browser.get("/preferences/display").text, browser.get("/preferences/display").text
    assert first != second
    assert without_token(first) == without_token(second)
