"""Second factors that somebody else may have added: a report by mail withdraws them, and opens no way in by that."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select, update

from extranet.accounts import operations, recovery
from extranet.accounts.held import hold, is_held
from extranet.accounts.links import make_link, token_bytes
from extranet.accounts.restored import begin_anew
from extranet.activity.changes import Change
from extranet.activity.operations import read_last
from extranet.errors import NotFound
from extranet.factors.operations import Here, factors_of, renew_codes
from extranet.mail.kinds import MailKind
from extranet.models import LinkPurpose, Login, Passkey, Role, User
from extranet.security_log.origin import OPERATOR
from tenants.journal import Entry
from tests.browser import Browser
from tests.evidence import untouched
from tests.extranet.authenticator import SoftAuthenticator
from tests.extranet.conftest import NOW
from tests.extranet.factors import (
    SECURITY,
    Equipped,
    add_passkey,
    is_signed_in,
    passwordless,
    pending,
    second_step,
    second_step_by_passkey,
    set_up_app,
)
from tests.extranet.world import NEW_PASSWORD, CountingHasher, add_person, events_after, names, row_of, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id
from tests.posted import mails_of

BEN = user_id("ben")
CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}
PERSON = f"/admin/people/{BEN}"


def report(platform: Platform, kind: MailKind = MailKind.FACTOR_ADDED, which: int = -1) -> Browser:
    """Say by the link in one of ben's mails that it was not them."""
    visitor = platform.browser()
    visitor.get(mails_of(platform, kind=kind)[which].path("/stranger"))
    assert visitor.post("/stranger").status_code == 303
    return visitor


def kinds(platform: Platform, *wanted: MailKind) -> list[MailKind]:
    return [mail.kind for mail in mails_of(platform) if mail.kind in wanted]


def links_mailed(platform: Platform) -> int:
    return len(kinds(platform, MailKind.RESET, MailKind.RESET_BY_ADMIN))


def choose_by(platform: Platform, kind: MailKind) -> None:
    visitor = platform.browser()
    visitor.get(mails_of(platform, kind=kind)[-1].path("/reset"))
    assert visitor.post("/reset", CHOSEN).status_code == 303


def waiting(platform: Platform) -> Browser:
    """Return a browser in which the new password was right."""
    browser = platform.browser()
    assert try_sign_in(browser, "ben", NEW_PASSWORD).headers["Location"] == "/login/second-step"
    return browser


def let_in(platform: Platform) -> None:
    with platform.db("acme") as db:
        recovery.start_reset(db, db.get_one(User, BEN), user_id("anna"), OPERATOR_ORIGIN)


def changes(platform: Platform, change: Change) -> list[Entry]:
    with platform.db("acme", writing=False) as db:
        return [entry for entry in read_last(db, 1000) if entry.event == change]


def held(platform: Platform) -> bool:
    with platform.db("acme", writing=False) as db:
        return is_held(db, BEN)


def passkey_of(equipped: Equipped) -> SoftAuthenticator:
    assert equipped.passkey
    return equipped.passkey


def robbed(platform: Platform, clock: time_machine.Traveller) -> tuple[SoftAuthenticator, SoftAuthenticator]:
    """Return the passkey ben has had for a day, and the one that somebody has just added in ben's session."""
    session = platform.signed_in("acme", "ben")
    own = passkey_of(add_passkey(session, "Own"))
    clock.shift(timedelta(days=1))
    session = platform.browser()
    assert passwordless(session, own).status_code == 303
    return own, passkey_of(add_passkey(session, "Thief"))


def mailbox_alone(platform: Platform, clock: time_machine.Traveller) -> Equipped:
    """Leave a mail with a link in ben's mailbox, then let ben set up an app and sign in with it."""
    platform.signed_in("acme", "ben")
    ben = platform.signed_in("acme", "ben")
    clock.shift(timedelta(hours=2))
    ben = platform.signed_in("acme", "ben")
    return set_up_app(ben)


