"""Every page in every language: complete catalogues, and nothing English left on a French or Dutch page."""

from __future__ import annotations

import contextvars
import html
import io
import re
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from html.parser import HTMLParser
from unittest.mock import patch

import pytest
from babel.messages.plurals import get_plural
from click.testing import CliRunner
from PIL import Image
from sqlalchemy import update
from werkzeug.test import TestResponse

from extranet.accounts import operations
from extranet.errors import NoSlot
from extranet.i18n import LANGUAGES, best_language, gettext, ngettext, use_language
from extranet.models import Company, User
from extranet.models.company import THE_COMPANY
from extranet.security_log.events import Event, TenantEvent
from extranet.security_log.words import SENTENCES
from provisioning.cli import extranet as command_line
from tenants.tenant import State
from tests import messages
from tests.browser import Browser
from tests.extranet import sign_on_page
from tests.extranet.admin import ANNA, BEN, GUS, HEADINGS, confirm, equip, upload
from tests.extranet.test_walk import PROFILE
from tests.extranet.world import disable
from tests.platform import PASSWORD, Platform

pytestmark = pytest.mark.repeats
both = pytest.mark.parametrize("language", messages.TRANSLATED)

_PLACE = re.compile(r"%\(\w+\)[sd]")
_SPACE_BEFORE_A_DOUBLE_MARK = re.compile("\\S [;:?!»]|« |[^\\s\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}][;?!»]")
_SECTIONS = ("profile", "display", "security", "sessions", "history", "company")


# -- catalogues --------------------------------------------------------------------------------------------------------


@both
def test_a_catalogue_is_what_make_messages_writes(language: str) -> None:
    assert messages.path_of(language).read_text(encoding="utf-8") == messages.updated(language), "run: make messages"


@both
def test_every_text_is_translated_and_nothing_is_guessed_or_left_over(language: str) -> None:
    catalogue = messages.read(language)
    assert {message.id for message in catalogue} == {message.id for message in messages.extract()}
    assert messages.untranslated(language) == []
    assert [message.id for message in catalogue if message.id and message.fuzzy] == []
    assert list(catalogue.obsolete) == []


@both
def test_a_translation_has_the_places_of_its_text_and_no_markup(language: str) -> None:
    for text, translation in _forms(language):
        assert Counter(_PLACE.findall(text)) == Counter(_PLACE.findall(translation)), text
        # A page fills in the places, and takes the text around them for safe HTML.
        assert "%" not in _PLACE.sub("", translation), text
        assert not set("<>&") & set(translation), text


@both
def test_a_translation_ends_and_is_spaced_as_its_text(language: str) -> None:
    for text, translation in _forms(language):
        assert translation == translation.strip(), text
        assert "  " not in translation, text
        assert [mark for mark in ".?:" if text.endswith(mark)] == [mark for mark in ".?:" if translation.endswith(mark)]
        assert "'" not in translation, f"{text}: the apostrophe of these texts is the typographic one"


def test_french_has_a_space_that_never_breaks_before_double_marks() -> None:
    for text, translation in _forms("fr"):
        assert not _SPACE_BEFORE_A_DOUBLE_MARK.search(translation.replace("https://", "").replace("http://", "")), text


_INVARIABLE = {"fois", "keer", "uur"}
"""Words that are the same for one and for several."""


@both
def test_plural_forms_are_complete(language: str) -> None:
    catalogue = messages.read(language)
    assert f'"Plural-Forms: {get_plural(language)}\\n"' in messages.path_of(language).read_text(encoding="utf-8")
    plurals = [message for message in catalogue if message.id and message.pluralizable]
    assert plurals
    for message in plurals:
        assert len(message.string) == catalogue.num_plurals
        is_invariable = not _INVARIABLE.isdisjoint(re.findall(r"\w+", message.string[0]))
        assert len(set(message.string)) == (1 if is_invariable else catalogue.num_plurals)


