"""Administration > Security policy, Company look and Usage."""

from __future__ import annotations

import io
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from PIL import Image
from sqlalchemy import select

from extranet.activity.operations import activity_journal
from extranet.admin.settings_operations import change_look, change_policy
from extranet.admin.usage import spelled
from extranet.i18n import use_language
from extranet.models import Company, CompanyVersion, Login, activity_table
from extranet.models.base import utc_now
from extranet.models.company import THE_COMPANY
from extranet.preferences.choices import hues
from extranet.preferences.pictures import LARGEST_BYTES
from tests.browser import Browser
from tests.evidence import stored_files
from tests.extranet.admin import ANNA, equip, figures, upload
from tests.extranet.conftest import NOW
from tests.extranet.world import disable, events_after, names, value_of
from tests.platform import OPERATOR_ORIGIN, SQLITE_ONLY, Platform

POLICY = {
    "second_factor": "everybody",
    "second_factor_from": "2026-12-15",
    "shortest_password": "14",
    "idle_minutes": "30",
    "log_days": "200",
    "forces_browser_mail": "y",
}


def company(platform: Platform, slug: str = "acme") -> Company:
    with platform.db(slug, writing=False) as db:
        return db.get_one(Company, THE_COMPANY)


def last_change(platform: Platform) -> tuple[str, dict]:
    with platform.db("acme", writing=False) as db:
        rows = db.execute(activity_table.select().order_by(activity_table.c.sequence.desc()).limit(1))
        (entry,) = activity_journal(db.info["keys"]).read(iter(rows.all()))
        return entry.event, entry.private


# -- policy ------------------------------------------------------------------------------------------------------------


def test_a_policy_is_saved_noted_and_shown(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    recorded = events_after(platform, lambda: browser.post("/admin/policy", POLICY))
    assert names(recorded) == ["policy_changed"]
    assert set(recorded[0].details["fields"]) == set(POLICY) - {"forces_browser_mail"}
    stored = company(platform)
    assert (stored.second_factor, stored.shortest_password, stored.idle_minutes) == ("everybody", 14, 30)
    # Midnight in the company's zone, Europe/Paris.
    assert stored.second_factor_from == datetime(2026, 12, 14, 23, tzinfo=UTC)
    event, said = last_change(platform)
    assert event == "policy_changed"
    assert (said["before"]["shortest_password"], said["after"]["shortest_password"]) == ("12", "14")
    page = browser.get("/admin/policy").text
    assert value_of(page, "second_factor_from") == "2026-12-15"
    assert "3 active people have none yet." in page
    assert events_after(platform, lambda: browser.post("/admin/policy", POLICY)) == []
    assert company(platform, "globex").second_factor == "optional"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("second_factor", "nobody"),
        ("second_factor_from", ""),
        ("second_factor_from", "2026-11-30"),
        ("second_factor_from", "2028-01-01"),
        ("second_factor_from", "tomorrow"),
        ("second_factor_from", "0000-00-00"),
        ("shortest_password", "11"),
        ("shortest_password", "65"),
        ("shortest_password", ""),
        ("shortest_password", "1e9"),
        ("idle_minutes", "4"),
        ("idle_minutes", "61"),
        ("idle_minutes", "x"),
        ("log_days", "179"),
        ("log_days", "366"),
    ],
)
def test_a_policy_outside_its_bounds_is_refused_and_changes_nothing(
    platform: Platform, clock: time_machine.Traveller, field: str, value: str
) -> None:
    browser = platform.signed_in()
    answers = []
    recorded = events_after(platform, lambda: answers.append(browser.post("/admin/policy", {**POLICY, field: value})))
    assert recorded == []
    assert answers[0].status_code == 422
    assert company(platform).shortest_password == 12


