"""Every kind of mail in every language: whole, translated, and of its own tenant."""

from __future__ import annotations

import html
import re
from typing import Any

import pytest

from extranet.i18n import LANGUAGES, current_language, use_language
from extranet.mail import rendering
from extranet.mail.colours import accent_of
from extranet.mail.kinds import MailKind
from extranet.mail.outbox import post
from extranet.mail.texts import words_of
from extranet.mail.words import Cause
from extranet.models import Company, Mail, User
from extranet.models.company import THE_COMPANY
from tests.mail.examples import LINK, STRANGER, VALUES, WHEN
from tests.platform import Platform, user_id

ORIGIN = "http://acme.localhost:8000"


def rendered(
    platform: Platform, kind: MailKind, language: str = "en", slug: str = "acme", **about: Any
) -> dict[str, str]:
    """Return a mail to Anna, who is as ``about`` says."""
    values = {**VALUES[kind], **about.pop("values", {})}
    with platform.db(slug, writing=False) as db:
        user = db.get_one(User, user_id("anna"))
        db.expunge(user)
        for name, value in {"language": language, **about}.items():
            setattr(user, name, value)
        return rendering.render(db, kind, user, values)


def words(text: str) -> str:
    """Return what somebody reads of an HTML mail."""
    body = re.sub(r"<(style|title)\b.*?</\1>", " ", text, flags=re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", body)).split())


def test_there_is_an_example_of_every_kind() -> None:
    assert set(VALUES) == set(MailKind)


@pytest.mark.repeats
@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", MailKind)
def test_text_and_html_say_the_same(unchanged: Platform, kind: MailKind, language: str) -> None:
    mail = rendered(unchanged, kind, language)
    assert mail["language"] == language
    assert mail["subject"]
    assert "\n" not in mail["subject"]
    shown = words(mail["html"])
    for paragraph in mail["text"].partition("-- \n")[0].split("\n\n"):
        for line in filter(None, paragraph.split("\n")):
            # A label and what it labels are two cells of a table there, and a button says what it does without a colon.
            parts = [part.strip() for part in line.rstrip(":").partition(": ") if part != ": "]
            assert line.rstrip(" :") in shown or all(part in shown for part in parts), line
    assert "%(" not in mail["text"] + mail["html"]
    assert mail["subject"] in shown


@pytest.mark.parametrize("kind", MailKind)
def test_every_word_is_translated(unchanged: Platform, kind: MailKind) -> None:
    # What is the same in all of them is nobody's words: names, addresses, links.
    given = {str(value) for value in VALUES[kind].values()}
    lines = {
        language: {
            line
            for line in rendered(unchanged, kind, language)["text"].splitlines()
            if line.strip()
            and not line.startswith(("http", "-- ", "Acme"))
            and not any(value in line for value in given)
        }
        for language in LANGUAGES
    }
    for language in ("fr", "nl"):
        assert not lines["en"] & lines[language]


@pytest.mark.parametrize("kind", MailKind)
def test_links_lead_to_the_tenant_s_own_host_and_nothing_is_fetched(unchanged: Platform, kind: MailKind) -> None:
    mail = rendered(unchanged, kind)
    for path in (VALUES[kind].get("link"), VALUES[kind].get("stranger_link")):
        if path:
            assert f"{ORIGIN}{path}" in mail["text"]
            assert f'href="{ORIGIN}{path}"' in mail["html"]
    assert set(re.findall(r"https?://[^/\s\"<]*", mail["text"] + mail["html"])) == {ORIGIN}
    assert not re.search(r"<(img|link|script|iframe|object|form|base)\b|url\(|@import|\ssrc=|background=", mail["html"])


def test_dates_are_told_in_the_person_s_zone_and_taste(unchanged: Platform) -> None:
    here = rendered(unchanged, MailKind.RESET, "fr", time_zone="America/New_York", clock="12h", date_format="iso")
    assert "2026-11-22, 8:05 AM (America/New York)" in here["text"]


def test_a_language_that_went_away_is_english(unchanged: Platform) -> None:
    assert rendered(unchanged, MailKind.RESET, "tlh")["language"] == "en"


def test_the_language_of_the_request_is_back_afterwards(unchanged: Platform) -> None:
    use_language("nl")
    rendered(unchanged, MailKind.RESET, "fr")
    assert current_language() == "nl"
    with pytest.raises(TypeError):
        rendered(unchanged, MailKind.RESET, "fr", values={"nonsense": 1})
    assert current_language() == "nl"


@pytest.mark.parametrize("name", ["<b>Bobby</b>", "Al \"the\" 'Boss' & Co", "{{ 7 * 7 }} %(name)s %s"])
def test_names_are_text_and_nothing_else(unchanged: Platform, name: str) -> None:
    mail = rendered(unchanged, MailKind.INVITATION, values={"by": name}, first_name=name)
    assert name in mail["text"]
    assert name not in re.sub(r"(?:&[a-z#0-9]+;)", "", mail["html"]) or "<" not in name
    assert name in html.unescape(mail["html"])
    assert "<b>" not in mail["html"]


def test_what_nobody_of_the_company_did_was_the_operator(unchanged: Platform) -> None:
    for by in ("", "operator", None):
        mail = rendered(unchanged, MailKind.ACCOUNT_DISABLED, values={"by": by})
        assert "The operator of this service has closed" in mail["text"]


def test_what_is_not_known_is_left_out(unchanged: Platform) -> None:
    mail = rendered(unchanged, MailKind.PASSWORD_CHANGED, values={"browser": "", "seen_from": "", "stranger_link": ""})
    for name in ("Browser", "Address", "stranger"):
        assert name not in mail["text"] + words(mail["html"])
    assert "tell an administrator" in mail["text"]


@pytest.mark.parametrize(("left", "said"), [(0, "0 codes left"), (1, "1 code left"), (9, "9 codes left")])
def test_recovery_codes_are_counted(unchanged: Platform, left: int, said: str) -> None:
    assert said in rendered(unchanged, MailKind.RECOVERY_CODE_USED, values={"left": left})["text"]


@pytest.mark.parametrize("values", [{}, {"link": LINK}, {"link": LINK, "until": WHEN, "colour": "red"}])
def test_a_mail_is_given_what_it_needs_and_nothing_else(platform: Platform, values: dict[str, Any]) -> None:
    with platform.db("acme", writing=False) as db, pytest.raises(TypeError, match="takes"):
        rendering.render(db, MailKind.RESET, db.get_one(User, user_id("anna")), values)


@pytest.mark.parametrize("address", ["192.0.2.10", "a@b\r\nBcc: c@d", "a@b\u2028c"])
def test_a_mail_goes_to_an_address_and_nowhere_else(platform: Platform, address: str) -> None:
    with platform.db("acme") as db:
        with pytest.raises(ValueError, match="seen_from"):
            post(db, MailKind.RESET, db.get_one(User, user_id("anna")), address=address, **VALUES[MailKind.RESET])
        assert not [new for new in db.new if isinstance(new, Mail)]


def test_only_what_may_be_switched_off_says_so(unchanged: Platform) -> None:
    may = {kind for kind in MailKind if "cannot be switched off" not in rendered(unchanged, kind)["text"]}
    assert may == {MailKind.NEW_BROWSER, MailKind.MANY_NEW_BROWSERS}


def test_a_mail_wears_its_company_s_colour(platform: Platform) -> None:
    with platform.db("acme") as db:
        db.get_one(Company, THE_COMPANY).accent_hue = 20
    accent = accent_of(20)
    assert accent.light in rendered(platform, MailKind.RESET)["html"]
    assert accent.dark in rendered(platform, MailKind.RESET)["html"]
    assert accent.light not in rendered(platform, MailKind.RESET, slug="globex")["html"]


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    darker, lighter = sorted((luminance(one), luminance(other)))
    return (lighter + 0.05) / (darker + 0.05)


def test_whatever_the_hue_buttons_can_be_read() -> None:
    for hue in range(360):
        accent = accent_of(hue)
        assert contrast(accent.light, "#ffffff") >= 4.5, hue
        assert contrast(accent.light, "#f4f5f7") >= 4.5, hue
        assert contrast(accent.dark, "#14161a") >= 4.5, hue
        assert contrast(accent.dark, "#1f2228") >= 4.5, hue


def test_a_link_that_is_not_there_is_none() -> None:
    cause = Cause(ORIGIN, "Acme", "anna", None, {"link": ""})  # type: ignore[arg-type]
    assert cause.link() == ""
    assert cause.link("stranger_link") == ""
    assert Cause(ORIGIN, "Acme", "anna", None, {"link": STRANGER}).link() == f"{ORIGIN}{STRANGER}"  # type: ignore[arg-type]


def test_every_kind_has_its_words() -> None:
    for kind in MailKind:
        with pytest.raises(TypeError):
            words_of(kind, Cause(ORIGIN, "Acme", "anna", None, {"nonsense": 1}))  # type: ignore[arg-type]
