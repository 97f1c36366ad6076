"""Preferences: display, sessions, sign-in history, company; and the home page."""

from __future__ import annotations

import csv
import io
import re
from datetime import timedelta

import pytest
import time_machine
from sqlalchemy import select

from extranet.accounts.founding import found_tenant
from extranet.accounts.operations import NewUser
from extranet.errors import Invalid
from extranet.models import Company, CompanyVersion, KnownBrowser, Login
from extranet.preferences.history import _harmless
from extranet.preferences.numbers import is_siren, is_vat_id
from extranet.request import pages
from extranet.security_log.events import Event, TenantEvent
from extranet.security_log.operations import journal
from extranet.security_log.words import SENTENCES
from tests.browser import Browser
from tests.extranet.world import COMPANY, DISPLAY, events_after, log_of, names, row_of, try_sign_in, value_of
from tests.platform import BOTH, OPERATOR_ORIGIN, PASSWORD, Platform, user_id


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_display_takes_effect_on_the_next_page(platform: Platform, clock: time_machine.Traveller, slug: str) -> None:
    browser = platform.signed_in(slug)
    page = browser.get("/preferences/sessions").text
    assert "1 Dec 2026, 11:00" in page
    chosen = {
        **DISPLAY,
        "language": "fr",
        "time_zone": "Asia/Tokyo",
        "date_format": "iso",
        "clock": "12h",
        "theme": "dark",
        "density": "compact",
        "rows_per_page": "10",
        "reduce_motion": "y",
    }
    assert browser.post("/preferences/display", chosen).status_code == 303
    page = browser.get("/preferences/sessions").text
    assert "2026-12-01, 7:00" in page
    for mark in ('lang="fr"', 'data-theme="dark"', 'data-density="compact"', 'data-motion="reduce"'):
        assert mark in page
    row = row_of(platform, slug=slug)
    assert (row.rows_per_page, row.reduce_motion) == (10, True)
    browser.post("/preferences/display", {**chosen, "reduce_motion": ""})
    other = platform.signed_in("globex" if slug == "acme" else "acme")
    assert 'lang="en"' in other.get("/").text


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("language", "de"),
        ("language", ""),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("date_format", "us"),
        ("clock", "13h"),
        ("theme", "neon"),
        ("density", "x"),
        ("rows_per_page", "1000000"),
        ("rows_per_page", "x"),
        ("rows_per_page", ""),
    ],
)
def test_display_refuses_what_is_not_in_the_list_and_keeps_the_rest(
    unchanged: Platform, reader: Browser, field: str, value: str
) -> None:
    refused = reader.post("/preferences/display", {**DISPLAY, "time_zone": "Asia/Tokyo", field: value})
    assert refused.status_code == 422
    assert 'selected value="Asia/Tokyo"' in refused.text or field == "time_zone"
    assert row_of(unchanged).time_zone == "Europe/Paris"


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("nl-BE,nl;q=0.9", "nl"),
        ("fr_CA", "fr"),
        ("de, fr;q=0.5", "fr"),
        ("de", "en"),
        ("", "en"),
        ("*", "en"),
        (";;;,,q=x", "en"),
    ],
)
def test_a_visitor_is_answered_in_the_browser_s_language_or_the_company_s(
    platform: Platform, accepted: str, language: str
) -> None:
    page = platform.browser().get("/login", headers={"Accept-Language": accepted}).text
    assert f'<html lang="{language}"' in page


def test_preferences_begin_with_the_profile(platform: Platform) -> None:
    assert platform.signed_in().get("/preferences/").headers["Location"] == "/preferences/profile"


@BOTH
def test_sessions_lists_one_s_own_logins_and_ends_one(platform: Platform) -> None:
    here, other = platform.signed_in(), platform.signed_in()
    colleague = platform.signed_in("acme", "ben")
    page = here.get("/preferences/sessions").text
    ended = re.findall(r"/preferences/sessions/([0-9a-f]{32})/end", page)
    assert len(ended) == 1
    recorded = events_after(platform, lambda: here.post(f"/preferences/sessions/{ended[0]}/end"))
    assert names(recorded) == ["login_ended"]
    assert other.get("/").status_code == 303
    assert here.get("/").status_code == colleague.get("/").status_code == 200
    assert events_after(platform, lambda: here.post(f"/preferences/sessions/{ended[0]}/end")) == []


