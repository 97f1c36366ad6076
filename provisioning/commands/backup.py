"""extranet backup: one tenant's backups."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning.backup_answers import backup_document, in_column, short, size
from provisioning.commands.backup_restore import FILE, ID, refuse_both, restore
from provisioning.console import Console, verb

if TYPE_CHECKING:
    from tenants.backups.catalogue import Backup


@click.group("backup")
def command() -> None:
    """Back one tenant up; list, verify and restore its backups."""


command.add_command(restore)


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
@FILE
@ID
@verb(changes=True)
def verify(console: Console, slug: str, file: Path | None, backup_id: str) -> None:
    """Restore a backup into a database that is thrown away, and check everything in it.

    \b
    Example:
      extranet backup verify acme
      extranet backup verify acme --id 5f0c7a91
    """
    from tenants.backups.verifying import verify_backup

    refuse_both(file, backup_id)
    manifest = verify_backup(console.tenancy, slug, backup_id, file)
    rows, files = sum(manifest.moment.rows.values()), len(manifest.contents) - 1
    console.say(
        {"slug": slug, "id": str(manifest.id), "ok": True, "rows": rows, "files": files},
        f"{manifest.id.hex[:12]} of {slug} is good: {rows} rows, {files} files, and every journal holds.",
    )


def _row(slug: str, backup: Backup) -> list[str]:
    verified = backup.fault or (in_column(backup.verified_at) if backup.verified_at else "never")
    made = f"{in_column(backup.made_at)}{', before a restore' if backup.safety else ''}"
    return [short(backup), slug, made, size(backup.bytes), str(backup.schema_version), verified]
