"""extranet doctor: what needs attention."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import click
from sqlalchemy.exc import DatabaseError

from extranet.security_log.operations import journal
from provisioning.console import Console, verb
from tenants.errors import BrokenJournal, TenancyError
from tenants.lifecycle import unfinished
from tenants.sqlite import check_folder
from tenants.tenancy import Tenancy
from tenants.tenant import State, Tenant

_LEAST_FREE_BYTES = 1024**3


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    about: str
    ok: bool
    says: str


@click.command("doctor")
@click.option("--logs", is_flag=True, help="Also verify every log, entry by entry.")
@verb()
def command(console: Console, logs: bool) -> None:
    """Check settings, keys, registry, disk and every tenant's database. Exit 1 when something needs attention.

    \b
    Example:
      extranet doctor --logs
    """
    findings = list(_examine(console, logs))
    bad = [finding for finding in findings if not finding.ok]
    console.say(
        [{"about": finding.about, "ok": finding.ok, "says": finding.says} for finding in findings],
        *(f"{'ok ' if finding.ok else 'BAD'}  {finding.about}: {finding.says}" for finding in findings),
        "",
        f"{len(findings)} checks, {len(bad)} need attention." if bad else f"{len(findings)} checks, all well.",
    )
    if bad:
        raise click.exceptions.Exit(1)


def _examine(console: Console, logs: bool) -> Iterator[Finding]:
    settings = console.settings
    yield Finding("settings", True, f"domain {settings.domain}, home {settings.home}")
    yield _attempt("home folder", "for its owner alone", lambda: check_folder(settings.home))
    tenancy = console.tenancy
    yield Finding("master key", True, f"{settings.master_key_file} opens the platform's key")
    yield Finding(
        "registry", True, f"{len(tenancy.registry.all())} tenants, generation {tenancy.registry.generation()}"
    )
    yield _free_space(tenancy)
    for tenant in unfinished(tenancy):
        yield Finding(tenant.slug, False, f"its creation was cut short. Run: extranet tenant create {tenant.slug} …")
    yield from _strays(tenancy)
    for tenant in tenancy.registry.all():
        if tenant.state is not State.PROVISIONING:
            yield from _examine_tenant(tenancy, tenant, logs)


def _examine_tenant(tenancy: Tenancy, tenant: Tenant, logs: bool) -> Iterator[Finding]:
    yield _attempt(tenant.slug, f"{tenant.state}, key and database open", lambda: _open(tenancy, tenant))
    if logs:
        yield _attempt(f"{tenant.slug} log", "every entry holds", lambda: _verify_log(tenancy, tenant))


def _open(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.open_db(tenant) as db:
        (answer,) = db.connection().exec_driver_sql("PRAGMA quick_check(1)").one()
        if answer != "ok":
            raise TenancyError(f"the database is damaged: {answer}")


def _verify_log(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.open_db(tenant) as db:
        try:
            journal(db.info["keys"]).verify(db)
        except BrokenJournal as broken:
            raise TenancyError(f"broken at entry {broken.sequence}: it {broken.why}") from broken


def _attempt(about: str, well: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except (TenancyError, DatabaseError) as error:
        return Finding(about, False, str(error))
    return Finding(about, True, well)


def _free_space(tenancy: Tenancy) -> Finding:
    free = shutil.disk_usage(tenancy.settings.home).free
    return Finding("disk", free > _LEAST_FREE_BYTES, f"{free / 1024**3:.1f} GiB free")


def _strays(tenancy: Tenancy) -> Iterator[Finding]:
    """Folders that no tenant owns: the registry is the truth, never a listing."""
    folder = tenancy.settings.home / "tenants"
    known = {str(tenant.uuid) for tenant in tenancy.registry.all()}
    for stray in sorted(folder.iterdir()) if folder.exists() else []:
        if stray.name not in known:
            yield Finding(
                f"tenants/{stray.name}", False, "belongs to no tenant in the registry. Look at it, then move it away."
            )