def test_a_number_chooses_the_plural_form_of_its_language() -> None:
    wait = (
        "Too many attempts. Please wait a minute and try again.",
        "Too many attempts. Please wait %(num)s minutes and try again.",
    )
    said = {}
    for language in LANGUAGES:
        use_language(language)
        said[language] = [ngettext(*wait, count) for count in (1, 15)]
    assert "minute and" in said["en"][0]
    assert "une minute" in said["fr"][0]
    assert "een minuut" in said["nl"][0]
    assert all("15" in many for _, many in said.values())


@pytest.mark.parametrize(
    ("language", "preferences", "sign_in", "password"),
    [("fr", "Préférences", "Se connecter", "Mot de passe"), ("nl", "Voorkeuren", "Aanmelden", "Wachtwoord")],
)
def test_the_words_that_matter_most_are_the_agreed_ones(
    language: str, preferences: str, sign_in: str, password: str
) -> None:
    use_language(language)
    assert [gettext("Preferences"), gettext("Sign in"), gettext("Password")] == [preferences, sign_in, password]


def test_every_kind_of_event_has_words_of_its_own() -> None:
    assert set(SENTENCES) == {*Event, *TenantEvent}
    assert len({str(sentence) for sentence in SENTENCES.values()}) == len(SENTENCES)


# -- pages -------------------------------------------------------------------------------------------------------------


@both
def test_no_english_is_left_on_a_page_for_a_visitor(platform: Platform, language: str) -> None:
    visitor = _reader(platform, language)
    pages = [visitor.get("/login"), visitor.post("/login", {}), visitor.get("/nowhere")]
    pages.append(visitor.post("/login", {"username": "anna", "password": "wrong"}))
    pages.append(visitor.get("/invitation"))
    visitor.get(platform.invite("acme", "nina"))
    pages.append(visitor.get("/invitation"))
    for first, second in (("", ""), ("short", "other"), ("aaaaaaaaaaaa", "aaaaaaaaaaaa")):
        pages.append(visitor.post("/invitation", {"password": first, "repeat": second}))
    assert [page.status_code for page in pages] == [200, 422, 404, 422, 410, 200, 422, 422, 422]
    _assert_all_in(language, pages)


@both
def test_no_english_is_left_on_a_page_for_somebody_signed_in(platform: Platform, language: str) -> None:
    _speak(platform, language)
    for username in ("anna", "ben"):
        reader = _signed_in(platform, language, username)
        _assert_all_in(language, [reader.get("/"), *(reader.get(f"/preferences/{name}") for name in _SECTIONS)])


@both
def test_no_english_is_left_on_pages_that_are_full(platform: Platform, language: str) -> None:
    _speak(platform, language)
    for _ in range(8):
        _signed_in(platform, language, "anna")
    reader = _signed_in(platform, language, "anna")
    full = {**PROFILE, "first_name": "Anna", "country": "BE", "sector": "media", "phone": "+32 2 123 45 67"}
    assert reader.post("/preferences/profile", full).status_code == 303
    for position in ("1", "2", "3", "4"):
        assert reader.post("/preferences/profile", {**full, "position": position}).status_code == 303
    company = {"legal_name": "Acme", "street": "1", "city": "2", "country": "FR", "accent_hue": "30", "sector": "trade"}
    assert reader.post("/preferences/company", company).status_code == 303
    picture = {"avatar": (io.BytesIO(_png()), "me.png")}
    assert reader.post("/preferences/profile/picture", picture).status_code == 303
    pages = [reader.get("/"), *(reader.get(f"/preferences/{name}") for name in _SECTIONS)]
    pages += [reader.get("/preferences/history?page=2"), reader.get(platform.invite("acme", "nina"))]
    _assert_all_in(language, pages)
    use_language(language)
    assert gettext("Show older versions") in pages[1].text
    assert gettext("Sign out everywhere else") in pages[4].text
    assert gettext("Newer") in pages[7].text
    assert gettext("Stay signed in") in pages[8].text


