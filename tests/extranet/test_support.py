"""Support access: nobody gets in unasked, ungranted or unseen; and whoever is in sees little and is soon out."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import delete, select

from extranet.accounts.links import token_bytes
from extranet.accounts.logins import end_all_logins
from extranet.accounts.restored import begin_anew
from extranet.activity.operations import read_all as read_changes
from extranet.errors import LinkRefused
from extranet.i18n import LANGUAGES
from extranet.mail.kinds import MailKind
from extranet.models import Company, Login, SupportGrant, SupportVisit, User
from extranet.security_log.origin import supporter
from extranet.support import operations
from extranet.support.visits import begin_visit, find_visit, make_link
from tenants.errors import StaffNotReady
from tenants.registry_tables import staff_table
from tests.architecture.test_every_endpoint import path_of, rules
from tests.browser import Browser
from tests.extranet.support import OLGA, REASON, ask, enter, grant, link, proved, staff, stored, visit
from tests.extranet.world import COMPANY, add_person, disable, events_after, log_of, names, row_of, value_of
from tests.platform import OPERATOR_ORIGIN, Platform, user_id
from tests.posted import mails_of

BEN = user_id("ben")
OPEN = {
    "accounts.login",
    "admin.index",
    "admin.look",
    "admin.people",
    "admin.person",
    "admin.usage",
    "branding.logo",
    "logs.activity",
    "logs.security_log",
    "preferences.company",
    "support.enter",
    "support.open_link",
    "support.show",
    "today.show",
}
"""What support may read."""

OPEN_TO_WRITE = {"admin.save_look", "preferences.change_company"}
WAYS = {"support.enter_now", "support.leave"}

both_engines = pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)


def changes_of(platform: Platform, slug: str = "acme") -> list[str]:
    with platform.db(slug, writing=False) as db:
        return [entry.event for entry in read_changes(db) if entry.event.startswith("support_")]


def support_events(platform: Platform, slug: str = "acme") -> list[str]:
    return [entry.event for entry in log_of(platform, slug) if entry.event.startswith("support_")]


def is_out(browser: Browser) -> bool:
    """Tell whether a visit is over: its next click leads to the sign-in page, which says so."""
    assert browser.get("/admin/people").headers.get("Location", "").startswith("/login")
    return "The visit is over." in browser.get("/login").text


def text_of(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def banner(page: str) -> str:
    found = re.search(r'<aside class="support-banner.*?</aside>', page, re.DOTALL)
    return text_of(found[0]) if found else ""


# -- asking and granting -----------------------------------------------------------------------------------------------


def test_an_administrator_reads_who_asks_and_lets_them_in_for_less_than_they_asked(platform: Platform) -> None:
    staff(platform)
    ask(platform, hours=8, writes=True)
    anna = platform.signed_in()
    page = anna.get("/admin/support").text
    for said in ("Olga Ops", REASON, "for 8 hours", "May change things", "Support has no access"):
        assert said in page
    grant_id = re.search(r"/admin/support/(\w+)/grant", page)
    assert grant_id
    path = f"/admin/support/{grant_id[1]}"
    for hours in ("0", "9", "25", "", "many"):
        assert proved(platform).post(f"{path}/grant", {f"{grant_id[1]}-hours": hours}).status_code == 422
    assert stored(platform, grant_id[1]).expires_at is None
    # Granting wants fresh proof; what was typed is asked for once more.
    anna = proved(platform)
    assert anna.post(f"{path}/grant", {f"{grant_id[1]}-hours": "2"}).headers["Location"] == "/admin/support"
    page = anna.get("/admin/support").text
    assert "Access has been granted." in page
    assert "Nobody asks for access" in page
    granted = stored(platform, grant_id[1])
    assert granted.expires_at is not None
    assert granted.answered_at is not None
    assert granted.expires_at - granted.answered_at == timedelta(hours=2)
    assert (granted.hours, granted.writes, granted.answered_by) == (2, False, user_id("anna"))
    # Once answered it is.
    again = anna.post(f"{path}/grant", {f"{grant_id[1]}-hours": "2"})
    assert again.status_code == 422
    assert "answered a moment ago" in again.text
    assert anna.post(f"{path}/decline").status_code == 422
    assert support_events(platform) == changes_of(platform) == ["support_asked", "support_granted"]


def test_granting_wants_fresh_proof_and_revoking_does_not(platform: Platform, clock: time_machine.Traveller) -> None:
    staff(platform)
    grant_id = ask(platform)
    anna = platform.signed_in()
    clock.shift(timedelta(minutes=11))
    asked = anna.post(f"/admin/support/{grant_id}/grant", {f"{grant_id}-hours": "2"})
    assert asked.headers["Location"] == "/confirm?next=/admin/support"
    assert stored(platform, grant_id).answered_at is None
    operations_grant(platform, grant_id)
    assert anna.post(f"/admin/support/{grant_id}/revoke").status_code == 303
    assert stored(platform, grant_id).end_reason == "revoked"


def operations_grant(platform: Platform, grant_id: str) -> None:
    member = platform.tenancy.staff.by_name("olga")
    with platform.db("acme") as db:
        operations.allow(db, grant_id, member, hours=4, writes=False, user_id=user_id("anna"), origin=OPERATOR_ORIGIN)


def test_only_administrators_answer_and_nothing_is_there_for_who_guesses(platform: Platform) -> None:
    staff(platform)
    grant_id = ask(platform)
    ben = platform.signed_in("acme", "ben")
    assert ben.get("/admin/support").status_code == 403
    for verb in ("grant", "decline", "revoke"):
        assert ben.post(f"/admin/support/{grant_id}/{verb}", {f"{grant_id}-hours": "2"}).status_code == 403
        guessed = proved(platform).post(f"/admin/support/{'9' * 32}/{verb}", {f"{'9' * 32}-hours": "2"})
        assert guessed.status_code == 404
    assert stored(platform, grant_id).answered_at is None


def test_a_declined_request_lets_nobody_in_and_one_may_be_asked_again(platform: Platform) -> None:
    member = staff(platform)
    grant_id = ask(platform)
    with pytest.raises(operations.SupportRefused, match="asked already"):
        ask(platform)
    anna = platform.signed_in()
    assert anna.post(f"/admin/support/{grant_id}/decline").status_code == 303
    assert "Declined" in anna.get("/admin/support").text
    with platform.db("acme") as db, pytest.raises(operations.SupportRefused, match="Nobody has granted"):
        make_link(db, member, OPERATOR_ORIGIN)
    ask(platform)
    assert [mail.kind for mail in mails_of(platform)] == [MailKind.SUPPORT_ASKED] * 2
    assert support_events(platform) == changes_of(platform) == ["support_asked", "support_declined", "support_asked"]


def test_a_request_lapses_after_a_week_and_can_no_longer_be_granted(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    staff(platform)
    grant_id = ask(platform)
    clock.shift(timedelta(days=7, seconds=1))
    anna = proved(platform)
    page = anna.get("/admin/support").text
    assert "Never answered" in page
    assert "Nobody asks for access" in page
    refused = anna.post(f"/admin/support/{grant_id}/grant", {f"{grant_id}-hours": "2"})
    assert refused.status_code == 422
    assert "has lapsed" in refused.text
    ask(platform)


@pytest.mark.parametrize("lack", ["commitment", "training", "old training", "left"])
def test_who_did_not_sign_was_not_trained_or_left_neither_asks_nor_is_let_in(
    platform: Platform, lack: str, clock: time_machine.Traveller
) -> None:
    people = platform.tenancy.staff
    if lack in {"commitment", "training"}:
        people.add("olga", "Olga Ops", "olga@ops.example")
        today = row_of(platform).created_at.date()
        if lack == "commitment":
            people.train("olga", today)
        else:
            people.commit("olga", today, "version 3")
        with pytest.raises(StaffNotReady, match=lack):
            ask(platform)
        assert support_events(platform) == []
        return
    staff(platform)
    if lack == "left":
        waiting = ask(platform)
        people.remove("olga")
    else:
        clock.shift(timedelta(days=336 - 5))
        waiting = ask(platform)
        clock.shift(timedelta(days=6))
    with pytest.raises(StaffNotReady):
        ask(platform, "globex")
    refused = proved(platform).post(f"/admin/support/{waiting}/grant", {f"{waiting}-hours": "2"})
    assert refused.status_code == 422
    assert "may no longer be let in" in refused.text
    assert stored(platform, waiting).answered_at is None


def test_every_administrator_is_mailed_and_nobody_else(platform: Platform) -> None:
    add_person(platform, "olivia", operations.Role.ADMIN)
    add_person(platform, "oscar", operations.Role.ADMIN)
    disable(platform, "oscar")
    staff(platform)
    grant_id = grant(platform)
    enter(platform)
    enter(platform)
    platform.signed_in().post(f"/admin/support/{grant_id}/revoke")
    mails = [mail for mail in mails_of(platform) if mail.kind.startswith("support_")]
    expected = ["support_asked", "support_granted", "support_entered", "support_ended"]
    assert [mail.kind for mail in mails if mail.to == "anna@acme.example"] == expected
    assert [mail.kind for mail in mails if mail.to == "olivia@acme.example"] == expected
    assert len(mails) == 8
    assert "http://acme.localhost:8000/admin/support" in mails[0].text
    assert REASON in mails[0].text


# -- coming in ---------------------------------------------------------------------------------------------------------


def test_a_link_leaves_the_address_works_once_and_for_five_minutes(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    staff(platform)
    grant(platform)
    first, second = link(platform), link(platform)
    browser = platform.browser()
    assert browser.get(first).status_code == 410
    opened = browser.get(second)
    assert (opened.status_code, opened.headers["Location"]) == (303, "/support")
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    # Looking changes nothing.
    page = browser.get("/support")
    assert "You are about to enter Acme as support" in page.text
    assert "Nothing can be changed" in page.text
    assert support_events(platform)[-1] == "support_link_made"
    assert browser.get("/").status_code == 303
    assert browser.post("/support").headers["Location"] == "/"
    assert "Olga Ops (support)" in banner(browser.get("/").text)
    late = platform.browser()
    assert late.get(second).status_code == 410
    third = link(platform)
    assert late.get(third).status_code == 303
    clock.shift(timedelta(minutes=5, seconds=1))
    assert late.post("/support").status_code == 410
    assert late.get("/support").status_code == 410
    assert names(log_of(platform)).count("link_refused") == 4
    assert platform.browser().post("/support").status_code == 410


@both_engines
def test_twenty_openings_of_one_link_at_once_are_one_visit(platform: Platform) -> None:
    member = staff(platform)
    grant(platform)
    token = token_bytes(link(platform).rpartition("/")[2])

    def begin(_number: int) -> bytes:
        try:
            with platform.db("acme") as db:
                return begin_visit(db, token, member, OPERATOR_ORIGIN)
        except LinkRefused:
            return b""

    with ThreadPoolExecutor(8) as pool:
        secrets = [secret for secret in pool.map(begin, range(20)) if secret]
    assert len(secrets) == 1
    with platform.db("acme", writing=False) as db:
        assert find_visit(db, secrets[0]) is not None
        assert len(db.scalars(select(SupportVisit)).all()) == 1
    assert support_events(platform).count("support_entered") == 1


@both_engines
def test_of_many_requests_at_once_one_is_made_and_of_two_answers_one_counts(platform: Platform) -> None:
    staff(platform)

    def one(_number: int) -> str:
        try:
            return ask(platform)
        except operations.SupportRefused:
            return ""

    with ThreadPoolExecutor(6) as pool:
        (grant_id,) = [made for made in pool.map(one, range(6)) if made]

    def answer(verb: str) -> int:
        with platform.db("acme") as db:
            try:
                if verb == "decline":
                    operations.decline(db, grant_id, user_id("anna"), OPERATOR_ORIGIN)
                else:
                    member = platform.tenancy.staff.by_name("olga")
                    terms = {"hours": 2, "writes": True, "user_id": user_id("anna"), "origin": OPERATOR_ORIGIN}
                    operations.allow(db, grant_id, member, **terms)
            except operations.Invalid:
                db.rollback()
                return 0
        return 1

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(answer, ["decline", "grant"] * 3)) == 1
    # More than was asked is never granted.
    assert not stored(platform, grant_id).writes


def test_who_was_signed_in_with_that_browser_no_longer_is(platform: Platform) -> None:
    staff(platform)
    grant(platform)
    browser = platform.signed_in("acme", "ben")
    assert browser.get(link(platform)).status_code == 303
    assert browser.get("/").status_code == 200
    browser.post("/support")
    assert "Olga Ops (support)" in banner(browser.get("/").text)
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(Login.end_reason).where(Login.user_id == BEN)).all() == ["signed_out"]
    # A second visit with the same browser replaces the first.
    browser.get(link(platform))
    browser.post("/support")
    assert support_events(platform).count("support_left") == 1
    assert browser.post("/support/leave").headers["Location"] == "/login"
    assert "You have left." in browser.get("/login").text
    assert browser.get("/").status_code == 303
    assert changes_of(platform)[-1] == "support_left"
    # For anybody else the button does nothing.
    ben = platform.signed_in("acme", "ben")
    assert ben.post("/support/leave").headers["Location"] == "/"
    assert ben.get("/").status_code == 200


# -- while somebody is in ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", [False, True])
def test_support_opens_what_is_marked_and_nothing_else(platform: Platform, writes: bool) -> None:
    views = platform.app.view_functions
    marked = {name for name, view in views.items() if getattr(view, "is_for_support", False)}
    assert marked == OPEN | OPEN_TO_WRITE | WAYS
    assert not [name for name in marked if getattr(views[name], "is_sensitive", False)]
    browser = visit(platform, writes=writes)
    token = re.search(r'name="csrf_token" value="([^"]+)"', browser.get("/").text)
    assert token
    for rule in rules(platform):
        if rule.endpoint in WAYS or getattr(views[rule.endpoint], "is_platform", False):
            continue
        path, reads = path_of(platform, rule), "GET" in (rule.methods or ())
        answer = browser.get(path) if reads else browser.post(path, COMPANY, token=token[1])
        allowed = rule.endpoint in OPEN or (writes and rule.endpoint in OPEN_TO_WRITE)
        closed = answer.status_code == 403 and "Closed to support" in answer.text
        assert closed is not allowed, rule.endpoint
        if closed:
            assert "Olga Ops (support)" in banner(answer.text)
    # Nor what is refused before anybody is asked who they are.
    for path in ("/admin/import", "/preferences/profile/picture", "/admin/look/logo"):
        large = browser.post(path, {"welcome": "x" * (3 * 1024 * 1024)}, token=token[1])
        assert (large.status_code, "<form" in large.text.partition("<main")[2]) == (413, False), path
    refused = [entry for entry in log_of(platform) if entry.event == "support_page_refused"]
    assert len(refused) > 60
    assert {(entry.actor, entry.outcome) for entry in refused} == {(OLGA, "refused")}
    assert row_of(platform, "ben").role == "member"


def test_each_page_is_on_record_before_it_is_shown_and_not_shown_when_it_cannot_be(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = visit(platform)
    added = events_after(platform, lambda: browser.get(f"/admin/people/{BEN}?q=secret"))
    assert [(entry.event, entry.actor, entry.subject) for entry in added] == [("support_viewed", OLGA, BEN)]
    said = {name: added[0].details[name] for name in ("endpoint", "path", "method")}
    assert said == {"endpoint": "admin.person", "path": f"/admin/people/{BEN}", "method": "GET"}
    assert "secret" not in repr(added)
    # Nor what would open something, or make the log unreadable.
    added = events_after(platform, lambda: browser.get(platform.invite("acme", "nina")))
    refused = [entry.details["path"] for entry in added if entry.event == "support_page_refused"]
    assert refused == ["/invitation/<token>"]
    odd = f"/admin/people/%1B%E2%80%AE{'x' * 6_000}"
    (entry,) = events_after(platform, lambda: browser.get(odd))
    assert len(entry.details["path"]) <= 200
    assert entry.details["path"].isprintable()
    added = events_after(platform, lambda: browser.get("/admin/security-log?person=ben"))
    assert [(entry.event, entry.subject) for entry in added] == [("support_viewed", OLGA), ("log_viewed", BEN)]
    monkeypatch.setattr("extranet.request.visit.note_page", lambda *_arguments, **_named: 1 // 0)
    assert browser.get("/admin/people").status_code == 500
    monkeypatch.undo()
    # Who is looked at reads so, and never from where; everybody reads that support came in.
    history = text_of(platform.signed_in("acme", "ben").get("/preferences/history").text)
    for sentence in ("Support opened a page", "Support viewed the logs", "Support entered this extranet"):
        assert sentence in history
    assert "Support viewed the logs" in text_of(browser.get("/admin/security-log").text)


def test_an_administrator_reads_in_the_logs_what_support_did(platform: Platform) -> None:
    browser = visit(platform, writes=True)
    seen = value_of(browser.get("/preferences/company").text, "seen")
    changed = browser.post("/preferences/company", {**COMPANY, "city": "Gent", "seen": seen})
    assert changed.status_code == 303, changed.text
    look = browser.get("/admin/look").text
    welcome = {"accent_hue": "120", "welcome": "Hello", "seen": value_of(look, "seen")}
    assert browser.post("/admin/look", welcome).status_code == 303
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(Company.city)).one() == "Gent"
    anna = platform.signed_in()
    anna.post("/admin/logs/notice")
    page = text_of(anna.get("/admin/support").text)
    assert "What was opened" in page
    listed = re.search(r'href="(/admin/security-log\?[^"]*)"', anna.get("/admin/support").text)
    assert listed
    opened = text_of(anna.get(listed[1].replace("&amp;", "&")).text)
    assert "Support opened a page /preferences/company" in opened
    assert "Olga Ops (support)" in opened
    assert "Signed in" not in opened.partition("Browser and IP address")[2]
    activity = text_of(anna.get("/admin/activity").text)
    assert "Company registration changed" in activity
    assert "by Olga Ops (support)" in activity
    assert "by Olga Ops (support)" in text_of(anna.get("/preferences/company").text)
    with platform.db("acme") as db:
        db.query(SupportVisit).delete()
        db.query(SupportGrant).delete()
    assert "by olga (support)" in text_of(anna.get("/admin/activity").text)


def test_support_is_in_no_list_of_people_and_sees_no_pictures(platform: Platform) -> None:
    browser = visit(platform)
    with platform.db("acme") as db:
        db.get_one(User, BEN).avatar = "a" * 32
        assert db.query(User).count() == 3
    page = browser.get("/admin/people").text
    assert "Ben Peeters" in page
    assert "/avatar" not in page
    assert "Download as CSV" not in page
    assert "Olga" not in text_of(page.partition("<main")[2])
    person = browser.get(f"/admin/people/{BEN}").text
    assert 'method="post"' not in person.partition("<main")[2]
    for path in ("/", "/preferences/company", "/admin/look", "/admin/support", "/admin/usage", "/admin/activity"):
        page = browser.get(path).text
        assert "Olga Ops (support)" in banner(page), path
        assert not re.search(r'href="/(admin/(policy|import|invitations)|preferences/(profile|security))', page), path
        assert 'type="submit">Save' not in page, path


@pytest.mark.parametrize("language", LANGUAGES)
def test_everybody_sees_on_every_page_while_support_has_access(platform: Platform, language: str) -> None:
    browser = visit(platform)
    assert "Olga Ops (support)" in banner(browser.get("/").text)
    german = browser.get("/", headers={"Accept-Language": language}).text
    assert f'<html lang="{language}"' in german
    assert banner(german)
    with platform.db("acme") as db:
        for user in db.scalars(select(User)):
            user.language = language
    anna, ben = platform.signed_in(), platform.signed_in("acme", "ben")
    for path in ("/", "/preferences/profile", "/nowhere"):
        assert banner(ben.get(path).text), path
    assert "/admin/support" not in ben.get("/").text
    assert 'href="/admin/support"' in anna.get("/").text
    if language == "en":
        assert re.fullmatch(r"Support has access until .*\d\. See or revoke it", banner(anna.get("/").text))
    with platform.db("acme", writing=False) as db:
        grant_id = db.scalars(select(SupportGrant.id)).one()
    anna.post(f"/admin/support/{grant_id}/revoke")
    assert banner(ben.get("/").text) == banner(anna.get("/").text) == ""
    assert banner(platform.signed_in("globex", "ben").get("/").text) == ""


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_revoking_ends_a_visit_with_its_next_click(platform: Platform) -> None:
    browser = visit(platform)
    assert browser.get("/admin/people").status_code == 200
    unopened = link(platform)
    with platform.db("acme", writing=False) as db:
        grant_id = db.scalars(select(SupportGrant.id)).one()
    anna = platform.signed_in()
    added = events_after(platform, lambda: anna.post(f"/admin/support/{grant_id}/revoke"))
    assert [(entry.event, entry.actor, entry.subject) for entry in added] == [
        ("support_revoked", user_id("anna"), OLGA)
    ]
    assert events_after(platform, lambda: anna.post(f"/admin/support/{grant_id}/revoke")) == []
    assert events_after(platform, lambda: browser.get("/admin/people")) == []
    assert platform.browser().get(unopened).status_code == 410
    page = text_of(anna.get("/admin/support").text)
    assert "Revoked" in page
    assert "Came in 1 time" in page


@pytest.mark.parametrize("reason", ["expired", "idle", "staff_left", "ended"])
def test_a_visit_ends_by_itself_and_says_why_in_the_log(
    platform: Platform, reason: str, clock: time_machine.Traveller
) -> None:
    staff(platform)
    grant(platform, hours=2)
    browser = enter(platform)
    if reason == "expired":
        for _ in range(5):
            clock.shift(timedelta(minutes=23, seconds=50))
            assert browser.get("/admin/people").status_code == 200
        clock.shift(timedelta(minutes=1))
    elif reason == "idle":
        clock.shift(timedelta(minutes=30))
    elif reason == "staff_left":
        platform.tenancy.staff.remove("olga")
    else:
        with platform.db("acme") as db:
            operations.give_back(db, "olga", OPERATOR_ORIGIN)
    assert is_out(browser)
    last = [entry for entry in log_of(platform) if supporter(entry.actor)][-1]
    assert (last.event, last.details["reason"]) == (
        ("support_ended", "given_back") if reason == "ended" else ("support_left", reason)
    )
    if reason == "idle":
        # The grant still stands: another link lets in again.
        assert enter(platform).get("/").status_code == 200


def test_a_visit_ends_with_the_tenant_s_cookies_and_is_nothing_after_a_restore(platform: Platform) -> None:
    browser = visit(platform)
    with platform.db("acme") as db:
        begin_anew(db, OPERATOR_ORIGIN, "operator", {"backup": "x"})
        assert {row.end_reason for row in db.scalars(select(SupportVisit))} == {"restored"}
    assert is_out(browser)
    assert "restored" in platform.signed_in().get("/admin/support").text
    grant(platform)
    browser = enter(platform)
    with platform.db("acme") as db:
        end_all_logins(db, OPERATOR_ORIGIN, "operator")
    assert is_out(browser)
    browser = enter(platform)
    platform.tenancy.registry.raise_epoch(platform.tenant("acme"))
    platform.tenancy.generation.forget()
    assert browser.get("/").headers["Location"].startswith("/login")


def test_a_visit_or_a_name_that_vanished_is_out_too(platform: Platform) -> None:
    browser = visit(platform)
    with platform.db("acme", writing=False) as db:
        first = db.scalars(select(SupportVisit.id)).one()
    forgotten = enter(platform)
    with platform.db("acme") as db:
        db.execute(delete(SupportVisit).where(SupportVisit.id != first))
    with platform.tenancy.registry.writing() as connection:
        connection.execute(delete(staff_table))
    assert is_out(browser)
    assert is_out(forgotten)
