"""extranet support: asking a tenant to be let in, and going in where it was granted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from provisioning.console import Console, verb
from provisioning.people import changing
from provisioning.tenant_card import tenant_url

if TYPE_CHECKING:
    from extranet.models import SupportGrant
    from tenants.tenant import Tenant


@click.group("support")
def command() -> None:
    """Ask a tenant for access, and enter where an administrator granted it."""


_AS = click.option("--as", "staff", required=True, metavar="NAME", help="Who of the staff it is for.")


@command.command(short_help="Ask a tenant's administrators for access.")
@click.argument("slug")
@_AS
@click.option("--reason", required=True, help="Why. The administrators read it, and it stays in their log.")
@click.option("--hours", default=4, type=click.IntRange(1, 24), help="For how long.", show_default=True)
@click.option("--write", "writes", is_flag=True, help="To change the company's registration and look, too.")
@verb(changes=True)
def ask(console: Console, slug: str, staff: str, reason: str, hours: int, writes: bool) -> None:
    """Ask a tenant's administrators for access. Nobody gets in before one of them grants it.

    Without an answer it lapses after 7 days. Refused without a signed commitment
    on file, and without training in the last 12 months: see extranet staff list.

    \b
    Example:
      extranet support ask acme --as olga --hours 2 \\
        --reason "Ticket 4711: the people page stays empty"
    """
    from extranet.support import operations

    member = console.tenancy.staff.by_name(staff)
    with changing(console, slug) as db:
        grant = operations.ask(db, member, operations.Wish(reason, hours, writes), console.origin)
        document = _document(slug, grant)
    console.say(
        document,
        f"The administrators of {slug} are asked, by mail and on their page Support access.",
        f"Once one of them grants it: extranet support open {slug} --as {staff}",
    )


@command.command("list", short_help="List what was asked of tenants, and what they granted.")
@click.argument("slug", required=False, default="")
@verb()
def list_access(console: Console, slug: str) -> None:
    """List what was asked of tenants and not answered, and what they granted and still stands.

    \b
    Example:
      extranet support list
      extranet support list acme
    """
    found = list(_living(console, slug))
    console.table(
        found,
        ["Tenant", "Who", "State", "Until (UTC)", "May change", "Reason"],
        [
            [
                *(one["slug"], one["staff"], one["state"]),
                *(one["until"] or "-", "yes" if one["writes"] else "no", one["reason"]),
            ]
            for one in found
        ],
        "Nothing is asked and nothing is granted. Ask with: extranet support ask",
    )


@command.command("open", short_help="Make the link to enter a tenant with.")
@click.argument("slug")
@_AS
@verb(changes=True)
def open_tenant(console: Console, slug: str, staff: str) -> None:
    """Make a link to enter a tenant with, under a grant that stands. It works once and for 5 minutes.

    \b
    Example:
      extranet support open acme --as olga
    """
    from extranet.support.visits import make_link

    member = console.tenancy.staff.by_name(staff)
    with changing(console, slug) as db:
        token = make_link(db, member, console.origin)
    link = f"{tenant_url(console, console.tenancy.registry.by_slug(slug))}/support/{token}"
    console.say(
        {"slug": slug, "staff": staff, "link": link}, f"{staff} enters here, once and within 5 minutes:", f"  {link}"
    )


@command.command(short_help="Give access back before its time, or take the request back.")
@click.argument("slug")
@_AS
@verb(changes=True)
def end(console: Console, slug: str, staff: str) -> None:
    """Give access back before its time, or take the request back. Every visit ends at once.

    \b
    Example:
      extranet support end acme --as olga
    """
    from extranet.support.operations import give_back

    with changing(console, slug) as db:
        grant = give_back(db, staff, console.origin)
        document = {**_document(slug, grant), "state": "ended"}
    console.say(document, f"{staff} has no access to {slug}, and asks for none.")


def _living(console: Console, slug: str) -> Iterator[dict[str, Any]]:
    from extranet.support.finding import standing, waiting

    for tenant in _tenants(console, slug):
        with console.tenancy.open_db(tenant) as db:
            yield from (_document(tenant.slug, grant) for grant in [*standing(db), *waiting(db)])


def _tenants(console: Console, slug: str) -> list[Tenant]:
    from tenants.tenant import State

    registry = console.tenancy.registry
    return [registry.by_slug(slug)] if slug else [one for one in registry.all() if one.state is State.ACTIVE]


def _document(slug: str, grant: SupportGrant) -> dict[str, Any]:
    return {
        "slug": slug,
        "staff": grant.staff,
        "name": grant.staff_name,
        "state": "granted" if grant.expires_at else "asked",
        "hours": grant.hours,
        "writes": grant.writes,
        "reason": grant.reason,
        "asked_at": f"{grant.asked_at:%Y-%m-%dT%H:%M:%SZ}",
        "until": f"{grant.expires_at:%Y-%m-%dT%H:%M:%SZ}" if grant.expires_at else None,
    }
