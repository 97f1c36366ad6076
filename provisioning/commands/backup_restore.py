"""extranet backup restore: what a backup holds, in place of what a tenant has, or as a new tenant."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from provisioning.backup_answers import instant, return_document, said
from provisioning.confirmation import confirm
from provisioning.console import Console, verb

if TYPE_CHECKING:
    from tenants.backups.staging import Return
    from tenants.databases import TenantSession

FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
ID = click.option(
    "--id", "backup_id", default="", metavar="ID", help="Its id, or how it begins.  [default: the newest]"
)


@click.command(short_help="Put a backup in place of what a tenant has.")
@click.argument("slug")
@FILE
@ID
@click.option("--as", "new_slug", default="", metavar="NEWSLUG", help="Make a new tenant of it, under its own key.")
@click.option("--server", default="", help="Where its database is to be.  [default: where it is]")
@click.option("--dry-run", is_flag=True, help="Verify it and say what would be done, and do nothing.")
@click.option("--damaged", is_flag=True, help="Go on when what there is now cannot be backed up first.")
@click.option("--yes-i-mean", "meant", default="", metavar="SLUG", help="The slug once more, where nobody is asked.")
@verb(changes=True)
def restore(
    console: Console,
    slug: str,
    file: Path | None,
    backup_id: str,
    new_slug: str,
    server: str,
    dry_run: bool,
    damaged: bool,
    meant: str,
) -> None:
    """Put a backup in place of what a tenant has now. Everybody signs in anew; invitations are to be made again.

    It is verified first, and what there is now is backed up. Cut short, it goes
    on when it is run again. With --as nothing of the tenant itself is changed.
    When the server it is on is lost, --server says where it is to be from now on,
    with --as or --damaged.

    \b
    Example:
      extranet backup restore acme --dry-run
      extranet backup restore acme --id 5f0c7a91 --yes-i-mean acme
      extranet backup restore acme --as acme-last-week
      extranet backup restore acme --damaged --server pg2
    """
    refuse_both(file, backup_id)
    if server and not (new_slug or damaged):
        raise click.UsageError(
            "--server goes with --as, or with --damaged when the server that the tenant is on is lost."
        )
    which: dict[str, Any] = {"backup_id": backup_id, "path": file}
    if new_slug:
        _restore_as_new(console, slug, new_slug, dry_run, {**which, "server": server})
    elif dry_run:
        back_to = _rehearse(console, slug, server, which)
        console.say(return_document(slug, back_to), f"{slug} would be {_brought_back(back_to)}")
    else:
        confirm(slug, meant, f"What {slug} has now will be replaced by {_chosen(console, slug, server, which)}.")
        _restore(console, slug, server, damaged, which)


def _rehearse(console: Console, slug: str, server: str, which: dict[str, Any]) -> Return:
    from tenants.backups.rescuing import rehearse_rescue
    from tenants.backups.restoring import rehearse

    tenancy = console.tenancy
    return rehearse_rescue(tenancy, slug, server, **which) if server else rehearse(tenancy, slug, **which)


def _chosen(console: Console, slug: str, server: str, which: dict[str, Any]) -> str:
    from tenants.backups.rescuing import choose_rescue
    from tenants.backups.restoring import choose_again

    tenant = console.tenancy.registry.by_slug(slug)
    chosen = (choose_rescue if server else choose_again)(console.tenancy, tenant, **which)
    made = f", made on {said(chosen.backup.made_at)}" if chosen.backup else ""
    return f"{chosen.path}{made}"


def _restore(console: Console, slug: str, server: str, damaged: bool, which: dict[str, Any]) -> None:
    from extranet.accounts.restored import begin_anew
    from tenants.backups.rescuing import rescue_tenant
    from tenants.backups.restoring import restore_tenant

    def prepare(db: TenantSession, back_to: Return) -> None:
        begin_anew(db, console.origin, OPERATOR, _details(back_to))

    if server:
        done = rescue_tenant(console.tenancy, slug, server, prepare, **which)
    else:
        done = restore_tenant(console.tenancy, slug, prepare, **which, damaged=damaged)
    console.say(
        {
            "slug": slug,
            "id": str(done.backup_id),
            "made_at": instant(done.made_at),
            "replaced": str(done.safety) if done.safety else None,
        },
        f"{slug} is as it was on {said(done.made_at)}. Everybody signs in anew.",
        *([f"It is on {server} now. What it had on the server that was lost is never served again."] if server else []),
        f"What it had before is in the backup {done.safety.hex[:12]}."
        if done.safety
        else "Nothing was kept of before.",
        "Accounts that were disabled or erased since then are as they were, too: go through them.",
    )


def _restore_as_new(console: Console, slug: str, new_slug: str, dry_run: bool, which: dict[str, Any]) -> None:
    from extranet.accounts.restored import note_restored
    from extranet.security_log.operations import record
    from provisioning.tenant_card import tenant_document, tenant_url
    from tenants.backups.renewing import rehearse_as_new, restore_as_new

    if dry_run:
        back_to = rehearse_as_new(console.tenancy, slug, new_slug, **which)
        console.say(return_document(slug, back_to), f"{new_slug} would be {slug} {_brought_back(back_to)}")
        return

    def prepare(db: TenantSession, back_to: Return) -> None:
        details = {"source": str(back_to.manifest.tenant_uuid), **_details(back_to)}
        note_restored(db, OPERATOR, details)
        record(db, Event.RESTORED, console.origin, actor=OPERATOR, details=details)

    tenant, back_to = restore_as_new(console.tenancy, slug, new_slug, prepare, **which)
    console.say(
        tenant_document(console, tenant),
        f"{new_slug} is ready at {tenant_url(console, tenant)}",
        f"It has what {slug} had on {said(back_to.header.made_at)}, under a key of its own.",
    )


def _details(back_to: Return) -> dict[str, Any]:
    """Return what the tenant's own log says of a restore: to which backup, and which chain it leaves."""
    return {
        "backup": str(back_to.header.id),
        "made_at": instant(back_to.header.made_at),
        "heads": _heads(back_to.manifest.moment.journals),
        "left": _heads(back_to.left),
        "kept": str(back_to.safety) if back_to.safety else "",
    }


def _heads(journals: Any) -> dict[str, str]:
    return {name: f"{sequence}:{mac}" for name, (sequence, mac) in journals.items()}


def _brought_back(back_to: Return) -> str:
    document = return_document("", back_to)
    return f"as it was on {said(back_to.header.made_at)}: {document['rows']} rows, {document['files']} files."


def refuse_both(file: Path | None, backup_id: str) -> None:
    """Raise UsageError when a backup is named twice."""
    if file is not None and backup_id:
        raise click.UsageError("Name a file or an id, not both.")