@both
def test_no_english_is_left_in_what_forms_say_about_mistakes(platform: Platform, language: str) -> None:
    _speak(platform, language)
    reader = _signed_in(platform, language, "anna")
    bad_profile = {**PROFILE, "first_name": "", "phone": "x", "sector": "nonsense", "interests": "a, " * 3 + "b" * 41}
    bad_company = {"country": "FR", "registration_number": "1", "vat_id": "1", "website": "ftp:x", "accent_hue": "x"}
    new = {"current": PASSWORD, "new": "aaaaaaaaaaaa", "repeat": "aaaaaaaaaaaa"}
    pages = [
        reader.post("/preferences/profile", bad_profile),
        reader.post("/preferences/profile", {**PROFILE, "city": "two\nlines", "street": "a\x07b", "about": "x" * 501}),
        reader.post("/preferences/profile", {**PROFILE, "interests": ",".join("abcdefghijkl")}),
        reader.post("/preferences/profile/picture", {"avatar": (io.BytesIO(b"x"), "x.png")}),
        reader.post("/preferences/profile/picture"),
        reader.post("/preferences/display", {"language": "xx", "rows_per_page": "many"}),
        reader.post("/preferences/company", bad_company),
        reader.post("/preferences/security", {"current": "", "new": "short", "repeat": "other"}),
        reader.post("/preferences/security", {**new, "current": "wrong"}),
        reader.post("/preferences/security", new),
        reader.post("/preferences/security", {"current": PASSWORD, "new": PASSWORD, "repeat": PASSWORD}),
    ]
    assert [page.status_code for page in pages] == [422] * len(pages)
    _assert_all_in(language, pages)


@both
def test_no_english_is_left_in_administration(platform: Platform, language: str) -> None:
    platform.invite("acme", "nina")
    disable(platform, "gus")
    equip(platform, BEN)
    _speak(platform, language)
    reader = _signed_in(platform, language, "anna")
    with platform.db("acme", writing=False) as db:
        nina = operations.find_user(db, "nina").id
    sections = ("people", "people?q=zzz", "people?column=created&column=username&sort=last&order=desc", "invitations")
    sections += ("import", "policy", "look", "usage")
    pages = [reader.get(f"/admin/{name}") for name in sections]
    pages += [reader.get(f"/admin/people/{person}") for person in (ANNA, BEN, GUS, nina)]
    pages += [reader.get(f"/admin/people/{BEN}/deactivate"), reader.post(f"/admin/people/{ANNA}/deactivate")]
    pages += [reader.post("/admin/invitations", {}), reader.post("/admin/invitations", {"email": "x", "role": "x"})]
    pages += [reader.post("/admin/policy", {"second_factor": "everybody"}), reader.post("/admin/look", {})]
    pages += [upload(reader, content) for content in ("", "x", "a,b\nc,d\n", b"\x89PNG" + bytes(9))]
    rows = ("Ida,Import,ida@people.example,,,,", "Ben,P,ben@acme.example,,,,", "=x,y,z@people.example,,,,", "a,,,,,,")
    rows += ("c,d,e,,,,", "c,d,e@people.example,,boss,,", "c,d,f@people.example,,admin,,")
    upload(reader, "\n".join([HEADINGS.strip(), *rows]))
    pages += [reader.get("/admin/import"), reader.get("/admin/import?show=faulty"), confirm(reader)]
    pages += [reader.get("/admin/import"), reader.get("/admin/import?show=new")]
    assert {page.status_code for page in pages} == {200, 303, 422}
    _assert_all_in(language, [page for page in pages if page.status_code != 303])


@both
def test_no_english_is_left_about_single_sign_on(platform: Platform, language: str) -> None:
    _speak(platform, language)
    anna, path = _signed_in(platform, language, "anna"), "/admin/single-sign-on"
    pages = [anna.get(path)]
    pages += [anna.post(path, {**sign_on_page.SETTINGS, **values}) for values, _field in sign_on_page.FAULTS]
    with sign_on_page.provider_for(platform) as server:
        sign_on_page.set_up(platform, issuer=server.issuer, is_enabled=False, client_secret=b"sealed")
        pages += [anna.get("/preferences/security"), anna.post(f"{path}/try"), anna.post(f"{path}/on")]
        for person, issuer in (("anna", server.issuer), ("ben", server.issuer), ("gus", "https://before.example")):
            sign_on_page.link(platform, person, issuer=issuer)
        pages += [anna.get(where) for where in (path, f"{path}/remove", "/preferences/security")]
        pages += [anna.get(f"/admin/people/{person}") for person in (BEN, GUS)]
        pages += [anna.get("/admin/people?sign_on=yes&column=sign_on"), anna.post(f"{path}/off"), anna.get(path)]
    _assert_all_in(language, [page for page in pages if page.status_code != 303])


