"""extranet doctor: what needs attention."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from provisioning.console import Console, verb
from tenants.errors import BrokenJournal, TenancyError
from tenants.tenant import State, Tenant

if TYPE_CHECKING:
    from tenants.tenancy import Tenancy

_LEAST_FREE_BYTES = 1024**3
_FOR_OTHERS = 0o077


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
        [asdict(finding) for finding in findings],
        *(f"{'ok ' if finding.ok else 'BAD'}  {finding.about}: {finding.says}" for finding in findings),
        "",
        _summary(len(findings), len(bad)),
    )
    if bad:
        raise click.exceptions.Exit(1)


def _summary(checks: int, bad: int) -> str:
    if not bad:
        return f"{checks} checks, all well."
    return f"{checks} checks, {bad} {'needs' if bad == 1 else 'need'} attention."


def _examine(console: Console, logs: bool) -> Iterator[Finding]:
    settings = console.settings
    yield Finding("settings", True, f"domain {settings.domain}, home {settings.home}")
    tenancy = console.tenancy
    yield _attempt("home folder", "for its owner alone", lambda: _check_private(settings.home))
    yield Finding("master key", True, f"{settings.master_key_file} opens the platform's key")
    tenants = tenancy.registry.all()
    count = "1 tenant" if len(tenants) == 1 else f"{len(tenants)} tenants"
    yield _attempt("registry", f"{count}, generation {tenancy.registry.generation()}", lambda: _check_registry(tenancy))
    if logs:
        yield _attempt("operators' journal", "every entry holds", lambda: _verify_operators(tenancy))
    yield _free_space(tenancy)
    yield from _strays(tenancy, tenants)
    for tenant in tenants:
        yield from _examine_tenant(tenancy, tenant, logs)


def _examine_tenant(tenancy: Tenancy, tenant: Tenant, logs: bool) -> Iterator[Finding]:
    match tenant.state:
        case State.PURGED:
            return
        case State.PROVISIONING:
            sentence = f"its creation was cut short. Make it again with: extranet tenant create {tenant.slug}"
            yield Finding(tenant.slug, False, sentence)
            return
    opened = _attempt(tenant.slug, f"{tenant.state}, key and database open", lambda: _open(tenancy, tenant))
    yield opened
    if logs and opened.ok:
        yield _attempt(f"{tenant.slug} log", "every entry holds", lambda: _verify_log(tenancy, tenant))


def _open(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.open_db(tenant) as db:
        (answer,) = db.connection().exec_driver_sql("PRAGMA quick_check(1)").one()
        if answer != "ok":
            raise TenancyError(f"the database is damaged: {answer}")
    for path in tenancy.settings.folder_of(tenant.uuid).rglob("*"):
        _check_private(path)


def _check_registry(tenancy: Tenancy) -> None:
    from tenants.registry_database import is_postgresql, registry_file

    if not is_postgresql(tenancy.settings):
        _check_private(registry_file(tenancy.settings))


def _check_private(path: Path) -> None:
    mode = path.lstat().st_mode
    if mode & _FOR_OTHERS:
        raise TenancyError(f"{path} is open to others: chmod go= {path}")


def _verify_log(tenancy: Tenancy, tenant: Tenant) -> None:
    from extranet.security_log.operations import journal

    with tenancy.open_db(tenant) as db:
        _say_where(lambda: journal(db.info["keys"]).verify(db))


def _verify_operators(tenancy: Tenancy) -> None:
    with tenancy.registry.engine.connect() as connection:
        _say_where(lambda: tenancy.operator_journal.verify(connection))


def _say_where(verify: Callable[[], int]) -> None:
    try:
        verify()
    except BrokenJournal as broken:
        raise TenancyError(f"broken at entry {broken.sequence}: {broken.why}") from broken


def _attempt(about: str, well: str, check: Callable[[], None]) -> Finding:
    from sqlalchemy.exc import DatabaseError

    try:
        check()
    except (TenancyError, DatabaseError, OSError) as error:
        return Finding(about, False, str(error))
    return Finding(about, True, well)


def _free_space(tenancy: Tenancy) -> Finding:
    free = shutil.disk_usage(tenancy.settings.home).free
    return Finding("disk", free > _LEAST_FREE_BYTES, f"{free / 1024**3:.1f} GiB free")


def _strays(tenancy: Tenancy, tenants: list[Tenant]) -> Iterator[Finding]:
    """Folders that no tenant owns: the registry is the truth, never a listing."""
    folder = tenancy.settings.home / "tenants"
    known = {str(tenant.uuid) for tenant in tenants}
    for stray in sorted(folder.iterdir()) if folder.exists() else []:
        if stray.name not in known:
            yield Finding(
                f"tenants/{stray.name}", False, "belongs to no tenant in the registry. Look at it, then move it away."
            )
