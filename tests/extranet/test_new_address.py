"""Another e-mail address: confirmed where it is, announced where it was, and taken back from there."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select
from werkzeug.test import TestResponse

from extranet.accounts import new_addresses, operations, recovery
from extranet.errors import Invalid, LinkRefused
from extranet.mail.kinds import MailKind
from extranet.models import User
from tests.browser import Browser
from tests.evidence import face, untouched
from tests.extranet.world import NEW_PASSWORD, disable, events_after, names, row_of, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id
from tests.posted import mails_of

OLD, NEW = "ben@acme.example", "ben@elsewhere.example"
CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}


@pytest.fixture
def ben(platform: Platform) -> Browser:
    return platform.signed_in("acme", "ben")


def ask(browser: Browser, address: str = NEW) -> TestResponse:
    return browser.post("/preferences/email", {"email": address})


def link(platform: Platform, kind: MailKind, slug: str = "acme") -> str:
    page = "/email/confirm" if kind is MailKind.CONFIRM_EMAIL else "/email/undo"
    return mails_of(platform, slug, kind)[-1].path(page)


def follow(platform: Platform, path: str, browser: Browser | None = None) -> TestResponse:
    """Open a link and press its button."""
    visitor = browser or platform.browser()
    opened = visitor.get(path)
    page = path.rpartition("/")[0]
    assert (opened.status_code, opened.headers.get("Location")) == (303, page), opened.text
    assert opened.headers["Referrer-Policy"] == visitor.get(page).headers["Referrer-Policy"] == "no-referrer"
    return visitor.post(page)


def confirm_at_once(browsers: list[Browser]) -> list[int]:
    """Press the button in several browsers at the same moment."""
    tokens = [browser.token() for browser in browsers]
    with ThreadPoolExecutor(len(browsers)) as pool:
        pairs = zip(browsers, tokens, strict=True)
        return list(pool.map(lambda pair: pair[0].post("/email/confirm", token=pair[1]).status_code, pairs))


def change(platform: Platform, browser: Browser, address: str = NEW) -> None:
    """Change an address from beginning to end."""
    assert ask(browser, address).status_code == 303
    assert follow(platform, link(platform, MailKind.CONFIRM_EMAIL)).status_code == 303


def email(platform: Platform, username: str = "ben") -> str:
    return row_of(platform, username).email


def test_it_waits_for_the_new_address_and_tells_the_old_one(platform: Platform, ben: Browser) -> None:
    asked = events_after(platform, lambda: ask(ben, "Ben@Elsewhere.Example"))
    assert names(asked) == ["email_change_asked"]
    assert email(platform) == OLD
    page = ben.get("/preferences/email").text
    assert "Waiting for your confirmation" in page
    assert NEW in page
    assert f"Waiting for {NEW}" in ben.get("/preferences/profile").text
    (confirm,) = mails_of(platform, kind=MailKind.CONFIRM_EMAIL)
    (warning,) = mails_of(platform, kind=MailKind.EMAIL_CHANGING)
    assert (confirm.to, warning.to) == (NEW, OLD)
    assert NEW not in warning.text + warning.html, "the old mailbox may be somebody else's by now"
    assert "b•••@elsewhere.example" in warning.text

    done = events_after(platform, lambda: follow(platform, confirm.path("/email/confirm"), ben))
    assert names(done) == ["email_changed"]
    assert email(platform) == NEW
    assert "has been changed" in ben.get("/preferences/profile").text, "who confirms stays signed in"
    assert mails_of(platform, kind=MailKind.EMAIL_CHANGED)[0].to == OLD
    platform.browser().sign_in(NEW, PASSWORD)
    assert try_sign_in(platform.browser(), OLD, PASSWORD).status_code == 422
    assert "Waiting" not in ben.get("/preferences/email").text


def test_it_can_be_confirmed_in_a_browser_where_nobody_is_signed_in(platform: Platform, ben: Browser) -> None:
    ask(ben)
    phone = platform.browser()
    assert follow(platform, link(platform, MailKind.CONFIRM_EMAIL), phone).headers["Location"] == "/login"
    assert "Your e-mail address has been changed" in phone.get("/login").text
    assert phone.get("/").status_code == 303


def test_looking_at_the_links_changes_nothing(platform: Platform, ben: Browser) -> None:
    ask(ben)
    for kind in (MailKind.CONFIRM_EMAIL, MailKind.EMAIL_CHANGING):
        for _ in range(2):
            assert platform.browser().get(link(platform, kind), follow_redirects=True).status_code == 200
    assert email(platform) == OLD
    assert ben.get("/").status_code == 200
    follow(platform, link(platform, MailKind.CONFIRM_EMAIL))
    assert email(platform) == NEW


def test_it_wants_proof_of_who_asks(platform: Platform, ben: Browser, clock: time_machine.Traveller) -> None:
    ben = platform.signed_in("acme", "ben")
    clock.shift(timedelta(minutes=11))
    assert ben.get("/preferences/email").headers["Location"].startswith("/confirm?next=")
    assert ask(ben).headers["Location"].startswith("/confirm?next=")
    assert mails_of(platform, kind=MailKind.CONFIRM_EMAIL) == []


@pytest.mark.parametrize(
    "address",
    [
        "",
        "no",
        "a@b",
        "a b@acme.example",
        OLD,
        "BEN@acme.example",
        "x" * 250 + "@a.example",
        "a@b.example\r\nBcc: c@d.e",
    ],
)
def test_what_is_no_other_address_is_refused(platform: Platform, ben: Browser, address: str) -> None:
    assert ask(ben, address).status_code == 422
    assert mails_of(platform, kind=MailKind.CONFIRM_EMAIL) == []


def test_a_newer_one_replaces_it(platform: Platform, ben: Browser) -> None:
    ask(ben)
    first = link(platform, MailKind.CONFIRM_EMAIL)
    ask(ben, "ben@third.example")
    assert platform.browser().get(first).status_code == 410
    follow(platform, link(platform, MailKind.CONFIRM_EMAIL))
    assert email(platform) == "ben@third.example"


def test_it_can_be_cancelled(platform: Platform, ben: Browser) -> None:
    ask(ben)
    path = link(platform, MailKind.CONFIRM_EMAIL)
    cancelled = events_after(platform, lambda: ben.post("/preferences/email/cancel"))
    assert names(cancelled) == ["email_change_undone"]
    assert "stays as it is" in ben.get("/preferences/email").text
    assert platform.browser().get(path).status_code == 410
    assert names(events_after(platform, lambda: ben.post("/preferences/email/cancel"))) == []


def test_five_a_day_are_asked_for(platform: Platform, ben: Browser) -> None:
    for number in range(5):
        assert ask(ben, f"ben@{number}.example").status_code == 303
    refused = ask(ben, "ben@sixth.example")
    assert refused.status_code == 429
    assert "tomorrow" in refused.text
    assert len(mails_of(platform, kind=MailKind.CONFIRM_EMAIL)) == 5


@BOTH
def test_whether_somebody_has_the_address_is_told_to_its_owner_alone(platform: Platform, ben: Browser) -> None:
    def asked(address: str) -> list[object]:
        answer = face(ask(ben, address))
        page = ben.get("/preferences/email").text.replace(address, "*").partition("<main")[2]
        return [answer, page.partition('name="csrf_token"')[0]]

    assert asked("nobody@acme.example") == asked("anna@acme.example")
    path = link(platform, MailKind.CONFIRM_EMAIL)
    assert mails_of(platform, kind=MailKind.CONFIRM_EMAIL)[-1].to == "anna@acme.example"
    refused = follow(platform, path)
    assert refused.status_code == 422
    assert "belongs to another account" in refused.text
    assert (email(platform), email(platform, "anna")) == (OLD, "anna@acme.example")


@BOTH
def test_an_address_taken_meanwhile_is_refused(platform: Platform, ben: Browser) -> None:
    ask(ben, "free@acme.example")
    with platform.db("acme") as db:
        operations.find_user(db, "gus").email = "free@acme.example"
    assert follow(platform, link(platform, MailKind.CONFIRM_EMAIL)).status_code == 422
    assert email(platform) == OLD


@BOTH
def test_of_two_who_confirm_one_address_at_once_one_gets_it(platform: Platform) -> None:
    browsers = [platform.signed_in("acme", name) for name in ("ben", "gus")]
    paths = []
    for browser in browsers:
        ask(browser, "both@acme.example")
        paths.append(link(platform, MailKind.CONFIRM_EMAIL))
        browser.get(paths[-1])
    assert sorted(confirm_at_once(browsers)) == [303, 422]


@BOTH
def test_what_only_the_database_noticed_is_refused_alike(
    platform: Platform, ben: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two accounts on two nodes: each looked before the other had written."""
    ask(ben, "anna@acme.example")
    monkeypatch.setattr(new_addresses, "is_taken", lambda _db, _address: False)
    assert follow(platform, link(platform, MailKind.CONFIRM_EMAIL)).status_code == 422
    assert email(platform) == OLD


