"""Requests, grants and visits of the same staff with the same ids in both tenants."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta

from extranet.models import SupportGrant
from extranet.models.base import utc_now
from tenants.errors import StaffTaken
from tests.browser import Browser
from tests.extranet.support import link, staff
from tests.platform import Platform, user_id

ASKED, GRANTED = "7" * 32, "8" * 32


def plant(platform: Platform, slug: str, _browser: Browser) -> None:
    """Let one of the staff ask, and another one have access."""
    now = utc_now()
    for name in ("olga", "pia"):
        with suppress(StaffTaken):
            staff(platform, name, f"{name.capitalize()} Ops")
    common = {"reason": f"canary of {slug}", "hours": 4, "asked_at": now}
    with platform.db(slug) as db:
        if db.get(SupportGrant, ASKED) is not None:
            return
        db.add(SupportGrant(id=ASKED, staff="pia", staff_name="Pia Ops", **common))
        standing = {"answered_by": user_id("anna"), "answered_at": now, "expires_at": now + timedelta(hours=4)}
        db.add(SupportGrant(id=GRANTED, staff="olga", staff_name="Olga Ops", **common, **standing))


def open_link(platform: Platform, slug: str, browser: Browser) -> None:
    """Bring a browser to the page behind a link."""
    plant(platform, slug, browser)
    assert browser.get(link(platform, slug)).headers["Location"] == "/support"


def come_in(platform: Platform, slug: str, browser: Browser) -> None:
    """Begin a visit."""
    open_link(platform, slug, browser)
    assert browser.post("/support").headers["Location"] == "/"


def fill_grant(platform: Platform, slug: str, browser: Browser) -> None:
    """Ask for access; the form that grants it names its fields after the request."""
    plant(platform, slug, browser)
    browser.filled = {f"{ASKED}-hours": "2"}  # type: ignore[attr-defined]
