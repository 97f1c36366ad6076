"""extranet backup: one tenant's backups."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from provisioning.backup_answers import backup_document, in_column, instant, return_document, said, short, size
from provisioning.confirmation import confirm
from provisioning.console import Console, verb

if TYPE_CHECKING:
    from tenants.backups.catalogue import Backup
    from tenants.backups.staging import Return
    from tenants.databases import TenantSession

_FILE = click.argument("file", required=False, type=click.Path(dir_okay=False, path_type=Path))
_ID = click.option(
    "--id", "backup_id", default="", metavar="ID", help="Its id, or how it begins.  [default: the newest]"
)


@click.group("backup")
def command() -> None:
    """Back one tenant up; list, verify and restore its backups."""


@command.command(short_help="Back a tenant up while it is in use.")
@click.argument("slug")
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Delete older ones but for N; never the last verified one."
)
@verb(changes=True)
def create(console: Console, slug: str, keep: int | None) -> None:
    """Back a tenant up while it is in use: its database as it is at one moment, and its files.

    The archive is sealed with the tenant's key, which is not in it: it opens as
    long as the registry and the master key are there, and no longer. Keep backups
    of those two elsewhere.

    \b
    Example:
      extranet backup create acme --keep 14
    """
    from tenants.backups.making import back_up

    backup, deleted = back_up(console.tenancy, slug, keep)
    document = backup_document(console, slug, backup)
    console.say(
        {**document, "deleted": [str(older.id) for older in deleted]},
        f"{slug} is backed up: {short(backup)}, {size(backup.bytes)}, in {document['file']}",
        *([f"{len(deleted)} older {'one was' if len(deleted) == 1 else 'ones were'} deleted."] if deleted else []),
        f"See whether it can be restored with: extranet backup verify {slug}",
    )


@command.command("list")
@click.argument("slug", required=False)
@verb()
def list_backups(console: Console, slug: str | None) -> None:
    """List a tenant's backups, or everybody's, the newest first.

    \b
    Example:
      extranet backup list acme
    """
    from tenants.backups.catalogue import catalogue_of

    tenancy, catalogue = console.tenancy, catalogue_of(console.tenancy)
    slugs = defaultdict(str, {tenant.uuid: tenant.slug for tenant in tenancy.registry.all()})
    backups = catalogue.of(tenancy.registry.by_slug(slug).uuid) if slug else catalogue.all()
    console.table(
        [backup_document(console, slugs[backup.tenant_uuid], backup) for backup in backups],
        ["Id", "Tenant", "Made (UTC)", "Size", "Schema", "Verified (UTC)"],
        [_row(slugs[backup.tenant_uuid], backup) for backup in backups],
        f"There is no backup yet. Make one with: extranet backup create {slug or 'SLUG'}",
    )


@command.command(short_help="Restore a backup on trial, and check everything in it.")
@click.argument("slug")
@_FILE
@_ID
@verb(changes=True)
def verify(console: Console, slug: str, file: Path | None, backup_id: str) -> None:
    """Restore a backup into a database that is thrown away, and check everything in it.

    \b
    Example:
      extranet backup verify acme
      extranet backup verify acme --id 5f0c7a91
    """
    from tenants.backups.verifying import verify_backup

    _refuse_both(file, backup_id)
    manifest = verify_backup(console.tenancy, slug, backup_id, file)
    rows, files = sum(manifest.moment.rows.values()), len(manifest.contents) - 1
    console.say(
        {"slug": slug, "id": str(manifest.id), "ok": True, "rows": rows, "files": files},
        f"{manifest.id.hex[:12]} of {slug} is good: {rows} rows, {files} files, and every journal holds.",
    )


@command.command()
@click.argument("slug")
@_FILE
@_ID
@click.option("--as", "new_slug", default="", metavar="NEWSLUG", help="Make a new tenant of it, under its own key.")
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
    dry_run: bool,
    damaged: bool,
    meant: str,
) -> None:
    """Put a backup in place of what a tenant has now. Everybody signs in anew; invitations are to be made again.

    It is verified first, and what there is now is backed up. Cut short, it goes
    on when it is run again. With --as nothing of the tenant itself is changed.

    \b
    Example:
      extranet backup restore acme --dry-run
      extranet backup restore acme --id 5f0c7a91 --yes-i-mean acme
      extranet backup restore acme --as acme-last-week
    """
    _refuse_both(file, backup_id)
    if new_slug:
        _restore_as_new(console, slug, new_slug, dry_run, {"backup_id": backup_id, "path": file})
    elif dry_run:
        from tenants.backups.restoring import rehearse

        back_to = rehearse(console.tenancy, slug, backup_id=backup_id, path=file)
        console.say(return_document(slug, back_to), f"{slug} would be {_brought_back(back_to)}")
    else:
        confirm(slug, meant, f"What {slug} has now will be replaced by {_chosen(console, slug, file, backup_id)}.")
        _restore(console, slug, file, backup_id, damaged)


def _chosen(console: Console, slug: str, file: Path | None, backup_id: str) -> str:
    from tenants.backups.restoring import choose_again

    tenancy = console.tenancy
    chosen = choose_again(tenancy, tenancy.registry.by_slug(slug), backup_id, file)
    made = f", made on {said(chosen.backup.made_at)}" if chosen.backup else ""
    return f"{chosen.path}{made}"


def _restore(console: Console, slug: str, file: Path | None, backup_id: str, damaged: bool) -> None:
    from extranet.accounts.restored import begin_anew
    from tenants.backups.restoring import restore_tenant

    def prepare(db: TenantSession, back_to: Return) -> None:
        begin_anew(db, console.origin, OPERATOR, _details(back_to))

    done = restore_tenant(console.tenancy, slug, prepare, backup_id=backup_id, path=file, damaged=damaged)
    console.say(
        {
            "slug": slug,
            "id": str(done.backup_id),
            "made_at": instant(done.made_at),
            "replaced": str(done.safety) if done.safety else None,
        },
        f"{slug} is as it was on {said(done.made_at)}. Everybody signs in anew.",
        f"What it had before is in the backup {done.safety.hex[:12]}."
        if done.safety
        else "Nothing was kept of before.",
        "Accounts that were disabled or erased since then are as they were, too: go through them.",
    )


def _restore_as_new(console: Console, slug: str, new_slug: str, dry_run: bool, which: dict[str, Any]) -> None:
    from extranet.security_log.operations import record
    from provisioning.tenant_card import tenant_document, tenant_url
    from tenants.backups.renewing import rehearse_as_new, restore_as_new

    if dry_run:
        back_to = rehearse_as_new(console.tenancy, slug, new_slug, **which)
        console.say(return_document(slug, back_to), f"{new_slug} would be {slug} {_brought_back(back_to)}")
        return

    def prepare(db: TenantSession, back_to: Return) -> None:
        details = {"source": str(back_to.manifest.tenant_uuid), **_details(back_to)}
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


def _row(slug: str, backup: Backup) -> list[str]:
    verified = backup.fault or (in_column(backup.verified_at) if backup.verified_at else "never")
    return [short(backup), slug, in_column(backup.made_at), size(backup.bytes), str(backup.schema_version), verified]


def _refuse_both(file: Path | None, backup_id: str) -> None:
    if file is not None and backup_id:
        raise click.UsageError("Name a file or an id, not both.")