def test_ending_the_others_leaves_this_one(platform: Platform) -> None:
    others = [platform.signed_in() for _ in range(2)]
    here = platform.signed_in()
    recorded = events_after(platform, lambda: here.post("/preferences/sessions/end-others"))
    assert recorded[-1].details["others"] == 2
    assert str(pages.NOTICES[pages.LOGINS_ENDED]) in here.get("/preferences/sessions").text
    assert [browser.get("/").status_code for browser in (*others, here)] == [303, 303, 200]


def test_nobody_ends_renames_or_forgets_what_is_somebody_else_s(platform: Platform) -> None:
    platform.signed_in("acme", "ben")
    namesake = platform.signed_in("globex")
    anna = platform.signed_in()
    with platform.db("acme", writing=False) as db:
        login = db.scalars(select(Login).where(Login.user_id == user_id("ben"))).one()
        browser = db.scalars(select(KnownBrowser).where(KnownBrowser.user_id == user_id("ben"))).one()
    for visitor in (anna, namesake):
        for path in (
            f"sessions/{login.id}/end",
            f"browsers/{browser.id}/rename",
            f"browsers/{browser.id}/forget",
            "sessions/nothing/end",
            "browsers/nothing/forget",
        ):
            assert visitor.post(f"/preferences/{path}", {"name": "mine"}).status_code == 404
    with platform.db("acme", writing=False) as db:
        assert db.get_one(Login, login.id).ended_at is None
        assert db.get_one(KnownBrowser, browser.id).forgotten_at is None


def test_a_browser_is_renamed_and_a_refused_name_is_kept_beside_its_reason(platform: Platform) -> None:
    browser = platform.signed_in()
    (known,) = re.findall(r"/preferences/browsers/([0-9a-f]{32})/rename", browser.get("/preferences/sessions").text)
    path = f"/preferences/browsers/{known}/rename"
    recorded = events_after(platform, lambda: browser.post(path, {"name": " Kitchen\u202e <b> "}))
    assert names(recorded) == ["browser_renamed"]
    page = browser.get("/preferences/sessions").text
    assert "Kitchen &lt;b&gt;" in page
    assert events_after(platform, lambda: browser.post(path, {"name": "Kitchen <b>"})) == []
    for typed in ("", "   ", "Very long " + "x" * 60):
        refused = browser.post(path, {"name": typed})
        assert refused.status_code == 422
        assert "1 to 60 characters" in refused.text
        assert value_of(refused.text, "name") == typed


def test_forgetting_the_browser_in_use_signs_it_out(platform: Platform) -> None:
    browser, other = platform.signed_in(), platform.signed_in()
    found = re.findall(r"/preferences/browsers/([0-9a-f]{32})/forget", browser.get("/preferences/sessions").text)
    with platform.db("acme", writing=False) as db:
        rows = db.scalars(select(Login).order_by(Login.started_at)).all()
    mine, theirs = rows[0].browser_id, rows[1].browser_id
    assert set(found) == {mine, theirs}
    assert browser.post(f"/preferences/browsers/{theirs}/forget").headers["Location"] == "/preferences/sessions"
    assert other.get("/").status_code == 303
    left = browser.post(f"/preferences/browsers/{mine}/forget")
    assert left.headers["Location"] == "/login"
    assert "The browser has been forgotten." in browser.get("/login").text
    assert browser.get("/").status_code == 303
    assert names(log_of(platform))[-2:] == ["browser_forgotten", "browser_forgotten"]


def test_every_event_has_a_label(platform: Platform) -> None:
    assert set(SENTENCES) == {*Event, *TenantEvent}
    assert len({str(sentence) for sentence in SENTENCES.values()}) == len(SENTENCES)


