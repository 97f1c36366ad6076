"""Administration > Security log and Activity: read for a purpose, by administrators, who leave a trace."""

from __future__ import annotations

import csv
import html
import io
import re
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
import time_machine

from extranet.admin_logs import chart, finding
from extranet.admin_logs.operations import is_investigating
from extranet.models import User
from extranet.models.base import utc_now
from extranet.preferences import operations as preferences
from extranet.retention.logs import note_pruned
from tenants.journal import Entry
from tenants.pruning import prune_logs
from tests.browser import Browser
from tests.extranet.world import COMPANY, log_of, names, try_sign_in
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id

ADMIN_PAGES = ("/admin/security-log", "/admin/activity")
REASON = {"reason": "Refused sign-ins from abroad on Tuesday", "person": "ben"}


def reader(platform: Platform, slug: str = "acme") -> Browser:
    """An administrator who has read what the logs are for."""
    browser = platform.signed_in(slug)
    assert browser.post("/admin/logs/notice").status_code == 303
    return browser


def confirmed(browser: Browser) -> Browser:
    assert browser.post("/confirm", {"password": PASSWORD}).status_code == 303
    return browser


def rows_of(text: str) -> list[list[str]]:
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text[1:])))


def sentences(page: str) -> list[str]:
    cells = re.findall(r'<td class="main" role="cell">(.*?)</td>', page, re.DOTALL)
    return [html.unescape(re.sub(r"<.*", "", cell)) for cell in cells]


def looks(platform: Platform, slug: str = "acme") -> list[Entry]:
    return [entry for entry in log_of(platform, slug) if entry.event == "log_viewed"]


# -- who may look, and what is asked first -----------------------------------------------------------------------------


@pytest.mark.parametrize("path", [*ADMIN_PAGES, "/admin/security-log.csv", "/admin/activity.csv"])
def test_only_administrators_get_in(platform: Platform, path: str) -> None:
    assert platform.browser().get(path).status_code == 303
    for username in ("ben", "gus"):
        assert platform.signed_in(username=username).get(path).status_code == 403
    for post in ("/admin/logs/notice", "/admin/logs/investigation"):
        assert platform.signed_in(username="ben").post(post, REASON).status_code == 403
    assert looks(platform) == []


@pytest.mark.parametrize("path", ADMIN_PAGES)
def test_the_first_opening_says_what_the_logs_are_for_and_shows_nothing(platform: Platform, path: str) -> None:
    browser = platform.signed_in()
    page = browser.get(f"{path}?event=signed_in").text
    assert "What the logs are for" in page
    assert sentences(page) == []
    assert value_of_next(page) == f"{path}?event=signed_in"
    assert looks(platform) == []
    answer = browser.post("/admin/logs/notice", {"next": f"{path}?event=signed_in"})
    assert answer.headers["Location"] == f"{path}?event=signed_in"
    assert "Noted." in browser.get(path).text
    assert names(log_of(platform)).count("log_notice_read") == 1
    browser.post("/admin/logs/notice")
    assert names(log_of(platform)).count("log_notice_read") == 1
    assert "What the logs are for" in platform.signed_in("globex").get(path).text


def value_of_next(page: str) -> str:
    found = re.search(r'name="next" value="([^"]*)"', page)
    assert found
    return html.unescape(found[1])


@pytest.mark.parametrize("target", ["https://evil.example/", "//evil.example", "/\\evil.example"])
def test_no_answer_leads_to_another_host(platform: Platform, target: str) -> None:
    browser = platform.signed_in()
    assert browser.post("/admin/logs/notice", {"next": target}).headers["Location"] == "/"
    assert browser.post("/admin/logs/investigation", {**REASON, "next": target}).headers["Location"] == "/"


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_events_are_sentences_with_names_addresses_and_browsers(platform: Platform) -> None:
    try_sign_in(platform.browser(address="203.0.113.9"), "ben")
    page = reader(platform).get("/admin/security-log").text
    assert "Sign-in refused: wrong password or disabled account" in sentences(page)
    assert all(text in page for text in ("Ben Peeters", "203.0.113.9", "Firefox, Linux"))
    assert "sign_in_refused</" not in page