@BOTH
def test_of_twenty_confirmations_at_once_one_succeeds(platform: Platform, ben: Browser) -> None:
    ask(ben)
    path = link(platform, MailKind.CONFIRM_EMAIL)
    browsers = [platform.browser() for _ in range(20)]
    for browser in browsers:
        browser.get(path)
    statuses = confirm_at_once(browsers)
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 410, 503}
    assert len(mails_of(platform, kind=MailKind.EMAIL_CHANGED)) == 1


@pytest.mark.parametrize(
    ("kind", "life"),
    [(MailKind.CONFIRM_EMAIL, timedelta(hours=24)), (MailKind.EMAIL_CHANGING, timedelta(hours=72))],
)
def test_each_link_has_its_time(
    platform: Platform, clock: time_machine.Traveller, kind: MailKind, life: timedelta
) -> None:
    ask(platform.signed_in("acme", "ben"))
    path = link(platform, kind)
    clock.shift(life - timedelta(minutes=1))
    assert platform.browser().get(path).status_code == 303
    clock.shift(timedelta(minutes=2))
    assert platform.browser().get(path).status_code == 410


@pytest.mark.parametrize("kind", [MailKind.CONFIRM_EMAIL, MailKind.EMAIL_CHANGING])
def test_a_link_of_another_tenant_is_refused(platform: Platform, ben: Browser, kind: MailKind) -> None:
    theirs = platform.signed_in("globex", "ben")
    ask(theirs, "ben@theirs.example")
    ask(ben)
    with untouched(platform, "globex"):
        assert platform.browser().get(link(platform, kind, "globex")).status_code == 410
    with pytest.raises(AssertionError, match="303"):
        follow(platform, link(platform, kind, "globex"))