@BOTH
def test_history_shows_one_s_own_entries_newest_first_in_pages(platform: Platform) -> None:
    browser = platform.signed_in()
    browser.post("/preferences/display", {**DISPLAY, "rows_per_page": "10"})
    platform.signed_in("acme", "ben")
    with platform.db("acme") as db:
        for number in range(15):
            record_one(db, f"10.0.0.{number}")
    first = browser.get("/preferences/history").text
    assert first.count("<tr role") == 11
    assert first.index("10.0.0.14") < first.index("10.0.0.13")
    assert "10.0.0.4" not in first.replace("10.0.0.4<", "x<") or "10.0.0.4<" not in first
    assert "page=2" in first
    second = browser.get("/preferences/history?page=2").text
    assert "10.0.0.4<" in second
    assert "page=1" in second
    last = browser.get("/preferences/history?page=99999999").text
    assert "10.0.0.0<" in last or "Signed in" in last
    for asked in ("0", "-1", "x", "", "9" * 50, "٣", "1.5"):
        assert browser.get("/preferences/history", query_string={"page": asked}).status_code == 200


def record_one(db, address: str) -> None:
    journal(db.info["keys"]).append(
        db, "signed_in", "ok", actor=user_id("anna"), subject=user_id("anna"), details={},
        private={"address": address, "port": 1, "user_agent": "=cmd()|x"},
    )  # fmt: skip


def test_history_shows_kinds_that_this_release_does_not_know(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme") as db:
        journal(db.info["keys"]).append(
            db, "levitated", "ok", actor="x", subject=user_id("anna"), details={}, private={}
        )
    assert "levitated" in browser.get("/preferences/history").text


@BOTH
@pytest.mark.parametrize(("language", "delimiter"), [("en", ","), ("fr", ";"), ("nl", ";")])
def test_history_can_be_downloaded_without_running_anything(platform: Platform, language: str, delimiter: str) -> None:
    browser = platform.signed_in()
    browser.post("/preferences/display", {**DISPLAY, "language": language})
    with platform.db("acme") as db:
        for address in ("=1+1", "+1", "-1", "@x", "\tx", 'a"b', "a,b;c"):
            record_one(db, address)
    answers = []
    recorded = events_after(platform, lambda: answers.append(browser.get("/preferences/history.csv")))
    assert names(recorded) == ["history_exported"]
    assert recorded[0].outcome == "ok"
    assert 'filename="sign-in-history.csv"' in answers[0].headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answers[0].data.decode("utf-8-sig")), delimiter=delimiter))
    assert len(rows) > 8
    assert all(len(row) == 5 for row in rows)
    assert not [cell for row in rows for cell in row if cell.startswith(("=", "+", "-", "@", "\t", "\r"))]
    assert "'=1+1" in {row[3] for row in rows}


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_a_cell_that_begins_like_a_formula_is_text(cell: str) -> None:
    assert _harmless(cell) == "'" + cell
    assert _harmless("x" + cell) == "x" + cell


