"""What is sensitive wants proof of who one is, no older than ten minutes."""

from __future__ import annotations

from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select, update

from extranet.models import Login
from tests.browser import Browser
from tests.extranet.world import NEW_PASSWORD, WRONG, count_verifications, disable, events_after, names
from tests.platform import BOTH, PASSWORD, Platform, user_id

SESSION = "__Host-session"
LATER = timedelta(minutes=10)
FORM = "/confirm?next=/preferences/sessions"


def login_row(platform: Platform, slug: str = "acme") -> Login:
    with platform.db(slug, writing=False) as db:
        return db.scalars(select(Login).order_by(Login.started_at.desc()).limit(1)).one()


def let_proof_age(platform: Platform, slug: str = "acme") -> None:
    """As if everybody had signed in a while ago; for tests that need no clock."""
    with platform.db(slug) as db:
        db.execute(update(Login).values(proved_at=None))


def end_others(browser: Browser, **options: object):
    return browser.post("/preferences/sessions/end-others", {}, **options)


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_signing_in_is_proof_for_ten_minutes_and_no_longer(
    platform: Platform, clock: time_machine.Traveller, slug: str
) -> None:
    browser, other = platform.signed_in(slug), platform.signed_in(slug)
    clock.shift(LATER - timedelta(seconds=1))
    assert end_others(browser).headers["Location"] == "/preferences/sessions"
    other.sign_in("anna", PASSWORD)
    clock.shift(timedelta(seconds=1))
    assert end_others(browser).headers["Location"] == FORM
    assert other.get("/").status_code == 200, "nothing was done"


