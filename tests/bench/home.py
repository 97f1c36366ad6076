"""What is measured: a home with many tenants, visitors already signed in, and people waiting to sign in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from argon2 import PasswordHasher

from extranet.accounts import operations
from extranet.accounts.founding import found_tenant
from extranet.accounts.logins import start_login
from extranet.accounts.operations import NewUser
from extranet.accounts.passwords import Cost
from extranet.app import HISTORY
from extranet.models import Role, User, UserState
from extranet.request import cookies
from extranet.security_log.origin import OPERATOR, Origin
from tenants import lifecycle
from tenants.databases import TenantSession
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy, initialise
from tenants.tenant import EMBEDDED, Tenant
from tests.bench.load import USER_AGENT

PASSWORD = "correct horse battery staple"
_ORIGIN = Origin("127.0.0.1", 40000, USER_AGENT, "bench")
_VISITOR = "anna"

Prepared = TypeVar("Prepared")


@dataclass(frozen=True)
class Home:
    """A closed home: start a server on it, or open it."""

    settings: Settings

    @property
    def environment(self) -> dict[str, str]:
        """What makes a process of the product use this home."""
        return {
            "EXTRANET_HOME": str(self.settings.home),
            "EXTRANET_DOMAIN": f"{self.settings.domain}:{self.settings.port}",
            "EXTRANET_WORKERS": str(self.settings.workers),
        }

    def host(self, slug: str) -> str:
        """Return what stands in a Host header."""
        return f"{self.settings.host_of(slug)}:{self.settings.port}"

    def open(self) -> Tenancy:
        return Tenancy.open(self.settings, HISTORY)


def make_home(folder: Path, port: int, workers: int) -> Home:
    """Make an empty home."""
    environ = {"EXTRANET_HOME": str(folder), "EXTRANET_DOMAIN": f"localhost:{port}", "EXTRANET_WORKERS": str(workers)}
    home = Home(read_settings(environ))
    initialise(home.settings)
    return home


def add_visited_tenants(
    home: Home, tenancy: Tenancy, end: int, begin: int = 0, server: str = EMBEDDED
) -> list[tuple[str, str]]:
    """Create tenants with one signed-in person each, numbered; return their hosts and Cookie headers."""
    visits = []
    for number in range(begin, end):
        slug = f"visited-{number}"
        tenant, secret = create_tenant(tenancy, slug, _with_two_logins, server)
        visits.append(_visit(home, tenancy, tenant, secret))
    return visits


def add_shared_tenant(tenancy: Tenancy, people: int) -> Path:
    """Create one tenant in which as many people have two logins each; return its database file, closed."""

    def prepare(db: TenantSession, admin: User) -> None:
        for number in range(people):
            _with_two_logins(db, _add_person(db, f"person-{number}"))

    tenant, _ = create_tenant(tenancy, "shared", prepare)
    return tenancy.databases.path_of(tenant)


def add_people(home: Home, tenancy: Tenancy, slug: str, count: int) -> tuple[list[tuple[str, str]], tuple[str, str]]:
    """Create a tenant with people whose password is ``PASSWORD``, and one who is signed in already.

    Returns their hosts and usernames, and the host and Cookie header of the one.
    """
    cost = Cost()
    # One hash for all of them: sealed for each, so the server cannot tell, and made in a second instead of a minute.
    encoded = PasswordHasher(cost.time, cost.memory, cost.lanes, hash_len=32, salt_len=16).hash(PASSWORD).encode()
    names = [f"person-{number}" for number in range(count)]

    def prepare(db: TenantSession, admin: User) -> bytes:
        for name in names:
            user = _add_person(db, name)
            user.password = db.info["keys"].seal("password", encoded, context=user.id.encode())
        return _with_two_logins(db, admin)

    tenant, secret = create_tenant(tenancy, slug, prepare)
    return [(home.host(slug), name) for name in names], _visit(home, tenancy, tenant, secret)


def create_tenant(
    tenancy: Tenancy, slug: str, prepare: Callable[[TenantSession, User], Prepared], server: str = EMBEDDED
) -> tuple[Tenant, Prepared]:
    """Create a tenant whose first administrator is invited; ``prepare`` does the rest."""

    def found(db: TenantSession) -> Prepared:
        new = NewUser(_VISITOR, f"{_VISITOR}@{slug}.example", "Anna", "Martin", Role.ADMIN)
        admin = found_tenant(db, slug.capitalize(), "en", new, _ORIGIN)
        operations.invite(db, admin, _ORIGIN, OPERATOR)
        return prepare(db, admin)

    return lifecycle.create_tenant(tenancy, slug, slug.capitalize(), found, server)


def _add_person(db: TenantSession, name: str) -> User:
    user = operations.create_user(db, NewUser(name, f"{name}@example.com", "Anna", "Martin"), _ORIGIN, OPERATOR)
    user.state = UserState.ACTIVE
    return user


def _with_two_logins(db: TenantSession, user: User) -> bytes:
    # The page shows the sign-in before this one.
    user.state = UserState.ACTIVE
    first = start_login(db, user, b"", _ORIGIN)
    db.flush()
    return start_login(db, user, first.device, _ORIGIN).secret


def _visit(home: Home, tenancy: Tenancy, tenant: Tenant, secret: bytes) -> tuple[str, str]:
    return home.host(tenant.slug), f"{cookies.SESSION_COOKIE}={_session_cookie(tenancy, tenant, secret)}"


def _session_cookie(tenancy: Tenancy, tenant: Tenant, secret: bytes) -> str:
    cookie = cookies.SessionCookie(cookies.Kind.LOGIN, secret=secret)
    sealed = tenancy.keys_of(tenant).seal(
        f"cookie/{cookies.SESSION_COOKIE}", cookies._packed(cookie), context=tenant.epoch.to_bytes(4)
    )
    return cookies._encoded(sealed)
