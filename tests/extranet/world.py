"""What the tests of the pages share: filled-in forms, the security log, and a hasher that counts."""

from __future__ import annotations

import html
import re
import threading
from collections.abc import Callable, Iterable
from typing import Any

from argon2 import PasswordHasher
from werkzeug.test import TestResponse

from extranet.accounts import operations
from extranet.accounts.operations import NewUser
from extranet.models import Role, User
from extranet.security_log.operations import read_last
from extranet.security_log.origin import OPERATOR
from tenants.journal import Entry
from tests.browser import Browser
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id

WRONG = "wrong horse battery staple"
NEW_PASSWORD = "seven purple kettles sing at noon"

PROFILE = {
    "first_name": "Anna",
    "last_name": "Martin",
    "position": "",
    "department": "",
    "sector": "",
    "phone": "",
    "mobile": "",
    "street": "",
    "postcode": "",
    "city": "",
    "country": "",
    "interests": "",
    "about": "",
    "contact_channel": "email",
    "phone_visibility": "company",
    "mobile_visibility": "company",
    "address_visibility": "admins",
    "interests_visibility": "company",
}
DISPLAY = {
    "language": "en",
    "time_zone": "Europe/Paris",
    "date_format": "locale",
    "clock": "24h",
    "theme": "system",
    "density": "comfortable",
    "rows_per_page": "25",
}
COMPANY = {
    "legal_name": "Acme SAS",
    "trading_name": "Acme",
    "legal_form": "SAS",
    "registration_number": "732829320",
    "vat_id": "FR44732829320",
    "sector": "industry",
    "street": "1 rue de la Paix",
    "postcode": "75002",
    "city": "Paris",
    "country": "FR",
    "phone": "+33 1 23 45 67 89",
    "website": "https://acme.example",
    "accent_hue": "120",
}

_TOKEN = re.compile(r'(name="csrf_token" value=")[^"]+')


class CountingHasher:
    """A real Argon2 hasher that notes how often it was asked to verify."""

    def __init__(self, inner: PasswordHasher) -> None:
        self._inner = inner
        self._lock = threading.Lock()
        self.verified = 0

    def verify(self, encoded: str, password: str) -> bool:
        with self._lock:
            self.verified += 1
        return self._inner.verify(encoded, password)

    def hash(self, password: str) -> str:
        return self._inner.hash(password)

    def check_needs_rehash(self, encoded: str) -> bool:
        return self._inner.check_needs_rehash(encoded)


def count_verifications(platform: Platform) -> CountingHasher:
    """Count the password verifications of an application from now on."""
    hasher = CountingHasher(platform.passwords._hasher)
    platform.passwords._hasher = hasher
    return hasher


def try_sign_in(browser: Browser, username: str = "anna", password: str = WRONG, path: str = "/login") -> TestResponse:
    """Send the sign-in form, whatever comes of it."""
    return browser.post(path, {"username": username, "password": password})


def without_token(text: str) -> str:
    """Return a page without what differs from one visit to the next."""
    return _TOKEN.sub(r"\1", text)


def value_of(page: str, field: str) -> str:
    """Return what an input of a page is filled in with."""
    tag = re.search(rf'<input[^>]*name="{field}"[^>]*>', page)
    assert tag, field
    value = re.search(r'value="([^"]*)"', tag[0])
    return html.unescape(value[1]) if value else ""


def log_of(platform: Platform, slug: str = "acme") -> list[Entry]:
    """Return a tenant's security log, oldest first."""
    with platform.db(slug, writing=False) as db:
        return read_last(db, 10_000)


def events_after(platform: Platform, act: Callable[[], Any], slug: str = "acme") -> list[Entry]:
    """Do something and return the entries it added to the log."""
    before = len(log_of(platform, slug))
    act()
    return log_of(platform, slug)[before:]


def names(entries: Iterable[Entry]) -> list[str]:
    """Return what happened, without the rest."""
    return [entry.event for entry in entries]


def row_of(platform: Platform, username: str = "anna", slug: str = "acme") -> User:
    """Return a person's account as it is stored."""
    with platform.db(slug, writing=False) as db:
        return db.get_one(User, user_id(username))


def add_person(platform: Platform, username: str, role: Role = Role.MEMBER, slug: str = "acme") -> str:
    """Create somebody with a password and return their id."""
    with platform.db(slug) as db:
        new = NewUser(username, f"{username}@{slug}.example", username.capitalize(), "Newcomer", role)
        user = operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
        operations.set_password(db, platform.passwords, user, PASSWORD, OPERATOR_ORIGIN, OPERATOR)
        return user.id


def disable(platform: Platform, username: str, slug: str = "acme") -> None:
    """Shut somebody's account."""
    with platform.db(slug) as db:
        operations.disable_user(db, operations.find_user(db, username), OPERATOR_ORIGIN, OPERATOR)
