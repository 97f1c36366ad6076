"""Administration > Import: a file is read, shown row by row, and imported only when confirmed."""

from __future__ import annotations

import csv
import io
import re
from contextlib import suppress
from datetime import timedelta
from unittest.mock import patch

import pytest
import time_machine
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from extranet.admin.imports import operations as imports
from extranet.admin.imports.checking import Verdict, check_rows
from extranet.admin.imports.columns import ignored, map_columns, role_called
from extranet.admin.imports.operations import check_file, import_people
from extranet.admin.imports.pending import LIFE, Shelf
from extranet.admin.imports.reading import LARGEST_BYTES, MOST_ROWS, decode, read_table
from extranet.errors import Invalid
from extranet.i18n import use_language
from extranet.models import Mail, Profile, Role, User
from tests.evidence import everything_of, stored_files
from tests.extranet.admin import ANNA, HEADINGS, confirm, figures, mails, many, upload, upload_much
from tests.extranet.conftest import NOW
from tests.extranet.world import add_person, events_after, names
from tests.platform import OPERATOR_ORIGIN, Platform, user_id

IDA = "Ida,Import,ida@people.example,,,Sales,Buyer\n"


def verdicts(platform: Platform, content: str) -> list[tuple[str, str]]:
    with platform.db("acme", writing=False) as db:
        return [(row.verdict.value, row.why) for row in check_file(db, content.encode())]


def refused(content: bytes) -> str:
    try:
        headings, _rows = read_table(content)
        map_columns(headings)
    except Invalid as error:
        return f"{error.field}: {error.message}"
    return "taken"


def people(platform: Platform) -> int:
    with platform.db("acme", writing=False) as db:
        return db.execute(select(func.count()).select_from(User)).scalar_one()


# -- the whole way -----------------------------------------------------------------------------------------------------


def test_an_administrator_onboards_two_hundred_people_from_a_file(platform: Platform) -> None:
    browser = platform.signed_in()
    assert upload(browser, many(200)).headers["Location"] == "/admin/import"
    assert people(platform) == 3, "nobody is created by looking"
    assert mails(platform) == []
    shown = browser.get("/admin/import")
    assert figures(shown) == {"New": "200", "There already": "0", "To correct": "0"}
    assert "Create and invite 200 people" in shown.text
    recorded = events_after(platform, lambda: confirm(browser))
    assert names(recorded).count("user_created") == names(recorded).count("user_invited") == 200
    assert names(recorded)[-1] == "users_imported"
    assert recorded[-1].details["count"] == 200
    assert len(mails(platform, "invitation")) == 200
    done = browser.get("/admin/import")
    assert figures(done)["Created and invited"] == "200"
    assert "This list has been imported" in done.text
    with platform.db("acme", writing=False) as db:
        one = db.scalars(select(User).where(User.email == "p7@people.example")).one()
        assert (one.name, one.role, one.state) == ("Person7 Number7", Role.MEMBER, "invited")
        assert db.get_one(Profile, one.id).department == "Sales"
    assert browser.post("/admin/import/discard").status_code == 303
    assert "Upload a list" in browser.get("/admin/import").text
    assert stored_files(platform, "acme") == {}


def test_every_row_has_its_verdict_and_the_rest_is_imported(platform: Platform) -> None:
    rows = [
        IDA,
        "Ben,Peeters,BEN@acme.example,,,,\n",
        "Karel,,karel@people.example,,,,\n",
        "Zoé,Petit,zoe at people,,,,\n",
        "Ida,Again,ida@people.example,,,,\n",
        "Marc,Simon,marc@people.example,anna,,,\n",
        "Marc,Simon,marc@people.example,a b,,,\n",
        "Marc,Simon,marc@people.example,,Chef,,\n",
        "Marc,Simon,marc@people.example,,admin,,\n",
        "=cmd(),Simon,x@people.example,,,,\n",
        f"{'x' * 101},Simon,x@people.example,,,,\n",
        "a\u202eb,Simon,x@people.example,,,,\n",
        "a\x07b,Simon,x@people.example,,,,\n",
        "Lou,Last\n",
        "Mia,Guest,mia@people.example,mia.g,invité,,\n",
    ]
    found = verdicts(platform, HEADINGS + "".join(rows))
    assert [verdict for verdict, _why in found] == ["new", "there", *["faulty"] * 12, "new"]
    reasons = [why for _verdict, why in found]
    for place, words in (
        (1, "there already"),
        (2, "Last name is missing."),
        (3, "is not an e-mail address"),
        (4, "in line 2 too"),
        (5, "anna is taken"),
        (6, "3 to 64"),
        (7, "There is no role Chef."),
        (8, "Administrators are not imported"),
        (9, "begins like a formula"),
        (10, "is too long"),
        (11, "cannot be shown"),
        (12, "cannot be shown"),
        (13, "E-mail is missing."),
    ):
        assert words in reasons[place], reasons[place]
    browser = platform.signed_in()
    upload(browser, HEADINGS + "".join(rows))
    assert names(events_after(platform, lambda: confirm(browser)))[-1] == "users_imported"
    assert people(platform) == 5
    for show, count in (("faulty", "11"), ("there", "2"), ("new", "0"), ("nonsense", "13")):
        page = browser.get(f"/admin/import?show={show}").text
        assert page.count('class="verdict"') == int(count)