def test_what_a_stranger_typed_as_a_name_is_not_shown(platform: Platform) -> None:
    try_sign_in(platform.browser(), "canary-of-a-name")
    browser = confirmed(reader(platform))
    assert "canary-of-a-name" not in browser.get("/admin/security-log").text
    assert "canary-of-a-name" not in browser.get("/admin/security-log.csv").text


@BOTH
def test_each_filter_leaves_the_rest_out(platform: Platform) -> None:
    try_sign_in(platform.browser(address="203.0.113.9"), "ben")
    try_sign_in(platform.browser(address="2001:db8::1:7"), "gus")
    platform.signed_in("acme", "ben")
    browser = reader(platform)
    page = browser.get("/admin/security-log?event=sign_in_refused").text
    assert sentences(page) == ["Sign-in refused: wrong password or disabled account"] * 2
    assert set(sentences(browser.get("/admin/security-log?result=refused").text)) == set(sentences(page))
    for network, count in (("203.0.113.9", 1), ("203.0.113.0/24", 1), ("2001:db8::/64", 1), ("198.51.100.0/24", 0)):
        assert len(sentences(browser.get(f"/admin/security-log?address={network}").text)) == count, network
    assert "Nothing found" in browser.get("/admin/security-log?from=2000-01-01&to=2000-01-02").text
    assert browser.post("/admin/logs/investigation", REASON).status_code == 303
    page = browser.get("/admin/security-log?person=ben&event=signed_in").text
    assert sentences(page) == ["Signed in"]


@BOTH
def test_a_day_begins_and_ends_at_midnight_where_the_reader_is(platform: Platform) -> None:
    with platform.db("acme") as db:
        preferences.change_display(db, user_id("anna"), {"time_zone": "Pacific/Auckland"})
    with time_machine.travel(datetime(2027, 1, 10, 12, 30, tzinfo=UTC)):
        try_sign_in(platform.browser(), "ben")
        # It is half past one of the 11th there.
        browser = reader(platform)
        other = browser.get("/admin/security-log?event=sign_in_refused&from=2027-01-10&to=2027-01-10").text
        assert sentences(other) == []
        own = browser.get("/admin/security-log?event=sign_in_refused&from=2027-01-11&to=2027-01-11").text
        assert len(sentences(own)) == 1


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("event=nonsense", "There is no such event."),
        ("result=perhaps", "There is no such result."),
        ("address=300.1.1.1", "Write an address or a network"),
        ("from=yesterday", "Write a date"),
        ("to=9999-12-31", "Write a date"),
        ("from=2026-02-02&to=2026-02-01", "The period ends before it begins."),
        ("person=nobody", "There is nobody of this name here."),
        ("person=%00", ""),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused_by_its_field(platform: Platform, query: str, sentence: str) -> None:
    browser = confirmed(reader(platform))
    answer = browser.get(f"/admin/security-log?{query}")
    assert answer.status_code == (422 if sentence else 200)
    assert sentence in answer.text
    if sentence:
        assert sentences(answer.text) == []
        assert looks(platform) == []
        assert browser.get(f"/admin/security-log.csv?{query}").status_code == 303


@BOTH
def test_pages_follow_each_other_and_keep_the_filter(platform: Platform) -> None:
    with platform.db("acme") as db:
        preferences.change_display(db, user_id("anna"), {"rows_per_page": 10})
    for number in range(12):
        try_sign_in(platform.browser(address=f"203.0.113.{number}"), f"nobody{number}")
    browser = reader(platform)
    for filtered in ("event=sign_in_refused", "event=sign_in_refused&address=203.0.113.0/24"):
        first = browser.get(f"/admin/security-log?{filtered}").text
        assert len(sentences(first)) == 10
        link = re.search(r'rel="next" href="([^"]+)"', first)
        assert link
        second = browser.get(html.unescape(link[1])).text
        assert len(sentences(second)) == 2
        assert 'rel="prev"' in second
        assert sentences(browser.get(f"/admin/security-log?{filtered}&page=99").text) == sentences(second)
    assert len(looks(platform)) == 2


