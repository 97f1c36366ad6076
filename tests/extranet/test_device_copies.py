"""The id in the device cookie changes with every sign-in; a copy of an earlier one betrays itself."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import func, select

from extranet.accounts import devices, operations
from extranet.models import KnownBrowser, Mail, User
from extranet.models.login import hash_secret
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.extranet.world import disable, events_after, log_of, names, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id

DEVICE = "__Host-device"
JUST_OVER = timedelta(seconds=61)


def rows(platform: Platform, username: str = "anna", slug: str = "acme") -> list[KnownBrowser]:
    with platform.db(slug, writing=False) as db:
        mine = select(KnownBrowser).where(KnownBrowser.user_id == user_id(username))
        return list(db.scalars(mine.order_by(KnownBrowser.first_seen_at)))


def mails(platform: Platform, kind: str, slug: str = "acme") -> int:
    with platform.db(slug, writing=False) as db:
        return db.execute(select(func.count()).select_from(Mail).where(Mail.kind == kind)).scalar_one()


def left_alone(platform: Platform, username: str = "anna", slug: str = "acme") -> Browser:
    browser = platform.signed_in(slug, username)
    browser.post("/logout")
    return browser


def copied(platform: Platform, value: str, slug: str = "acme") -> Browser:
    browser = platform.browser(slug)
    browser.set_cookie(DEVICE, value)
    return browser


def is_known(platform: Platform, browser: Browser, username: str = "anna") -> bool:
    """Whether signing in makes no fuss."""
    recorded = names(events_after(platform, lambda: browser.sign_in(username, PASSWORD)))
    assert "signed_in" in recorded
    return not {"new_browser", "browser_reused"} & set(recorded)


def test_every_sign_in_gives_the_same_row_another_id(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    seen = set()
    for _ in range(5):
        clock.shift(timedelta(hours=1))
        (row,) = rows(platform)
        seen.add(row.device_hash)
        assert is_known(platform, browser)
        browser.post("/logout")
        (renewed,) = rows(platform)
        assert (renewed.id, renewed.previous_hash) == (row.id, row.device_hash)
    assert len(seen) == 5


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_a_copy_brought_later_is_refused_recorded_and_mailed_once(
    platform: Platform, clock: time_machine.Traveller, slug: str
) -> None:
    browser = left_alone(platform, slug=slug)
    old = browser.cookie(DEVICE)
    browser.sign_in("anna", PASSWORD)
    clock.shift(JUST_OVER)
    thief = copied(platform, old, slug)
    recorded = events_after(platform, lambda: try_sign_in(thief), slug)
    assert names(recorded) == ["browser_reused", "sign_in_refused"]
    assert (recorded[0].subject, recorded[0].outcome) == (user_id("anna"), "refused")
    assert recorded[0].details["browser"] == rows(platform, slug=slug)[0].id
    assert rows(platform, slug=slug)[0].forgotten_at is not None
    assert mails(platform, "browser_reused", slug) == 1
    assert "browser_reused" not in names(events_after(platform, lambda: try_sign_in(thief), slug))
    assert mails(platform, "browser_reused", slug) == 1
    other = {"acme": "globex", "globex": "acme"}[slug]
    assert mails(platform, "browser_reused", other) == 0
    assert "browser_reused" not in names(log_of(platform, other))


def test_whoever_brings_a_copy_with_the_right_password_is_a_new_browser(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = left_alone(platform)
    old = browser.cookie(DEVICE)
    browser.sign_in("anna", PASSWORD)
    browser.post("/logout")
    clock.shift(JUST_OVER)
    recorded = events_after(platform, lambda: copied(platform, old).sign_in("anna", PASSWORD))
    assert names(recorded) == ["browser_reused", "new_browser", "signed_in"]
    assert "new_browser" in names(events_after(platform, lambda: browser.sign_in("anna", PASSWORD))), "neither is known"


def test_the_browser_whose_id_a_thief_renewed_is_what_betrays_the_thief(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = left_alone(platform)
    copied(platform, browser.cookie(DEVICE)).sign_in("anna", PASSWORD)
    clock.shift(JUST_OVER)
    assert "browser_reused" in names(events_after(platform, lambda: browser.sign_in("anna", PASSWORD)))


@BOTH
def test_two_tabs_that_sign_in_at_once_stay_one_known_browser(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = left_alone(platform)
    tabs = [copied(platform, browser.cookie(DEVICE)) for _ in range(3)]
    for tab in tabs:
        assert is_known(platform, tab)
        clock.shift(timedelta(seconds=20))
    clock.shift(JUST_OVER)
    # Whichever answer came last, what the browser kept is good.
    assert is_known(platform, tabs[0])
    assert len(rows(platform)) == 1


def test_each_of_the_answers_to_two_tabs_is_good_on_its_own(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    first, second = (copied(platform, browser.cookie(DEVICE)) for _ in range(2))
    first.sign_in("anna", PASSWORD)
    second.sign_in("anna", PASSWORD)
    clock.shift(JUST_OVER)
    assert is_known(platform, second)


@BOTH
def test_ten_tabs_in_the_same_instant_make_one_row_and_no_alarm(platform: Platform) -> None:
    browser = left_alone(platform)
    tabs = [copied(platform, browser.cookie(DEVICE)) for _ in range(10)]

    def sign_in(tab: Browser) -> int:
        return try_sign_in(tab, "anna", PASSWORD).status_code

    with ThreadPoolExecutor(10) as pool:
        statuses = set(pool.map(sign_in, tabs))
    assert statuses <= {303, 503}
    assert 303 in statuses
    (row,) = rows(platform)
    assert row.forgotten_at is None
    assert names(log_of(platform)).count("new_browser") == 1
    assert "browser_reused" not in names(log_of(platform))


def test_an_answer_that_got_lost_does_no_harm_within_a_minute(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    browser = left_alone(platform)
    before = browser.cookie(DEVICE)
    browser.sign_in("anna", PASSWORD)
    browser.set_cookie(DEVICE, before)
    clock.shift(timedelta(seconds=59))
    assert is_known(platform, browser)
    clock.shift(timedelta(days=1))
    assert is_known(platform, browser)


def test_two_people_at_one_browser_stay_known_there_both(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    browser.sign_in("ben", PASSWORD)
    browser.post("/logout")
    for username in ("anna", "ben", "anna", "ben"):
        clock.shift(timedelta(hours=1))
        assert is_known(platform, browser, username)
        browser.post("/logout")
    assert rows(platform, "anna")[0].device_hash == rows(platform, "ben")[0].device_hash


def test_two_people_at_one_browser_are_both_told_of_a_copy(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform)
    browser.sign_in("ben", PASSWORD)
    browser.post("/logout")
    old = browser.cookie(DEVICE)
    browser.sign_in("anna", PASSWORD)
    clock.shift(JUST_OVER)
    recorded = events_after(platform, lambda: try_sign_in(copied(platform, old), "gus"))
    assert {entry.subject for entry in recorded if entry.event == "browser_reused"} == {
        user_id("anna"),
        user_id("ben"),
    }
    assert mails(platform, "browser_reused") == 2


def test_a_second_person_in_another_tab_joins_the_row_s_new_id(platform: Platform) -> None:
    browser = left_alone(platform)
    other = copied(platform, browser.cookie(DEVICE))
    browser.sign_in("anna", PASSWORD)
    other.sign_in("ben", PASSWORD)
    assert rows(platform, "anna")[0].device_hash == rows(platform, "ben")[0].device_hash


def test_nobody_is_mailed_whose_account_is_shut(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform, "ben")
    old = browser.cookie(DEVICE)
    browser.sign_in("ben", PASSWORD)
    with platform.db("acme") as db:
        from sqlalchemy import update

        db.execute(update(User).where(User.id == user_id("ben")).values(state="disabled"))
    clock.shift(JUST_OVER)
    assert "browser_reused" in names(events_after(platform, lambda: try_sign_in(copied(platform, old), "ben")))
    assert mails(platform, "browser_reused") == 0


def test_what_was_forgotten_on_purpose_raises_no_alarm(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = left_alone(platform, "ben")
    old = browser.cookie(DEVICE)
    browser.sign_in("ben", PASSWORD)
    disable(platform, "ben")
    clock.shift(JUST_OVER)
    assert names(events_after(platform, lambda: try_sign_in(copied(platform, old), "ben"))) == ["sign_in_refused"]


def test_an_id_that_no_row_knows_is_not_continued(platform: Platform) -> None:
    browser = left_alone(platform)
    value = browser.cookie(DEVICE)
    with platform.db("acme") as db:
        from sqlalchemy import delete

        from extranet.models import Login

        db.execute(delete(Login))
        db.execute(delete(KnownBrowser))
    copied(platform, value).sign_in("anna", PASSWORD)
    (row,) = rows(platform)
    with platform.db("acme", writing=False) as db:
        ids = [devices._following(db.info["keys"], bytes(16))]
    assert row.device_hash not in {hash_secret(each) for each in ids}
    assert row.previous_hash is None


def test_the_next_id_is_another_one_in_another_tenant(platform: Platform) -> None:
    with platform.db("acme", writing=False) as here, platform.db("globex", writing=False) as there:
        assert devices._following(here.info["keys"], bytes(16)) != devices._following(there.info["keys"], bytes(16))


@BOTH
def test_of_two_rows_added_at_once_the_first_counts(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    browser = left_alone(platform)
    browser.sign_in("ben", PASSWORD)
    look = devices._row
    monkeypatch.setattr(devices, "_row", lambda db, user, device: None)
    with platform.db("acme") as db:
        user = operations.find_user(db, "ben")
        (row,) = rows(platform, "ben")
        added = devices._added.__wrapped__ if hasattr(devices._added, "__wrapped__") else devices._added
        monkeypatch.setattr(devices, "hash_secret", lambda device: row.device_hash)
        assert added(db, user, b"any", row.expires_at).id == row.id
    monkeypatch.setattr(devices, "_row", look)


def test_after_a_password_set_by_an_operator_no_browser_is_known(platform: Platform) -> None:
    browser = left_alone(platform)
    with platform.db("acme") as db:
        user = operations.find_user(db, "anna")
        operations.set_password(
            db, platform.passwords, user, "another fine password of anna's", OPERATOR_ORIGIN, OPERATOR
        )
    recorded = events_after(platform, lambda: browser.sign_in("anna", "another fine password of anna's"))
    assert "new_browser" in names(recorded)