def test_the_rows_left_out_come_back_as_a_file_to_mend(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, "Prénom;Nom;Courriel;Note\nIda;Import;ida@people.example;\n=x;y;z@people.example;=1\nAl;;;\n")
    confirm(browser)
    answer = browser.get("/admin/import/left-out.csv")
    assert answer.headers["Content-Disposition"].startswith("attachment;")
    rows = list(csv.reader(io.StringIO(answer.data.decode("utf-8-sig"))))
    assert rows[0] == ["Prénom", "Nom", "Courriel", "Note", "Why it was left out"]
    assert [row[0] for row in rows[1:]] == ["'=x", "Al"]
    assert rows[1][3] == "'=1"
    assert all(row[4] for row in rows[1:])


def test_the_example_can_be_imported_as_it_is_in_every_language(platform: Platform) -> None:
    for language in ("en", "fr", "nl"):
        with platform.db("acme") as db:
            db.get_one(User, ANNA).language = language
        browser = platform.signed_in()
        example = browser.get("/admin/import/example.csv").data
        assert upload(browser, example).status_code == 303
        use_language(language)
        with platform.db("acme", writing=False) as db:
            assert {row.verdict for row in check_file(db, example)} == {Verdict.NEW}


# -- reading -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
def test_letters_separators_and_line_ends_are_found_out(encoding: str, separator: str, line_end: str) -> None:
    rows = (["Prénom", "Nom", "E-mail"], ["Zoé", "d'Été, fils", "zoe@people.example"])
    text = line_end.join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    headings, found = read_table(text.encode(encoding))
    assert headings == rows[0]
    assert [row.cells for row in found] == [rows[1]]


def test_a_byte_order_mark_of_a_big_endian_file_is_read_too() -> None:
    assert decode("\ufeffNaïve".encode("utf-16-be")) == "Naïve"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "empty"),
        (b"  \r\n ", "empty"),
        (b",,\n,,\n", "nothing in this file"),
        (b"First name,Last name,E-mail\n", "only one line"),
        (b"Name,Phone\nIda,1\n", "no column with the heading: First name, Last name, E-mail"),
        (b"First name,First name,Last name,E-mail\na,b,c,d\n", "Two columns are headed First name"),
        (b"x" * (LARGEST_BYTES + 1), "too large"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(100), "not a CSV file"),
        (b"PK\x03\x04\x14\0\x06\0" + bytes(60), "not a CSV file"),
        (b"\xff\xfe\x00\xd8\x00\x00", "cannot be read"),
        (b"First name,Last name,E-mail\n\x81\x8d,b,c\n", "cannot be read"),
        (b"First name,Last name,E-mail\n" + b'"' + b"x" * 200_000, "Line"),
        (b"First name,Last name,E-mail\n" + b"a" * 2001 + b",b,c\n", "Line 2"),
        (b"First name,Last name,E-mail\n" + b"," * 60 + b"x\n", "Line 2"),
    ],
)
def test_a_file_that_is_no_list_is_refused_with_a_sentence(content: bytes, words: str) -> None:
    assert words in refused(content)


def test_more_rows_than_a_file_may_have_are_refused() -> None:
    head = b"First name,Last name,E-mail\n"
    assert len(read_table(head + b"a,b,c\n" * MOST_ROWS)[1]) == MOST_ROWS
    assert "10000" in refused(head + b"a,b,c\n" * (MOST_ROWS + 1))