def test_a_day_that_has_come_stays_when_the_rule_is_relaxed(platform: Platform, clock: time_machine.Traveller) -> None:
    browser = platform.signed_in()
    assert browser.post("/admin/policy", POLICY).status_code == 303
    relaxed = {**POLICY, "second_factor": "optional"}
    assert browser.post("/admin/policy", relaxed).status_code == 303
    assert company(platform).second_factor_from is None, "the day had not come"
    with platform.db("acme") as db:
        values = {"second_factor": "admins", "second_factor_from": NOW - timedelta(days=3)}
        assert change_policy(db, values, OPERATOR_ORIGIN, ANNA)
    equip(platform, ANNA)
    same = {**POLICY, "second_factor": "admins", "second_factor_from": "2026-11-28", "idle_minutes": "31"}
    assert browser.post("/admin/policy", same).headers["Location"] == "/admin/policy"
    assert company(platform).second_factor_from == NOW - timedelta(days=3), "the same day is the same moment"
    assert browser.post("/admin/policy", relaxed).headers["Location"] == "/admin/policy"
    assert company(platform).second_factor_from == NOW - timedelta(days=3), "administrators could lift it themselves"


def test_a_policy_changed_by_somebody_else_is_not_overwritten_unseen(platform: Platform) -> None:
    browser = platform.signed_in()
    seen = value_of(browser.get("/admin/policy").text, "seen")
    with platform.db("acme") as db:
        db.get_one(Company, THE_COMPANY).idle_minutes = 15
    day = (utc_now() + timedelta(days=9)).strftime("%Y-%m-%d")
    overtaken = browser.post("/admin/policy", {**POLICY, "second_factor_from": day, "seen": seen})
    assert overtaken.status_code == 409
    assert "changed elsewhere" in overtaken.text
    assert company(platform).idle_minutes == 15


def test_the_policy_wants_a_fresh_proof(platform: Platform) -> None:
    browser = platform.signed_in()
    with platform.db("acme") as db:
        db.query(Login).update({Login.proved_at: utc_now() - timedelta(hours=1)})
    for answer in (browser.get("/admin/policy"), browser.post("/admin/policy", POLICY)):
        assert answer.status_code == 303
        assert answer.headers["Location"].startswith("/confirm")
    assert company(platform).shortest_password == 12


# -- look --------------------------------------------------------------------------------------------------------------


def picture(size: tuple[int, int] = (600, 200), kind: str = "PNG") -> bytes:
    drawn = io.BytesIO()
    Image.new("RGBA", size, (200, 30, 30, 120)).convert("RGB" if kind == "JPEG" else "RGBA").save(drawn, kind)
    return drawn.getvalue()


def send_logo(browser: Browser, content: bytes, name: str = "logo.png"):
    return browser.post("/admin/look/logo", {"logo": (io.BytesIO(content), name)})


def test_a_logo_is_made_anew_and_shown_to_strangers_of_this_company_alone(platform: Platform) -> None:
    browser, stranger = platform.signed_in(), platform.browser()
    assert stranger.get("/logo").status_code == 404
    assert "/logo?" not in stranger.get("/login").text
    recorded = events_after(platform, lambda: send_logo(browser, picture()))
    assert names(recorded) == ["company_changed"]
    assert recorded[0].details["fields"] == ["logo"]
    assert last_change(platform)[1]["after"] == {"logo": "True"}
    shown = stranger.get("/logo")
    assert (shown.status_code, shown.mimetype) == (200, "image/webp")
    assert shown.headers["Content-Security-Policy"] == "default-src 'none'; sandbox"
    assert shown.headers["Cache-Control"].startswith("private")
    with Image.open(io.BytesIO(shown.data)) as image:
        assert image.size == (480, 160)
        assert image.mode == "RGBA"
    assert 'src="/logo?v=' in stranger.get("/login").text
    assert 'src="/logo?v=' in platform.signed_in("acme", "gus").get("/").text
    other = platform.browser("globex")
    assert other.get("/logo").status_code == 404
    assert "/logo?" not in other.get("/login").text


