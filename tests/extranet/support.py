"""What the tests of support access share: somebody of the staff who is ready, a grant, and a visit under it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from extranet.models import SupportGrant
from extranet.security_log.origin import Origin
from extranet.support import operations
from extranet.support.operations import Wish
from extranet.support.visits import make_link
from tenants.staff import StaffMember
from tests.browser import Browser
from tests.platform import OPERATOR_ORIGIN, PASSWORD, Platform, user_id

REASON = "Ticket 4711: the people page stays empty"
OLGA = "support:olga"


def staff(platform: Platform, name: str = "olga", full_name: str = "Olga Ops") -> StaffMember:
    """Return somebody of the staff who may ask; adds them first."""
    people, today = platform.tenancy.staff, datetime.now(UTC).date()
    people.add(name, full_name, f"{name}@ops.example")
    people.commit(name, today, "version 3, folder HR/7")
    return people.train(name, today - timedelta(days=30))


def ask(platform: Platform, slug: str = "acme", name: str = "olga", *, hours: int = 4, writes: bool = False) -> str:
    """Ask for access; return the request's id."""
    member = platform.tenancy.staff.by_name(name)
    with platform.db(slug) as db:
        return operations.ask(db, member, Wish(REASON, hours, writes), OPERATOR_ORIGIN).id


def grant(platform: Platform, slug: str = "acme", name: str = "olga", *, hours: int = 4, writes: bool = False) -> str:
    """Ask, and let anna grant all of it; return the grant's id."""
    grant_id, member = ask(platform, slug, name, hours=hours, writes=writes), platform.tenancy.staff.by_name(name)
    with platform.db(slug) as db:
        terms = {"hours": hours, "writes": writes, "user_id": user_id("anna"), "origin": OPERATOR_ORIGIN}
        operations.allow(db, grant_id, member, **terms)
    return grant_id


def link(platform: Platform, slug: str = "acme", name: str = "olga", origin: Origin = OPERATOR_ORIGIN) -> str:
    """Return the path of a link under a grant that stands."""
    with platform.db(slug) as db:
        return f"/support/{make_link(db, platform.tenancy.staff.by_name(name), origin)}"


def enter(platform: Platform, slug: str = "acme", name: str = "olga", **options: str) -> Browser:
    """Return a browser that has come in under a grant that stands."""
    browser = platform.browser(slug, **options)
    assert browser.get(link(platform, slug, name)).headers["Location"] == "/support"
    assert browser.post("/support").headers["Location"] == "/"
    return browser


def visit(platform: Platform, slug: str = "acme", *, writes: bool = False) -> Browser:
    """Do all of it from the beginning."""
    staff(platform)
    grant(platform, slug, writes=writes)
    return enter(platform, slug)


def stored(platform: Platform, grant_id: str, slug: str = "acme") -> SupportGrant:
    """Return a grant as it is stored."""
    with platform.db(slug, writing=False) as db:
        return db.get_one(SupportGrant, grant_id)


def proved(platform: Platform, slug: str = "acme") -> Browser:
    """Return anna's browser, in which she has just proved who she is."""
    browser = platform.signed_in(slug)
    assert browser.post("/confirm", {"password": PASSWORD}).status_code == 303
    return browser