def test_confirming_leads_back_and_lasts_ten_minutes(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    clock.shift(timedelta(minutes=30))
    page = browser.get(end_others(browser).headers["Location"])
    assert page.status_code == 200
    assert "Nothing has been changed yet" in page.text
    recorded = events_after(platform, lambda: browser.post(FORM, {"password": PASSWORD}))
    assert [(entry.event, entry.outcome, entry.details["factor"]) for entry in recorded] == [
        ("identity_confirmed", "ok", "password")
    ]
    assert "It is you." in browser.get("/preferences/sessions").text
    assert end_others(browser).headers["Location"] == "/preferences/sessions"
    assert browser.get(FORM).headers["Location"] == "/preferences/sessions", "asked once is enough"
    clock.shift(LATER)
    assert end_others(browser).headers["Location"] == FORM


def test_confirming_renews_cookie_and_token_and_kills_the_old_ones(platform: Platform) -> None:
    browser = platform.signed_in()
    let_proof_age(platform)
    before, token = browser.cookie(SESSION), browser.token()
    assert browser.post(FORM, {"password": PASSWORD}).status_code == 303
    copy = platform.browser()
    copy.set_cookie(SESSION, before)
    assert copy.get("/").status_code == 303
    assert browser.get("/").status_code == 200
    assert end_others(browser, token=token).status_code == 403


def test_a_proof_is_good_for_its_own_login_alone(platform: Platform) -> None:
    browser, other = platform.signed_in(), platform.signed_in()
    let_proof_age(platform)
    browser.post(FORM, {"password": PASSWORD})
    assert end_others(other).headers["Location"] == FORM
    with platform.db("globex", writing=False) as db:
        assert db.scalars(select(Login)).all() == []


@pytest.mark.parametrize("password", ["", WRONG, "x" * 1025])
def test_a_wrong_password_proves_nothing(platform: Platform, password: str) -> None:
    browser = platform.signed_in()
    let_proof_age(platform)
    response = browser.post(FORM, {"password": password})
    assert response.status_code == 422
    assert 'id="password-error"' in response.text
    assert login_row(platform).proved_at is None
    assert end_others(browser).headers["Location"] == FORM


@BOTH
def test_a_wrong_password_is_recorded_and_after_ten_none_is_looked_at(platform: Platform) -> None:
    browser = platform.signed_in()
    let_proof_age(platform)
    hasher = count_verifications(platform)
    recorded = events_after(platform, lambda: [browser.post(FORM, {"password": WRONG}) for _ in range(10)])
    assert names(recorded) == ["identity_not_confirmed"] * 10
    assert {(entry.outcome, entry.subject) for entry in recorded} == {("refused", user_id("anna"))}
    throttled = events_after(platform, lambda: browser.post(FORM, {"password": PASSWORD}))
    assert names(throttled) == ["identity_not_confirmed"]
    assert throttled[0].details["throttled"] is True
    assert browser.post(FORM, {"password": PASSWORD}).status_code == 429
    assert hasher.verified == 10
    flood = events_after(platform, lambda: [browser.post(FORM, {"password": PASSWORD}) for _ in range(12)])
    assert len(flood) <= 10
    assert browser.get("/").status_code == 200, "whoever cannot prove it can still read"


@BOTH
def test_a_success_forgets_the_failures_before_it(platform: Platform) -> None:
    browser = platform.signed_in()
    let_proof_age(platform)
    for _ in range(3):
        for _ in range(9):
            browser.post(FORM, {"password": WRONG})
        assert browser.post(FORM, {"password": PASSWORD}).status_code == 303


def test_a_busy_server_costs_no_attempt(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = platform.signed_in()
    let_proof_age(platform)
    monkeypatch.setattr("extranet.accounts.passwords._SLOT_WAIT_SECONDS", 0.01)
    with platform.passwords._slot():
        assert {browser.post(FORM, {"password": PASSWORD}).status_code for _ in range(11)} == {503}
    assert browser.post(FORM, {"password": PASSWORD}).status_code == 303


def test_a_password_changed_or_an_account_shut_meanwhile_is_no_proof(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    let_proof_age(platform)
    hasher = count_verifications(platform)
    verify = hasher.verify

    def disable_meanwhile(encoded: str, password: str) -> bool:
        disable(platform, "ben")
        return verify(encoded, password)

    hasher.verify = disable_meanwhile  # type: ignore[method-assign]
    assert browser.post(FORM, {"password": PASSWORD}).status_code == 422
    assert login_row(platform).proved_at is None


@BOTH
def test_a_login_ended_meanwhile_is_not_revived(platform: Platform) -> None:
    from extranet.accounts import logins
    from tests.platform import OPERATOR_ORIGIN

    browser = platform.signed_in()
    let_proof_age(platform)
    hasher = count_verifications(platform)
    verify = hasher.verify

    def end_meanwhile(encoded: str, password: str) -> bool:
        with platform.db("acme") as db:
            logins.end_all_logins(db, OPERATOR_ORIGIN, "operator")
        return verify(encoded, password)

    hasher.verify = end_meanwhile  # type: ignore[method-assign]
    response = browser.post(FORM, {"password": PASSWORD})
    assert response.status_code == 422
    assert "signed out meanwhile" in response.text
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example", "", "javascript:x"])
def test_confirming_leads_nowhere_else(platform: Platform, target: str) -> None:
    browser = platform.signed_in()
    assert browser.get(f"/confirm?next={target}").headers["Location"] == "/"
    let_proof_age(platform)
    assert browser.post(f"/confirm?next={target}", {"password": PASSWORD}).headers["Location"] == "/"


def test_a_stranger_cannot_confirm_anything(platform: Platform) -> None:
    browser = platform.browser()
    assert browser.get("/confirm").headers["Location"] == "/login?next=/confirm"
    assert browser.post("/confirm", {"password": PASSWORD}).status_code == 401


def test_a_download_leads_back_to_the_page_with_its_link(platform: Platform) -> None:
    browser = platform.signed_in()
    assert browser.get("/preferences/history.csv").status_code == 200
    let_proof_age(platform)
    recorded = events_after(
        platform,
        lambda: (
            pytest.fail("sent")
            if browser.get("/preferences/history.csv").headers["Location"] != "/confirm?next=/preferences/history"
            else None
        ),
    )
    assert recorded == []


def test_whoever_is_in_a_hurry_reports_a_stranger_without_further_ado(platform: Platform) -> None:
    browser, thief = platform.signed_in(), platform.signed_in()
    let_proof_age(platform)
    assert browser.post("/preferences/history/not-me").headers["Location"] == "/preferences/security"
    assert thief.get("/").status_code == 303
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303


def sensitive_routes(platform: Platform) -> None:
    from extranet.request.access import form_on, sensitive

    @sensitive
    def unnamed(name: str) -> str:
        return f"done {name}"

    app = platform.app
    app.add_url_rule("/made/<name>", "made", unnamed, methods=["POST"])
    app.add_url_rule("/read/<name>", "read", unnamed, methods=["GET"])
    named = sensitive(form_on("read")(lambda name, more: f"{name} {more}"))
    app.add_url_rule("/named/<name>/<more>", "named", named, methods=["POST"])


@pytest.mark.parametrize(
    ("referer", "target"),
    [
        ("{origin}/preferences/sessions", "/preferences/sessions"),
        ("{origin}/preferences/history?page=2", "/preferences/history?page%3D2"),
        ("{origin}/made/x", ""),
        ("{origin}/nowhere", ""),
        ("https://evil.example/preferences/sessions", ""),
        ("http://globex.localhost:8000/preferences/sessions", ""),
        ("http://[", ""),
        ("", ""),
    ],
)
def test_a_form_leads_back_to_the_page_it_was_on(platform: Platform, referer: str, target: str) -> None:
    sensitive_routes(platform)
    browser = platform.signed_in()
    let_proof_age(platform)
    headers = {"Referer": referer.format(origin=browser.origin)}
    response = browser.post("/made/x", {}, headers=headers)
    assert (response.status_code, response.headers["Location"]) == (303, f"/confirm?next={target}")


def test_a_page_leads_back_to_itself_and_a_form_to_the_page_it_names(platform: Platform) -> None:
    sensitive_routes(platform)
    browser = platform.signed_in()
    assert browser.post("/made/x", {}).text == "done x"
    let_proof_age(platform)
    assert browser.get("/read/x?y=1").headers["Location"] == "/confirm?next=/read/x?y%3D1"
    assert browser.post("/named/x/y", {}).headers["Location"] == "/confirm?next=/read/x"
