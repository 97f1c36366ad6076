"""Mails that tell somebody what was done to their account, and the link with which they say that it was not them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from werkzeug.test import TestResponse

from extranet.accounts import operations
from extranet.accounts.notices import tell_locked
from extranet.mail.kinds import MailKind
from extranet.models import Company, Role, User
from extranet.models.company import THE_COMPANY
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.evidence import untouched
from tests.extranet.world import NEW_PASSWORD, add_person, disable, events_after, names, row_of, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id
from tests.posted import mails_of

CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}


def change_password(browser: Browser) -> None:
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303


def stranger_path(platform: Platform) -> str:
    """Sign ben in with two browsers and return the link in the mail about the second."""
    platform.signed_in("acme", "ben")
    platform.signed_in("acme", "ben")
    return mails_of(platform, kind=MailKind.NEW_BROWSER)[-1].path("/stranger")


def report(platform: Platform, path: str) -> tuple[Browser, TestResponse]:
    visitor = platform.browser()
    opened = visitor.get(path)
    assert (opened.status_code, opened.headers["Location"]) == (303, "/stranger")
    assert visitor.get("/stranger").headers["Referrer-Policy"] == "no-referrer"
    return visitor, visitor.post("/stranger")


def set_forced(platform: Platform, forced: bool) -> None:
    with platform.db("acme") as db:
        db.get_one(Company, THE_COMPANY).forces_browser_mail = forced


def test_a_changed_password_is_told(platform: Platform) -> None:
    change_password(platform.signed_in("acme", "ben"))
    mail = mails_of(platform, kind=MailKind.PASSWORD_CHANGED)[0]
    assert mail.to == "ben@acme.example"
    assert "Firefox, Linux" in mail.text
    assert "192.0.2.10" in mail.text
    assert mail.path("/stranger")


def test_one_that_an_operator_set_is_told_and_the_first_one_not(platform: Platform) -> None:
    add_person(platform, "zoe")
    assert mails_of(platform, kind=MailKind.PASSWORD_CHANGED) == []
    with platform.db("acme") as db:
        user = operations.find_user(db, "zoe")
        operations.set_password(db, platform.passwords, user, NEW_PASSWORD, OPERATOR_ORIGIN, OPERATOR)
    assert mails_of(platform, kind=MailKind.PASSWORD_CHANGED)[0].to == "zoe@acme.example"


def test_an_invitation_is_mailed_with_who_it_is_from(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    with platform.db("acme") as db:
        operations.create_user(
            db, operations.NewUser("olaf", "olaf@acme.example", "Olaf", "O"), OPERATOR_ORIGIN, OPERATOR
        )
        operations.invite(db, operations.find_user(db, "olaf"), OPERATOR_ORIGIN, user_id("anna"))
    by_operator, by_anna = mails_of(platform, kind=MailKind.INVITATION)
    assert by_operator.path("/invitation") == path
    assert "operator of this service" in by_operator.text
    assert "Anna Martin" in by_anna.text


def test_a_new_browser_is_told_but_not_the_first(platform: Platform) -> None:
    first = platform.signed_in("acme", "ben")
    assert mails_of(platform, kind=MailKind.NEW_BROWSER) == []
    first.post("/logout")
    first.sign_in("ben", PASSWORD)
    assert mails_of(platform, kind=MailKind.NEW_BROWSER) == [], "one that is known"
    platform.signed_in("acme", "ben")
    mail = mails_of(platform, kind=MailKind.NEW_BROWSER)[0]
    assert (mail.to, "Firefox, Linux" in mail.text, "192.0.2.10" in mail.text) == ("ben@acme.example", True, True)
    with untouched(platform, "globex"):
        platform.signed_in("acme", "ben")


def test_after_ten_new_browsers_in_a_day_one_mail_says_that_there_are_many(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    def sign_in_anew(times: int) -> None:
        for _ in range(times):
            platform.signed_in("acme", "ben")

    def told() -> tuple[int, int]:
        return tuple(len(mails_of(platform, kind=kind)) for kind in (MailKind.NEW_BROWSER, MailKind.MANY_NEW_BROWSERS))

    sign_in_anew(11)
    assert told() == (10, 0)
    recorded = events_after(platform, lambda: sign_in_anew(4))
    assert told() == (10, 1)
    assert names(recorded).count("new_browser") == 4
    mail = mails_of(platform, kind=MailKind.MANY_NEW_BROWSERS)[0]
    assert mail.path("/stranger")
    assert "more than ten browsers in one day" in " ".join(mail.text.split())
    clock.shift(timedelta(hours=25))
    sign_in_anew(1)
    assert told() == (11, 1)


def test_a_browser_forgotten_is_new_again(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in("acme", "ben")
    platform.signed_in("acme", "ben")
    clock.shift(timedelta(days=101))
    browser.sign_in("ben", PASSWORD)
    assert len(mails_of(platform, kind=MailKind.NEW_BROWSER)) == 2


def test_whoever_wants_no_such_mail_says_so_unless_the_company_insists(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    assert "everybody gets this mail" in browser.get("/preferences/sessions").text
    set_forced(platform, False)
    assert 'name="wants_browser_mail"' in browser.get("/preferences/sessions").text
    for _ in range(2):
        assert browser.post("/preferences/sessions/browser-mail").status_code == 303
    assert row_of(platform, "ben").wants_browser_mail is False
    platform.signed_in("acme", "ben")
    assert mails_of(platform, kind=MailKind.NEW_BROWSER) == []
    set_forced(platform, True)
    platform.signed_in("acme", "ben")
    assert len(mails_of(platform, kind=MailKind.NEW_BROWSER)) == 1
    set_forced(platform, False)
    browser.post("/preferences/sessions/browser-mail", {"wants_browser_mail": "y"})
    platform.signed_in("acme", "ben")
    assert len(mails_of(platform, kind=MailKind.NEW_BROWSER)) == 2


def test_a_stranger_reported_by_link_is_shut_out_and_the_owner_let_in_again(platform: Platform) -> None:
    earlier = platform.signed_in("acme", "ben")
    path = stranger_path(platform)
    answers: list[Browser] = []
    reported = events_after(platform, lambda: answers.append(report(platform, path)[0]))
    owner = answers[0]
    assert names(reported) == ["stranger_reported"]
    assert reported[0].details["by"] == "link"
    assert reported[0].details["logins_ended"] == 3
    assert "A link to choose a new one is in your mail" in owner.get("/login").text
    assert earlier.get("/").status_code == 303
    assert try_sign_in(earlier, "ben", PASSWORD).status_code == 422
    assert row_of(platform, "ben").must_change_password
    told = mails_of(platform, kind=MailKind.STRANGER_REPORTED)
    assert [mail.to for mail in told] == ["anna@acme.example"]
    assert "Ben Peeters" in told[0].text
    owner.get(mails_of(platform, kind=MailKind.RESET)[0].path("/reset"))
    assert owner.post("/reset", CHOSEN).status_code == 303
    owner.sign_in("ben", NEW_PASSWORD)
    assert owner.get("/").status_code == 200
    # That browser was forgotten.
    before = len(mails_of(platform, kind=MailKind.NEW_BROWSER))
    earlier.sign_in("ben", NEW_PASSWORD)
    assert len(mails_of(platform, kind=MailKind.NEW_BROWSER)) == before + 1


def test_looking_at_the_link_changes_nothing(platform: Platform) -> None:
    path = stranger_path(platform)
    with untouched(platform, "acme"):
        for _ in range(3):
            page = platform.browser(user_agent="MailScanner").get(path, follow_redirects=True)
            assert "Was this not you?" in page.text
            assert path.rpartition("/")[2] not in page.text


def test_reporting_in_preferences_tells_the_other_administrators(platform: Platform) -> None:
    add_person(platform, "zoe", Role.ADMIN)
    add_person(platform, "yann", Role.ADMIN)
    disable(platform, "yann")
    platform.signed_in().post("/preferences/history/not-me")
    assert [mail.to for mail in mails_of(platform, kind=MailKind.STRANGER_REPORTED)] == ["zoe@acme.example"]


@pytest.mark.parametrize(("age", "status"), [(timedelta(days=6, hours=23), 303), (timedelta(days=7, hours=1), 410)])
def test_the_link_lasts_a_week(platform: Platform, clock: time_machine.Traveller, age: timedelta, status: int) -> None:
    path = stranger_path(platform)
    clock.shift(age)
    assert platform.browser().get(path).status_code == status


@BOTH
def test_it_works_once_and_of_twenty_at_once_one(platform: Platform) -> None:
    path = stranger_path(platform)
    browsers = [platform.browser() for _ in range(20)]
    for browser in browsers:
        browser.get(path)
    tokens = [browser.token() for browser in browsers]
    with ThreadPoolExecutor(20) as pool:
        pairs = zip(browsers, tokens, strict=True)
        statuses = list(pool.map(lambda pair: pair[0].post("/stranger", token=pair[1]).status_code, pairs))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 410, 503}
    assert platform.browser().get(path).status_code == 410
    assert len(mails_of(platform, kind=MailKind.RESET)) == 1


def test_a_thief_does_not_end_the_owners_link_by_causing_another(platform: Platform) -> None:
    path = stranger_path(platform)
    thief = platform.signed_in("acme", "ben")
    change_password(thief)
    _visitor, reported = report(platform, path)
    assert reported.status_code == 303
    assert thief.get("/").status_code == 303
    assert try_sign_in(thief, "ben", NEW_PASSWORD).status_code == 422


def test_it_ends_with_the_account(platform: Platform) -> None:
    path = stranger_path(platform)
    disable(platform, "ben")
    assert platform.browser().get(path).status_code == 410


def test_one_of_another_tenant_is_refused_and_without_one_there_is_no_page(platform: Platform) -> None:
    path = stranger_path(platform)
    with untouched(platform, "acme"):
        assert platform.browser("globex").get(path).status_code == 410
    visitor = platform.browser()
    assert visitor.get("/stranger").status_code == 410
    assert visitor.post("/stranger").status_code == 410


def test_a_thief_who_changed_the_address_gets_no_link_and_the_owner_does(platform: Platform) -> None:
    """The mail about the thief's browser went to the owner; the account's address is the thief's by now."""
    path = stranger_path(platform)
    thief = platform.signed_in("acme", "ben")
    thief.post("/preferences/email", {"email": "thief@one.example"})
    thief.get(mails_of(platform, kind=MailKind.CONFIRM_EMAIL)[0].path("/email/confirm"))
    assert thief.post("/email/confirm").status_code == 303
    report(platform, path)
    assert row_of(platform, "ben").email == "ben@acme.example"
    assert [mail.to for mail in mails_of(platform, kind=MailKind.RESET)] == ["ben@acme.example"]


