"""extranet log prune: old entries go, a signed note of them stays."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from provisioning.console import Console, verb
from provisioning.log_answers import pruned_document, pruned_sentence
from tenants.errors import BrokenJournal, TenancyError
from tenants.tenant import WITH_DATA

if TYPE_CHECKING:
    from tenants.databases import TenantSession
    from tenants.pruning import Pruned

OPERATORS_DAYS = 365
"""For how long the operators' own journal is kept."""

_FEWEST_DAYS = 180


@click.command(short_help="Remove what is older than a tenant keeps its logs.")
@click.argument("slug", required=False, default="")
@click.option("--all", "everyone", is_flag=True, help="Every tenant's logs, and the operators' own.")
@click.option("--operators", is_flag=True, help="The operators' own journal alone.")
@click.option(
    "--older-than",
    type=click.IntRange(_FEWEST_DAYS),
    metavar="DAYS",
    help="Keep more days than the tenant's own, this time. Never fewer.",
)
@click.option("--dry-run", is_flag=True, help="Say what would be removed, and remove nothing.")
@verb(changes=True)
def prune(console: Console, slug: str, everyone: bool, operators: bool, older_than: int | None, dry_run: bool) -> None:
    """Remove what is older than a tenant keeps its logs, in the security log and in the activity log.

    Each tenant's administrators choose between 180 and 365 days; the operators' own journal is kept for 365. A log is
    verified first, and a broken one is left as it is: it is evidence. What was removed is noted, signed with the
    tenant's key, so that the rest still verifies; heads noted before are of no use then: note the new ones. Exit 1
    when a log of --all could not be pruned.

    \b
    Example:
      extranet log prune acme --dry-run
      extranet log prune acme
      extranet log prune --all
    """
    if [bool(slug), everyone, operators].count(True) != 1:
        raise click.UsageError("Name one tenant, or say --all or --operators.")
    pruning = _Pruning(console, older_than or 0, dry_run)
    if slug:
        pruning.tenant(slug, strict=True)
    elif operators:
        pruning.operators(strict=True)
    else:
        pruning.everyone()
    documents, failed = pruning.done, [{"log": log, "why": why} for log, why in pruning.failed.items()]
    console.came_of = {"removed": sum(document["removed"] for document in documents), "failed": len(failed)}
    lines = [pruned_sentence(document) for document in documents]
    lines += [f"{log}: NOT PRUNED: {why}" for log, why in pruning.failed.items()]
    console.say({"done": documents, "failed": failed}, *lines)
    if failed:
        raise click.exceptions.Exit(1)


class _Pruning:
    """One command: what it did, and what it could not do, by log."""

    def __init__(self, console: Console, older_than: int, dry_run: bool) -> None:
        from extranet.models.base import utc_now

        self.done: list[dict[str, Any]] = []
        self.failed: dict[str, str] = {}
        self._console = console
        self._now = utc_now()
        self._older_than = older_than
        self._dry_run = dry_run

    def everyone(self) -> None:
        """Prune all there is; what fails with one tenant holds nobody else up."""
        for tenant in self._console.tenancy.registry.all():
            if tenant.state in WITH_DATA:
                self._try(tenant.slug, partial(self.tenant, tenant.slug, strict=False))
        self._try("operators", partial(self.operators, strict=False))

    def tenant(self, slug: str, *, strict: bool) -> None:
        """Prune one tenant's logs. ``strict``: fewer days than the tenant's own are refused, not passed over."""
        from extranet.retention.logs import log_days, note_pruned
        from tenants.pruning import plan_pruning, prune_logs

        tenancy, origin = self._console.tenancy, self._console.origin
        kept = 0

        def before(db: TenantSession) -> datetime:
            nonlocal kept
            kept = self._days(slug, log_days(db), strict)
            return self._now - timedelta(days=kept)

        def tell(db: TenantSession, pruned: Pruned) -> None:
            note_pruned(db, origin, pruned.removed, pruned.begins_at, pruned.before)

        pruned = plan_pruning(tenancy, slug, before) if self._dry_run else prune_logs(tenancy, slug, before, tell)
        self.done.append(pruned_document(slug, pruned, kept, self._dry_run))

    def operators(self, *, strict: bool) -> None:
        """Prune the operators' own journal."""
        from tenants.pruning import prune_operators_journal

        days = self._days("The operators' journal", OPERATORS_DAYS, strict)
        before = self._now - timedelta(days=days)
        pruned = prune_operators_journal(self._console.tenancy, before, dry_run=self._dry_run)
        self.done.append(pruned_document("operators", pruned, days, self._dry_run))

    def _days(self, whose: str, own: int, strict: bool) -> int:
        if strict and 0 < self._older_than < own:
            raise click.ClickException(f"{whose} is to be kept for {own} days: --older-than may only say more.")
        return max(own, self._older_than)

    def _try(self, log: str, work: Callable[[], None]) -> None:
        from sqlalchemy.exc import DatabaseError

        try:
            work()
        except BrokenJournal as broken:
            self.failed[log] = f"the log is broken at entry {broken.sequence}: {broken.why}"
        except (TenancyError, DatabaseError, OSError) as error:
            self.failed[log] = str(error)