@pytest.mark.parametrize(
    ("language", "required", "shortest"),
    [
        ("en", "This field is required.", "Field must be at least 12 characters long."),
        ("fr", "Ce champ est requis.", "Le champ doit contenir au moins 12 caractères."),
        ("nl", "Dit veld is vereist.", "Veld moet minstens 12 karakters lang zijn."),
    ],
)
def test_the_messages_that_wtforms_brings_follow_the_language_too(
    platform: Platform, language: str, required: str, shortest: str
) -> None:
    _speak(platform, language)
    reader = _signed_in(platform, language, "ben")
    page = reader.post("/preferences/security", {"current": "", "new": "short", "repeat": "short"})
    assert required in page.text
    assert shortest in page.text


@both
def test_no_english_is_left_in_a_notice_nor_in_the_download(platform: Platform, language: str) -> None:
    _speak(platform, language)
    reader = _signed_in(platform, language, "anna")
    choices = {"language": language, "time_zone": "Europe/Brussels", "date_format": "locale", "clock": "24h"}
    look = {"theme": "light", "density": "compact", "rows_per_page": "10"}
    assert reader.post("/preferences/display", {**choices, **look}).status_code == 303
    page = reader.get("/preferences/display")
    use_language(language)
    assert gettext("Your changes have been saved.") in page.text
    _assert_all_in(language, [page])
    header, first = reader.get("/preferences/history.csv").text.lstrip("\ufeff").splitlines()[:2]
    use_language(language)
    assert header.split(";") == [gettext(name) for name in ("When", "Event", "Result", "IP address", "Browser")]
    assert gettext("Signed in") in first
    assert gettext("Succeeded") in first


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_language_chosen_in_preferences_is_the_next_pages(platform: Platform, language: str) -> None:
    reader = _signed_in(platform, "nl" if language == "fr" else "fr", "ben")
    choices = {"language": language, "time_zone": "Europe/Paris", "date_format": "locale", "clock": "24h"}
    look = {"theme": "light", "density": "compact", "rows_per_page": "10"}
    assert reader.post("/preferences/display", {**choices, **look}).status_code == 303
    assert _language_of(reader.get("/")) == language


def test_the_check_for_english_finds_it_on_english_pages(platform: Platform) -> None:
    reader = _signed_in(platform, "en", "anna")
    for path, words in (("/", "Your last sign-in"), ("/preferences/history", "Signed in")):
        page = reader.get(path)
        assert _language_of(page) == "en"
        assert words in _english_in("fr", page)
        assert "Preferences" in _english_in("nl", page)


# -- error pages -------------------------------------------------------------------------------------------------------


