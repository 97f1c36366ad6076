"""Administration > People: the list, its filters, its pages, and the file."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import event
from werkzeug.datastructures import MultiDict

from extranet.accounts import operations
from extranet.accounts.operations import NewUser
from extranet.admin.finding import SORTS, Wanted, find_people
from extranet.admin.people import wanted_of
from extranet.admin.sheets import attachment, harmless
from extranet.models import Login, Profile, Role, User
from extranet.models.base import utc_now
from extranet.security_log.origin import OPERATOR
from tests.extranet.admin import BEN, GUS, equip, names_on
from tests.extranet.world import add_person, disable, events_after, names, row_of
from tests.platform import BOTH, OPERATOR_ORIGIN, Platform, user_id


def rename(platform: Platform, person: str, **values: str) -> None:
    with platform.db("acme") as db:
        user, profile = db.get_one(User, person), db.get_one(Profile, person)
        for name, value in values.items():
            setattr(profile if name == "department" else user, name, value)


def test_everybody_of_the_tenant_is_listed_by_name_and_nobody_else(platform: Platform) -> None:
    add_person(platform, "zoe", slug="globex")
    page = platform.signed_in().get("/admin/people")
    assert names_on(page) == ["Gus Guest", "Anna Martin", "Ben Peeters"]
    assert "3 people, of them 3 active, 0 invited and 0 deactivated" in page.text
    assert "globex" not in page.text


SEARCHES = [
    ("q=peeters", ["Ben Peeters"]),
    ("q=PEETERS+ben", ["Ben Peeters"]),
    ("q=ben@acme", ["Ben Peeters"]),
    ("q=ateliers", ["Ben Peeters"]),
    ("q=élodie", ["Élodie Guest"]),
    ("q=%25", []),
    ("q=_", []),
    ("q=peeters+nobody", []),
    ("q=%00peeters", ["Ben Peeters"]),
    ("role=admin", ["Anna Martin"]),
    ("role=emperor", ["Élodie Guest", "Anna Martin", "Ben Peeters"]),
    ("state=active&role=guest", ["Élodie Guest"]),
    ("state=disabled", []),
    ("factor=yes", ["Ben Peeters"]),
    ("factor=no&role=admin", ["Anna Martin"]),
    ("signed_in=yes", ["Anna Martin"]),
    ("signed_in=no", ["Élodie Guest", "Ben Peeters"]),
    ("sort=email&order=desc", ["Élodie Guest", "Ben Peeters", "Anna Martin"]),
    ("sort=nonsense", ["Élodie Guest", "Anna Martin", "Ben Peeters"]),
]


@BOTH
def test_people_are_searched_filtered_and_sorted_by_the_address(platform: Platform) -> None:
    rename(platform, GUS, first_name="Élodie")
    rename(platform, BEN, department="Ateliers")
    equip(platform, BEN)
    reader = platform.signed_in()
    shown = [(asked, names_on(reader.get(f"/admin/people?{asked}"))) for asked, _found in SEARCHES]
    assert shown == SEARCHES


@BOTH
def test_a_list_sorts_by_every_column_and_nothing_comes_last_both_ways(platform: Platform) -> None:
    platform.signed_in("acme", "ben")
    platform.invite("acme", "nina")
    with platform.db("acme") as db:
        ago = utc_now() - timedelta(days=3)
        db.query(User).where(User.last_sign_in_at.is_not(None)).update({User.last_sign_in_at: ago})
        # Sessions are forgotten a while after their end; when somebody was here last is not.
        db.query(Login).delete()
    browser = platform.signed_in()
    for sort in SORTS:
        for order in ("", "desc"):
            assert len(names_on(browser.get(f"/admin/people?sort={sort}&order={order}"))) == 4
    oldest = names_on(browser.get("/admin/people?sort=last"))
    newest = names_on(browser.get("/admin/people?sort=last&order=desc"))
    assert oldest[:2] == ["Ben Peeters", "Anna Martin"]
    assert newest[:2] == ["Anna Martin", "Ben Peeters"]
    assert set(oldest[2:]) == set(newest[2:]) == {"Gus Guest", "Nina Newcomer"}


def test_the_columns_shown_are_those_of_the_address(platform: Platform) -> None:
    browser = platform.signed_in()
    page = browser.get("/admin/people?column=username&column=created&column=nonsense&q=ben").text
    assert "<th" in page
    assert "Account since</a>" in page
    assert "Last sign-in</a>" not in page
    assert "column=username&amp;column=created" in page
    assert "q=ben" in page


@BOTH
def test_pages_have_as_many_rows_as_the_reader_likes_and_keep_the_filter(platform: Platform) -> None:
    with platform.db("acme") as db:
        db.get_one(User, user_id("anna")).rows_per_page = 10
        for number in range(23):
            new = NewUser(f"person{number:02}", f"p{number}@acme.example", "Paul", f"Number{number:02}")
            operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
    browser = platform.signed_in()
    first = browser.get("/admin/people?q=paul")
    assert names_on(first) == [f"Paul Number{number:02}" for number in range(10)]
    assert "1 to 10 of 23" in first.text
    assert "q=paul&amp;page=2" in first.text
    assert names_on(browser.get("/admin/people?q=paul&page=3")) == [f"Paul Number{number}" for number in (20, 21, 22)]
    assert len(names_on(browser.get("/admin/people?q=paul&page=99"))) == 3
    for odd in ("0", "-1", "x", "", "9" * 40, "٣"):
        assert "1 to 10 of 23" in browser.get("/admin/people", query_string={"q": "paul", "page": odd}).text


def test_an_empty_list_says_what_to_do(platform: Platform) -> None:
    page = platform.signed_in().get("/admin/people?q=nobody").text
    assert "Nobody found" in page
    assert "Show everybody" in page


def test_a_thousand_people_take_as_many_queries_as_three(platform: Platform) -> None:
    def queries() -> int:
        seen: list[str] = []
        with platform.db("acme", writing=False) as db:
            connection = db.connection()

            def listener(*said: Any) -> None:
                seen.append(said[2])

            event.listen(connection, "before_cursor_execute", listener)
            find_people(db, Wanted(text="e", sort="last"), limit=100)
            event.remove(connection, "before_cursor_execute", listener)
        return len(seen)

    few = queries()
    with platform.db("acme") as db:
        for number in range(1000):
            user = User(
                username=f"u{number}",
                email=f"u{number}@acme.example",
                first_name="Eve",
                last_name=str(number),
                role=Role.MEMBER,
                state="active",
                language="en",
                time_zone="UTC",
            )
            db.add(user)
            db.flush()
            db.add(Profile(user_id=user.id))
    assert queries() == few == 1


@pytest.mark.parametrize(("language", "delimiter"), [("en", ","), ("fr", ";"), ("nl", ";")])
def test_the_file_holds_whom_the_list_shows_and_runs_nothing(platform: Platform, language: str, delimiter: str) -> None:
    rename(platform, BEN, first_name="=HYPERLINK(1)", department="+1")
    rename(platform, user_id("anna"), language=language)
    browser = platform.signed_in()
    answers = []
    recorded = events_after(platform, lambda: answers.append(browser.get("/admin/people.csv?q=peeters&page=7")))
    assert names(recorded) == ["users_exported"]
    assert recorded[0].details["count"] == 1
    assert recorded[0].actor == user_id("anna")
    assert answers[0].data.startswith(b"\xef\xbb\xbf")
    assert answers[0].headers["Content-Disposition"].startswith('attachment; filename="')
    assert "filename*=UTF-8''" in answers[0].headers["Content-Disposition"]
    rows = list(csv.reader(io.StringIO(answers[0].data.decode("utf-8-sig")), delimiter=delimiter))
    assert len(rows) == 2
    assert len(rows[0]) == len(rows[1]) == 10
    assert rows[1][0] == "'=HYPERLINK(1)"
    assert rows[1][4] == "'+1"


def test_nobody_downloads_people_without_a_fresh_proof(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme") as db:
        db.query(Login).update({Login.proved_at: utc_now() - timedelta(hours=1)})
    answers = []
    assert events_after(platform, lambda: answers.append(browser.get("/admin/people.csv"))) == []
    assert answers[0].status_code == 303
    assert b"ben@acme.example" not in answers[0].data


@pytest.mark.parametrize("cell", ["=1", "+1", "-1", "@a", "\t=1", "\r=1"])
def test_a_cell_that_begins_like_a_formula_is_text(cell: str) -> None:
    assert harmless(cell) == "'" + cell
    assert harmless("x" + cell) == "x" + cell


def test_a_file_name_in_any_language_breaks_no_header() -> None:
    said = attachment('Société "Ø"\r\n; people.csv')
    assert "\r" not in said
    assert "\n" not in said
    assert said.count('"') == 2
    assert said.isascii()


def test_what_an_address_asks_is_bounded(platform: Platform) -> None:
    assert len(wanted_of(MultiDict({"q": "x" * 5000})).text) == 100
    assert platform.signed_in().get("/admin/people", query_string={"q": "a " * 3000}).status_code == 200


@pytest.mark.parametrize("username", ["ben", "gus", "mia"])
def test_only_administrators_pass_any_door_of_administration(platform: Platform, username: str) -> None:
    add_person(platform, "mia", Role.MANAGER)
    browser = platform.signed_in("acme", username)
    before = row_of(platform)
    doors = 0
    for rule in platform.app.url_map.iter_rules():
        if not rule.endpoint.startswith("admin."):
            continue
        doors += 1
        path = rule.rule.replace("<user_id>", user_id("anna"))
        answer = browser.get(path) if "GET" in (rule.methods or ()) else browser.post(path, {"role": "guest"})
        assert answer.status_code == 403, rule.rule
    assert doors >= 30
    assert row_of(platform).role == before.role == Role.ADMIN
    assert "/admin/" not in browser.get("/").text


def test_administration_is_in_the_navigation_of_administrators(platform: Platform) -> None:
    browser = platform.signed_in()
    assert 'href="/admin/"' in browser.get("/").text
    assert browser.get("/admin/").headers["Location"] == "/admin/people"


def test_a_demoted_administrator_is_shut_out_at_the_next_request(platform: Platform) -> None:
    browser = platform.signed_in()
    add_person(platform, "olga", Role.ADMIN)
    olga = platform.signed_in("acme", "olga")
    assert olga.get("/admin/people").status_code == 200
    assert browser.post(f"/admin/people/{row_of_olga(platform)}/role", {"role": "member"}).status_code == 303
    assert olga.get("/admin/people").location.startswith("/login")
    olga = platform.signed_in("acme", "olga")
    assert olga.get("/admin/people").status_code == 403
    disable(platform, "olga")
    assert olga.get("/").status_code == 303


def row_of_olga(platform: Platform) -> str:
    with platform.db("acme", writing=False) as db:
        return operations.find_user(db, "olga").id