def test_a_link_for_a_new_password_ends_when_the_address_changes(platform: Platform, ben: Browser) -> None:
    ask(ben)
    with platform.db("acme") as db:
        recovery.start_reset(db, operations.find_user(db, "ben"), user_id("anna"), OPERATOR_ORIGIN)
    reset = mails_of(platform, kind=MailKind.RESET_BY_ADMIN)[0].path("/reset")
    assert platform.browser().get(reset).status_code == 303
    follow(platform, link(platform, MailKind.CONFIRM_EMAIL))
    assert platform.browser().get(reset).status_code == 410


def _change_password(platform: Platform, browser: Browser) -> None:
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303


def _disable(platform: Platform, _browser: Browser) -> None:
    disable(platform, "ben")
    with platform.db("acme") as db:
        operations.enable_user(db, operations.find_user(db, "ben"), OPERATOR_ORIGIN, "operator")


def _report(_platform: Platform, browser: Browser) -> None:
    assert browser.post("/preferences/history/not-me").status_code == 303


@pytest.mark.parametrize("act", [_change_password, _disable, _report])
def test_what_was_begun_ends_with_the_password_or_the_account(platform: Platform, ben: Browser, act) -> None:
    ask(ben)
    act(platform, ben)
    assert platform.browser().get(link(platform, MailKind.CONFIRM_EMAIL)).status_code == 410


