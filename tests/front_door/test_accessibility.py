"""axe finds nothing on any page: on a phone and on a desk, by day and by night; and in every language."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

from extranet.accounts import operations
from extranet.accounts.operations import NewUser
from extranet.i18n import DEFAULT_LANGUAGE, LANGUAGES
from extranet.models import Consent, Identity, IdentityProvider, Role
from extranet.models.single_sign_on import THE_PROVIDER
from extranet.security_log.origin import OPERATOR
from extranet.single_sign_on.consents import SIGN_ON
from tests.front_door.conftest import Open
from tests.front_door.door import Door
from tests.front_door.screen import Screen
from tests.platform import OPERATOR_ORIGIN, PASSWORD

pytestmark = [pytest.mark.front_door, pytest.mark.browser, pytest.mark.timeout(180)]

WIDTHS = (390, 1280)
# Where there is least room: the narrowest telephone, a tablet, and the first width with a menu beside the page.
TIGHT = (320, 700, 961)
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
ISSUER = "https://id.acme.example"
# Without the list of what is well, which is long.
_RUN_AXE = """rules => axe.run({resultTypes: ['violations'], ...rules}).then(found => found.violations.map(
  ({id, nodes}) => [id, nodes.map(({html, failureSummary}) => [html, failureSummary])]
))"""
SIGNED_IN = (
    "/",
    "/preferences/profile",
    "/preferences/display",
    "/preferences/security",
    "/preferences/security/app",
    "/preferences/security/passkeys/new",
    "/preferences/sessions",
    "/preferences/history",
    "/preferences/company",
    "/admin/people",
    "/admin/people?q=nobody-at-all&role=guest",
    "/admin/invitations",
    "/admin/import",
    "/admin/policy",
    "/admin/single-sign-on",
    "/admin/single-sign-on/remove",
    "/admin/look",
    "/admin/usage",
    "/admin/support",
    "/admin/activity",
    "/nothing-here",
)


@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing(door: Door, visit: Open, language: str) -> None:
    username = f"axe{language}"
    _add_user(door, username, language)
    screen = visit("acme", locale=language)
    for name in _stranger_pages(door, screen, language):
        _examine(screen, name, language)
    screen.sign_in(username)
    for path in SIGNED_IN:
        screen.go(path)
        assert screen.page.get_attribute("html", "lang") == language
        _examine(screen, f"{path.partition('?')[0].strip('/').replace('/', '-') or 'today'}", language)
    for name, path in _log_pages(screen):
        screen.go(path)
        _examine(screen, name, language)
    for path, field in (("/preferences/profile", "first_name"), ("/preferences/security", "current")):
        screen.go(path)
        _send_empty(screen, field)
        _examine(screen, f"{path.strip('/').replace('/', '-')}-refused", language)
    screen.page.click(".who")
    _examine(screen, "menu", language)
    # Pages that are meant to be refusals say so in the console, and nothing else does.
    assert [complaint for complaint in screen.complaints if "Failed to load resource" not in complaint] == []
    assert [url for url in screen.fetched if not url.startswith(door.origin("acme"))] == []


def _log_pages(screen: Screen) -> Iterator[tuple[str, str]]:
    screen.go("/admin/security-log")
    screen.submit()
    yield "security-log", "/admin/security-log"
    yield "security-log-refused", "/admin/security-log?from=yesterday&address=nowhere&person=nobody"
    yield "activity", "/admin/activity"
    yield "reason", "/admin/activity?person=anna"


def _stranger_pages(door: Door, screen: Screen, language: str) -> Iterator[str]:
    screen.go("/login")
    yield "login"
    screen.page.fill("#username", "nobody")
    screen.page.fill("#password", "wrong")
    screen.submit()
    yield "login-refused"
    screen.go(door.platform.invite("acme", f"guest{language}"))
    yield "invitation"
    screen.page.fill("#password", "short")
    _send_as_it_is(screen)
    yield "invitation-refused"
    screen.go("/invitation/" + "A" * 43)
    yield "invitation-gone"
    screen.go("/nothing-here")
    yield "not-found"
    screen.go("/healthz")
    yield "nginx-not-found"


def _examine(screen: Screen, name: str, language: str) -> None:
    page = screen.page
    page.evaluate(Axe().axe_script)
    for width in TIGHT:
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls at {width} px"
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        for scheme in _schemes(language, width):
            page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
            # The other scheme changes colours and nothing else.
            found = page.evaluate(_RUN_AXE, {} if scheme == "light" else {"runOnly": ["color-contrast"]})
            assert found == [], f"{name} in {language}, {width} px, {scheme}"
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls at {width} px"
        if language == DEFAULT_LANGUAGE:
            # The last scheme is the dark one.
            screen.picture(f"{name}-{language}-{width}")


def _schemes(language: str, width: int) -> tuple[Literal["light", "dark"], ...]:
    """Return all for the first language. The others change words in the same layout and the same colours."""
    if language == DEFAULT_LANGUAGE:
        return SCHEMES
    # Where there is least room for a long word.
    return SCHEMES[:1] if width == min(WIDTHS) else ()


def _send_empty(screen: Screen, field: str) -> None:
    screen.page.fill(f"#{field}", "")
    _send_as_it_is(screen)


def _send_as_it_is(screen: Screen) -> None:
    screen.page.evaluate("for (const form of document.forms) form.noValidate = true")
    screen.submit()


def _add_user(door: Door, username: str, language: str) -> None:
    with door.platform.db("acme") as db:
        new = NewUser(username, f"{username}@acme.example", "Alix", "Examiner", Role.ADMIN)
        user = operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
        operations.set_password(db, door.platform.passwords, user, PASSWORD, OPERATOR_ORIGIN, OPERATOR)
        user.language = language
        if db.get(IdentityProvider, THE_PROVIDER) is None:
            db.add(IdentityProvider(name="Acme ID", issuer=ISSUER, client_id="extranet", client_secret=b"sealed"))
        db.add(Identity(user_id=user.id, issuer=ISSUER, subject=username, name=user.email))
        db.add(Consent(user_id=user.id, purpose=SIGN_ON, detail=ISSUER, text_version="2026-11"))