@BOTH
def test_the_search_for_an_address_is_bounded_and_says_so(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(finding, "MOST_OPENED", 5)
    try_sign_in(platform.browser(address="203.0.113.9"), "ben")
    browser = confirmed(reader(platform))
    for _ in range(3):
        platform.signed_in("acme", "ben")
    page = browser.get("/admin/security-log?address=203.0.113.9").text
    assert sentences(page) == []
    assert re.search(r"\d+ older entries of this period were not searched", page)
    assert browser.get("/admin/security-log.csv?address=203.0.113.9").status_code == 422


# -- looking is on record ----------------------------------------------------------------------------------------------


@BOTH
def test_a_look_is_recorded_once_a_filter_and_quarter_of_an_hour(platform: Platform) -> None:
    browser = reader(platform)
    for page in (1, 2, 3):
        browser.get(f"/admin/security-log?page={page}")
    browser.get("/admin/security-log?event=signed_in")
    browser.get("/admin/activity")
    (all_of_it, filtered, activity) = looks(platform)
    assert [entry.details["log"] for entry in (all_of_it, filtered, activity)] == ["security", "security", "activity"]
    assert (all_of_it.actor, all_of_it.subject) == (user_id("anna"), "everybody")
    assert filtered.private["filter"] == "event=signed_in"
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=16)):
        browser.get("/admin/security-log")
    assert len(looks(platform)) == 4


def test_one_person_is_looked_at_for_a_reason_only(platform: Platform) -> None:
    browser = reader(platform)
    for path in ADMIN_PAGES:
        page = browser.get(f"{path}?person=ben").text
        assert "Why do you look at one person?" in page
        assert sentences(page) == []
    assert looks(platform) == []
    refused = browser.post("/admin/logs/investigation", {**REASON, "reason": " because ", "section": "activity"})
    assert refused.status_code == 422
    assert "at least 10 characters" in refused.text
    assert browser.post("/admin/logs/investigation", {**REASON, "person": "nobody"}).status_code == 404
    assert looks(platform) == []
    answer = browser.post("/admin/logs/investigation", {**REASON, "next": "/admin/activity?person=ben"})
    assert answer.headers["Location"] == "/admin/activity?person=ben"
    (look,) = looks(platform)
    assert (look.subject, look.private["reason"]) == (user_id("ben"), REASON["reason"])
    for path in ADMIN_PAGES:
        assert "Why do you look" not in browser.get(f"{path}?person=BEN@acme.example").text
    assert REASON["reason"] in browser.get("/admin/security-log?person=ben").text
    assert "Why do you look" in browser.get("/admin/security-log?person=gus").text
    with platform.db("acme", writing=False) as db:
        assert is_investigating(db, user_id("anna"), user_id("ben"))
        with time_machine.travel(datetime.now(UTC) + timedelta(hours=13)):
            assert not is_investigating(db, user_id("anna"), user_id("ben"))


def test_ones_own_entries_need_no_reason_and_leave_no_trace(platform: Platform) -> None:
    browser = reader(platform)
    assert "Signed in" in sentences(browser.get("/admin/security-log?person=anna").text)
    assert looks(platform) == []


def test_the_person_concerned_sees_who_looked_and_nobody_else_does(platform: Platform) -> None:
    browser = reader(platform)
    browser.post("/admin/logs/investigation", REASON)
    ben = platform.signed_in("acme", "ben").get("/preferences/history").text
    assert "An administrator viewed your entries in the logs" in ben
    assert REASON["reason"] not in ben
    gus = platform.signed_in("acme", "gus")
    assert "An administrator viewed" not in gus.get("/preferences/history").text
    browser.get("/admin/security-log")
    assert "An administrator viewed the logs" in gus.get("/preferences/history").text
    assert "An administrator" not in platform.signed_in("globex", "ben").get("/preferences/history").text


@BOTH
def test_a_look_that_cannot_be_recorded_is_not_taken(platform: Platform, kept_on: str, tamper: object) -> None:
    from tests.extranet.test_security_log import FULL

    browser = reader(platform)
    tamper("acme", FULL[kept_on])  # type: ignore[operator]
    answer = browser.get("/admin/security-log")
    assert answer.status_code >= 500
    assert sentences(answer.text) == []


# -- files -------------------------------------------------------------------------------------------------------------