@BOTH
def test_a_thiefs_passkey_no_longer_signs_in_and_the_owners_does(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    own, thiefs = robbed(platform, clock)
    visitor = report(platform)
    assert "A link to choose a new one is in your mail" in visitor.get("/login").text
    choose_by(platform, MailKind.RESET)
    assert passwordless(platform.browser(), thiefs).status_code == 422
    assert second_step_by_passkey(waiting(platform), thiefs).status_code == 422
    for signed_in in (waiting(platform), platform.browser()):
        took = second_step_by_passkey if signed_in.get("/login/second-step").status_code == 200 else passwordless
        assert took(signed_in, own).status_code == 303
        assert is_signed_in(signed_in)


def test_what_was_withdrawn_is_in_both_logs_by_kind(platform: Platform, clock: time_machine.Traveller) -> None:
    own, _thiefs = robbed(platform, clock)
    session = platform.browser()
    passwordless(session, own)
    set_up_app(session)
    assert session.post(f"{SECURITY}/recovery-codes").status_code == 200
    reported = events_after(platform, lambda: report(platform, which=-2))
    assert names(reported) == ["factors_withdrawn", "stranger_reported"]
    counts = {"totp": 1, "passkeys": 1, "recovery_codes": 10}
    assert {kind: reported[0].details[kind] for kind in counts} == counts
    assert reported[1].details["way_back"] == "mailed"
    assert [entry.private["before"] for entry in changes(platform, Change.FACTORS_WITHDRAWN)] == [counts]
    anna = platform.signed_in()
    anna.post("/admin/logs/notice")
    assert "Second factors removed that were added after what was reported" in anna.get("/admin/security-log").text


def test_where_nothing_was_added_nothing_is_withdrawn(platform: Platform, clock: time_machine.Traveller) -> None:
    session = platform.signed_in("acme", "ben")
    held_app = set_up_app(session)
    clock.shift(timedelta(hours=2))
    second_step(pending(platform), code=held_app.code())
    reported = events_after(platform, lambda: report(platform, MailKind.NEW_BROWSER))
    assert names(reported) == ["stranger_reported"]
    choose_by(platform, MailKind.RESET)
    clock.shift(timedelta(minutes=1))
    signed_in = waiting(platform)
    second_step(signed_in, code=held_app.code())
    assert is_signed_in(signed_in)
    assert "10 codes left" in signed_in.get(SECURITY).text


def test_new_codes_go_and_the_app_from_before_stays(platform: Platform, clock: time_machine.Traveller) -> None:
    session = platform.signed_in("acme", "ben")
    held_app = set_up_app(session)
    clock.shift(timedelta(minutes=9))
    assert session.post(f"{SECURITY}/recovery-codes").status_code == 200
    report(platform, MailKind.RECOVERY_CODES_MADE)
    assert links_mailed(platform) == 1
    choose_by(platform, MailKind.RESET)
    signed_in = waiting(platform)
    assert second_step(signed_in, code=held_app.code()).status_code == 303
    assert "0 codes left" in signed_in.get(SECURITY).text


@BOTH
def test_a_mailbox_alone_strips_no_second_factor_and_gets_in(platform: Platform, clock: time_machine.Traveller) -> None:
    mailbox_alone(platform, clock)
    visitor = report(platform, MailKind.NEW_BROWSER, 0)
    page = visitor.get("/login").text
    assert "No link is mailed" in page
    assert "Speak to an administrator of your company" in page
    assert links_mailed(platform) == 0
    for name in ("ben", "ben@acme.example"):
        platform.browser().post("/forgotten", {"username": name})
    report(platform, MailKind.FACTOR_ADDED)
    report(platform, MailKind.NEW_BROWSER, 1)
    assert links_mailed(platform) == 0
    assert kinds(platform, MailKind.LET_IN_AGAIN, MailKind.STRANGER_REPORTED) == [MailKind.LET_IN_AGAIN] * 3
    assert row_of(platform, "ben").is_shut


@BOTH
def test_a_link_asked_for_at_the_very_moment_of_the_report_is_refused(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    mailbox_alone(platform, clock)
    report(platform, MailKind.NEW_BROWSER, 0)
    with platform.db("acme") as db:
        path = make_link(db, db.get_one(User, BEN), LinkPurpose.RESET).path
    visitor = platform.browser()
    assert visitor.get(path).status_code == 303
    assert visitor.get("/reset").status_code == 410
    visitor.get(path)
    assert visitor.post("/reset", CHOSEN, token=visitor.token()).status_code == 410
    assert row_of(platform, "ben").is_shut


class HeldMeanwhile(CountingHasher):
    """Takes so long to hash that a report comes in between."""

    def __init__(self, platform: Platform) -> None:
        super().__init__(platform.passwords._hasher)
        self._platform = platform

    def hash(self, password: str) -> str:
        with self._platform.db("acme") as db:
            hold(db, db.get_one(User, BEN))
        return super().hash(password)


@BOTH
def test_a_password_that_is_being_chosen_when_the_report_comes_is_not_stored(platform: Platform) -> None:
    before = row_of(platform, "ben").password
    let_in(platform)
    visitor = platform.browser()
    visitor.get(mails_of(platform, kind=MailKind.RESET_BY_ADMIN)[-1].path("/reset"))
    platform.passwords._hasher = HeldMeanwhile(platform)  # type: ignore[assignment]
    assert visitor.post("/reset", CHOSEN).status_code == 410
    assert row_of(platform, "ben").password == before


@BOTH
def test_an_administrator_reads_what_to_do_and_lets_them_in(platform: Platform, clock: time_machine.Traveller) -> None:
    mailbox_alone(platform, clock)
    report(platform, MailKind.NEW_BROWSER, 0)
    told = mails_of(platform, kind=MailKind.LET_IN_AGAIN)[0]
    assert told.to == "anna@acme.example"
    assert f"{PERSON}\n" in told.text
    assert "Speak to them" in told.text
    anna = platform.signed_in()
    assert "Shut out after a report" in anna.get(PERSON).text
    assert anna.post(f"{PERSON}/reset-password").status_code == 303
    assert "Shut out after a report" not in anna.get(PERSON).text
    choose_by(platform, MailKind.RESET_BY_ADMIN)
    ben = platform.browser()
    ben.sign_in("ben", NEW_PASSWORD)
    assert is_signed_in(ben)
    platform.browser().post("/forgotten", {"username": "ben"})
    assert kinds(platform, MailKind.RESET) == [MailKind.RESET]


def test_an_operator_who_sets_a_password_lets_them_in_too(platform: Platform, clock: time_machine.Traveller) -> None:
    mailbox_alone(platform, clock)
    report(platform, MailKind.NEW_BROWSER, 0)
    with platform.db("acme") as db:
        operations.set_password(db, platform.passwords, db.get_one(User, BEN), NEW_PASSWORD, OPERATOR_ORIGIN, OPERATOR)
    assert not held(platform)


def test_where_no_other_administrator_is_it_is_the_operator_who_does(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    add_person(platform, "zoe", Role.ADMIN)
    zoe = platform.signed_in("acme", "zoe")
    assert zoe.post("/preferences/history/not-me").status_code == 303
    mailbox_alone(platform, clock)
    with platform.db("acme") as db:
        db.execute(update(User).where(User.id == user_id("anna")).values(must_change_password=True, password=b""))
    visitor = report(platform, MailKind.NEW_BROWSER, 0)
    assert "Speak to an administrator" in visitor.get("/login").text, "zoe has a password to change, and can"
    with platform.db("acme") as db:
        operations.find_user(db, "zoe").role = Role.MEMBER
    visitor = report(platform)
    assert "Speak to the operator of this service" in visitor.get("/login").text


def test_waiting_is_no_way_in_nor_is_a_restored_backup(platform: Platform, clock: time_machine.Traveller) -> None:
    mailbox_alone(platform, clock)
    report(platform, MailKind.NEW_BROWSER, 0)
    with platform.db("acme") as db:
        begin_anew(db, OPERATOR_ORIGIN, OPERATOR, {})
    clock.shift(timedelta(days=400))
    from extranet.mail.sweeping import Sweep

    sweep = Sweep(platform.tenancy)
    while sweep.some():
        pass
    assert held(platform)
    platform.browser().post("/forgotten", {"username": "ben"})
    assert links_mailed(platform) == 0


def test_the_link_that_keeps_the_old_address_withdraws_as_well(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    ben = platform.signed_in("acme", "ben")
    ben.post("/preferences/email", {"email": "thief@one.example"})
    set_up_app(ben)
    visitor = platform.browser()
    visitor.get(mails_of(platform, kind=MailKind.EMAIL_CHANGING)[0].path("/email/undo"))
    undone = events_after(platform, lambda: visitor.post("/email/undo"))
    assert names(undone) == ["factors_withdrawn", "email_change_undone"]
    assert undone[1].details["way_back"] == "administrator"
    assert "Speak to an administrator of your company" in visitor.get("/login").text
    assert links_mailed(platform) == 0


def test_who_was_mailed_no_link_for_another_reason_is_let_in_by_an_administrator_alone(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    """The address is a thief's by now, and cannot be put back."""
    platform.signed_in("acme", "ben")
    platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        operations.find_user(db, "ben").email = "thief@one.example"
    report(platform, MailKind.NEW_BROWSER)
    platform.browser().post("/forgotten", {"username": "thief@one.example"})
    assert links_mailed(platform) == 0
    let_in(platform)
    assert links_mailed(platform) == 1


@BOTH
def test_somebody_of_the_same_id_at_the_other_tenant_keeps_theirs(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    theirs = passkey_of(add_passkey(platform.signed_in("globex", "ben")))
    robbed(platform, clock)
    with untouched(platform, "globex"):
        report(platform)
    with platform.db("globex", writing=False) as db:
        assert factors_of(db, BEN).count == 1
        assert not is_held(db, BEN)
    browser = platform.browser("globex")
    assert passwordless(browser, theirs).status_code == 303
    assert is_signed_in(browser)


@BOTH
def test_twenty_uses_of_the_link_at_once_are_one_report(platform: Platform) -> None:
    add_passkey(platform.signed_in("acme", "ben"))
    path = mails_of(platform, kind=MailKind.FACTOR_ADDED)[-1].path("/stranger")
    browsers = [platform.browser() for _ in range(20)]
    for browser in browsers:
        browser.get(path)
    pairs = [(browser, browser.token()) for browser in browsers]

    def all_at_once() -> None:
        with ThreadPoolExecutor(20) as pool:
            statuses = list(pool.map(lambda pair: pair[0].post("/stranger", token=pair[1]).status_code, pairs))
        assert statuses.count(303) == 1
        assert set(statuses) <= {303, 410, 503}

    reported = names(events_after(platform, all_at_once))
    assert reported.count("factors_withdrawn") == reported.count("stranger_reported") == 1
    assert len(mails_of(platform, kind=MailKind.LET_IN_AGAIN)) == 1
    with platform.db("acme", writing=False) as db:
        assert factors_of(db, BEN).count == 0


@BOTH
def test_what_a_thief_is_adding_at_the_very_moment_of_the_report_does_not_outlive_it(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    held_app = set_up_app(platform.signed_in("acme", "ben"))
    clock.shift(timedelta(hours=2))
    second_step(pending(platform), code=held_app.code())
    with platform.db("acme", writing=False) as db:
        latest = select(Login.id).where(Login.user_id == BEN).order_by(Login.started_at.desc()).limit(1)
        thief = Here(BEN, db.scalars(latest).one(), OPERATOR_ORIGIN)

    def make_codes() -> None:
        with platform.db("acme") as db:
            renew_codes(db, thief)

    with ThreadPoolExecutor(1) as pool:
        with platform.db("acme") as db:
            recovery.report_stranger_by_link(db, reporting_token(platform), OPERATOR_ORIGIN)
            making = pool.submit(make_codes)
            with pytest.raises(TimeoutError):
                making.result(0.3)
        with pytest.raises(NotFound):
            making.result(20)
    with platform.db("acme", writing=False) as db:
        assert factors_of(db, BEN).codes_since == NOW


def reporting_token(platform: Platform) -> bytes:
    return token_bytes(mails_of(platform, kind=MailKind.NEW_BROWSER)[-1].path("/stranger").rpartition("/")[2])


def test_a_passkey_sent_in_a_session_that_was_reported_is_not_added(platform: Platform) -> None:
    thief = platform.signed_in("acme", "ben")
    add_passkey(thief)
    report(platform)
    assert thief.get(f"{SECURITY}/passkeys").status_code == 303
    with platform.db("acme", writing=False) as db:
        assert factors_of(db, BEN).count == 0


def look_at(browser: Browser) -> str:
    return " ".join(browser.get(SECURITY).text.split())


def change_password(browser: Browser) -> None:
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post(SECURITY, form).status_code == 303


def test_preferences_remove_nothing_and_ask_to_look_through_everything(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    own = passkey_of(add_passkey(platform.signed_in("acme", "ben"), "For years"))
    clock.shift(timedelta(days=40))
    ben = platform.browser()
    passwordless(ben, own)
    add_passkey(ben, "Yesterday")
    set_up_app(ben)
    clock.shift(timedelta(minutes=5))
    assert "Added lately" not in look_at(ben)
    ben.post("/preferences/history/not-me")
    page = look_at(ben)
    assert page.index("You reported somebody else in your account") < page.index('id="change"') < page.index('id="app"')
    assert "/remove" not in page, "nothing but the password can be changed yet"
    assert page.count("Added lately") == 2

    change_password(ben)
    page = look_at(ben)
    assert "Now look through your passkeys" in page
    assert page.count("/remove") == 3
    assert page.count("Added lately") == 2
    with platform.db("acme", writing=False) as db:
        theirs = db.scalars(select(Passkey.id).where(Passkey.name == "Yesterday")).one()
    assert ben.post(f"{SECURITY}/passkeys/{theirs}/remove").status_code == 303
    clock.shift(timedelta(minutes=1))
    add_passkey(ben, "After the report")
    assert look_at(ben).count("Added lately") == 1
    clock.shift(timedelta(days=31))
    ben = platform.browser()
    passwordless(ben, own)
    assert "Added lately" not in look_at(ben)


def test_before_the_new_password_is_chosen_no_passkey_stands_in_for_it(platform: Platform) -> None:
    ben = platform.signed_in("acme", "ben")
    somebodys = passkey_of(add_passkey(ben))
    ben.post("/preferences/history/not-me")
    assert passwordless(platform.browser(), somebodys).status_code == 422
    change_password(ben)
    assert passwordless(platform.browser(), somebodys).status_code == 303


def test_whoever_has_no_password_is_asked_to_look_and_not_to_change_one(platform: Platform) -> None:
    own = passkey_of(add_passkey(platform.signed_in("acme", "ben")))
    with platform.db("acme") as db:
        db.execute(update(User).where(User.id == BEN).values(password=b""))
    ben = platform.browser()
    passwordless(ben, own)
    ben.post("/preferences/history/not-me")
    page = look_at(ben)
    assert "Every other session has been signed out. Now look through your passkeys" in page
    assert "/remove" in page
    assert "Added lately" in page


def test_each_factor_says_when_it_was_added_and_when_it_was_last_used(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    ben = platform.signed_in("acme", "ben")
    held_app = set_up_app(ben)
    add_passkey(ben)
    page = look_at(ben)
    for said in ("Set up on", "Added on", "Made on"):
        assert re.search(rf"{said} [^<]*\b11:00\b", page), said
    assert "Last used" not in page
    clock.shift(timedelta(hours=2, seconds=30))
    ben = pending(platform)
    second_step(ben, code=held_app.code())
    assert re.search(r"Last used [^<]*\b13:00\b", look_at(ben))


def test_the_mail_about_a_password_says_which_passkeys_open_the_account_all_the_same(platform: Platform) -> None:
    ben = platform.signed_in("acme", "ben")
    for name in ("Phone & <tablet>", "Laptop"):
        add_passkey(ben, name)
    change_password(ben)
    change_password_of_gus(platform)
    ben_reads, gus_reads = mails_of(platform, kind=MailKind.PASSWORD_CHANGED)
    assert "2 passkeys still open this account: Phone & <tablet>, Laptop." in " ".join(ben_reads.text.split())
    assert "No passkey opens this account." in gus_reads.text


def change_password_of_gus(platform: Platform) -> None:
    change_password(platform.signed_in("acme", "gus"))
