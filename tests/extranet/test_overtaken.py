"""Two tabs: what one saved is never silently undone by the other."""

from __future__ import annotations

import re

import pytest

from extranet.models import Company, Profile, User
from tests.browser import Browser
from tests.platform import BOTH, Platform, user_id

FORMS = {
    "/preferences/profile": ("position", "department"),
    "/preferences/company": ("trading_name", "legal_form"),
    "/preferences/display": ("rows_per_page", "clock"),
}
TYPED = {"rows_per_page": "50", "clock": "12h"}


def opened(browser: Browser, path: str) -> dict[str, str]:
    """Return a form as a tab holds it."""
    page = browser.get(path).text
    fields = dict(re.findall(r'<input[^>]* name="([a-z_]+)"[^>]* value="([^"]*)"', page))
    radios = re.findall(r'<input[^>]*type="radio"[^>]*>', page)
    for radio in radios:
        name = re.search(r'name="([a-z_]+)"', radio)
        value = re.search(r'value="([^"]*)"', radio)
        if name and value and " checked" in radio:
            fields[name[1]] = value[1]
    for name, options in re.findall(r'<select[^>]* name="([a-z_]+)"[^>]*>(.*?)</select>', page, re.DOTALL):
        chosen = re.search(r'<option selected value="([^"]*)"', options)
        fields[name] = chosen[1] if chosen else ""
    fields.pop("csrf_token", None)
    return fields | ({"street": "1 Rue", "city": "Lyon", "country": "FR"} if path.endswith("company") else {})


@BOTH
@pytest.mark.parametrize(("path", "fields"), FORMS.items())
def test_the_second_of_two_tabs_is_asked_before_it_undoes_the_first(
    platform: Platform, path: str, fields: tuple[str, str]
) -> None:
    browser = platform.signed_in()
    first, second = opened(browser, path), opened(browser, path)
    first[fields[0]], second[fields[1]] = TYPED.get(fields[0], "First"), TYPED.get(fields[1], "Second")
    assert browser.post(path, first).status_code == 303

    asked = browser.post(path, second)
    assert asked.status_code == 409
    assert "changed elsewhere" in asked.text
    assert stored(platform, fields[0]) == TYPED.get(fields[0], "First"), "nothing was replaced"

    kept = re.search(r'name="seen"[^>]*value="([0-9a-f]{16})"', asked.text)
    assert kept
    assert browser.post(path, {**second, "seen": kept[1]}).status_code == 303
    assert stored(platform, fields[1]) == TYPED.get(fields[1], "Second")


@pytest.mark.parametrize("path", FORMS)
def test_a_form_nobody_overtook_is_saved(platform: Platform, path: str) -> None:
    browser = platform.signed_in()
    assert browser.post(path, opened(browser, path)).status_code == 303


def test_the_question_names_what_differs_and_keeps_what_was_typed(platform: Platform) -> None:
    browser = platform.signed_in()
    first, second = opened(browser, "/preferences/profile"), opened(browser, "/preferences/profile")
    browser.post("/preferences/profile", {**first, "position": "Captain"})
    asked = browser.post("/preferences/profile", {**second, "position": "Pilot"}).text
    assert "stored in: Job title." in asked
    assert 'value="Pilot"' in asked


def stored(platform: Platform, field: str) -> str:
    with platform.db("acme", writing=False) as db:
        records = (db.get_one(Profile, user_id("anna")), db.get_one(User, user_id("anna")), db.get_one(Company, 1))
        return next(str(getattr(record, field)) for record in records if hasattr(record, field))