@BOTH
def test_a_file_holds_what_the_filter_leaves_and_is_on_record(platform: Platform) -> None:
    try_sign_in(platform.browser(address="203.0.113.9"), "ben")
    browser = reader(platform)
    with time_machine.travel(datetime.now(UTC) + timedelta(minutes=11)):
        for path in ADMIN_PAGES:
            assert browser.get(f"{path}.csv").headers["Location"].startswith("/confirm")
    confirmed(browser)
    answer = browser.get("/admin/security-log.csv?event=sign_in_refused")
    assert answer.headers["Content-Disposition"].startswith("attachment")
    head, line = rows_of(answer.text)
    assert head == ["When", "Event", "Result", "Person", "By", "IP address", "Browser", "Reason"]
    assert line[1:] == [
        "Sign-in refused: wrong password or disabled account",
        "Refused",
        "Ben Peeters",
        "",
        "203.0.113.9",
        "Firefox, Linux",
        "",
    ]
    exported = log_of(platform)[-1]
    assert (exported.event, exported.details["count"], exported.details["log"]) == ("log_exported", 1, "security")
    assert browser.get("/admin/security-log.csv?person=ben").status_code == 303
    with platform.db("acme") as db:
        preferences.change_display(db, user_id("anna"), {"language": "fr"})
    assert browser.get("/admin/security-log.csv").text.splitlines()[0].count(";") == 7


