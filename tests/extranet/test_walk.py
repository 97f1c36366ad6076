"""The whole way through, in both tenants: invitation, sign-in, a change in Preferences, sign-out."""

from __future__ import annotations

import pytest

from tests.platform import PASSWORD, UNTOUCHED_CARD, Platform


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_an_invited_person_signs_in_changes_their_profile_and_signs_out(platform: Platform, slug: str) -> None:
    browser = platform.browser(slug)
    assert browser.get(platform.invite(slug, "nina")).headers["Location"] == "/invitation"
    accepted = browser.post("/invitation", {"password": PASSWORD, "repeat": PASSWORD})
    assert accepted.headers["Location"] == "/login"
    assert "Your password is set" in browser.get("/login").text
    browser.sign_in("nina", PASSWORD)

    profile = browser.get("/preferences/profile")
    assert "Nina" in profile.text
    saved = browser.post("/preferences/profile", {**PROFILE, "position": "Engineer of great bridges"})
    assert saved.status_code == 303, saved.text
    assert "Engineer of great bridges" in browser.get("/preferences/profile").text

    assert browser.post("/logout").headers["Location"] == "/login"
    assert browser.get("/preferences/profile").status_code == 303


PROFILE = {
    "first_name": "Nina",
    "last_name": "Newcomer",
    **UNTOUCHED_CARD,
}
