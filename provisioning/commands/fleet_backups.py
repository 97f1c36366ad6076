"""extranet fleet backup, extranet fleet verify: every tenant's backups."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click

from provisioning.backup_answers import size
from provisioning.console import Console, verb
from provisioning.progress import ProgressLine, pace
from tenants.errors import TenancyError
from tenants.tenant import State, Tenant

if TYPE_CHECKING:
    from tenants.tenancy import Tenancy

_WITHOUT_DATA = frozenset({State.PROVISIONING, State.PURGED})
_SHOWN = 10

Work = Callable[["Tenancy", Tenant], dict[str, Any]]


@click.command()
@click.option(
    "--keep", type=click.IntRange(1), metavar="N", help="Delete older ones but for N; never the last verified one."
)
@verb(changes=True)
def backup(console: Console, keep: int | None) -> None:
    """Back every tenant up. One that fails does not hold up the others; exit 1 when one did.

    \b
    Example:
      extranet fleet backup --keep 14
    """
    from tenants.backups.making import back_up

    def work(tenancy: Tenancy, tenant: Tenant) -> dict[str, Any]:
        made, _deleted = back_up(tenancy, tenant.slug, keep)
        return {"slug": tenant.slug, "id": str(made.id), "bytes": made.bytes}

    done, failed, seconds = _each(console, work)
    total = sum(one["bytes"] for one in done)
    _answer(console, done, failed, f"{_tenants(len(done))} backed up, {size(total)}, in {seconds:.1f} s.")


@click.command(short_help="Restore every tenant's newest backup on trial, and check it.")
@verb(changes=True)
def verify(console: Console) -> None:
    """Restore every tenant's newest backup into a database that is thrown away, and check it. Exit 1 when one fails.

    \b
    Example:
      extranet fleet verify
    """
    from tenants.backups.verifying import verify_backup

    def work(tenancy: Tenancy, tenant: Tenant) -> dict[str, Any]:
        manifest = verify_backup(tenancy, tenant.slug)
        return {"slug": tenant.slug, "id": str(manifest.id)}

    done, failed, seconds = _each(console, work)
    _answer(console, done, failed, f"The newest backups of {_tenants(len(done))} are good, found in {seconds:.1f} s.")


def _each(console: Console, work: Work) -> tuple[list[dict[str, Any]], dict[str, str], float]:
    """Do something with every tenant that has data; return what was done, what was not and why, and in which time."""
    from sqlalchemy.exc import DatabaseError

    tenancy = console.tenancy
    tenants = [tenant for tenant in tenancy.registry.all() if tenant.state not in _WITHOUT_DATA]
    done: list[dict[str, Any]] = []
    failed: dict[str, str] = {}
    began = time.monotonic()
    with ProgressLine() as line:
        for count, tenant in enumerate(tenants, 1):
            try:
                done.append(work(tenancy, tenant))
            except (TenancyError, DatabaseError, OSError) as error:
                failed[tenant.slug] = str(error)
            speed = pace(count, len(tenants) - count, time.monotonic() - began)
            line.show(f"{count} of {len(tenants)} done, {len(failed)} failed, {speed}")
    return done, failed, time.monotonic() - began


def _answer(console: Console, done: list[dict[str, Any]], failed: dict[str, str], summary: str) -> None:
    faults = [{"slug": slug, "why": why} for slug, why in failed.items()]
    console.say({"done": done, "failed": faults}, summary, *_lines(failed))
    if failed:
        raise click.exceptions.Exit(1)


def _lines(failed: dict[str, str]) -> Iterator[str]:
    if failed:
        yield f"{_tenants(len(failed))} failed:"
        yield from (f"  {slug}: {why}" for slug, why in list(failed.items())[:_SHOWN])
    if len(failed) > _SHOWN:
        yield f"  and {len(failed) - _SHOWN} more: see --json"


def _tenants(count: int) -> str:
    return "1 tenant" if count == 1 else f"{count} tenants"
