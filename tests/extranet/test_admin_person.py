"""Administration > one person: role, name, state, ways back in, and invitations."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import time_machine

from extranet.accounts import operations as accounts
from extranet.accounts.operations import NewUser
from extranet.activity.operations import activity_journal
from extranet.admin import factor_resets, operations
from extranet.admin.proposing import propose_username, stem_of
from extranet.errors import Invalid
from extranet.models import Role, User, activity_table
from extranet.request import pages
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.extranet.admin import ANNA, BEN, GUS, equip, mails
from tests.extranet.conftest import NOW
from tests.extranet.world import add_person, events_after, log_of, names, row_of
from tests.platform import OPERATOR_ORIGIN, Platform


def activity(platform: Platform) -> list[str]:
    with platform.db("acme", writing=False) as db:
        rows = db.execute(activity_table.select().order_by(activity_table.c.sequence))
        return [entry.event for entry in activity_journal(db.info["keys"]).read(iter(rows.all()))]


def second_admin(platform: Platform) -> str:
    return add_person(platform, "olga", Role.ADMIN)


def page(browser: Browser, person: str = BEN) -> str:
    shown = browser.get(f"/admin/people/{person}")
    assert shown.status_code == 200
    return shown.text


def test_a_person_s_page_says_what_an_administrator_may_know(platform: Platform) -> None:
    platform.signed_in("acme", "ben")
    equip(platform, BEN)
    shown = page(platform.signed_in())
    for words in ("Ben Peeters", "ben@acme.example", "Member", "in 1 browser", "Sign out everywhere", "Lost second"):
        assert words in shown
    assert "globex" not in shown


@pytest.mark.parametrize("person", ["nobody", "9" * 32, "x" * 32, "%00" * 4, "A" * 32])
def test_nobody_s_page_is_not_found(platform: Platform, person: str) -> None:
    browser = platform.signed_in()
    assert browser.get(f"/admin/people/{person}").status_code == 404
    assert browser.post(f"/admin/people/{person}/role", {"role": "admin"}).status_code == 404


def test_a_role_is_changed_noted_mailed_and_counts_at_once(platform: Platform) -> None:
    browser, ben = platform.signed_in(), platform.signed_in("acme", "ben")
    assert ben.get("/admin/people").status_code == 403
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/role", {"role": "admin"}))
    assert names(recorded) == ["role_changed"]
    assert (recorded[0].details["from"], recorded[0].details["to"]) == ("member", "admin")
    assert str(pages.NOTICES[pages.ROLE_CHANGED]) in page(browser)
    assert mails(platform, "role_changed") == [BEN]
    assert activity(platform)[-1] == "role_changed"
    assert ben.get("/admin/people").location.startswith("/login"), "what was good under one role is not under another"
    assert platform.signed_in("acme", "ben").get("/admin/people").status_code == 200
    assert events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/role", {"role": "admin"})) == []


@pytest.mark.parametrize("role", ["", "emperor", "Admin", "admin\0"])
def test_a_role_there_is_none_of_is_refused(platform: Platform, role: str) -> None:
    browser = platform.signed_in()
    refused = browser.post(f"/admin/people/{BEN}/role", {"role": role})
    assert refused.status_code == 422
    assert row_of(platform, "ben").role == Role.MEMBER


def test_the_last_active_administrator_stays_one(platform: Platform) -> None:
    browser = platform.signed_in()
    for path, data in (("role", {"role": "guest"}), ("deactivate", {})):
        before = len(log_of(platform))
        refused = browser.post(f"/admin/people/{ANNA}/{path}", data)
        assert len(log_of(platform)) == before
        assert refused.status_code == 422
        assert "last active administrator" in refused.text
    assert (row_of(platform).role, row_of(platform).state) == ("admin", "active")
    assert mails(platform) == []


def test_nobody_takes_their_own_rights_away_by_mistake(platform: Platform) -> None:
    second_admin(platform)
    browser = platform.signed_in()
    refused = browser.post(f"/admin/people/{ANNA}/role", {"role": "guest"})
    assert refused.status_code == 422
    assert "Ask another administrator" in refused.text
    assert browser.post(f"/admin/people/{ANNA}/deactivate").status_code == 422
    assert row_of(platform).role == "admin"


def test_an_operator_cannot_demote_the_last_administrator_either(platform: Platform) -> None:
    with platform.db("acme") as db, pytest.raises(Invalid):
        operations.change_role(db, db.get_one(User, ANNA), Role.GUEST, OPERATOR_ORIGIN, OPERATOR)


def test_a_username_is_changed_and_signs_in(platform: Platform) -> None:
    browser = platform.signed_in()
    path = f"/admin/people/{BEN}/username"
    recorded = events_after(platform, lambda: browser.post(path, {"username": " Benjamin "}))
    assert names(recorded) == ["username_changed"]
    assert platform.signed_in("acme", "benjamin").get("/").status_code == 200
    assert events_after(platform, lambda: browser.post(path, {"username": "benjamin"})) == []
    for taken in ("anna", "anna@acme.example", "", "x", "a b", "<b>", "ben\nben", "x" * 65):
        assert browser.post(path, {"username": taken}).status_code == 422, taken
    with platform.db("acme", writing=False) as db:
        assert db.get_one(User, BEN).username == "benjamin"


def test_deactivating_asks_first_then_shuts_the_account_and_says_so(platform: Platform) -> None:
    browser, ben = platform.signed_in(), platform.signed_in("acme", "ben")
    assert "signed out of every browser" in browser.get(f"/admin/people/{BEN}/deactivate").text
    assert row_of(platform, "ben").state == "active"
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/deactivate"))
    assert names(recorded) == ["user_disabled"]
    assert mails(platform, "account_disabled") == [BEN]
    assert ben.get("/").status_code == 303
    assert events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/deactivate")) == []
    assert "This account is deactivated" in page(browser)
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/reactivate"))
    assert names(recorded) == ["user_enabled"]
    assert platform.signed_in("acme", "ben").get("/").status_code == 200


def test_an_account_is_unlocked_and_signed_out(platform: Platform) -> None:
    browser, ben = platform.signed_in(), platform.signed_in("acme", "ben")
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/unlock"))
    assert names(recorded) == ["user_unlocked"]
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/sign-out"))
    assert names(recorded) == ["login_ended"]
    assert (recorded[0].subject, recorded[0].details["logins_ended"]) == (BEN, 1)
    assert ben.get("/").status_code == 303
    assert browser.get("/").status_code == 200


def test_a_password_reset_is_mailed_and_never_shown(platform: Platform) -> None:
    browser = platform.signed_in()
    answers = []
    path = f"/admin/people/{BEN}/reset-password"
    recorded = events_after(platform, lambda: answers.append(browser.post(path)))
    assert "reset_started" in names(recorded)
    assert mails(platform, "reset_by_admin") == [BEN]
    assert "/reset/" not in answers[0].text + page(browser)
    assert browser.post(f"/admin/people/{BEN}/deactivate").status_code == 303
    assert browser.post(path).status_code == 422


# -- second factors ----------------------------------------------------------------------------------------------------


def test_the_only_administrator_resets_second_factors_at_once(platform: Platform) -> None:
    equip(platform, BEN)
    browser, ben = platform.signed_in(), platform.browser()
    assert "at once" in page(browser)
    recorded = events_after(platform, lambda: browser.post(f"/admin/people/{BEN}/factors/reset"))
    assert "factors_reset" in names(recorded)
    assert mails(platform, "factors_reset") == [BEN]
    refused = browser.post(f"/admin/people/{BEN}/factors/reset")
    assert refused.status_code == 422
    assert "There is no second factor" in refused.text
    assert ben.get("/").status_code == 303


def test_where_there_are_two_administrators_the_other_one_approves(platform: Platform) -> None:
    second_admin(platform)
    equip(platform, BEN)
    anna, olga = platform.signed_in(), platform.signed_in("acme", "olga")
    recorded = events_after(platform, lambda: anna.post(f"/admin/people/{BEN}/factors/reset"))
    assert names(recorded) == ["factors_reset_asked"]
    assert "Approve the reset" not in page(anna)
    assert "Anna Martin asked for a reset" in page(olga)
    own = anna.post(f"/admin/people/{BEN}/factors/approve")
    assert own.status_code == 422
    assert "Another administrator" in own.text
    recorded = events_after(platform, lambda: olga.post(f"/admin/people/{BEN}/factors/approve"))
    assert "factors_reset" in names(recorded)
    again = olga.post(f"/admin/people/{BEN}/factors/approve")
    assert again.status_code == 422
    assert "Nobody asks for this any more" in again.text


def test_a_request_is_dropped_replaced_or_too_old(platform: Platform, clock: time_machine.Traveller) -> None:
    second_admin(platform)
    equip(platform, BEN)
    anna, olga = platform.signed_in(), platform.signed_in("acme", "olga")
    anna.post(f"/admin/people/{BEN}/factors/reset")
    recorded = events_after(platform, lambda: olga.post(f"/admin/people/{BEN}/factors/withdraw"))
    assert names(recorded) == ["factors_reset_asked"]
    assert recorded[0].details["withdrawn"]
    assert events_after(platform, lambda: olga.post(f"/admin/people/{BEN}/factors/withdraw")) == []
    assert olga.post(f"/admin/people/{BEN}/factors/approve").status_code == 422
    for _ in range(2):
        anna.post(f"/admin/people/{BEN}/factors/reset")
    clock.move_to(NOW + factor_resets.LIFE + timedelta(seconds=1))
    late = platform.signed_in("acme", "olga")
    assert late.post(f"/admin/people/{BEN}/factors/approve").status_code == 422
    assert mails(platform, "factors_reset") == []


def test_nobody_resets_or_approves_their_own_factors(platform: Platform) -> None:
    olga_id = second_admin(platform)
    equip(platform, olga_id)
    anna, olga = platform.signed_in(), platform.browser()
    assert anna.post(f"/admin/people/{ANNA}/factors/reset").status_code == 422
    assert anna.post(f"/admin/people/{olga_id}/factors/reset").status_code == 303
    with platform.db("acme", writing=False) as db:
        assert factor_resets.asked(db, db.get_one(User, olga_id)) is None, "nobody but herself could have approved it"
    assert olga.get("/").status_code == 303


def test_a_deactivated_person_s_factors_are_left_alone(platform: Platform) -> None:
    equip(platform, BEN)
    browser = platform.signed_in()
    browser.post(f"/admin/people/{BEN}/deactivate")
    assert browser.post(f"/admin/people/{BEN}/factors/reset").status_code == 422


# -- invitations -------------------------------------------------------------------------------------------------------

NORA = {"first_name": "Nora", "last_name": "d'Été", "email": "Nora@People.example", "username": "", "role": "manager"}


def test_somebody_is_invited_by_mail_under_a_proposed_name(platform: Platform) -> None:
    browser = platform.signed_in()
    recorded = events_after(platform, lambda: browser.post("/admin/invitations", NORA))
    assert names(recorded) == ["user_created", "user_invited"]
    person = recorded[0].subject
    with platform.db("acme", writing=False) as db:
        nora = db.get_one(User, person)
        assert (nora.username, nora.email, nora.role, nora.state) == (
            "nora.d-ete",
            "nora@people.example",
            "manager",
            "invited",
        )
    assert mails(platform, "invitation") == [person]
    listed = browser.get("/admin/invitations").text
    assert "Nora d&#39;Été" in listed
    assert "/invitation/" not in re.sub(r"/admin/invitations/", "", listed)
    assert "Good until" in page(browser, person) or "good until" in page(browser, person)


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("first_name", "", "required"),
        ("last_name", "a\nb", "one line"),
        ("last_name", "a\u202eb", "control"),
        ("email", "nora", "not an e-mail address"),
        ("email", "nora@x.example\r\nBcc: all@x.example", "one line"),
        ("email", "ben@acme.example", "belongs to another account"),
        ("username", "ben", "is taken"),
        ("username", "a b", "3 to 64"),
        ("role", "emperor", "valid choice"),
        ("first_name", "x" * 101, "100"),
    ],
)
def test_an_invitation_that_cannot_be_says_why_and_changes_nothing(
    platform: Platform, field: str, value: str, words: str
) -> None:
    browser = platform.signed_in()
    answers = []
    recorded = events_after(
        platform, lambda: answers.append(browser.post("/admin/invitations", {**NORA, field: value}))
    )
    assert recorded == []
    assert answers[0].status_code == 422
    assert words in answers[0].text.lower()
    assert mails(platform) == []


def test_an_invitation_is_sent_again_and_revoked(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    with platform.db("acme", writing=False) as db:
        nina = db.query(User).filter_by(username="nina").one().id
    browser = platform.signed_in()
    sent = len(mails(platform, "invitation"))
    recorded = events_after(platform, lambda: browser.post(f"/admin/invitations/{nina}/resend"))
    assert names(recorded) == ["user_invited"]
    assert len(mails(platform, "invitation")) == sent + 1
    assert platform.browser().get(path).status_code == 410, "the earlier link works no more"
    recorded = events_after(platform, lambda: browser.post(f"/admin/invitations/{nina}/revoke"))
    assert names(recorded) == ["invitation_revoked"]
    assert activity(platform)[-1] == "invitation_revoked"
    assert "No longer works" in browser.get("/admin/invitations").text
    assert "no invitation that can be accepted" in page(browser, nina)
    assert events_after(platform, lambda: browser.post(f"/admin/invitations/{nina}/revoke")) == []
    assert browser.post(f"/admin/invitations/{BEN}/resend").status_code == 422
    assert "user_invited" in names(log_of(platform))


def test_an_invitation_that_went_astray_is_mailed_to_another_address(platform: Platform) -> None:
    path = platform.invite("acme", "nina")
    with platform.db("acme", writing=False) as db:
        nina = db.query(User).filter_by(username="nina").one().id
    browser = platform.signed_in()
    assert "Wrong address?" in page(browser, nina)
    address = f"/admin/people/{nina}/address"
    recorded = events_after(platform, lambda: browser.post(address, {"email": "Nina@People.example"}))
    assert names(recorded) == ["email_changed", "user_invited"]
    assert "nina@people.example" in page(browser, nina)
    assert platform.browser().get(path).status_code == 410
    assert events_after(platform, lambda: browser.post(address, {"email": "nina@people.example"})) == []
    for refused in ("", "nina", "ben@acme.example", "a@b.example\r\nBcc: c@d.example"):
        assert browser.post(address, {"email": refused}).status_code == 422, refused
    own = browser.post(f"/admin/people/{BEN}/address", {"email": "ben@people.example"})
    assert own.status_code == 422
    assert "changes their address themselves" in own.text
    with platform.db("acme", writing=False) as db:
        assert db.get_one(User, BEN).email == "ben@acme.example"


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.parametrize("shut", [operations.deactivate, accounts.disable_user])
def test_of_two_administrators_who_shut_each_other_out_at_once_one_is_left(
    platform: Platform, shut: Callable[..., Any]
) -> None:
    olga = second_admin(platform)
    outcomes: list[str] = []
    ready = threading.Barrier(2)

    def act(actor: str, other: str) -> None:
        with platform.db("acme") as db:
            ready.wait()
            try:
                shut(db, db.get_one(User, other), OPERATOR_ORIGIN, actor)
                db.commit()
                outcomes.append("done")
            except Invalid:
                db.rollback()
                outcomes.append("refused")

    threads = [threading.Thread(target=act, args=pair) for pair in ((ANNA, olga), (olga, ANNA))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["done", "refused"]


@pytest.mark.parametrize(
    ("first", "last", "email", "stem"),
    [
        ("Jean-Marie", "Lefèvre", "x@y.example", "jean-marie.lefevre"),
        ("Łukasz", "Øster-Groß", "x@y.example", "lukasz.oster-gross"),
        ("Anna", "", "anna.b@y.example", "anna-b"),
        ("Юлия", "Иванова", "julia@y.example", "julia"),
        ("李", "明", "李@y.example", "user"),
        ("'", "=1+1", "", "user"),
        ("x" * 99, "y" * 99, "", "x" * 60),
        ("A", "B", "", "a.b"),
    ],
)
def test_a_username_is_proposed_in_plain_letters(first: str, last: str, email: str, stem: str) -> None:
    assert stem_of(first, last, email) == stem


def test_a_proposed_username_is_free(platform: Platform) -> None:
    with platform.db("acme") as db:
        for expected in ("ida.import", "ida.import2", "ida.import3"):
            username = propose_username(db, "Ida", "Import", "ida@x.example")
            assert username == expected
            new = NewUser(username, f"{username}@x.example", "Ida", "Import")
            operations.invite_person(db, new, OPERATOR_ORIGIN, OPERATOR)
    assert GUS
