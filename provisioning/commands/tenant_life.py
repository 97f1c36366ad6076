"""extranet tenant rename, close, reopen, purge, clone, move: what changes a tenant as a whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import TenantEvent
from provisioning.confirmation import confirm
from provisioning.console import Console, verb
from provisioning.place import place_for_new
from provisioning.progress import ProgressLine
from provisioning.telling import telling
from provisioning.tenant_card import tenant_document, tenant_url
from tenants.tenant import EMBEDDED, State

if TYPE_CHECKING:
    from tenants.copying import Progress
    from tenants.lifecycle import PurgePlan

_DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")


@click.command()
@click.argument("slug")
@click.argument("new_slug")
@_DRY_RUN
@click.option("--yes-i-mean", "meant", default="", metavar="SLUG", help="The slug once more, where nobody is asked.")
@verb(changes=True)
def rename(console: Console, slug: str, new_slug: str, dry_run: bool, meant: str) -> None:
    """Give a tenant another slug. The old address redirects and is never given to anybody else.

    Passkeys and single sign-on belong to an address. Where somebody has them, it
    says who has to do what, and asks.

    \b
    Example:
      extranet tenant rename acme acme-europe --dry-run
      extranet tenant rename acme acme-europe --yes-i-mean acme
    """
    from provisioning.left_behind import left_behind
    from tenants.lifecycle import refuse_rename, rename_tenant

    tenant = console.tenancy.registry.by_slug(slug)
    if slug == new_slug:
        console.say(tenant_document(console, tenant), f"{slug} has this name already; nothing was changed.")
        return
    refuse_rename(console.tenancy, tenant, new_slug)
    left = left_behind(console, tenant, new_slug)
    if dry_run:
        console.say(
            {"slug": slug, "new_slug": new_slug, **left.document()}, f"{slug} would be {new_slug}.", *left.lines()
        )
        return
    if left.is_something:
        for line in left.lines():
            click.echo(line, err=True)
        confirm(slug, meant, f"{slug} will be {new_slug}.")
    tenant = rename_tenant(console.tenancy, slug, new_slug, telling(console, TenantEvent.RENAMED))
    console.say(
        tenant_document(console, tenant),
        f"{slug} is now {tenant.slug}, at {tenant_url(console, tenant)}",
        "Browsers keep cookies by host, so everybody signs in once more at the new address.",
    )


@click.command()
@click.argument("slug")
@_DRY_RUN
@verb(changes=True)
def close(console: Console, slug: str, dry_run: bool) -> None:
    """End a tenant's service. Nobody can sign in or change anything; you can still read, export and back it up.

    \b
    Example:
      extranet tenant close acme
    """
    from tenants.lifecycle import GRACE, close_tenant, refuse_unless

    if dry_run:
        tenant = console.tenancy.registry.by_slug(slug)
        refuse_unless(tenant, State.ACTIVE, State.SUSPENDED, State.CLOSED)
        console.say(tenant_document(console, tenant), f"{slug} is {tenant.state} and would be closed.")
        return
    tenant = close_tenant(console.tenancy, slug, telling(console, TenantEvent.CLOSED))
    due = console.tenancy.registry.dates_of(tenant).changed_at + GRACE
    console.say(
        {**tenant_document(console, tenant), "purge_due": f"{due:%Y-%m-%d}"},
        f"{slug} is closed. Serve it again with: extranet tenant reopen {slug}",
        f"From {due:%Y-%m-%d} on it can be destroyed with: extranet tenant purge {slug}",
    )


@click.command()
@click.argument("slug")
@verb(changes=True)
def reopen(console: Console, slug: str) -> None:
    """Serve a closed tenant again. Everybody signs in anew.

    \b
    Example:
      extranet tenant reopen acme
    """
    from tenants.lifecycle import reopen_tenant

    tenant = reopen_tenant(console.tenancy, slug, telling(console, TenantEvent.REOPENED))
    console.say(tenant_document(console, tenant), f"{slug} is active at {tenant_url(console, tenant)}")


@click.command(short_help="Destroy a closed tenant for ever.")
@click.argument("slug")
@_DRY_RUN
@click.option("--now", "at_once", is_flag=True, help="Do not wait until it has been closed for 30 days.")
@click.option("--yes-i-mean", "meant", default="", metavar="SLUG", help="The slug once more, where nobody is asked.")
@verb(changes=True)
def purge(console: Console, slug: str, dry_run: bool, at_once: bool, meant: str) -> None:
    """Destroy a closed tenant for ever: database, files, backups and keys.

    Copies of its backups that are kept elsewhere open no more. Cut short, it goes
    on when it is run again.

    \b
    Example:
      extranet tenant purge acme --dry-run
      extranet tenant purge acme --yes-i-mean acme
    """
    from tenants.lifecycle import plan_purge, purge_tenant, refuse_purge

    if dry_run:
        plan = plan_purge(console.tenancy, slug)
        console.say({"slug": slug, **_document(plan)}, *_lines(slug, plan))
        return
    refuse_purge(console.tenancy, slug, at_once=at_once)
    confirm(slug, meant, f"Everything of {slug} will be destroyed for ever.")
    tombstone = purge_tenant(console.tenancy, slug, at_once=at_once)
    free = f"{tombstone.free_at:%Y-%m-%d}"
    console.say(
        {"slug": slug, "uuid": str(tombstone.tenant_uuid), "slug_free_at": free},
        f"{slug} is gone. Its slug may be somebody else's from {free} on.",
        "Forget old copies of the registry too: the keys to old backups are in them.",
    )


@click.command(short_help="Make a new tenant that has what another one has now.")
@click.argument("slug")
@click.argument("new_slug")
@click.option("--name", default="", help="The new company's name.  [default: the same]")
@click.option("--server", default="", help="Where its database is to be.  [default: the least filled]")
@_DRY_RUN
@verb(changes=True)
def clone(console: Console, slug: str, new_slug: str, name: str, server: str, dry_run: bool) -> None:
    """Make a new tenant that has what another one has now, under a key of its own.

    People keep their passwords and sign in anew. Custom hosts stay where they are.

    \b
    Example:
      extranet tenant clone acme acme-training --name "Acme training"
    """
    from tenants.lifecycle import NewTenant, clone_tenant, plan_clone

    tenancy = console.tenancy
    named = name or tenancy.registry.by_slug(slug).name
    new = NewTenant(new_slug, named, server or place_for_new(console))
    if dry_run:
        plan = plan_clone(tenancy, slug, new)
        document = {"slug": new_slug, "server": plan.server, "rows": plan.rows, "files": plan.files}
        console.say(document, f"{new_slug} would be made on {plan.server}: {plan.rows} rows, {plan.files} files.")
        return
    with _progress(f"Copying {slug}") as progress:
        tenant = clone_tenant(tenancy, slug, new, telling(console, TenantEvent.CLONED), progress)
    console.say(tenant_document(console, tenant), f"{new_slug} is ready at {tenant_url(console, tenant)}")


@click.command()
@click.argument("slug")
@click.option("--to", "server", required=True, metavar="SERVER", help=f"A server's name, or {EMBEDDED} for SQLite.")
@_DRY_RUN
@verb(changes=True)
def move(console: Console, slug: str, server: str, dry_run: bool) -> None:
    """Take a tenant's database to another server. Everybody stays signed in.

    While rows are copied, people read on; what they send is refused until it is
    done. Cut short, it goes on when it is run again; to take it back instead, move
    the tenant to where it is.

    \b
    Example:
      extranet tenant move acme --to pg1
      extranet tenant move acme --to embedded
    """
    from tenants.lifecycle import move_tenant, plan_move

    tenancy = console.tenancy
    if dry_run:
        plan = plan_move(tenancy, slug, server)
        document = {"slug": slug, "from": plan.origin, "to": plan.target, "rows": plan.rows, "bytes": plan.bytes}
        size = f"{plan.rows} rows, {plan.bytes / 1024**2:.1f} MiB"
        console.say(document, f"{slug} would be moved from {plan.origin} to {plan.target}: {size}.")
        return
    with _progress(f"Copying {slug}") as progress:
        tenant = move_tenant(tenancy, slug, server, telling(console, TenantEvent.MOVED), progress)
    console.say(tenant_document(console, tenant), f"{slug} is on {tenant.server}.")


@contextmanager
def _progress(what: str) -> Iterator[Progress]:
    with ProgressLine() as line:
        yield lambda done, total: line.show(f"{what}: {done} of {total} rows")


def _document(plan: PurgePlan) -> dict[str, Any]:
    return {
        "due": f"{plan.due:%Y-%m-%d}",
        "databases": plan.databases,
        "folders": [str(folder) for folder in plan.folders],
        "files": plan.files,
        "bytes": plan.bytes,
        "backups": plan.backups,
        "keys": plan.keys,
        "hosts": plan.hosts,
        "former_slugs": plan.former_slugs,
    }


def _lines(slug: str, plan: PurgePlan) -> Iterator[str]:
    yield f"From {plan.due:%Y-%m-%d} on, this of {slug} would be destroyed:"
    yield from (f"  {what}" for what in plan.databases)
    yield from (f"  {folder}" for folder in plan.folders)
    yield f"    with {plan.files} {'file' if plan.files == 1 else 'files'}, {plan.bytes / 1024**2:.1f} MiB"
    yield from (f"  backup {name}" for name in plan.backups)
    yield f"  {plan.keys} {'key' if plan.keys == 1 else 'keys'}: nothing that {slug} has sealed opens again anywhere"
    yield from (f"  host {name}" for name in [*plan.hosts, *plan.former_slugs])
