"""A forgotten password and another address, in a real browser, with links taken from the mails."""

from __future__ import annotations

import pytest

from extranet.accounts import new_addresses, recovery
from extranet.accounts.notices import tell_password_changed
from extranet.accounts.operations import find_user
from extranet.i18n import LANGUAGES
from extranet.mail.kinds import MailKind
from tests.extranet.world import NEW_PASSWORD, add_person
from tests.front_door.conftest import Open
from tests.front_door.door import Door
from tests.front_door.test_accessibility import _examine
from tests.platform import OPERATOR_ORIGIN, PASSWORD
from tests.posted import mails_of

pytestmark = [pytest.mark.front_door, pytest.mark.browser]


def link(door: Door, slug: str, kind: MailKind, page: str, username: str) -> str:
    """Return the path in the newest mail of a kind to one person; it must lead to this very host."""
    mails = [mail for mail in mails_of(door.platform, slug, kind) if mail.to.startswith(username)]
    assert f"{door.origin(slug)}{page}/" in mails[-1].text
    return mails[-1].path(page)


@pytest.mark.parametrize("slug", ["acme", "globex"])
def test_somebody_forgets_a_password_and_moves_to_another_address(door: Door, visit: Open, slug: str) -> None:
    username = "rita"
    add_person(door.platform, username, slug=slug)
    screen = visit(slug)
    page = screen.page
    screen.go("/login")
    page.click("a[href='/forgotten']")
    page.fill("#username", username)
    screen.submit()
    assert screen.path == "/forgotten/sent"

    screen.go(link(door, slug, MailKind.RESET, "/reset", username))
    assert screen.path == "/reset", "the token left the address"
    assert page.input_value("#username[readonly]") == username
    page.fill("#password", NEW_PASSWORD)
    page.fill("#repeat", NEW_PASSWORD)
    screen.submit()
    assert screen.path == "/login"
    assert "sign in with the new one" in screen.notice
    page.fill("#username", username)
    page.fill("#password", NEW_PASSWORD)
    screen.submit()
    assert screen.path == "/"

    screen.go("/preferences/profile")
    page.click("main a[href='/preferences/email']")
    page.fill("#email", "rita@elsewhere.example")
    screen.submit()
    assert "Nothing changes until you open it" in screen.notice
    assert "rita@elsewhere.example" in page.inner_text("main .card >> nth=0")
    screen.go(link(door, slug, MailKind.CONFIRM_EMAIL, "/email/confirm", "rita@elsewhere"))
    assert screen.path == "/email/confirm"
    screen.submit()
    assert screen.path == "/preferences/profile"
    assert "rita@elsewhere.example" in page.inner_text("main .facts")

    other = visit(slug)
    other.go(link(door, slug, MailKind.EMAIL_CHANGED, "/email/undo", username))
    other.submit()
    assert "no longer works" in other.notice
    screen.go("/")
    assert screen.path.startswith("/login")
    other.page.fill("#username", username)
    other.page.fill("#password", PASSWORD)
    other.submit()
    assert other.path == "/login"
    assert not screen.complaints


@pytest.mark.timeout(180)
@pytest.mark.parametrize("language", LANGUAGES)
def test_axe_finds_nothing_on_the_pages_behind_links(door: Door, visit: Open, language: str) -> None:
    username = f"link{language}"
    add_person(door.platform, username)
    with door.platform.db("acme") as db:
        user = find_user(db, username)
        user.language = language
        recovery.start_reset(db, user, user.id, OPERATOR_ORIGIN)
        new_addresses.ask_new_address(db, user.id, f"{username}@elsewhere.example", OPERATOR_ORIGIN)
        tell_password_changed(db, user, OPERATOR_ORIGIN)
    screen = visit("acme", locale=language)
    for path, name in (("/forgotten", "forgotten"), ("/forgotten/sent", "forgotten-sent"), ("/reset", "link-refused")):
        screen.go(path)
        _examine(screen, name, language)
    for kind, path in (
        (MailKind.RESET_BY_ADMIN, "/reset"),
        (MailKind.PASSWORD_CHANGED, "/stranger"),
        (MailKind.EMAIL_CHANGING, "/email/undo"),
        (MailKind.CONFIRM_EMAIL, "/email/confirm"),
    ):
        screen.go(link(door, "acme", kind, path, username))
        assert screen.path == path
        _examine(screen, path[1:].replace("/", "-"), language)
    screen.sign_in(username)
    screen.go("/preferences/email")
    _examine(screen, "preferences-email", language)
