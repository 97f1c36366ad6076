"""Preferences > Profile: every field, its limits, and what it said before."""

from __future__ import annotations

import html

import pytest
from sqlalchemy import func, select

from extranet.accounts.names import parse_email, parse_person_name, parse_username
from extranet.errors import Invalid
from extranet.models import Profile, ProfileVersion
from extranet.preferences import operations
from extranet.preferences.numbers import is_phone
from tests.browser import Browser
from tests.extranet.world import PROFILE, row_of, value_of
from tests.platform import Platform, user_id

PAGE = "/preferences/profile"
FILLED = {
    **PROFILE,
    "first_name": "Ànna-Lou",
    "last_name": "O'Martin <b>",
    "position": "Engineer & more",
    "department": "R&D",
    "sector": "energy",
    "phone": "+33 1 23 45 67 89",
    "mobile": "06.12.34.56.78",
    "street": "1, rue de l'Été",
    "postcode": "75002",
    "city": "Paris",
    "country": "FR",
    "interests": "chess, climbing",
    "about": "Two\nlines \U0001f9d1\u200d\U0001f680",
    "contact_channel": "phone",
    "phone_visibility": "admins",
    "mobile_visibility": "folders",
    "address_visibility": "company",
    "interests_visibility": "admins",
}


def stored(platform: Platform, slug: str = "acme") -> dict[str, str]:
    with platform.db(slug, writing=False) as db:
        profile = db.get_one(Profile, user_id("anna"))
        user = row_of(platform, slug=slug)
        names = {"first_name": user.first_name, "last_name": user.last_name}
        return names | {name: getattr(profile, name) for name in PROFILE if name not in names}


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_every_field_is_saved_shown_and_kept_in_this_tenant(platform: Platform, slug: str) -> None:
    browser = platform.signed_in(slug)
    assert browser.post(PAGE, FILLED).status_code == 303
    assert stored(platform, slug) == FILLED
    page = browser.get(PAGE).text
    for name in ("first_name", "last_name", "position", "department", "phone", "street", "city", "interests"):
        assert value_of(page, name) == FILLED[name]
    assert '<option selected value="energy">' in page
    assert "<b>" not in page
    assert stored(platform, "globex" if slug == "acme" else "acme")["city"] == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("first_name", ""),
        ("first_name", "   "),
        ("last_name", "\u00a0"),
        ("first_name", "x" * 101),
        ("first_name", "a\nb"),
        ("first_name", "a\tb"),
        ("first_name", "a\u2028b"),
        ("first_name", "a\x00b"),
        ("first_name", "a\x1bb"),
        ("last_name", "evil\u202egnp.exe"),
        ("last_name", "\u2066x"),
        ("position", "x" * 101),
        ("department", "x" * 101),
        ("sector", "piracy"),
        ("phone", "call me"),
        ("phone", "+"),
        ("phone", "1" * 41),
        ("mobile", "12"),
        ("street", "x" * 201),
        ("postcode", "x" * 21),
        ("city", "x" * 101),
        ("country", "ZZ"),
        ("country", "France"),
        ("interests", ", ".join(f"tag{number}" for number in range(11))),
        ("interests", "x" * 41),
        ("about", "x" * 501),
        ("about", "bell\x07"),
        ("contact_channel", "pigeon"),
        ("contact_channel", ""),
        ("phone_visibility", "everybody"),
        ("mobile_visibility", "everybody"),
        ("address_visibility", "everybody"),
        ("interests_visibility", "everybody"),
    ],
)
def test_a_bad_value_is_refused_and_everything_typed_is_kept(
    unchanged: Platform, reader: Browser, field: str, value: str
) -> None:
    typed = {**FILLED, field: value}
    refused = reader.post(PAGE, typed)
    assert refused.status_code == 422
    assert f'id="{field}-error"' in refused.text
    assert stored(unchanged) == PROFILE
    for name in ("first_name", "position", "street", "city"):
        if name != field:
            assert value_of(refused.text, name) == typed[name]
    assert html.escape(FILLED["about"].splitlines()[0]) in refused.text or field == "about"
    for marked in ("energy", "FR", "phone", "admins"):
        assert f'selected value="{marked}"' in refused.text or field in typed


def test_an_empty_or_partial_form_is_refused(platform: Platform) -> None:
    browser = platform.signed_in()
    assert browser.post(PAGE, {}).status_code == 422
    assert browser.post(PAGE, {"first_name": "X", "last_name": "Y"}).status_code == 422
    assert stored(platform) == PROFILE