def test_what_spreadsheets_write_before_the_headings_is_skipped() -> None:
    headings, rows = read_table(b"sep=;\r\nVoornaam;Achternaam;E-mailadres\r\n\r\nJan;Maes;jan@people.example\r\n")
    assert map_columns(headings) == {"first_name": 0, "last_name": 1, "email": 2}
    assert [(row.line, row.cells[0]) for row in rows] == [(4, "Jan")]


@pytest.mark.parametrize(
    "headings",
    [
        ["First name", "Last name", "E-mail", "Username", "Role", "Department", "Job title"],
        ["PRÉNOM", " nom ", "Adresse e-mail", "Nom d'utilisateur", "Rôle", "Service", "Fonction"],
        ["voornaam", "Familienaam", "E-mailadres", "Gebruikersnaam", "Rol", "Afdeling", "Functie"],
    ],
)
def test_columns_are_known_by_headings_in_three_languages(headings: list[str]) -> None:
    assert list(map_columns(headings).values()) == list(range(7))
    assert ignored([*headings, "Salary", " "]) == ["Salary"]


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("Membre", "member"),
        ("LID", "member"),
        ("Invité", "guest"),
        ("gast", "guest"),
        ("Responsable", "manager"),
        ("Beheerder", "admin"),
        ("boss", None),
    ],
)
def test_roles_are_known_in_three_languages(word: str, role: str | None) -> None:
    assert role_called(word) == role


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400))
def test_no_bytes_whatever_break_the_reading(content: bytes) -> None:
    with suppress(Invalid):
        headings, _rows = read_table(content)
        map_columns(headings)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(st.text(max_size=30), max_size=8), max_size=6))
