"""extranet fleet: all tenants at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from provisioning.commands.fleet_backups import backup, verify
from provisioning.commands.fleet_keys import rotate_keys
from provisioning.console import Console, verb
from provisioning.progress import ProgressLine, pace

if TYPE_CHECKING:
    from tenants.fleet.run import Outcome
    from tenants.fleet.waves import Progress

_MOST_JOBS = 256


@click.group("fleet")
def command() -> None:
    """See and change all tenants at once."""


command.add_command(rotate_keys)
command.add_command(backup)
command.add_command(verify)


@command.command(short_help="Show which schema the tenants have, and the last run.")
@verb()
def status(console: Console) -> None:
    """Show which schema the tenants have, and what became of the last run.

    No tenant's database is opened: 10,000 tenants take a second or two.
    Exit 1 when something needs attention: a tenant is behind this code or has
    no database, a database belongs to no tenant, a server cannot be reached,
    a run was stopped or killed.

    \b
    Example:
      extranet fleet status --json
    """
    from provisioning.fleet_answers import status_document, status_lines
    from tenants.fleet.status import status_of

    seen = status_of(console.tenancy)
    slugs = {tenant.uuid: tenant.slug for tenant in seen.census.tenants}
    console.say(status_document(seen, slugs), *status_lines(seen, slugs))
    if seen.needs_attention:
        raise click.exceptions.Exit(1)


@command.command(short_help="Bring all tenants to the schema of this code, in waves.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@click.option("--canary", default="", metavar="SLUG", help="Goes first, alone.  [default: the first active tenant]")
@click.option(
    "--wave", type=click.IntRange(1), metavar="N", help="Tenants in a wave.  [default: 5 % in one, then all others]"
)
@click.option(
    "--max-failures",
    type=click.IntRange(0),
    metavar="N",
    help="More than this stop the run.  [default: 2 %, at least 1]",
)
@click.option(
    "--jobs", type=click.IntRange(1, _MOST_JOBS), metavar="N", help="Tenants at once.  [default: one a processor]"
)
@click.option("--snapshot/--no-snapshot", help="Back each tenant up before.  [default: not]")
@click.option("--only-failed", is_flag=True, help="Only the tenants that failed in the last run.")
@click.option("--resume", is_flag=True, help="Go on with a run that was stopped or killed.")
@click.option("--new", is_flag=True, help="Give such a run up and begin anew.")
@verb(changes=True)
def migrate(
    console: Console,
    dry_run: bool,
    canary: str,
    wave: int | None,
    max_failures: int | None,
    jobs: int | None,
    snapshot: bool,
    only_failed: bool,
    resume: bool,
    new: bool,
) -> None:
    """Bring all tenants to the schema of this code, in waves, several at once.

    Each tenant is changed in one transaction: one that fails is as it was
    before. A failure of the canary, or too many later, stop the run.
    Exit 1 when a tenant failed or the run was stopped.

    \b
    Example:
      extranet fleet migrate --dry-run
      extranet fleet migrate --canary acme --max-failures 3
      extranet fleet migrate --resume
    """
    from tenants.fleet import run
    from tenants.fleet.plan import Options

    if resume and (dry_run or canary or wave or snapshot or only_failed or new):
        raise click.UsageError("--resume goes on as planned; only --jobs and --max-failures may go with it.")
    options = Options(canary, wave, max_failures, jobs, only_failed, snapshot)
    tenancy = console.tenancy
    if dry_run:
        _answer_plan(console, run.preview(tenancy, options, abandon=new))
        return
    from tenants.backups.making import make_backup

    with ProgressLine() as line:
        if resume:
            outcome = run.resume(tenancy, _teller(line), make_backup, jobs=jobs, max_failures=max_failures)
        else:
            outcome = run.migrate(tenancy, options, console.operator, _teller(line), make_backup, abandon=new)
    _answer_outcome(console, outcome)


def _teller(line: ProgressLine) -> Callable[[Progress], None]:
    def tell(progress: Progress) -> None:
        line.show(
            f"run {progress.run}, wave {progress.wave} of {progress.waves}: "
            f"{progress.done} of {progress.total} done, {progress.failed} failed, "
            f"{pace(progress.reported, progress.left, progress.seconds)}"
        )

    return tell


def _answer_plan(console: Console, outcome: Outcome) -> None:
    from provisioning.fleet_answers import plan_document, plan_lines

    slugs = _slugs(console)
    console.say(plan_document(outcome, slugs), *plan_lines(outcome, slugs))


def _answer_outcome(console: Console, outcome: Outcome) -> None:
    from provisioning.fleet_answers import outcome_document, outcome_lines

    slugs = _slugs(console)
    console.say(outcome_document(outcome, slugs), *outcome_lines(outcome, slugs))
    if not outcome.is_well:
        raise click.exceptions.Exit(1)


def _slugs(console: Console) -> dict[Any, str]:
    return {tenant.uuid: tenant.slug for tenant in console.tenancy.registry.all()}