@BOTH
def test_this_was_not_me_shuts_everybody_else_out(platform: Platform) -> None:
    stranger, here = platform.signed_in(), platform.signed_in()
    recorded = events_after(platform, lambda: here.post("/preferences/history/not-me"))
    assert names(recorded) == ["stranger_reported"]
    assert stranger.get("/").status_code == 303
    form = {"current": PASSWORD, "new": "seven purple kettles sing", "repeat": "seven purple kettles sing"}
    assert "Now choose a new password" in here.get("/preferences/security").text
    token = re.findall(r'csrf_token" value="([^"]+)', here.get("/preferences/security").text)[0]
    assert here.post("/preferences/security", form, token=token).status_code == 303
    assert here.get("/").status_code == 200


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_an_administrator_changes_the_company_and_members_read_it(platform: Platform, slug: str) -> None:
    admin, member = platform.signed_in(slug), platform.signed_in(slug, "ben")
    answers = []
    recorded = events_after(
        platform, lambda: answers.append(admin.post("/preferences/company", COMPANY).status_code), slug
    )
    assert answers == [303]
    assert names(recorded) == ["company_changed"]
    assert "legal_name" in recorded[0].details["fields"]
    assert events_after(platform, lambda: admin.post("/preferences/company", COMPANY), slug) == []
    page = member.get("/preferences/company").text
    for shown in ("Acme SAS", "732829320", "Paris", "France", "Industry and manufacturing", "by Anna Martin"):
        assert shown in page
    assert "<form" not in page.partition("<main")[2]
    assert 'data-accent="120"' in platform.browser(slug).get("/login").text
    with platform.db(slug, writing=False) as db:
        assert db.scalars(select(CompanyVersion)).one().changed_by == user_id("anna")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legal_name", ""),
        ("legal_name", "   "),
        ("legal_name", "x" * 201),
        ("street", ""),
        ("city", " "),
        ("country", ""),
        ("country", "XX"),
        ("registration_number", "732829321"),
        ("registration_number", "12345"),
        ("registration_number", "x" * 41),
        ("vat_id", "12345678"),
        ("vat_id", "F"),
        ("sector", "piracy"),
        ("phone", "call"),
        ("website", "acme.example"),
        ("website", "javascript:alert(1)"),
        ("website", "https://"),
        ("website", "http://[broken"),
        ("website", "https://a b.example"),
        ("website", "ftp://acme.example"),
        ("accent_hue", "7"),
        ("accent_hue", "red"),
    ],
)
def test_a_bad_registration_is_refused_and_everything_typed_is_kept(
    unchanged: Platform, reader: Browser, field: str, value: str
) -> None:
    refused = reader.post("/preferences/company", {**COMPANY, field: value})
    assert refused.status_code == 422
    for name in ("legal_name", "street", "city", "website", "vat_id"):
        assert value_of(refused.text, name) == (COMPANY[name] if name != field else value.strip())
    with unchanged.db("acme", writing=False) as db:
        assert db.get_one(Company, 1).street == ""


def test_numbers_of_other_countries_are_taken_as_they_are(platform: Platform) -> None:
    browser = platform.signed_in()
    form = {**COMPANY, "country": "BE", "registration_number": "0123.456.789", "vat_id": "", "website": ""}
    assert browser.post("/preferences/company", form).status_code == 303


@pytest.mark.parametrize("text", ["732829320", "732 829 320", "356000000", "000000000"])
def test_a_siren_has_a_luhn_sum(text: str) -> None:
    assert is_siren(text)


@pytest.mark.parametrize("text", ["", "732829321", "73282932", "7328293200", "73282932x", "٧٣٢٨٢٩٣٢٠"])
def test_other_numbers_are_no_siren(text: str) -> None:
    assert not is_siren(text)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("FR44732829320", True),
        ("BE 0123.456.789", True),
        ("nl123456789B01", True),
        ("ESX1234567X", True),
        ("F1", False),
        ("12345", False),
        ("FR", False),
        ("FR" + "1" * 14, False),
        ("FR44732829320!", False),
    ],
)
def test_a_vat_number_begins_with_a_country(text: str, is_one: bool) -> None:
    assert is_vat_id(text) is is_one


def test_today_greets_and_says_what_is_missing_and_who_came_before(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    first = platform.browser(address="203.0.113.7")
    first.sign_in("anna", PASSWORD)
    page = first.get("/").text
    assert "Hello Anna" in page
    assert "This is your first sign-in" in page
    for missing in ("Picture", "Job title", "Department", "Phone"):
        assert f"<li>{missing}</li>" in page
    clock.shift(timedelta(hours=1))
    second = platform.signed_in()
    page = second.get("/").text
    assert "203.0.113.7" in page
    assert "Firefox, Linux" in page
    assert "1 Dec 2026, 11:00" in page


def test_a_tenant_is_founded_in_a_language_that_there_is(platform: Platform) -> None:
    with platform.db("acme") as db:
        with pytest.raises(Invalid, match="no language"):
            found_tenant(db, "X", "de", NewUser("zoe", "z@x.example", "Z", "Z"), OPERATOR_ORIGIN)
        db.rollback()
    assert try_sign_in(platform.browser(), "zoe", PASSWORD).status_code == 422