def test_a_new_logo_takes_the_old_one_s_place_and_one_can_be_removed(platform: Platform) -> None:
    browser = platform.signed_in()
    for size in ((100, 100), (900, 30)):
        assert send_logo(browser, picture(size)).status_code == 303
        assert len(stored_files(platform, "acme")) == 1
    assert names(events_after(platform, lambda: browser.post("/admin/look/logo/remove"))) == ["company_changed"]
    assert stored_files(platform, "acme") == {}
    assert browser.get("/logo").status_code == 404
    assert events_after(platform, lambda: browser.post("/admin/look/logo/remove")) == []


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 422, "Choose a picture first"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", 422, "not a PNG"),
        (b"GIF89a" + bytes(40), 422, "not a PNG"),
        (picture()[:60], 422, "not a PNG"),
        (picture((4097, 1)), 422, "too many pixels"),
    ],
)
def test_what_is_no_picture_becomes_no_logo(platform: Platform, content: bytes, status: int, words: str) -> None:
    browser = platform.signed_in()
    answers = []
    recorded = events_after(platform, lambda: answers.append(send_logo(browser, content, "a\u202eb.svg")))
    assert names(recorded) == ["upload_refused"]
    assert answers[0].status_code == status
    assert words in answers[0].text
    assert stored_files(platform, "acme") == {}
    assert browser.post("/admin/look/logo").status_code == 422


def test_a_logo_that_is_too_large_is_answered_by_its_field(platform: Platform) -> None:
    browser = platform.signed_in()
    frame = b'--x\r\nContent-Disposition: form-data; name="logo"; filename="l.png"\r\n\r\n'
    headers = {"Origin": browser.origin, "Sec-Fetch-Site": "same-origin"}
    for who, status in ((browser, 413), (platform.signed_in("acme", "ben"), 413), (platform.browser(), 413)):
        answer = who._open(
            "POST",
            "/admin/look/logo",
            data=frame + bytes(LARGEST_BYTES + 100_000) + b"\r\n--x--\r\n",
            content_type="multipart/form-data; boundary=x",
            headers=headers,
        )
        assert answer.status_code == status
        assert ("at most 2 MB" in answer.text) is (who is browser)
    assert browser.post("/admin/look", {"accent_hue": "x" * 300_000}).status_code == 413


def test_the_welcome_greets_strangers_and_everybody_on_today(platform: Platform) -> None:
    browser = platform.signed_in()
    look = {"accent_hue": "20", "welcome": "Welcome <b>all</b>\r\n\r\nSecond line"}
    recorded = events_after(platform, lambda: browser.post("/admin/look", look))
    assert names(recorded) == ["company_changed"]
    assert set(recorded[0].details["fields"]) == {"accent_hue", "welcome"}
    assert last_change(platform)[0] == "branding_changed"
    for page in (platform.browser().get("/login").text, platform.signed_in("acme", "gus").get("/").text):
        assert "<p>Welcome &lt;b&gt;all&lt;/b&gt;</p><p>Second line</p>" in page
        assert 'data-accent="20"' in page
    assert "Welcome" not in platform.browser("globex").get("/login").text
    with platform.db("acme", writing=False) as db:
        assert len(db.scalars(select(CompanyVersion)).all()) == 1, "what it said before is kept"
    assert "Welcome &lt;b&gt;" in browser.get("/preferences/company").text
    assert events_after(platform, lambda: browser.post("/admin/look", look)) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("accent_hue", "7"), ("accent_hue", "x"), ("accent_hue", ""), ("welcome", "x" * 501), ("welcome", "a\u202eb")],
)
def test_a_look_that_cannot_be_is_refused(platform: Platform, field: str, value: str) -> None:
    browser = platform.signed_in()
    refused = browser.post("/admin/look", {"accent_hue": "20", "welcome": "", field: value})
    assert refused.status_code == 422
    assert company(platform).welcome == ""


def test_a_look_changed_by_somebody_else_is_not_overwritten_unseen(platform: Platform) -> None:
    browser = platform.signed_in()
    seen = value_of(browser.get("/admin/look").text, "seen")
    with platform.db("acme") as db:
        assert change_look(db, {"accent_hue": 40}, OPERATOR_ORIGIN, ANNA)
    assert browser.post("/admin/look", {"accent_hue": "20", "welcome": "", "seen": seen}).status_code == 409
    assert company(platform).accent_hue == 40


# -- contrast: only the hue varies ------------------------------------------------------------------------------------

_OKLCH = re.compile(r"oklch\(([\d.]+) calc\(([\d.]+) \* var\(--accent-c\)\) var\(--accent-h\)\)")