def _unknown_page(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.get("/nowhere")


def _unknown_host(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.get("/", headers={"Host": "nobody.localhost:8000"})


def _bad_host(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.get("/", headers={"Host": "a b"})


def _wrong_method(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.post("/preferences/history")


def _wrong_role(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.post("/preferences/company")


def _too_large(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.post("/preferences/display", {"language": "x" * 300_000})


def _stale_form(_platform: Platform, reader: Browser) -> TestResponse:
    return reader.post("/preferences/display", token="stale")


def _no_cookie(platform: Platform, reader: Browser) -> TestResponse:
    stranger = platform.browser("acme")
    stranger.client.environ_base.update(reader.client.environ_base)
    return stranger.post("/login", token=reader.token())


def _signed_out(_platform: Platform, reader: Browser) -> TestResponse:
    reader.post("/logout")
    return reader.post("/preferences/display")


def _too_busy(platform: Platform, reader: Browser) -> TestResponse:
    reader.post("/logout")
    with patch.object(type(platform.passwords), "verify", side_effect=NoSlot):
        return reader.post("/login", {"username": "anna", "password": PASSWORD})


def _too_often(_platform: Platform, reader: Browser) -> TestResponse:
    reader.post("/logout")
    refused = [reader.post("/login", {"username": "gus", "password": "wrong"}) for _ in range(6)]
    return refused[-1]


def _broken(_platform: Platform, reader: Browser) -> TestResponse:
    with patch("extranet.today.views.last_sign_in", side_effect=RuntimeError("broken on purpose")):
        return reader.get("/")


def _suspended(platform: Platform, reader: Browser) -> TestResponse:
    return _in_state(platform, State.SUSPENDED, reader)


def _closed(platform: Platform, reader: Browser) -> TestResponse:
    return _in_state(platform, State.CLOSED, reader)


_FAILURES: list[tuple[Callable[[Platform, Browser], TestResponse], int, str]] = [
    (_unknown_page, 404, "Page not found"),
    (_unknown_host, 404, "Page not found"),
    (_bad_host, 400, "Request not understood"),
    (_wrong_method, 405, "Request not understood"),
    (_wrong_role, 403, "Not allowed"),
    (_too_large, 413, "Too large"),
    (_stale_form, 403, "This page was open too long"),
    (_no_cookie, 403, "Cookies are needed"),
    (_signed_out, 401, "You have been signed out"),
    (_too_busy, 503, "Sign in"),
    (_too_often, 429, "Sign in"),
    (_broken, 500, "Something went wrong"),
    (_suspended, 503, "Suspended"),
    (_closed, 410, "Closed"),
]


@both
@pytest.mark.parametrize(
    ("fail", "status", "title"), _FAILURES, ids=[fail.__name__.strip("_") for fail, _, _ in _FAILURES]
)
def test_no_english_is_left_on_a_page_that_refuses(
    platform: Platform,
    language: str,
    fail: Callable[[Platform, Browser], TestResponse],
    status: int,
    title: str,
) -> None:
    _speak(platform, language)
    page = fail(platform, _signed_in(platform, language, "ben"))
    assert page.status_code == status
    _assert_all_in(language, [page])
    use_language(language)
    assert f"<h1>{gettext(title)}</h1>" in page.text


# -- which language ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        (["fr"], "fr"),
        (["fr-BE", "en"], "fr"),
        (["nl_BE"], "nl"),
        (["NL-be"], "nl"),
        (["de", "nl", "fr"], "nl"),
        (["de-AT", "*"], "company's"),
        (["frr"], "company's"),
        ([""], "company's"),
        ([], "company's"),
    ],
)
def test_the_first_language_there_is_wins(accepted: list[str], language: str) -> None:
    assert best_language(accepted, "company's") == language


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("fr-FR,fr;q=0.9,en;q=0.8", "fr"),
        ("de,nl;q=0.8,fr;q=0.9", "fr"),
        ("en-GB", "en"),
        ("de-DE,de;q=0.9", "nl"),
        ("*", "nl"),
        ("", "nl"),
        ("\xff;;q=,", "nl"),
    ],
)
def test_a_visitor_reads_their_browsers_language_or_else_the_companys(
    platform: Platform, accepted: str, language: str
) -> None:
    _speak(platform, "nl")
    assert _language_of(_reader(platform, accepted).get("/login")) == language


def test_a_person_reads_their_own_language_whatever_the_browser_says(platform: Platform) -> None:
    _speak(platform, "nl")
    assert _language_of(_signed_in(platform, "fr", "anna").get("/")) == "nl"


def test_one_visitors_language_never_reaches_the_next(platform: Platform) -> None:
    assert _language_of(_reader(platform, "fr").get("/login")) == "fr"
    assert _language_of(platform.browser("acme").get("/login")) == "en"
    assert _language_of(platform.browser("acme").get("/", headers={"Host": "nobody.localhost:8000"})) == "en"


def test_the_command_line_speaks_english_wherever_it_runs(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    _speak(platform, "fr")
    for name in ("LANG", "LANGUAGE", "LC_ALL"):
        monkeypatch.setenv(name, "fr_FR.UTF-8")
    monkeypatch.setenv("EXTRANET_HOME", str(platform.settings.home))
    arguments = ["user", "create", "acme", "anna", "--email", "a@b.example", "--first-name", "A", "--last-name", "B"]
    refused = contextvars.Context().run(CliRunner().invoke, command_line, arguments)
    assert refused.exit_code == 1
    assert "The username anna is taken." in refused.output


# -- help --------------------------------------------------------------------------------------------------------------


def _in_state(platform: Platform, state: State, reader: Browser) -> TestResponse:
    platform.tenancy.registry.move_to(platform.tenant("acme"), state)
    # As if half a second had passed.
    platform.tenancy.generation.forget()
    return reader.get("/")


def _png() -> bytes:
    picture = io.BytesIO()
    Image.new("RGB", (8, 8), "teal").save(picture, "PNG")
    return picture.getvalue()


def _speak(platform: Platform, language: str) -> None:
    """Make a language everybody's, and the company's."""
    with platform.db("acme") as db:
        db.execute(update(User).values(language=language, rows_per_page=10))
        db.get_one(Company, THE_COMPANY).language = language


def _reader(platform: Platform, accepted: str) -> Browser:
    browser = platform.browser("acme")
    browser.client.environ_base["HTTP_ACCEPT_LANGUAGE"] = accepted
    return browser


def _signed_in(platform: Platform, language: str, username: str) -> Browser:
    browser = _reader(platform, language)
    browser.sign_in(username, PASSWORD)
    return browser


def _forms(language: str) -> Iterator[tuple[str, str]]:
    """Yield every text with its translation, and each form of a plural with its own."""
    for message in messages.read(language):
        if message.id:
            yield from zip(_each(message.id), _each(message.string), strict=True)


def _each(text: object) -> list[str]:
    return [text] if isinstance(text, str) else [str(form) for form in text]  # type: ignore[attr-defined]


class _Words(HTMLParser):
    """Gathers what a page says, to the eye and to a screen reader."""

    _SPOKEN = ("aria-label", "title", "alt", "placeholder")

    def __init__(self) -> None:
        super().__init__()
        self.language = ""
        self.said: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "html":
            self.language = dict(attrs).get("lang") or ""
        self.said += [value for name, value in attrs if name in self._SPOKEN and value]

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def _language_of(page: TestResponse) -> str:
    return _read(page).language


def _read(page: TestResponse) -> _Words:
    words = _Words()
    words.feed(page.text)
    return words


def _english_in(language: str, page: TestResponse) -> set[str]:
    """Return the texts of the catalogue that a page shows as they are, though they have a translation."""
    # The number tells neighbouring colours apart; brackets are the templates'.
    said = {re.sub(r" \d+$", "", " ".join(html.unescape(text).split()).strip("() ")) for text in _read(page).said}
    return set().union(*(_english_of(language, words) for words in said))


@cache
def _english_of(language: str, words: str) -> frozenset[str]:
    """Return the texts of the catalogue that words are. Most are on each page, and there are a thousand texts."""
    return frozenset(
        text
        for text, (pattern, is_long) in _english(language).items()
        if (pattern.search if is_long else pattern.fullmatch)(words)
    )


@cache
def _english(language: str) -> dict[str, tuple[re.Pattern[str], bool]]:
    # A text of places and marks alone says nothing in any language.
    texts = (
        text
        for text, translation in _forms(language)
        if text != translation and re.search(r"[A-Za-z]", _PLACE.sub("", text))
    )
    return {text: (_pattern(text), len(_PLACE.sub("", text)) >= 15) for text in texts}


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(".+".join(re.escape(part) for part in _PLACE.split(text)))


def _assert_all_in(language: str, pages: list[TestResponse]) -> None:
    for page in pages:
        assert page.mimetype == "text/html"
        assert (page.request.path, _language_of(page), _english_in(language, page)) == (
            page.request.path,
            language,
            set(),
        )
