"""extranet tenant: a tenant's life."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from extranet.i18n import LANGUAGES
from extranet.security_log.events import TenantEvent
from extranet.security_log.origin import OPERATOR
from provisioning.backup_answers import verified_card
from provisioning.commands.tenant_keys import rotate_keys
from provisioning.commands.tenant_life import clone, close, move, purge, rename, reopen
from provisioning.console import Console, read_secret, verb
from provisioning.place import place_for_new
from provisioning.table import card
from provisioning.telling import telling
from provisioning.tenant_card import storage, tenant_document, tenant_url
from tenants.errors import SchemaBehind, TenancyError

if TYPE_CHECKING:
    from tenants.databases import TenantSession
    from tenants.tenant import Tenant


@click.group("tenant")
def command() -> None:
    """Lead tenants through their lives, from creation to end."""


for _verb in (rename, close, reopen, purge, clone, move, rotate_keys):
    command.add_command(_verb)


@command.command(short_help="Create a tenant and its first administrator.")
@click.argument("slug")
@click.option("--name", required=True, help="The company's name.")
@click.option("--admin", required=True, metavar="USERNAME", help="The first administrator's username.")
@click.option("--email", required=True, help="The first administrator's e-mail address.")
@click.option("--first-name", default="", help="The administrator's first name.  [default: the username]")
@click.option("--last-name", default="Administrator", help="The administrator's last name.", show_default=True)
@click.option("--locale", default="en", type=click.Choice(list(LANGUAGES)), help="Its language.", show_default=True)
@click.option("--server", default="", help="Where its database is to be.  [default: the least filled]")
@click.option("--password-stdin", is_flag=True, help="Read the administrator's password from standard input.")
@verb(changes=True)
def create(
    console: Console,
    slug: str,
    name: str,
    admin: str,
    email: str,
    first_name: str,
    last_name: str,
    locale: str,
    server: str,
    password_stdin: bool,
) -> None:
    """Create a tenant: its own host, database, key and files, and a first administrator.

    Without --password-stdin it prints a link, good once and for 3 days, where the administrator chooses a password.

    \b
    Example:
      extranet tenant create acme --name "Acme" \\
        --admin anna --email anna@acme.example
    """
    from extranet.accounts.founding import found_tenant
    from extranet.accounts.invitations import invite
    from extranet.accounts.operations import NewUser, set_password
    from extranet.accounts.passwords import command_line_passwords
    from extranet.models import Role
    from tenants.lifecycle import create_tenant

    password = read_secret("Password") if password_stdin else ""
    person = NewUser(admin, email, first_name or admin.capitalize(), last_name, Role.ADMIN)

    def prepare(db: TenantSession) -> str:
        user = found_tenant(db, name, locale, person, console.origin)
        if password:
            set_password(db, command_line_passwords(), user, password, console.origin, OPERATOR)
            return ""
        return invite(db, user, console.origin, OPERATOR)

    tenancy = console.tenancy
    tenant, token = create_tenant(tenancy, slug, name, prepare, server or place_for_new(console))
    url = tenant_url(console, tenant)
    invitation = f"{url}/invitation/{token}" if token else ""
    console.say(
        {**tenant_document(console, tenant), "admin": admin, "invitation": invitation},
        f"{tenant.slug} is ready at {url}",
        *(
            (f"{admin} chooses a password here, once and within 3 days:", f"  {invitation}")
            if token
            else (f"{admin} can sign in with the password you gave.",)
        ),
    )


@command.command("list")
@verb()
def list_tenants(console: Console) -> None:
    """List all tenants, from the registry alone.

    \b
    Example:
      extranet tenant list
    """
    tenants = console.tenancy.registry.all()
    columns = ["Slug", "Name", "State", "Address"]
    rows = [[tenant.slug, tenant.name, tenant.state, tenant_url(console, tenant)] for tenant in tenants]
    if console.tenancy.servers.all():
        columns.append("Server")
        rows = [[*row, tenant.server] for row, tenant in zip(rows, tenants, strict=True)]
    console.table(
        [tenant_document(console, tenant) for tenant in tenants],
        columns,
        rows,
        "There is no tenant yet. Make one with: extranet tenant create",
    )


@command.command(short_help="Show one tenant: addresses, dates, people, room it takes.")
@click.argument("slug")
@verb()
def show(console: Console, slug: str) -> None:
    """Show one tenant: its addresses, its dates, its people, where they sign in besides, and how much room it takes.

    \b
    Example:
      extranet tenant show acme
    """
    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    dates = tenancy.registry.dates_of(tenant)
    inside, why = _inside(console, tenant)
    document = {
        **tenant_document(console, tenant),
        "hosts": tenancy.registry.hosts_of(tenant),
        "former_slugs": tenancy.registry.former_slugs_of(tenant),
        "created_at": f"{dates.created_at:%Y-%m-%dT%H:%M:%SZ}",
        "changed_at": f"{dates.changed_at:%Y-%m-%dT%H:%M:%SZ}",
        "folder": str(tenancy.settings.folder_of(tenant.uuid)),
        "storage_bytes": storage(console, tenant),
        **inside,
        **verified_card(console, tenant),
    }
    console.say(document, *card({**document, **(dict.fromkeys(inside, why) if why else {})}))


@command.command()
@click.argument("slug")
@verb(changes=True)
def suspend(console: Console, slug: str) -> None:
    """Stop serving a tenant, within a second and everywhere. Nothing is deleted.

    \b
    Example:
      extranet tenant suspend acme
    """
    from tenants.lifecycle import suspend_tenant

    tenant = suspend_tenant(console.tenancy, slug, telling(console, TenantEvent.SUSPENDED))
    console.say(
        tenant_document(console, tenant), f"{slug} is suspended. Serve it again with: extranet tenant resume {slug}"
    )


@command.command()
@click.argument("slug")
@verb(changes=True)
def resume(console: Console, slug: str) -> None:
    """Serve a suspended tenant again.

    \b
    Example:
      extranet tenant resume acme
    """
    from tenants.lifecycle import resume_tenant

    tenant = resume_tenant(console.tenancy, slug, telling(console, TenantEvent.RESUMED))
    console.say(tenant_document(console, tenant), f"{slug} is active at {tenant_url(console, tenant)}")


@command.command("logout-all", short_help="Sign everybody out of a tenant.")
@click.argument("slug")
@verb(changes=True)
def logout_all(console: Console, slug: str) -> None:
    """Sign everybody out of a tenant and make every cookie it ever sent worthless.

    \b
    Example:
      extranet tenant logout-all acme
    """
    from extranet.accounts.logins import end_all_logins

    tenancy = console.tenancy
    tenant = tenancy.registry.raise_epoch(tenancy.registry.by_slug(slug))
    with tenancy.open_db(tenant, writing=True) as db:
        count = end_all_logins(db, console.origin, OPERATOR)
        db.commit()
    console.say(
        {**tenant_document(console, tenant), "ended": count},
        f"Everybody is signed out of {slug}: {count} {'login was' if count == 1 else 'logins were'} ended.",
    )


def _inside(console: Console, tenant: Tenant) -> tuple[dict[str, Any], str]:
    """Return how many people there are by state, where they sign in besides, and whom of support they let in.

    None of them when the database cannot be read, and why where that is known.
    """
    from sqlalchemy import func, select

    from extranet.models import IdentityProvider, User
    from extranet.support.finding import standing

    nothing = {"users": None, "single_sign_on": None, "support_access": None}
    try:
        with console.tenancy.open_db(tenant) as db:
            counts = db.execute(select(User.state, func.count()).group_by(User.state).order_by(User.state))
            provider = db.scalars(select(IdentityProvider)).one_or_none()
            sign_on = f"{'on' if provider.is_enabled else 'off'}, {provider.issuer}" if provider else "off"
            return {
                "users": {str(state): count for state, count in counts},
                "single_sign_on": sign_on,
                "support_access": [
                    f"{grant.staff} until {grant.expires_at:%Y-%m-%d %H:%M} UTC" for grant in standing(db)
                ],
            }, ""
    except SchemaBehind:
        return nothing, "unknown: the database is behind this code. Run: extranet fleet migrate"
    except TenancyError:
        return nothing, ""