@pytest.mark.parametrize("confirmed", [True, False])
def test_the_old_address_takes_it_back_and_shuts_everybody_out(
    platform: Platform, ben: Browser, confirmed: bool
) -> None:
    """Who asked for another address knew the password."""
    ask(ben)
    pending = link(platform, MailKind.CONFIRM_EMAIL)
    if confirmed:
        follow(platform, pending)
    undo = link(platform, MailKind.EMAIL_CHANGED if confirmed else MailKind.EMAIL_CHANGING)
    owner = platform.browser()
    undone = events_after(platform, lambda: follow(platform, undo, owner))
    assert names(undone) == ["email_change_undone"]
    assert "A link to choose a new one is in your mail" in owner.get("/login").text
    assert email(platform) == OLD
    assert ben.get("/").status_code == 303
    assert try_sign_in(ben, "ben", PASSWORD).status_code == 422, "the password that is known opens nothing any more"
    assert platform.browser().get(pending).status_code == 410
    assert [mail.to for mail in mails_of(platform, kind=MailKind.STRANGER_REPORTED)] == ["anna@acme.example"]
    reset = mails_of(platform, kind=MailKind.RESET)[-1]
    assert reset.to == OLD
    owner.get(reset.path("/reset"))
    again = owner.post("/reset", {"password": PASSWORD, "repeat": PASSWORD})
    assert "had this password before" in again.text
    assert owner.post("/reset", CHOSEN).status_code == 303
    owner.sign_in("ben", NEW_PASSWORD)
    assert owner.get("/").status_code == 200


def test_a_thief_who_changes_it_twice_does_not_end_the_owners_link(platform: Platform, ben: Browser) -> None:
    change(platform, ben, "thief@one.example")
    undo = link(platform, MailKind.EMAIL_CHANGED)
    change(platform, ben, "thief@two.example")
    thiefs = link(platform, MailKind.EMAIL_CHANGED)
    follow(platform, thiefs)
    assert email(platform) == "thief@one.example"
    follow(platform, undo)
    assert email(platform) == OLD
    assert mails_of(platform, kind=MailKind.RESET)[-1].to == OLD
    assert platform.browser().get(thiefs).status_code == 410


def test_the_thiefs_link_ends_with_the_owners(platform: Platform, ben: Browser) -> None:
    change(platform, ben, "thief@one.example")
    undo = link(platform, MailKind.EMAIL_CHANGED)
    change(platform, ben, "thief@two.example")
    thiefs = link(platform, MailKind.EMAIL_CHANGED)
    follow(platform, undo)
    assert email(platform) == OLD
    assert platform.browser().get(thiefs).status_code == 410


def test_an_old_address_that_is_anothers_by_now_is_not_taken_back(platform: Platform, ben: Browser) -> None:
    change(platform, ben)
    with platform.db("acme") as db:
        operations.find_user(db, "gus").email = OLD
    owner = platform.browser()
    undone = events_after(platform, lambda: follow(platform, link(platform, MailKind.EMAIL_CHANGED), owner))
    assert [(entry.event, entry.outcome) for entry in undone] == [("email_change_undone", "refused")]
    assert "Speak to an administrator of your company" in owner.get("/login").text
    assert email(platform) == NEW
    assert mails_of(platform, kind=MailKind.RESET) == []
    assert try_sign_in(platform.browser(), "ben", PASSWORD).status_code == 422


def test_a_link_that_ended_while_its_page_was_open_is_refused(platform: Platform, ben: Browser) -> None:
    ask(ben)
    visitor = platform.browser()
    for kind, page in ((MailKind.CONFIRM_EMAIL, "/email/confirm"), (MailKind.EMAIL_CHANGING, "/email/undo")):
        visitor.get(link(platform, kind))
        disable(platform, "ben")
        assert visitor.get(page).status_code == 410
        visitor.get(link(platform, kind))
        assert visitor.post(page).status_code == 410
        with platform.db("acme") as db:
            operations.enable_user(db, operations.find_user(db, "ben"), OPERATOR_ORIGIN, "operator")
    assert email(platform) == OLD


def test_operations_refuse_what_the_pages_refuse(platform: Platform) -> None:
    with platform.db("acme") as db:
        for operation in (new_addresses.confirm_new_address, new_addresses.undo_new_address):
            with pytest.raises(LinkRefused):
                operation(db, b"x" * 32, OPERATOR_ORIGIN)
        with pytest.raises(Invalid, match="already"):
            new_addresses.ask_new_address(db, user_id("ben"), OLD, OPERATOR_ORIGIN)
        assert db.scalars(select(User.email).where(User.id == user_id("ben"))).one() == OLD
