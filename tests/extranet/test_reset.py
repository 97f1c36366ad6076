"""A forgotten password: a link that, once and for an hour, lets its owner choose another one."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import event, func, select

from extranet.accounts import operations, passwords, recovery
from extranet.accounts.names import parse_person_name
from extranet.errors import Invalid
from extranet.mail.kinds import MailKind
from extranet.models import Invitation, Mail, OneTimeLink, PendingSignIn, Role, User
from extranet.models.base import new_id, utc_now
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.evidence import face, untouched
from tests.extranet.world import (
    NEW_PASSWORD,
    WRONG,
    add_person,
    disable,
    events_after,
    names,
    row_of,
    try_sign_in,
)
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id
from tests.posted import mails_of

CHOSEN = {"password": NEW_PASSWORD, "repeat": NEW_PASSWORD}


def ask(platform: Platform, name: str, slug: str = "acme", browser: Browser | None = None) -> None:
    asked = (browser or platform.browser(slug)).post("/forgotten", {"username": name})
    assert (asked.status_code, asked.headers["Location"]) == (303, "/forgotten/sent")


def reset_path(platform: Platform, username: str = "ben", slug: str = "acme") -> str:
    """Ask for a link and return the one that was mailed."""
    ask(platform, username, slug)
    return mails_of(platform, slug, MailKind.RESET)[-1].path("/reset")


def carrier(platform: Platform, path: str, slug: str = "acme") -> Browser:
    """Return a browser that opened a link and has its form before it."""
    browser = platform.browser(slug)
    opened = browser.get(path)
    assert (opened.status_code, opened.headers["Location"]) == (303, "/reset")
    assert browser.get("/reset").status_code == 200
    return browser


@pytest.mark.parametrize("slug", ["acme", "globex"])
@pytest.mark.parametrize("name", ["ben", "BEN", "  ben ", "ben@{slug}.example", "Ben@{slug}.Example"])
def test_a_link_to_another_password_goes_to_the_address_on_the_account(
    platform: Platform, slug: str, name: str
) -> None:
    asked = events_after(platform, lambda: ask(platform, name.format(slug=slug), slug), slug)
    assert [(entry.event, entry.subject, entry.outcome) for entry in asked] == [("reset_asked", user_id("ben"), "ok")]
    mail = mails_of(platform, slug, MailKind.RESET)[0]
    assert mail.to == f"ben@{slug}.example"
    assert platform.settings.origin(platform.settings.host_of(slug)) + mail.path("/reset") in mail.text

    old = platform.signed_in(slug, "ben")
    # Signing in ended that link: whoever can has no need of one.
    browser = carrier(platform, reset_path(platform, "ben", slug), slug)
    done = events_after(platform, lambda: browser.post("/reset", CHOSEN), slug)
    assert names(done) == ["password_reset"]
    assert done[0].details["logins_ended"] == 1
    assert "Please sign in with the new one" in browser.get("/login").text
    assert browser.get("/").status_code == 303, "it signs nobody in"
    assert old.get("/").status_code == 303, "all logins end"
    assert try_sign_in(platform.browser(slug), "ben", PASSWORD).status_code == 422
    browser.sign_in("ben", NEW_PASSWORD)
    assert mails_of(platform, slug, MailKind.PASSWORD_CHANGED)[0].to == f"ben@{slug}.example"
    assert row_of(platform, "ben", "globex" if slug == "acme" else "acme").password_changed_at
    platform.signed_in("globex" if slug == "acme" else "acme", "ben")


def faces(platform: Platform, name: str) -> list[object]:
    browser = platform.browser(address="192.0.2.77")
    return [face(browser.post("/forgotten", {"username": name})), face(browser.get("/forgotten/sent"))]


def test_the_answer_is_the_same_for_everybody(platform: Platform) -> None:
    platform.invite("acme", "nina")
    add_person(platform, "dora")
    disable(platform, "dora")
    for _ in range(3):
        ask(platform, "gus")
    expected = faces(platform, "ben")
    for name in ("anna@acme.example", "nobody", "nobody@acme.example", "nina", "dora", "gus", "' or 1=1 --", "x" * 254):
        assert faces(platform, name) == expected, name


@BOTH
def test_the_same_is_written_for_everybody_and_taken_back(platform: Platform) -> None:
    """How long the answer takes must not tell who has an account: the statements are counted, not the milliseconds."""
    platform.invite("acme", "nina")
    add_person(platform, "dora")
    disable(platform, "dora")

    def statements(name: str) -> list[str]:
        seen: list[str] = []

        def hear(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            seen.append(statement.split()[0])

        with platform.db("acme") as db:
            engine = db.get_bind().engine  # type: ignore[union-attr]
            event.listen(engine, "before_cursor_execute", hear)
            recovery.ask_reset(db, platform.app.extensions["extranet"].addresses, name, OPERATOR_ORIGIN)
            db.flush()
            event.remove(engine, "before_cursor_execute", hear)
        return sorted(word for word in seen if word in {"SELECT", "INSERT", "UPDATE", "DELETE"})

    statements("anna")
    expected = statements("ben")
    assert expected.count("INSERT") >= 4
    for name in ("nobody", "dora", "nina"):
        assert statements(name) == expected, name
    assert [mail.to for mail in mails_of(platform, kind=MailKind.RESET)] == ["anna@acme.example", "ben@acme.example"]


def test_whoever_never_chose_a_password_gets_their_invitation_again(platform: Platform) -> None:
    first = platform.invite("acme", "nina")
    ask(platform, "nina")
    mailed = mails_of(platform, kind=MailKind.INVITATION)
    assert [mail.to for mail in mailed] == ["nina@acme.example"] * 2
    assert mailed[0].path("/invitation") == first
    assert platform.browser().get(first).status_code == 410
    assert platform.browser().get(mailed[1].path("/invitation")).status_code == 303
    assert mails_of(platform, kind=MailKind.RESET) == []


@pytest.mark.parametrize("taken_back", [True, False])
def test_an_invitation_that_was_taken_back_is_not_mailed_again(platform: Platform, taken_back: bool) -> None:
    platform.invite("acme", "nina")
    with platform.db("acme") as db:
        last = db.scalars(select(Invitation)).one()
        if taken_back:
            last.ended_at, last.end_reason = utc_now(), "revoked"
        else:
            db.delete(last)
    before = len(mails_of(platform))
    ask(platform, "nina")
    assert len(mails_of(platform)) == before


def test_nobody_and_the_disabled_get_nothing_and_it_is_noted(platform: Platform) -> None:
    add_person(platform, "dora")
    disable(platform, "dora")
    before = len(mails_of(platform))
    noted = events_after(platform, lambda: [ask(platform, name) for name in ("dora", "nobody here")])
    assert [(entry.event, entry.outcome) for entry in noted] == [("reset_asked", "refused")] * 2
    assert noted[1].private["typed"] == "nobody here"
    assert len(mails_of(platform)) == before
    with platform.db("acme", writing=False) as db:
        assert db.scalar(select(func.count()).select_from(OneTimeLink)) == 0


@BOTH
@pytest.mark.parametrize("name", ["m\u0131ke@acme.example", "mike@acme.examp1e", "mike", "mik\u0435@acme.example"])
def test_a_look_alike_of_an_address_finds_nobody(platform: Platform, name: str) -> None:
    add_person(platform, "mike7")
    with platform.db("acme") as db:
        operations.find_user(db, "mike7").email = "mike@acme.example"
    ask(platform, name)
    assert mails_of(platform, kind=MailKind.RESET) == []


@BOTH
def test_one_that_folds_to_an_address_is_answered_at_the_stored_one(platform: Platform) -> None:
    """The Kelvin sign becomes a k in lower case; what is typed is never where the mail goes."""
    add_person(platform, "kay")
    ask(platform, "\u212aay@acme.example")
    assert {mail.to for mail in mails_of(platform, kind=MailKind.RESET)} == {"kay@acme.example"}


@BOTH
def test_three_an_hour_and_five_a_day_are_mailed_and_the_rest_dropped_in_silence(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    for number in range(12):
        ask(platform, "ben", browser=platform.browser(address=f"198.51.100.{number}"))
    assert len(mails_of(platform, kind=MailKind.RESET)) == 3
    for hour in range(20):
        clock.shift(timedelta(hours=1))
        ask(platform, "ben", browser=platform.browser(address=f"203.0.113.{hour}"))
    assert len(mails_of(platform, kind=MailKind.RESET)) <= 5
    clock.shift(timedelta(days=2))
    ask(platform, "ben")
    assert len(mails_of(platform, kind=MailKind.RESET)) <= 6
    ask(platform, "anna")
    assert mails_of(platform, kind=MailKind.RESET)[-1].to == "anna@acme.example"


@BOTH
def test_an_address_asks_ten_times_an_hour_at_all_tenants_together(platform: Platform) -> None:
    for number in range(9):
        ask(platform, f"somebody{number}")
    ask(platform, "ben")
    ask(platform, "anna")
    ask(platform, "ben", "globex")
    assert [mail.to for mail in mails_of(platform, kind=MailKind.RESET)] == ["ben@acme.example"]
    assert mails_of(platform, "globex") == []
    ask(platform, "anna", browser=platform.browser(address="192.0.2.11"))
    assert len(mails_of(platform, kind=MailKind.RESET)) == 2


@pytest.mark.parametrize("name", ["", "   ", "x" * 255, "a\x00b"])
def test_what_cannot_be_a_name_is_said_to_be_none(platform: Platform, name: str) -> None:
    assert platform.browser().post("/forgotten", {"username": name}).status_code == 422


def test_looking_at_the_link_changes_nothing(platform: Platform) -> None:
    path = reset_path(platform)

    def stored() -> list[object]:
        with platform.db("acme", writing=False) as db:
            link = db.scalars(select(OneTimeLink)).one()
            return [link.ended_at, link.end_reason, db.get_one(User, user_id("ben")).password]

    before = stored()
    for _ in range(3):
        scanner = platform.browser(user_agent="MailScanner")
        scanner.get(path, follow_redirects=True)
        scanner._open("HEAD", path)
    assert stored() == before
    carrier(platform, path)


def test_the_token_leaves_the_address_and_no_page_tells_where_one_came_from(platform: Platform) -> None:
    path = reset_path(platform)
    browser = platform.browser()
    opened = browser.get(path)
    assert opened.headers["Referrer-Policy"] == "no-referrer"
    page = browser.get("/reset")
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert path.rpartition("/")[2] not in page.text + str(page.headers)
    assert "https://" not in page.text.replace("http://www.w3.org", "")


@pytest.mark.parametrize(
    ("form", "why"),
    [
        ({"password": "short", "repeat": "short"}, "at least"),
        ({"password": NEW_PASSWORD, "repeat": NEW_PASSWORD + "x"}, "not the same"),
        ({"password": "", "repeat": ""}, "required"),
        ({"password": "ben peeters acme", "repeat": "ben peeters acme"}, "easy to guess"),
        ({"password": PASSWORD, "repeat": PASSWORD}, "had this password before"),
        ({"password": "x" * 1025, "repeat": "x" * 1025}, "too long"),
    ],
)
def test_a_bad_password_is_refused_and_the_link_lives_on(platform: Platform, form: dict[str, str], why: str) -> None:
    browser = carrier(platform, reset_path(platform))
    refused = browser.post("/reset", form)
    assert refused.status_code == 422
    assert why in refused.text
    assert browser.post("/reset", CHOSEN).status_code == 303


def test_a_busy_server_says_so_and_the_link_lives_on(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = carrier(platform, reset_path(platform))
    monkeypatch.setattr(passwords, "_SLOT_WAIT_SECONDS", 0.01)
    with platform.passwords._slot():
        busy = browser.post("/reset", CHOSEN)
    assert busy.status_code == 503
    assert browser.post("/reset", CHOSEN).status_code == 303


@pytest.mark.parametrize(("age", "status"), [(timedelta(minutes=59), 303), (timedelta(minutes=61), 410)])
def test_it_lasts_an_hour(platform: Platform, clock: time_machine.Traveller, age: timedelta, status: int) -> None:
    path = reset_path(platform)
    clock.shift(age)
    assert platform.browser().get(path).status_code == status


def test_one_opened_in_time_is_not_used_too_late(platform: Platform, clock: time_machine.Traveller) -> None:
    path = reset_path(platform)
    clock.shift(timedelta(minutes=59))
    browser = carrier(platform, path)
    token = browser.token()
    clock.shift(timedelta(minutes=2))
    assert browser.post("/reset", CHOSEN, token=token).status_code == 410


def test_it_works_once(platform: Platform) -> None:
    path = reset_path(platform)
    first, second = carrier(platform, path), carrier(platform, path)
    assert first.post("/reset", CHOSEN).status_code == 303
    refused = events_after(platform, lambda: second.post("/reset", {"password": WRONG * 2, "repeat": WRONG * 2}))
    assert names(refused) == ["link_refused"]
    assert platform.browser().get(path).status_code == 410


@BOTH
def test_of_twenty_at_once_one_succeeds(platform: Platform, kept_on: str) -> None:
    path = reset_path(platform)
    browsers = [carrier(platform, path) for _ in range(20)]
    tokens = [browser.token() for browser in browsers]

    def choose(number: int) -> int:
        chosen = f"{NEW_PASSWORD} {number}"
        data = {"password": chosen, "repeat": chosen}
        return browsers[number].post("/reset", data, token=tokens[number]).status_code

    with ThreadPoolExecutor(20) as pool:
        statuses = list(pool.map(choose, range(20)))
    assert statuses.count(303) == 1
    assert set(statuses) <= {303, 410, 503}
    assert len(mails_of(platform, kind=MailKind.PASSWORD_CHANGED)) == 1
    platform.browser().sign_in("ben", f"{NEW_PASSWORD} {statuses.index(303)}")


def _newer(platform: Platform) -> None:
    ask(platform, "ben")


def _changed(platform: Platform) -> None:
    # A browser that signed in before there was a link.
    browser = vars(platform)["earlier"]
    form = {"current": PASSWORD, "new": NEW_PASSWORD, "repeat": NEW_PASSWORD}
    assert browser.post("/preferences/security", form).status_code == 303


def _set_by_operator(platform: Platform) -> None:
    with platform.db("acme") as db:
        user = operations.find_user(db, "ben")
        operations.set_password(db, platform.passwords, user, NEW_PASSWORD, OPERATOR_ORIGIN, OPERATOR)


def _signed_in(platform: Platform) -> None:
    platform.signed_in("acme", "ben")


def _disabled(platform: Platform) -> None:
    disable(platform, "ben")
    with platform.db("acme") as db:
        operations.enable_user(db, operations.find_user(db, "ben"), OPERATOR_ORIGIN, OPERATOR)


def _reported(platform: Platform) -> None:
    assert vars(platform)["earlier"].post("/preferences/history/not-me").status_code == 303


def _started_by_admin(platform: Platform) -> None:
    with platform.db("acme") as db:
        recovery.start_reset(db, operations.find_user(db, "ben"), user_id("anna"), OPERATOR_ORIGIN)


@pytest.mark.parametrize(
    "act", [_newer, _changed, _set_by_operator, _signed_in, _disabled, _reported, _started_by_admin]
)
def test_it_ends_when_the_account_changes(platform: Platform, act) -> None:
    vars(platform)["earlier"] = platform.signed_in("acme", "ben")
    theirs = reset_path(platform, "ben", "globex")
    path = reset_path(platform)
    carrying = carrier(platform, path)
    with untouched(platform, "globex"):
        act(platform)
        assert platform.browser().get(path).status_code == 410
        assert carrying.post("/reset", CHOSEN).status_code == 410
    carrier(platform, theirs, "globex")


def test_signing_in_as_somebody_else_does_not_end_it(platform: Platform) -> None:
    path = reset_path(platform)
    platform.signed_in("acme", "anna")
    carrier(platform, path)


def test_a_second_step_that_waits_is_over(platform: Platform) -> None:
    browser = carrier(platform, reset_path(platform))
    with platform.db("acme") as db:
        db.add(
            PendingSignIn(
                id=new_id(),
                secret_hash=b"x" * 32,
                user_id=user_id("ben"),
                factors="password",
                created_at=utc_now(),
                expires_at=utc_now() + timedelta(minutes=5),
            )
        )
    assert browser.post("/reset", CHOSEN).status_code == 303
    with platform.db("acme", writing=False) as db:
        assert db.scalars(select(PendingSignIn).where(PendingSignIn.ended_at.is_(None))).all() == []


def test_it_gives_the_attempts_back(platform: Platform) -> None:
    for number in range(6):
        try_sign_in(platform.browser(address=f"198.51.100.{number}"), "ben")
    browser = carrier(platform, reset_path(platform))
    assert try_sign_in(browser, "ben", PASSWORD).status_code == 429
    browser = carrier(platform, reset_path(platform))
    browser.post("/reset", CHOSEN)
    browser.sign_in("ben", NEW_PASSWORD)


def test_somebody_signed_in_as_another_is_signed_out_by_it(platform: Platform) -> None:
    path = reset_path(platform)
    browser = platform.signed_in("acme", "anna")
    login = browser.cookie("__Host-session")
    assert browser.get(path).status_code == 303
    assert browser.get("/").status_code == 200, "opening it does not sign out"
    assert browser.post("/reset", CHOSEN).status_code == 303
    assert browser.get("/").status_code == 303
    browser.set_cookie("__Host-session", login)
    assert browser.get("/").status_code == 303


@pytest.mark.parametrize("token", ["x", "A" * 43, "A" * 42 + "B", "A" * 44, "%C3%A9" * 43, "A" * 43 + "%00", "..%2f"])
def test_a_made_up_one_is_refused_like_an_old_one(platform: Platform, token: str) -> None:
    answer = platform.browser().get(f"/reset/{token}")
    assert answer.status_code in {404, 410}


@pytest.mark.parametrize("page", ["/stranger", "/email/undo", "/email/confirm"])
def test_it_is_good_for_nothing_else(platform: Platform, page: str) -> None:
    path = reset_path(platform)
    token = path.rpartition("/")[2]
    assert platform.browser().get(f"{page}/{token}").status_code == 410
    carrying = carrier(platform, path)
    assert carrying.get(page).status_code == 410
    again = carrier(platform, path)
    assert again.post(page).status_code == 410
    assert platform.browser().get(f"/invitation/{token}").status_code == 410


def test_one_of_another_tenant_is_refused(platform: Platform) -> None:
    theirs = reset_path(platform, "ben", "globex")
    reset_path(platform)
    assert platform.browser().get(theirs).status_code == 410
    carrying = carrier(platform, theirs, "globex")
    ours = platform.browser()
    ours.token()
    ours.set_cookie("__Host-session", carrying.cookie("__Host-session"))
    assert ours.get("/reset").status_code == 410


def test_the_form_without_a_link_is_refused(platform: Platform) -> None:
    browser = platform.browser()
    assert browser.get("/reset").status_code == 410
    assert browser.post("/reset", CHOSEN).status_code == 410
    assert browser.post("/reset", {}).status_code == 410


@pytest.mark.parametrize("header", ["X-Forwarded-Host", "Forwarded", "X-Host", "X-Original-Host", "Origin-Host"])
def test_links_are_made_from_the_tenants_record_and_never_from_a_request(platform: Platform, header: str) -> None:
    value = "host=evil.example" if header == "Forwarded" else "evil.example"
    asked = platform.browser().post("/forgotten", {"username": "ben"}, headers={header: value})
    assert asked.status_code == 303
    mail = mails_of(platform, kind=MailKind.RESET)[0]
    assert "evil" not in mail.text + mail.html + mail.subject
    assert platform.settings.origin(platform.settings.host_of("acme")) in mail.text


def test_a_foreign_host_reaches_no_mail(platform: Platform) -> None:
    browser = platform.browser()
    token = browser.token()
    asked = browser.post(
        "/forgotten", {"username": "ben"}, token=token, environ_overrides={"HTTP_HOST": "evil.example"}
    )
    assert asked.status_code == 404
    assert mails_of(platform) == []


@pytest.mark.parametrize("name", ["Eve\r\nBcc: all@acme.example", "Eve\nSubject: x", "Eve\x00"])
def test_no_name_can_write_a_header(name: str) -> None:
    with pytest.raises(Invalid):
        parse_person_name(name, "first_name")


def test_an_administrators_reset_is_mailed_and_seen_by_nobody_else(platform: Platform) -> None:
    def start() -> None:
        with platform.db("acme") as db:
            recovery.start_reset(db, operations.find_user(db, "ben"), user_id("anna"), OPERATOR_ORIGIN)

    started = events_after(platform, start)
    assert [(entry.event, entry.actor, entry.subject) for entry in started] == [
        ("reset_started", user_id("anna"), user_id("ben"))
    ]
    mail = mails_of(platform, kind=MailKind.RESET_BY_ADMIN)[0]
    assert (mail.to, "Anna Martin" in mail.text) == ("ben@acme.example", True)
    browser = carrier(platform, mail.path("/reset"))
    assert browser.post("/reset", CHOSEN).status_code == 303


def test_an_administrator_cannot_reset_what_is_shut_or_was_never_set(platform: Platform) -> None:
    platform.invite("acme", "nina")
    add_person(platform, "dora", Role.MEMBER)
    disable(platform, "dora")
    with platform.db("acme") as db:
        for username, why in (("nina", "no password yet"), ("dora", "disabled")):
            with pytest.raises(Invalid, match=why):
                recovery.start_reset(db, operations.find_user(db, username), OPERATOR, OPERATOR_ORIGIN)
        assert db.scalar(select(func.count()).select_from(Mail).where(Mail.kind == MailKind.RESET_BY_ADMIN)) == 0


def test_a_password_manager_is_led_to_the_page_for_whoever_is_signed_in(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    led = browser.get("/.well-known/change-password")
    assert led.headers["Location"] == "/preferences/security"
    assert browser.get(led.headers["Location"]).status_code == 200