def test_a_file_too_long_is_refused_rather_than_cut(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    from extranet.admin_logs import sheet

    browser = confirmed(reader(platform))
    monkeypatch.setattr(sheet, "MOST_EXPORTED", 2)
    for path in ("/admin/security-log.csv", "/admin/activity.csv"):
        answer = browser.get(path)
        assert answer.status_code == 422
        assert "choose a shorter period" in answer.text


# -- activity ----------------------------------------------------------------------------------------------------------


@BOTH
def test_changes_are_shown_with_what_was_before_and_without_addresses(platform: Platform) -> None:
    browser = reader(platform)
    browser.post("/preferences/company", COMPANY)
    page = browser.get("/admin/activity").text
    assert "Company registration changed" in page
    assert "<ins>Acme SAS</ins>" in page
    assert "<del>Acme</del>" in page
    assert "<ins>Industry and manufacturing</ins>" in page
    assert "192.0.2.10" not in page
    assert "Firefox" not in page
    only = browser.get("/admin/activity?event=company_changed&result=x&address=y")
    assert only.status_code == 200
    assert "Account created</strong>" not in only.text
    rows = rows_of(confirmed(browser).get("/admin/activity.csv?event=company_changed").text)
    assert rows[0] == ["When", "By", "What was changed", "What or whom", "Field", "Before", "After"]
    assert ["Anna Martin", "Company registration changed", "Acme SAS", "City", "", "Paris"] in [row[1:] for row in rows]
    assert browser.get("/admin/activity?event=nonsense").status_code == 422
    assert browser.get("/admin/activity.csv?person=ben").status_code == 303


# -- isolation ---------------------------------------------------------------------------------------------------------


def test_nothing_of_another_tenant_is_found_and_no_acknowledgement_counts_there(platform: Platform) -> None:
    try_sign_in(platform.browser("globex", address="203.0.113.9"), "ben")
    platform.signed_in("globex", "ben").post("/preferences/profile", {"first_name": "Canary"})
    with platform.db("globex") as db:
        preferences.change_profile(db, user_id("ben"), {"first_name": "Canary", "last_name": "Elsewhere"})
    browser = confirmed(reader(platform))
    browser.post("/admin/logs/investigation", REASON)
    for path in (*ADMIN_PAGES, "/admin/security-log.csv", "/admin/activity.csv"):
        for query in ("", "?person=ben", "?address=203.0.113.9"):
            text = browser.get(path + query).text
            assert "Canary" not in text
            assert "203.0.113.9</span>" not in text
    assert looks(platform, "globex") == []
    with platform.db("globex", writing=False) as db:
        assert db.get_one(User, user_id("anna")).log_notice_at is None


# -- hostile texts -----------------------------------------------------------------------------------------------------

HOSTILE = ("=1+1", "@SUM(A1)", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "+33", "-2", 'a;b,c"d')


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_runs_in_a_page_or_a_spreadsheet(platform: Platform, text: str) -> None:
    with platform.db("acme") as db:
        preferences.change_profile(db, user_id("ben"), {"first_name": text, "last_name": text, "about": text})
    platform.browser(user_agent=f"{text} Firefox \x1b[31m\u202egnp").sign_in("ben", PASSWORD)
    browser = confirmed(reader(platform))
    for path in ADMIN_PAGES:
        page = browser.get(path).text
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page
        for row in rows_of(browser.get(f"{path}.csv").text):
            assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    rows = rows_of(browser.get("/admin/activity.csv?event=profile_changed").text)
    assert any(text in cell for row in rows for cell in row)


# -- the chart ---------------------------------------------------------------------------------------------------------


@BOTH
def test_the_chart_counts_sign_ins_and_failures_of_each_day_in_words_too(platform: Platform) -> None:
    for number in range(3):
        try_sign_in(platform.browser(address=f"203.0.113.{number}"), "ben")
    page = reader(platform).get("/admin/security-log").text
    assert "Above the line: signed in, 1" in page
    assert "Below the line: refused, 3" in page
    assert page.count('role="rowheader"') == 30
    assert 'role="img" aria-labelledby="chart-title chart-text"' in page
    assert "style=" not in page
    browser = platform.signed_in()
    assert browser.get("/admin/security-log?days=90").text.count('role="rowheader"') == 90
    assert browser.get("/admin/security-log?days=91").text.count('role="rowheader"') == 30


def test_hours_fall_on_the_readers_days_and_bars_stay_inside_the_drawing() -> None:
    zone, today = ZoneInfo("Europe/Paris"), date(2026, 12, 2)
    counted = [
        ("2026-12-01T22", "signed_in", 4),
        ("2026-12-01T23", "signed_in", 1),
        ("2026-12-02T01", "second_step_refused", 2),
    ]
    drawn = chart.draw(counted, 30, zone, today)
    assert [(day.at.day, day.signed_in, day.refused) for day in drawn.days[-2:]] == [(1, 4, 0), (2, 1, 2)]
    assert (drawn.signed_in, drawn.refused, len(drawn.days), drawn.width) == (5, 2, 30, 300)
    for day in drawn.days:
        assert day.up <= drawn.base + chart._LOWEST
        assert drawn.base + day.down <= 100 + chart._LOWEST
    assert chart.first_moment(30, zone, today) == datetime(2026, 11, 2, 23, tzinfo=UTC)
    assert chart.draw([], 90, zone, today).base == 100


@BOTH
def test_hours_are_counted_by_the_database_in_one_query(platform: Platform) -> None:
    for _ in range(2):
        platform.signed_in("acme", "ben")
    try_sign_in(platform.browser(), "ben")
    with platform.db("acme", writing=False) as db:
        counted = finding.count_by_hour(db, datetime.now(UTC) - timedelta(days=1))
    by_event: dict[str, int] = {}
    for _hour, event, count in counted:
        by_event[event] = by_event.get(event, 0) + count
    assert by_event == {"signed_in": 2, "sign_in_refused": 1}


def test_too_many_people_to_choose_from_are_not_listed(platform: Platform) -> None:
    with platform.db("acme", writing=False) as db:
        assert [username for username, _ in finding.some_usernames(db, 3)] == ["anna", "ben", "gus"]
        assert finding.some_usernames(db, 2) == []
    assert OPERATOR_ORIGIN.address == ""


# -- a log whose beginning was removed ---------------------------------------------------------------------------------


def test_pages_files_chart_and_history_go_on_after_old_entries_were_removed(platform: Platform) -> None:
    for _ in range(3):
        platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        preferences.change_profile(db, user_id("ben"), {"first_name": "Ben", "last_name": "Peeters", "city": "Gent"})
    before = utc_now()
    browser = confirmed(reader(platform))
    with platform.db("acme") as db:
        db.get_one(User, user_id("anna")).rows_per_page = 10
    prune_logs(
        platform.tenancy,
        "acme",
        lambda _db: before,
        lambda db, it: note_pruned(db, OPERATOR_ORIGIN, it.removed, it.begins_at, it.before),
    )
    for path in ADMIN_PAGES:
        page = browser.get(path).text
        assert re.search(r"reaches back to \d+ \w+ \d+; entries are kept for 365 days\.", page)
        assert "Old entries of the logs were removed" in page
        assert rows_of(browser.get(f"{path}.csv").text)[1:]
    assert "Entries removed from the security log" in browser.get("/admin/activity").text
    assert "Gent" not in browser.get("/admin/activity").text
    assert "signed in, 1<" in browser.get("/admin/security-log").text
    history = platform.signed_in("acme", "ben").get("/preferences/history").text
    assert history.count("Signed in<") == 1
    assert "Old entries" not in history