def test_when_the_address_cannot_be_put_back_nobody_gets_a_link(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    path = stranger_path(platform)
    with platform.db("acme") as db:
        operations.find_user(db, "ben").email = "ben@other.example"
    visitor, _reported = report(platform, path)
    assert "Speak to an administrator of your company" in visitor.get("/login").text
    assert mails_of(platform, kind=MailKind.RESET) == []
    assert try_sign_in(platform.browser(), "ben", PASSWORD).status_code == 422


def fail(platform: Platform, name: str, number: int) -> int:
    return try_sign_in(platform.browser(address=f"198.51.{number // 250}.{number % 250}"), name).status_code


def test_the_owner_of_an_account_under_attack_is_told_once_a_day(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    for number in range(5):
        fail(platform, "ben", number)
    assert mails_of(platform, kind=MailKind.ACCOUNT_LOCKED) == []
    for number in range(5, 12):
        assert fail(platform, "ben", number) == 429
    assert [mail.to for mail in mails_of(platform, kind=MailKind.ACCOUNT_LOCKED)] == ["ben@acme.example"]
    clock.shift(timedelta(hours=26))
    for number in range(20, 28):
        fail(platform, "ben", number)
    assert len(mails_of(platform, kind=MailKind.ACCOUNT_LOCKED)) == 2


def test_the_owner_is_told_before_the_row_of_failures_is_full(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    """Five guesses in a quarter of an hour, never a sixth: nothing is ever refused for being too many."""
    for number in range(40):
        assert fail(platform, "ben", number) == 422
        assert mails_of(platform, kind=MailKind.ACCOUNT_LOCKED) == [] or number == 39
        if number % 5 == 4:
            clock.shift(timedelta(hours=25))
    assert [mail.to for mail in mails_of(platform, kind=MailKind.ACCOUNT_LOCKED)] == ["ben@acme.example"]


@BOTH
@pytest.mark.parametrize("name", ["nobody", "dora"])
def test_who_is_not_there_or_shut_is_told_nothing(platform: Platform, name: str) -> None:
    add_person(platform, "dora")
    disable(platform, "dora")
    before = [(mail.kind, mail.to) for mail in mails_of(platform)]
    for number in range(8):
        fail(platform, name, number)
    assert [(mail.kind, mail.to) for mail in mails_of(platform)] == before


@BOTH
def test_a_mail_about_a_name_nobody_has_is_taken_back(platform: Platform) -> None:
    with platform.db("acme") as db:
        tell_locked(db, "", "Somebody ")
        tell_locked(db, "", "somebody")
        assert db.query(User).count() == 3
    assert mails_of(platform) == []


def test_a_mistake_at_a_known_browser_is_no_attack(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    browser.post("/logout")
    for _ in range(12):
        try_sign_in(browser, "ben")
    assert mails_of(platform, kind=MailKind.ACCOUNT_LOCKED) == []
