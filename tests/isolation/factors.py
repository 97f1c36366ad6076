"""Second factors for the tables of routes: people of both tenants who have the same, and forms filled in with them."""

from __future__ import annotations

import json

from extranet.accounts import operations
from extranet.accounts.operations import NewUser
from extranet.errors import NotFound
from extranet.factors import recovery_codes, totp
from extranet.factors.operations import make_handle
from extranet.models import Passkey, User
from extranet.security_log.origin import OPERATOR
from tests.browser import Browser
from tests.extranet.authenticator import SoftAuthenticator
from tests.extranet.factors import Equipped, codes_on, key_on, setup_on
from tests.extranet.world import value_of
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id

BEN = user_id("ben")
PASSKEY = "7" * 32
SECURITY = "/preferences/security"


def equip(platform: Platform, slug: str, browser: Browser) -> None:
    """Give Ben everything there is, with his tenant's name on it."""
    made = SoftAuthenticator(browser.origin)
    with platform.db(slug) as db:
        totp.store(db, BEN, bytes(20), 0)
        recovery_codes.make_codes(db, BEN)
        db.add(
            Passkey(id=PASSKEY, user_id=BEN, credential_id=made.credential_id, public_key=b"", name=f"canary of {slug}")
        )


def fill_app(platform: Platform, slug: str, browser: Browser) -> None:
    """Fill in the page that sets an app up; codes were shown before."""
    with platform.db(slug) as db:
        recovery_codes.make_codes(db, BEN)
    page = browser.get(f"{SECURITY}/app")
    _fill(browser, setup=setup_on(page), code=Equipped(key_on(page)).code())


def fill_passkey(platform: Platform, slug: str, browser: Browser) -> None:
    """Fill in the page that adds a passkey; codes were shown before."""
    with platform.db(slug) as db:
        recovery_codes.make_codes(db, BEN)
    # The page with the form gives the browser the cookie that the challenge is made for.
    browser.get(f"{SECURITY}/passkeys/new")
    options = json.loads(browser.get(f"{SECURITY}/passkeys").text)
    _fill(browser, name="New", credential=SoftAuthenticator(browser.origin).create(options))


def fill_download(platform: Platform, slug: str, browser: Browser) -> None:
    """Fill in the page that shows codes."""
    equip(platform, slug, browser)
    page = browser.post(f"{SECURITY}/recovery-codes")
    assert len(codes_on(page)) == 10
    _fill(browser, codes=value_of(page.text, "codes"))


def wait(platform: Platform, slug: str, browser: Browser) -> None:
    """Let somebody's right password wait, with a recovery code filled in."""
    code = _wanda(platform, slug)[0]
    assert browser.post("/login", {"username": "wanda", "password": PASSWORD}).status_code == 303
    _fill(browser, recovery=code)


def wait_with_passkey(platform: Platform, slug: str, browser: Browser) -> None:
    """Let somebody's right password wait, with what a passkey has signed."""
    made = _passkey_of_wanda(platform, slug, browser)
    assert browser.post("/login", {"username": "wanda", "password": PASSWORD}).status_code == 303
    browser.get("/login/second-step")
    _fill(browser, credential=made.get(json.loads(browser.get("/login/second-step/passkey").text)))


def sign_by_passkey(platform: Platform, slug: str, browser: Browser) -> None:
    """Fill in what a passkey has signed, without a password."""
    made = _passkey_of_wanda(platform, slug, browser)
    browser.get("/login")
    _fill(browser, credential=made.get(json.loads(browser.get("/login/passkey").text)))


def _wanda(platform: Platform, slug: str) -> list[str]:
    with platform.db(slug) as db:
        try:
            user = operations.find_user(db, "wanda")
        except NotFound:
            new = NewUser("wanda", f"wanda@{slug}.example", "Wanda", f"canary of {slug}")
            user = operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
            operations.set_password(db, platform.passwords, user, PASSWORD, OPERATOR_ORIGIN, OPERATOR)
        totp.store(db, user.id, bytes(20), 0)
        return recovery_codes.make_codes(db, user.id)


def _passkey_of_wanda(platform: Platform, slug: str, browser: Browser) -> SoftAuthenticator:
    _wanda(platform, slug)
    with platform.db(slug) as db:
        user = operations.find_user(db, "wanda")
        make_handle(db, user.id)
        handle = db.get_one(User, user.id).passkey_handle or b""
        host = browser.origin.partition("://")[2].partition(":")[0]
        made = SoftAuthenticator(browser.origin, rp_id=host, handle=handle)
        db.add(
            Passkey(user_id=user.id, credential_id=made.credential_id, public_key=made.public_key, name="Wanda's key")
        )
    return made


def _fill(browser: Browser, **values: str) -> None:
    browser.filled = values  # type: ignore[attr-defined]
