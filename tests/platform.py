"""A real platform for tests: a home folder with a registry and two real tenants, and browsers to visit them with.

Both tenants hold people with the same usernames, the same passwords and the same ids: whatever confuses one
tenant with the other shows at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from flask import Flask

from extranet.accounts import operations
from extranet.accounts.founding import found_tenant
from extranet.accounts.operations import NewUser
from extranet.accounts.passwords import Cost, Passwords
from extranet.app import HISTORY
from extranet.models import Role
from extranet.security_log.origin import OPERATOR, Origin
from tenants import lifecycle
from tenants.databases import TenantSession
from tenants.servers import database_name
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import EMBEDDED, Tenant
from tests.applications import borrowed_app, new_app
from tests.browser import Browser
from tests.services.postgresql import Cluster
from tests.services.pristine import Pristine
from tests.tenants.servers import register

CHEAPEST = Cost(time=1, memory=8, lanes=1)
PASSWORD = "correct horse battery staple"
OPERATOR_ORIGIN = Origin.operator("operator", "test")

PEOPLE = {
    "anna": ("Anna", "Martin", Role.ADMIN),
    "ben": ("Ben", "Peeters", Role.MEMBER),
    "gus": ("Gus", "Guest", Role.GUEST),
}
SLUGS = ("acme", "globex")
SQLITE_ONLY = pytest.mark.parametrize("kept_on", ["sqlite"], indirect=True)
"""For a test about SQLite's files, or one that would be no other where tenants are on a server."""
BOTH = pytest.mark.parametrize("kept_on", ["sqlite", "postgresql"], indirect=True)
"""For a page whose SQL or locks differ on a server. Every other is seen there once, in ``tests/isolation``."""
UNTOUCHED_CARD = {
    "sector": "",
    "country": "",
    "contact_channel": "email",
    "phone_visibility": "company",
    "mobile_visibility": "company",
    "address_visibility": "admins",
    "interests_visibility": "company",
}
"""What a browser sends of the profile's choices when nobody touched them."""


def user_id(username: str) -> str:
    """Return the id a test person has in every tenant."""
    return username.encode().hex().ljust(32, "0")


@dataclass
class Platform:
    """An application over one home."""

    settings: Settings
    app: Flask

    @property
    def tenancy(self) -> Tenancy:
        return self.app.extensions["extranet"].tenancy

    @property
    def passwords(self) -> Passwords:
        return self.app.extensions["extranet"].passwords

    def tenant(self, slug: str) -> Tenant:
        return self.tenancy.registry.by_slug(slug)

    @contextmanager
    def db(self, slug: str, *, writing: bool = True) -> Iterator[TenantSession]:
        """Open a tenant's database; commits at the end when writing."""
        with self.tenancy.open_db(self.tenant(slug), writing=writing) as db:
            yield db
            if writing:
                db.commit()

    def browser(self, slug: str = "acme", **options: str) -> Browser:
        """Return a fresh browser that visits one tenant."""
        return Browser(self.app, self.settings.origin(self.settings.host_of(slug)), **options)

    def signed_in(self, slug: str = "acme", username: str = "anna") -> Browser:
        """Return a browser in which somebody has signed in through the form."""
        browser = self.browser(slug)
        browser.sign_in(username, PASSWORD)
        return browser

    def invite(self, slug: str, username: str) -> str:
        """Create a user and return their invitation's path."""
        with self.db(slug) as db:
            new = NewUser(username, f"{username}@{slug}.example", username.capitalize(), "Newcomer")
            user = operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
            return f"/invitation/{operations.invite(db, user, OPERATOR_ORIGIN, OPERATOR)}"

    def close(self) -> None:
        self.tenancy.close()


def make_home(home: Path) -> None:
    """Fill an empty folder with a registry and both tenants. Slow: do it once and copy."""
    with new_home(home) as tenancy:
        for slug in SLUGS:
            add_tenant(tenancy, slug)


@dataclass(frozen=True)
class HomeOnServer:
    """A closed home whose tenants are on a server, and their databases as they were when it was made."""

    home: Path
    databases: Pristine

    def copy(self, target: Path) -> Path:
        """Copy it, with its databases, of which there is one set only: one copy is open at a time."""
        self.databases.restore()
        return copy_home(self.home, target)


def make_home_on_server(
    home: Path, cluster: Cluster, slugs: Sequence[str] = SLUGS, prepare: Callable[[Platform], object] | None = None
) -> HomeOnServer:
    """Do what ``make_home`` does, with the tenants on a server. ``prepare`` gets the platform before it is closed."""
    with new_home(home) as tenancy:
        register(tenancy, cluster)
        names = [database_name(add_tenant(tenancy, slug, "pg1").uuid) for slug in slugs]
    if prepare is not None:
        platform = open_platform(home)
        prepare(platform)
        platform.close()
    return HomeOnServer(home, Pristine(cluster, names))


@contextmanager
def new_home(home: Path) -> Iterator[Tenancy]:
    """Make a home without a tenant in an empty folder, and open it."""
    settings = read_settings({"EXTRANET_HOME": str(home)})
    initialise(settings)
    with Tenancy.open(settings, HISTORY) as tenancy:
        yield tenancy


def add_tenant(tenancy: Tenancy, slug: str, server: str = EMBEDDED) -> Tenant:
    """Create a tenant with the test people."""
    passwords = Passwords(CHEAPEST, slots=1)

    def prepare(db: TenantSession) -> None:
        for username, (first_name, last_name, role) in PEOPLE.items():
            new = NewUser(username, f"{username}@{slug}.example", first_name, last_name, role)
            with patch.object(operations, "new_id", lambda username=username: user_id(username)):
                if role is Role.ADMIN:
                    user = found_tenant(db, slug.capitalize(), "en", new, OPERATOR_ORIGIN)
                else:
                    user = operations.create_user(db, new, OPERATOR_ORIGIN, OPERATOR)
            operations.set_password(db, passwords, user, PASSWORD, OPERATOR_ORIGIN, OPERATOR)

    tenant, _ = lifecycle.create_tenant(tenancy, slug, slug.capitalize(), prepare, server)
    return tenant


def open_platform(home: Path, **settings: object) -> Platform:
    """Open the application over a home."""
    read = _settings_of(home, settings)
    return Platform(read, new_app(read, CHEAPEST))


@contextmanager
def opened_platform(home: Path, **settings: object) -> Iterator[Platform]:
    """Open the application over a home for one test, and close it."""
    read = _settings_of(home, settings)
    with borrowed_app(read, CHEAPEST) as app:
        platform = Platform(read, app)
        yield platform
        platform.close()


def _settings_of(home: Path, settings: Mapping[str, object]) -> Settings:
    # One worker, one slot for passwords: a test that holds it sees what happens when all are taken.
    return replace(read_settings({"EXTRANET_HOME": str(home)}), **{"workers": 1, **settings})


def copy_home(pristine: Path, target: Path) -> Path:
    """Copy a closed home."""
    return Path(shutil.copytree(pristine, target, copy_function=shutil.copy2))
