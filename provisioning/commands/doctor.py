"""extranet doctor: what needs attention."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from provisioning.backup_answers import LONGEST_WITHOUT, overdue_backups
from provisioning.console import Console, verb
from provisioning.examination_logs import examine_logs, examine_operators_journal
from provisioning.examination_mail import examine_mail
from provisioning.examination_servers import examine_servers
from provisioning.findings import Finding, attempt, check_private
from provisioning.unfinished_work import unfinished_work
from tenants.errors import BrokenJournal, TenancyError
from tenants.shared_store import open_store
from tenants.tenant import EMBEDDED, State, Tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from tenants.tenancy import Tenancy

_LEAST_FREE_BYTES = 1024**3


@click.command("doctor")
@click.option("--logs", is_flag=True, help="Also verify every log, entry by entry.")
@verb()
def command(console: Console, logs: bool) -> None:
    """Check settings, keys, registry, disk, servers and every tenant's database.

    Exit 1 when something needs attention.

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
    yield attempt("home folder", "for its owner alone", lambda: check_private(settings.home))
    yield Finding("master key", True, f"{settings.master_key_file} opens the platform's key")
    tenants = tenancy.registry.all()
    count = "1 tenant" if len(tenants) == 1 else f"{len(tenants)} tenants"
    yield attempt("registry", f"{count}, generation {tenancy.registry.generation()}", lambda: _check_registry(tenancy))
    if logs:
        yield attempt("operators' journal", "every entry holds", lambda: _verify_operators(tenancy))
    yield from examine_operators_journal(tenancy)
    yield _free_space(tenancy)
    yield from _strays(tenancy, tenants)
    yield from _backups(console, tenants)
    yield from examine_servers(tenancy, tenants)
    if store := open_store(settings):
        yield attempt("Redis", f"{settings.redis_url} answers", store.check)
        store.close()
    cut_short = unfinished_work(tenancy, tenants)
    for tenant in tenants:
        if tenant.slug in cut_short:
            yield Finding(tenant.slug, False, cut_short[tenant.slug])
        if tenant.state not in {State.PROVISIONING, State.PURGED}:
            yield from _examine_tenant(tenancy, tenant, logs)


def _examine_tenant(tenancy: Tenancy, tenant: Tenant, logs: bool) -> Iterator[Finding]:
    opened = attempt(tenant.slug, f"{tenant.state}, key and database open", lambda: _open(tenancy, tenant))
    yield opened
    if opened.ok:
        yield from examine_mail(tenancy, tenant)
        yield from examine_logs(tenancy, tenant)
    if logs and opened.ok:
        yield attempt(f"{tenant.slug} log", "every entry holds", lambda: _verify_log(tenancy, tenant))


def _open(tenancy: Tenancy, tenant: Tenant) -> None:
    with tenancy.open_db(tenant) as db:
        # PostgreSQL knows no such check: that its stamp and schema can be read is what opening it proves.
        if tenant.server == EMBEDDED:
            _check_pages(db.connection())
        else:
            db.connection()
    for path in tenancy.settings.folder_of(tenant.uuid).rglob("*"):
        check_private(path)


def _check_pages(connection: Connection) -> None:
    (answer,) = connection.exec_driver_sql("PRAGMA quick_check(1)").one()
    if answer != "ok":
        raise TenancyError(f"the database is damaged: {answer}")


def _check_registry(tenancy: Tenancy) -> None:
    from tenants.registry_database import is_open_to_public, is_postgresql, registry_file

    if not is_postgresql(tenancy.settings):
        check_private(registry_file(tenancy.settings))
    elif is_open_to_public(tenancy.registry.engine):
        raise TenancyError(
            "Every role of its server may connect to its database: REVOKE CONNECT, TEMPORARY ON DATABASE ... FROM "
            "PUBLIC, and GRANT CONNECT to its own role."
        )


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


def _free_space(tenancy: Tenancy) -> Finding:
    free = shutil.disk_usage(tenancy.settings.home).free
    return Finding("disk", free > _LEAST_FREE_BYTES, f"{free / 1024**3:.1f} GiB free")


def _backups(console: Console, tenants: list[Tenant]) -> Iterator[Finding]:
    overdue = overdue_backups(console, tenants)
    if not overdue:
        yield Finding("backups", True, f"no tenant has been without a verified one for {LONGEST_WITHOUT.days} days")
    for slug, sentence in overdue.items():
        yield Finding(f"{slug} backup", False, sentence)


def _strays(tenancy: Tenancy, tenants: list[Tenant]) -> Iterator[Finding]:
    """Folders that no tenant owns: the registry is the truth, never a listing."""
    folder = tenancy.settings.home / "tenants"
    known = {str(tenant.uuid) for tenant in tenants}
    for stray in sorted(folder.iterdir()) if folder.exists() else []:
        if stray.name not in known:
            yield Finding(
                f"tenants/{stray.name}", False, "belongs to no tenant in the registry. Look at it, then move it away."
            )