def test_no_cells_whatever_break_the_checking(platform: Platform, cells: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([["First name", "Last name", "E-mail", "Username", "Role"], *cells])
    with platform.db("acme", writing=False) as db, suppress(Invalid):
        headings, rows = read_table(text.getvalue().encode("utf-8", "surrogatepass"))
        for row in check_rows(db, rows, map_columns(headings)):
            assert (row.verdict is Verdict.NEW) == (row.why == "")


# -- between preview and confirmation ----------------------------------------------------------------------------------


def test_a_refused_upload_is_noted_and_keeps_nothing(platform: Platform) -> None:
    browser = platform.signed_in()
    answers = []
    recorded = events_after(platform, lambda: answers.append(upload(browser, b"\x89PNG" + bytes(50), "a\u202eb.png")))
    assert names(recorded) == ["upload_refused"]
    assert answers[0].status_code == 422
    assert "not a CSV file" in answers[0].text
    assert stored_files(platform, "acme") == {}
    assert browser.post("/admin/import").status_code == 422
    too_much = upload_much(browser, b"x" * (LARGEST_BYTES + 100_000))
    assert too_much.status_code == 413
    assert "at most 1 MB" in too_much.text


def test_the_file_is_sealed_and_belongs_to_whom_uploaded_it(platform: Platform) -> None:
    add_person(platform, "olga", Role.ADMIN)
    anna, olga = platform.signed_in(), platform.signed_in("acme", "olga")
    upload(anna, HEADINGS + IDA)
    assert not any(b"ida@people" in content for content in stored_files(platform, "acme").values())
    assert "Upload a list" in olga.get("/admin/import").text
    assert "ida@people" not in olga.get("/admin/import/left-out.csv", follow_redirects=True).text
    assert olga.post("/admin/import/confirm", {"file": "x"}).status_code == 409
    assert "Ida Import" in anna.get("/admin/import").text


def test_only_the_file_that_was_shown_is_imported(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, HEADINGS + IDA)
    (shown,) = re.findall(r'name="file" value="(\w+)"', browser.get("/admin/import").text)
    upload(browser, many(3))
    for mark in (shown, "", "x" * 32):
        refused_page = browser.post("/admin/import/confirm", {"file": mark})
        assert refused_page.status_code == 409
        assert "Nothing was imported" in refused_page.text
    assert people(platform) == 3
    assert len(stored_files(platform, "acme")) == 1, "the newer file took the older one's place"
    confirm(browser)
    assert people(platform) == 6
    assert "Nothing was imported" in browser.post("/admin/import/confirm", {"file": shown}).text


def test_a_file_is_kept_for_a_day_and_swept_by_the_next_upload(
    platform: Platform, clock: time_machine.Traveller
) -> None:
    add_person(platform, "olga", Role.ADMIN)
    upload(platform.signed_in(), HEADINGS + IDA)
    before = set(stored_files(platform, "acme"))
    clock.move_to(NOW + LIFE + timedelta(seconds=1))
    anna = platform.signed_in()
    assert "Upload a list" in anna.get("/admin/import").text
    assert anna.post("/admin/import/confirm", {"file": "x"}).status_code == 409
    upload(platform.signed_in("acme", "olga"), HEADINGS + IDA)
    assert not before & set(stored_files(platform, "acme"))


def test_a_file_that_is_not_a_list_of_this_person_s_is_none(platform: Platform) -> None:
    files = platform.tenancy.files_of(platform.tenant("acme"))
    keys = platform.tenancy.keys_of(platform.tenant("acme"))
    shelf = Shelf(files, keys)
    for content in (b"", b"not json\n", b'{"owner": "somebody else"}\n', b"[]\n"):
        shelf.remove(ANNA)
        files.keep(shelf._name(ANNA), content)
        assert shelf.find(ANNA) is None
    pending = shelf.put(ANNA, "x.csv", b"content")
    shelf.remove(ANNA)
    shelf.advance(pending, [2], is_over=True)
    assert shelf.find(ANNA) is None, "what was discarded does not come back"


def test_whoever_came_since_the_preview_is_not_created_twice(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, HEADINGS + IDA + "Otto,Other,otto@people.example,,,,\n")
    browser.post(
        "/admin/invitations", {"first_name": "I", "last_name": "I", "email": "ida@people.example", "role": "guest"}
    )
    confirm(browser)
    page = browser.get("/admin/import")
    assert figures(page) == {"Created and invited": "1", "There already": "1", "To correct": "0"}
    with platform.db("acme") as db:
        rows = check_file(db, (HEADINGS + "Una,Under,una@people.example,una,,,\n").encode())
        add = imports._import_batch(db, rows, OPERATOR_ORIGIN, ANNA)
        assert len(add) == 1
        assert imports._import_batch(db, rows, OPERATOR_ORIGIN, ANNA) == []


def test_a_long_import_stops_in_time_and_goes_on_where_it_was(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, many(7))
    with patch.object(imports, "BATCH", 3), patch.object(imports, "SECONDS", -1):
        with platform.db("acme") as db:
            assert import_people(db, many(2, start=100).encode(), OPERATOR_ORIGIN, ANNA, seconds=-1) == ([2, 3], True)
        with patch("extranet.admin.importing.import_people", lambda *given: import_people(*given, seconds=-1)):
            confirm(browser)
            page = browser.get("/admin/import")
            assert figures(page)["Created and invited"] == "3"
            assert figures(page)["New"] == "4"
            assert "Continue" in page.text
            confirm(browser)
            confirm(browser)
    page = browser.get("/admin/import")
    assert figures(page)["Created and invited"] == "7"
    assert "This list has been imported" in page.text
    assert people(platform) == 12


def test_a_batch_that_fails_leaves_nothing_of_itself(platform: Platform) -> None:
    browser = platform.signed_in()
    upload(browser, many(3))
    before = everything_of(platform, "acme")[0]
    with patch.object(imports, "invite", side_effect=[None, RuntimeError("broken on purpose")]):
        assert confirm(browser).status_code == 500
    after = everything_of(platform, "acme")[0]
    assert [line for line in after if "people.example" in line] == [line for line in before if "people.example" in line]
    assert people(platform) == 3


def test_ten_thousand_rows_are_read_and_checked_in_seconds(platform: Platform) -> None:
    content = many(MOST_ROWS).encode()
    assert len(content) < LARGEST_BYTES
    browser = platform.signed_in()
    assert upload_much(browser, content).status_code == 303
    page = browser.get("/admin/import?page=400")
    assert figures(page)["New"] == "10000"
    assert len(page.data) < 40_000
    with platform.db("acme", writing=False) as db:
        assert db.execute(select(func.count()).select_from(Mail)).scalar_one() == 0


def test_the_other_tenant_s_list_is_never_seen(platform: Platform) -> None:
    upload(platform.signed_in("globex"), HEADINGS + IDA)
    ours = platform.signed_in()
    assert "Upload a list" in ours.get("/admin/import").text
    theirs = platform.tenancy.files_of(platform.tenant("globex"))
    mine = Shelf(platform.tenancy.files_of(platform.tenant("acme")), platform.tenancy.keys_of(platform.tenant("acme")))
    (name,) = theirs.names()
    assert name != mine._name(user_id("anna")), "the same person's list has another name in every tenant"
