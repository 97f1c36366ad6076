"""Who was shut out after a report: nothing brings the hold about a second time, and none but the company lifts it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import time_machine

from extranet.accounts.new_passwords import withdraw_password
from extranet.factors.operations import factors_of
from extranet.mail.kinds import MailKind
from extranet.models import User, UserState
from extranet.request import login
from tests.browser import Browser
from tests.extranet.factors import set_up_app
from tests.extranet.test_withdrawn_factors import BEN, CHOSEN, PERSON, choose_by, held, mailbox_alone, report
from tests.extranet.world import NEW_PASSWORD
from tests.platform import BOTH, Platform
from tests.posted import mails_of

THEIRS = "thief@one.example"


def row(platform: Platform) -> User:
    with platform.db("acme", writing=False) as db:
        return db.get_one(User, BEN)


def follow(platform: Platform, path: str, post_to: str) -> int:
    """Open a link of a mail in a browser of nobody's and press its button; return what came of it."""
    visitor = platform.browser()
    visitor.get(path)
    return visitor.post(post_to).status_code


def shut_out(platform: Platform, clock: time_machine.Traveller) -> Browser:
    """Have ben held; return an administrator's browser."""
    mailbox_alone(platform, clock)
    report(platform, MailKind.NEW_BROWSER, 0)
    assert held(platform)
    return platform.signed_in()


@BOTH
def test_what_was_mailed_to_another_address_reports_nobody_once_the_old_one_is_back(platform: Platform) -> None:
    thief = platform.signed_in("acme", "ben")
    thief.post("/preferences/email", {"email": THEIRS})
    confirm = mails_of(platform, kind=MailKind.CONFIRM_EMAIL)[-1].path("/email/confirm")
    assert follow(platform, confirm, "/email/confirm") == 303
    platform.signed_in("acme", "ben")
    (mail,) = (mail for mail in mails_of(platform, kind=MailKind.NEW_BROWSER) if mail.to == THEIRS)
    undo = mails_of(platform, kind=MailKind.EMAIL_CHANGED)[-1].path("/email/undo")
    assert follow(platform, undo, "/email/undo") == 303
    choose_by(platform, MailKind.RESET)
    assert follow(platform, mail.path("/stranger"), "/stranger") == 410
    assert not held(platform)
    assert row(platform).password


@BOTH
@pytest.mark.parametrize("path", ["/preferences/email", "/preferences/history/not-me"])
def test_a_session_that_is_reported_while_its_request_is_under_way_does_nothing_more(
    platform: Platform, clock: time_machine.Traveller, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    platform.signed_in("acme", "ben")
    thief = platform.signed_in("acme", "ben")
    token = thief.token()
    clock.shift(timedelta(minutes=2))
    note_seen = login._note_seen

    def reported_then(*arguments: object) -> None:
        note_seen(*arguments)  # type: ignore[arg-type]
        # What was noted is committed: whoever waited for the lock comes now.
        monkeypatch.setattr(login, "_note_seen", note_seen)
        reporting = threading.Thread(target=report, args=(platform, MailKind.NEW_BROWSER))
        reporting.start()
        reporting.join()

    monkeypatch.setattr(login, "_note_seen", reported_then)
    thief.post(path, {"email": THEIRS}, token=token)
    assert mails_of(platform, kind=MailKind.CONFIRM_EMAIL) == []
    assert row(platform).is_shut


def test_an_address_that_was_asked_for_before_the_report_is_not_confirmed_after_it(platform: Platform) -> None:
    platform.signed_in("acme", "ben").post("/preferences/email", {"email": THEIRS})
    with platform.db("acme") as db:
        withdraw_password(db, db.get_one(User, BEN))
    confirm = mails_of(platform, kind=MailKind.CONFIRM_EMAIL)[-1].path("/email/confirm")
    assert follow(platform, confirm, "/email/confirm") == 410
    assert row(platform).email == "ben@acme.example"


@BOTH
def test_letting_somebody_in_ends_the_reports_that_were_mailed_before(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    anna = shut_out(platform, clock)
    assert anna.post(f"{PERSON}/reset-password").status_code == 303
    older = mails_of(platform, kind=MailKind.FACTOR_ADDED)[-1].path("/stranger")
    assert follow(platform, older, "/stranger") == 410
    choose_by(platform, MailKind.RESET_BY_ADMIN)
    ben = platform.browser()
    ben.sign_in("ben", NEW_PASSWORD)
    set_up_app(ben)
    second = mails_of(platform, kind=MailKind.NEW_BROWSER)[1].path("/stranger")
    assert follow(platform, second, "/stranger") == 410
    with platform.db("acme", writing=False) as db:
        assert factors_of(db, BEN).count == 1
    assert not held(platform)


@BOTH
def test_deactivating_lifts_nothing_and_an_invitation_does(platform: Platform, clock: time_machine.Traveller) -> None:
    anna = shut_out(platform, clock)
    anna.post(f"{PERSON}/deactivate")
    anna.post(f"{PERSON}/reactivate")
    assert held(platform)
    assert row(platform).state == UserState.INVITED
    assert "somebody else reads their mail" in anna.get(PERSON).text
    assert anna.post(f"/admin/invitations/{BEN}/resend").status_code == 303
    assert not held(platform)
    visitor = platform.browser()
    visitor.get(mails_of(platform, kind=MailKind.INVITATION)[-1].path("/invitation"))
    assert visitor.post("/invitation", CHOSEN).status_code == 303


@BOTH
def test_the_way_back_in_is_mailed_to_the_address_an_administrator_corrects(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    anna = shut_out(platform, clock)
    assert "Wrong address?" in anna.get(PERSON).text
    assert anna.post(f"{PERSON}/address", {"email": "ben@elsewhere.example"}).status_code == 303
    assert mails_of(platform, kind=MailKind.RESET_BY_ADMIN)[-1].to == "ben@elsewhere.example"
    assert not held(platform)
    # Whoever is not held goes on changing their address themselves.
    assert anna.post(f"{PERSON}/address", {"email": "ben@third.example"}).status_code == 422
    assert row(platform).email == "ben@elsewhere.example"


def test_today_says_who_has_to_be_let_in_until_they_are(platform: Platform, clock: time_machine.Traveller) -> None:
    anna = shut_out(platform, clock)
    said = "Ben Peeters was shut out after a report and has to be let in again"
    assert said in anna.get("/").text
    assert said not in platform.signed_in("globex").get("/").text
    anna.post(f"{PERSON}/reset-password")
    assert said not in anna.get("/").text
