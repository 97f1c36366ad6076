"""Who may see what: closed by default, roles, and what a stranger is told."""

from __future__ import annotations

import pytest
from flask import Flask

from extranet.models import User
from tests.extranet.world import COMPANY, events_after, names, row_of
from tests.platform import Platform, user_id

CLOSED = (
    "/",
    "/preferences/",
    "/preferences/profile",
    "/preferences/display",
    "/preferences/security",
    "/preferences/sessions",
    "/preferences/history",
    "/preferences/history.csv",
    "/preferences/company",
    f"/people/{user_id('anna')}/avatar",
)


@pytest.mark.parametrize("slug", ["acme", "globex"])
@pytest.mark.parametrize("path", CLOSED)
def test_a_stranger_is_sent_to_sign_in_and_back(platform: Platform, slug: str, path: str) -> None:
    response = platform.browser(slug).get(path)
    assert response.status_code == 303
    assert response.headers["Location"] == f"/login?next={path}"


def test_a_stranger_s_form_is_answered_401_with_a_page(platform: Platform) -> None:
    response = platform.browser().post("/preferences/profile", {"first_name": "Eve"})
    assert response.status_code == 401
    assert "You have been signed out" in response.text
    assert row_of(platform).first_name == "Anna"


@pytest.mark.parametrize("username", ["ben", "gus"])
def test_who_is_no_administrator_reads_the_company_and_cannot_change_it(platform: Platform, username: str) -> None:
    browser = platform.signed_in("acme", username)
    assert browser.get("/preferences/company").status_code == 200
    statuses: list[int] = []
    recorded = events_after(
        platform, lambda: statuses.append(browser.post("/preferences/company", COMPANY).status_code)
    )
    assert statuses == [403]
    assert names(recorded) == ["access_denied"]
    assert recorded[0].actor == user_id(username)
    assert recorded[0].details["route"] == "/preferences/company"


@pytest.mark.parametrize("path", ["/nowhere", "/preferences/nowhere", "/people/x/y", "/static/nowhere.css", "/login/"])
def test_what_is_not_there_answers_404_to_everybody(platform: Platform, path: str) -> None:
    assert platform.browser().get(path).status_code == 404
    assert platform.signed_in().get(path).status_code == 404


def test_a_missing_last_slash_is_added(platform: Platform) -> None:
    response = platform.signed_in().get("/preferences")
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/preferences/")


def test_whoever_must_choose_a_new_password_can_do_nothing_else(platform: Platform) -> None:
    browser = platform.signed_in()
    assert browser.post("/preferences/history/not-me").headers["Location"] == "/preferences/security"
    assert row_of(platform).must_change_password
    for path in ("/", "/preferences/profile", "/preferences/sessions"):
        assert browser.get(path).headers["Location"] == "/preferences/security"
    assert browser.get("/preferences/security").status_code == 200
    token = browser.get("/preferences/security").text.partition('csrf_token" value="')[2].partition('"')[0]
    assert browser.post("/logout", token=token).status_code == 303


def test_a_view_without_a_mark_is_closed(platform: Platform) -> None:
    app: Flask = platform.app
    app.add_url_rule("/unmarked", "unmarked", lambda: "open!")
    assert platform.browser().get("/unmarked").status_code == 303
    assert platform.signed_in().get("/unmarked").text == "open!"


def test_flask_login_names_the_signed_in_person_and_nobody_else(platform: Platform) -> None:
    from flask_login import current_user

    platform.app.add_url_rule(
        "/who", "who", lambda: f"{current_user.is_authenticated} {getattr(current_user, 'username', '-')}"
    )
    platform.app.view_functions["who"].is_public = True  # type: ignore[attr-defined]
    assert platform.browser().get("/who").text == "False -"
    assert platform.signed_in("acme", "ben").get("/who").text == "True ben"
    forged = platform.browser()
    for value in (f"{user_id('anna')}|{'0' * 128}", "x"):
        forged.set_cookie("remember_token", value)
        forged.set_cookie("session", value)
        assert forged.get("/who").text == "False -"
        assert forged.get("/").status_code == 303


def test_flask_login_cannot_sign_anybody_in(platform: Platform) -> None:
    from flask_login import login_user

    platform.app.add_url_rule("/sneak", "sneak", lambda: str(login_user(row_of(platform), remember=True)))
    platform.app.view_functions["sneak"].is_public = True  # type: ignore[attr-defined]
    browser = platform.browser()
    response = browser.get("/sneak")
    assert response.status_code == 500
    assert "remember_token" not in str(response.headers)
    assert isinstance(row_of(platform), User)