def luminance(lightness: float, chroma: float, hue: float) -> float:
    """The relative luminance of an OKLCH colour, clipped to sRGB as a screen shows it (CSS Color 4, WCAG 2.2)."""
    from math import cos, radians, sin

    a, b = chroma * cos(radians(hue)), chroma * sin(radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    shown = [min(max(channel, 0.0), 1.0) for channel in (red, green, blue)]
    return 0.2126 * shown[0] + 0.7152 * shown[1] + 0.0722 * shown[2]


def contrast(one: float, other: float) -> float:
    light, dark = max(one, other), min(one, other)
    return (light + 0.05) / (dark + 0.05)


def test_every_hue_keeps_text_readable_in_light_and_dark() -> None:
    tokens = Path(__file__).parents[2].joinpath("extranet/static/tokens.css").read_text()
    (accent,) = re.findall(r"--accent: light-dark\((oklch.*?), (oklch.*?)\);", tokens)[:1]
    light, dark = (tuple(map(float, found)) for found in _OKLCH.findall(", ".join(accent)))
    strong = re.findall(r"--accent-strong: light-dark\((oklch.*?), (oklch.*?)\);", tokens)[0]
    soft = re.findall(r"--accent-soft: light-dark\((oklch.*?), (oklch.*?)\);", tokens)[0]
    strongs, softs = (
        [tuple(map(float, found)) for found in _OKLCH.findall(", ".join(pair))] for pair in (strong, soft)
    )
    for hue in range(360):
        # Buttons: white on the accent in light, nearly black on it in dark; links: the accent on a card.
        assert contrast(luminance(*light, hue), 1.0) >= 4.5, hue
        assert contrast(luminance(*dark, hue), luminance(0.18, 0.03, hue)) >= 4.5, hue
        assert contrast(luminance(*dark, hue), luminance(0.222, 0.012, hue)) >= 4.5, hue
        for strength, ground in zip(strongs, softs, strict=True):
            assert contrast(luminance(*strength, hue), luminance(*ground, hue)) >= 4.5, hue
    assert {value for value, _label in hues()} <= set(range(360))


# -- usage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
def test_usage_counts_people_sign_ins_and_storage_of_this_tenant(platform: Platform) -> None:
    platform.invite("acme", "nina")
    disable(platform, "gus")
    for _ in range(2):
        platform.signed_in("acme", "ben")
    platform.signed_in("globex", "ben")
    browser = platform.signed_in()
    upload(browser, "First name,Last name,E-mail\nIda,Import,ida@people.example\n")
    page = browser.get("/admin/usage")
    shown = figures(page)
    assert (shown["Active"], shown["Invited"], shown["Deactivated"], shown["Open invitations"]) == ("2", "1", "1", "1")
    assert (shown["Administrator"], shown["Member"], shown["Guest"]) == ("1", "2", "0")
    assert "3 sign-ins by 2 people" in page.text
    assert "1 file" in shown
    assert re.fullmatch(r"[\d.,]+\s(kB|MB)", shown["Database"])
    assert "4 people, of them 2 active" in page.text


@SQLITE_ONLY
def test_sign_ins_of_the_month_before_do_not_count(platform: Platform, clock: time_machine.Traveller) -> None:
    clock.move_to(datetime(2026, 11, 30, 22, 30, tzinfo=UTC))
    platform.signed_in("acme", "ben")
    clock.move_to(datetime(2026, 11, 30, 23, 30, tzinfo=UTC))
    page = platform.signed_in().get("/admin/usage").text
    assert "Sign-ins in December 2026" in page, "in Paris it is December"
    assert "1 sign-in by 1 person" in page


@pytest.mark.parametrize(
    ("language", "size", "words"),
    [
        ("en", 0, "0 B"),
        ("en", 999, "999 B"),
        ("en", 1000, "1 kB"),
        ("fr", 1_540_000, "1,5 Mo"),
        ("nl", 2_000_000_000, "2 GB"),
        ("en", 10**16, "10,000 TB"),
    ],
)
def test_sizes_are_spelled_as_people_read_them(language: str, size: int, words: str) -> None:
    use_language(language)
    assert spelled(size).replace("\N{NO-BREAK SPACE}", " ") == words