def test_bytes_that_are_not_utf8_are_refused_in_words(platform: Platform) -> None:
    browser = platform.signed_in()
    part = b'--x\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = part % (b"first_name", b"\xff\xfe") + part % (b"csrf_token", browser.token().encode()) + b"--x--\r\n"
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    refused = browser._open("POST", PAGE, data=body, headers=headers, content_type="multipart/form-data; boundary=x")
    assert refused.status_code == 422
    assert "could not be read" in refused.text


def test_text_is_stored_in_one_spelling(platform: Platform) -> None:
    browser = platform.signed_in()
    typed = {
        **PROFILE,
        "first_name": "  E\u0301lodie ",
        "about": " a\r\nb\rc ",
        "interests": " chess ,, chess,  go  fish ",
    }
    assert browser.post(PAGE, typed).status_code == 303
    saved = stored(platform)
    assert (saved["first_name"], saved["about"], saved["interests"]) == ("Élodie", "a\nb\nc", "chess, go fish")


def test_characters_younger_than_this_python_are_welcome(platform: Platform) -> None:
    """A new emoji was called a control character."""
    assert platform.signed_in().post(PAGE, {**PROFILE, "about": "\U0001fae9"}).status_code == 303


def test_fields_that_are_not_in_the_form_cannot_be_set(platform: Platform) -> None:
    browser = platform.signed_in("acme", "ben")
    browser.post(
        PAGE, {**PROFILE, "role": "admin", "username": "root", "email": "x@y.example", "user_id": "x", "id": "x"}
    )
    row = row_of(platform, "ben")
    assert (row.role, row.username, row.email) == ("member", "ben", "ben@acme.example")


def test_what_it_said_before_is_kept_with_who_and_when(platform: Platform) -> None:
    browser = platform.signed_in()
    assert "No changes yet" in browser.get(PAGE).text
    browser.post(PAGE, {**PROFILE, "sector": "energy", "country": "FR", "phone_visibility": "admins"})
    browser.post(PAGE, {**PROFILE, "sector": "health", "country": "FR", "phone_visibility": "admins"})
    browser.post(PAGE, {**PROFILE, "sector": "health", "country": "FR", "phone_visibility": "admins"})
    page = browser.get(PAGE).text
    assert "by Anna Martin" in page
    assert "<del>Energy, water and waste</del>" in page
    assert "<ins>Health and social care</ins>" in page
    assert "<ins>France</ins>" in page
    assert "<ins>Administrators only</ins>" in page
    with platform.db("acme", writing=False) as db:
        assert db.execute(select(func.count()).select_from(ProfileVersion)).scalar_one() == 2


def test_two_hundred_versions_are_kept_and_no_more(platform: Platform) -> None:
    with platform.db("acme") as db:
        for number in range(203):
            operations.change_profile(db, user_id("anna"), {**PROFILE, "city": f"City {number}"})
        assert db.execute(select(func.count()).select_from(ProfileVersion)).scalar_one() == 200
        assert not operations.change_profile(db, user_id("anna"), {**PROFILE, "city": "City 202"})


@pytest.mark.parametrize("text", ["+33 1 23 45 67 89", "0612345678", "+1 (555) 010-9999", "01.23.45.67.89", "112 34"])
def test_a_phone_number_may_be_written_in_many_ways(text: str) -> None:
    assert is_phone(text)


@pytest.mark.parametrize("text", ["", "+", "12", "abc", "+33 1 23x", "٠١٢٣٤٥", "1" * 40, "12345 ", "tel:123"])
def test_what_cannot_be_dialled_is_no_phone_number(text: str) -> None:
    assert not is_phone(text)


@pytest.mark.parametrize("text", ["ab", "x" * 65, "-ab", "ab-", "a b", "ána", "a@b.c", "", "A\nB"])
def test_a_username_that_could_be_misread_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_username(text)
    assert caught.value.field == "username"


@pytest.mark.parametrize("text", ["", "a", "a@", "@b", "a@b", "a b@c.example", "a@b..example", "a@b.example\nBcc: x"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_email(text)
    assert caught.value.field == "email"


@pytest.mark.parametrize("text", ["", " ", "x" * 101, "a\x00b", "a\u202eb"])
def test_a_person_s_name_is_readable(text: str) -> None:
    with pytest.raises(Invalid):
        parse_person_name(text, "first_name")


def test_names_have_one_spelling() -> None:
    assert parse_username(" Anna.Martin ") == "anna.martin"
    assert parse_email(" Anna@ACME.Example ") == "anna@acme.example"
    assert parse_person_name(" E\u0301lodie ", "first_name") == "Élodie"
