"""An invitation: a link that lets one person, once, choose a password."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from extranet.accounts import operations, passwords
from extranet.accounts.invitations import token_bytes
from extranet.errors import Invalid, InvitationRefused
from extranet.models import Invitation, User, UserState
from extranet.security_log.origin import OPERATOR
from tests.extranet.world import NEW_PASSWORD, count_verifications, disable, events_after, log_of, names
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform

CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_it_opens_the_account_and_does_not_sign_in(platform: Platform, slug: str) -> None:
    browser = platform.browser(slug)
    opened = browser.get(platform.invite(slug, "nina"))
    assert (opened.status_code, opened.headers["Location"]) == (303, "/invitation")
    page = browser.get("/invitation")
    assert "Welcome, Nina" in page.text
    recorded = events_after(platform, lambda: browser.post("/invitation", CHOSEN), slug)
    assert names(recorded) == ["invitation_accepted"]
    assert recorded[0].private["address"] == "192.0.2.10"
    assert browser.get("/").status_code == 303
    assert browser.cookie("__Host-device") == ""
    browser.sign_in("nina", NEW_PASSWORD)


def test_looking_at_it_changes_nothing(platform: Platform) -> None:
    path = platform.invite("acme", "nina")

    def stored() -> list[object]:
        with platform.db("acme", writing=False) as db:
            row = db.scalars(select(Invitation)).one()
            user = db.get_one(User, row.user_id)
            return [row.ended_at, row.end_reason, user.state, user.password, len(log_of(platform))]

    before = stored()
    for _ in range(3):
        scanner = platform.browser(user_agent="MailScanner")
        scanner.get(path, follow_redirects=True)
        scanner._open("HEAD", path)
    assert stored() == before
    assert platform.browser().get(path).status_code == 303


def test_neither_page_nor_redirect_tells_others_where_one_came_from(platform: Platform) -> None:
    browser = platform.browser()
    path = platform.invite("acme", "nina")
    assert browser.get(path).headers["Referrer-Policy"] == "no-referrer"
    assert browser.get("/invitation").headers["Referrer-Policy"] == "no-referrer"
    assert platform.signed_in().get(path).headers["Referrer-Policy"] == "no-referrer"
    assert path.rpartition("/")[2] not in browser.get("/invitation").text


def test_a_browser_that_hides_its_origin_on_a_page_without_referrer_can_accept(platform: Platform) -> None:
    """Chromium and Firefox send "Origin: null" from a page with no-referrer: nobody could accept an invitation."""
    browser = platform.browser()
    browser.get(platform.invite("acme", "nina"))
    accepted = browser.post("/invitation", CHOSEN, token=browser.token(), headers={"Origin": "null"})
    assert accepted.headers["Location"] == "/login"


@pytest.mark.parametrize(
    "form",
    [
        {"password": "short", "repeat": "short"},
        {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD + "x"},
        {"password": "", "repeat": ""},
        {"password": "nina nina nina", "repeat": "nina nina nina"},
        {"password": "passwordpassword", "repeat": "passwordpassword"},
        {"password": "x" * 1025, "repeat": "x" * 1025},
        {"password": "seven purple\x07kettles sing", "repeat": "seven purple\x07kettles sing"},
    ],
)
def test_a_bad_password_is_refused_and_the_invitation_lives_on(platform: Platform, form: dict[str, str]) -> None:
    browser = platform.browser()
    browser.get(platform.invite("acme", "nina"))
    refused = browser.post("/invitation", form)
    assert refused.status_code == 422
    assert not form["password"] or form["password"] not in refused.text
    assert browser.post("/invitation", CHOSEN).status_code == 303


def test_it_works_once(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    first, second = platform.browser(), platform.browser()
    first.get(path)
    second.get(path)
    assert first.post("/invitation", CHOSEN).status_code == 303
    recorded = events_after(platform, lambda: second.post("/invitation", CHOSEN))
    assert names(recorded) == ["invitation_refused"]
    assert platform.browser().get(path).status_code == 410


@BOTH
def test_of_ten_at_once_one_is_accepted(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    browsers = [platform.browser() for _ in range(10)]
    for browser in browsers:
        browser.get(path)
    tokens = [browser.token() for browser in browsers]
    with ThreadPoolExecutor(10) as pool:
        answers = list(
            pool.map(
                lambda pair: pair[0].post("/invitation", CHOSEN, token=pair[1]), zip(browsers, tokens, strict=True)
            )
        )
    statuses = [answer.status_code for answer in answers]
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 410, 503}
    assert names(log_of(platform)).count("invitation_accepted") == 1


@pytest.mark.parametrize("age", [timedelta(hours=71), timedelta(hours=72, seconds=1)])
def test_it_lasts_three_days(platform: Platform, clock: time_machine.Traveller, age: timedelta) -> None:
    path = platform.invite("acme", "nina")
    clock.shift(age)
    assert platform.browser().get(path).status_code == (303 if age < timedelta(hours=72) else 410)


def test_a_newer_one_replaces_it(platform: Platform) -> None:
    old = platform.invite("acme", "nina")
    with platform.db("acme") as db:
        user = operations.find_user(db, "nina")
        new = operations.invite(db, user, OPERATOR_ORIGIN, OPERATOR)
    assert platform.browser().get(old).status_code == 410
    assert platform.browser().get(f"/invitation/{new}").status_code == 303


def test_it_ends_when_the_account_is_disabled_or_given_a_password(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    disable(platform, "nina")
    assert platform.browser().get(path).status_code == 410
    with platform.db("acme") as db:
        user = operations.find_user(db, "nina")
        with pytest.raises(Invalid, match="disabled"):
            operations.invite(db, user, OPERATOR_ORIGIN, OPERATOR)
        operations.enable_user(db, user, OPERATOR_ORIGIN, OPERATOR)
        assert user.state == UserState.INVITED
    path = platform.invite("acme", "olaf")
    with platform.db("acme") as db:
        user = operations.find_user(db, "olaf")
        operations.set_password(db, platform.passwords, user, PASSWORD, OPERATOR_ORIGIN, OPERATOR)
        with pytest.raises(Invalid, match="has a password"):
            operations.invite(db, user, OPERATOR_ORIGIN, OPERATOR)
    assert platform.browser().get(path).status_code == 410


def test_an_account_that_got_a_password_otherwise_cannot_be_taken_with_a_living_invitation(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    with platform.db("acme") as db:
        operations.find_user(db, "nina").state = UserState.ACTIVE
    assert platform.browser().get(path).status_code == 410


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 44, "A" * 42 + "%C3%A9", "..%2f" * 9, "A" * 43 + "%00"])
def test_a_made_up_one_is_refused_like_an_old_one(platform: Platform, token: str) -> None:
    recorded = events_after(platform, lambda: None)
    browser = platform.browser()
    answers = []
    recorded = events_after(platform, lambda: answers.append(browser.get(f"/invitation/{token}")))
    assert answers[0].status_code in {404, 410}
    if answers[0].status_code == 410:
        assert names(recorded) == ["invitation_refused"]


def test_one_of_another_tenant_is_refused(platform: Platform) -> None:
    assert platform.browser("globex").get(platform.invite("acme", "nina")).status_code == 410


def test_the_form_without_an_invitation_is_refused(platform: Platform) -> None:
    browser = platform.browser()
    assert browser.get("/invitation").status_code == 410
    assert browser.post("/invitation", CHOSEN).status_code == 410
    assert browser.post("/invitation", {}).status_code == 410


def test_somebody_signed_in_is_asked_to_sign_out_first(platform: Platform) -> None:
    browser = platform.signed_in()
    path = platform.invite("acme", "nina")
    page = browser.get(path)
    assert page.status_code == 200
    assert "Sign out first" in page.text
    browser.post("/logout")
    assert browser.get(path).status_code == 303


def test_an_invitation_accepted_while_all_slots_are_busy_can_be_tried_again(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "_SLOT_WAIT_SECONDS", 0.01)
    browser = platform.browser()
    browser.get(platform.invite("acme", "nina"))
    with platform.passwords._slot():
        busy = browser.post("/invitation", CHOSEN)
    assert busy.status_code == 503
    assert "Welcome, Nina" in busy.text
    assert browser.post("/invitation", CHOSEN).status_code == 303


@BOTH
def test_an_invitation_taken_while_its_password_was_hashed_is_refused(platform: Platform) -> None:
    browser = platform.browser()
    browser.get(platform.invite("acme", "nina"))
    hasher = count_verifications(platform)
    slow = hasher.hash

    def disable_meanwhile(password: str) -> str:
        disable(platform, "nina")
        return slow(password)

    hasher.hash = disable_meanwhile  # type: ignore[method-assign]
    assert browser.post("/invitation", CHOSEN).status_code == 410
    with platform.db("acme", writing=False) as db:
        assert operations.find_user(db, "nina").password == b""


def test_only_a_mac_of_the_token_is_stored(platform: Platform) -> None:
    token = platform.invite("acme", "nina").rpartition("/")[2]
    with platform.db("acme", writing=False) as db:
        row = db.scalars(select(Invitation)).one()
    assert token_bytes(token) != row.token_mac
    assert len(row.token_mac) == 32
    with pytest.raises(InvitationRefused):
        token_bytes("not a token")
