"""extranet log: a tenant's security log."""

from __future__ import annotations

import json
from typing import Any

import click

from extranet.security_log.events import Event
from extranet.security_log.operations import journal, read_all, read_last, record
from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, verb
from tenants.errors import BrokenJournal
from tenants.journal import Entry
from tenants.tenancy import Tenancy
from tenants.tenant import Tenant


@click.group("log")
def command() -> None:
    """Show, export and verify a tenant's security log."""


@command.command()
@click.argument("slug")
@click.option("--last", default=20, type=click.IntRange(1, 10_000), show_default=True, help="How many entries.")
@verb(changes=True)
def show(console: Console, slug: str, last: int) -> None:
    """Show the newest entries. Looking is itself noted in the log.

    \b
    Example:
      extranet log show acme --last 50
    """
    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    with tenancy.open_db(tenant, writing=True) as db:
        entries = [_document(entry) for entry in read_last(db, last)]
        record(db, Event.LOG_VIEWED, console.origin, actor=OPERATOR, details={"entries": len(entries)})
        db.commit()
    console.table(
        entries,
        ["#", "Time (UTC)", "Event", "Result", "Person", "Address"],
        [
            [
                str(entry["sequence"]),
                entry["at"][:19],
                entry["event"],
                entry["outcome"],
                entry["subject"],
                entry["address"],
            ]
            for entry in entries
        ],
        "The log is empty.",
    )


@command.command()
@click.argument("slug")
@verb(changes=True)
def export(console: Console, slug: str) -> None:
    """Write the whole log to standard output, one JSON object a line. Exporting is itself noted in the log.

    \b
    Example:
      extranet log export acme > acme-log.jsonl
    """
    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    with tenancy.open_db(tenant, writing=True) as db:
        record(db, Event.LOG_EXPORTED, console.origin, actor=OPERATOR)
        db.commit()
    with tenancy.open_db(tenant) as db:
        for entry in read_all(db):
            click.echo(json.dumps(_document(entry), ensure_ascii=False))


@command.command()
@click.argument("slug", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every tenant's log, and the operators' own.")
@click.option("--anchor", default="", metavar="NUMBER:HEX", help="A head noted earlier: nothing before it may be gone.")
@verb()
def verify(console: Console, slug: str | None, everyone: bool, anchor: str) -> None:
    """Check that no entry was changed, removed, added or moved. Prints the head: note it down elsewhere.

    \b
    Example:
      extranet log verify acme
      extranet log verify acme --anchor 1042:5f0c…
    """
    if bool(slug) == everyone:
        raise click.UsageError("Name one tenant, or say --all.")
    if anchor and everyone:
        raise click.UsageError("--anchor belongs to one tenant.")
    tenancy = console.tenancy
    tenants = tenancy.registry.all() if everyone else [tenancy.registry.by_slug(str(slug))]
    results = [_verify(tenancy, tenant, _parse_anchor(anchor)) for tenant in tenants]
    if everyone:
        results.append(_verify_operators(tenancy))
    console.say(results, *(_sentence(result) for result in results))
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(1)


def _verify(tenancy: Tenancy, tenant: Tenant, anchor: tuple[int, str] | None) -> dict[str, Any]:
    with tenancy.open_db(tenant) as db:
        log = journal(db.info["keys"])
        try:
            count = log.verify(db, anchor)
        except BrokenJournal as broken:
            return {"log": tenant.slug, "ok": False, "first_bad_entry": broken.sequence, "why": broken.why}
        return {"log": tenant.slug, "ok": True, "entries": count, "head": "{}:{}".format(*log.head(db))}


def _verify_operators(tenancy: Tenancy) -> dict[str, Any]:
    with tenancy.registry.engine.connect() as connection:
        try:
            count = tenancy.operator_journal.verify(connection)
        except BrokenJournal as broken:
            return {"log": "operators", "ok": False, "first_bad_entry": broken.sequence, "why": broken.why}
        head = "{}:{}".format(*tenancy.operator_journal.head(connection))
        return {"log": "operators", "ok": True, "entries": count, "head": head}


def _sentence(result: dict[str, Any]) -> str:
    if result["ok"]:
        return f"{result['log']}: {result['entries']} entries, all hold. Head {result['head']}"
    return f"{result['log']}: BROKEN at entry {result['first_bad_entry']}: it {result['why']}"


def _parse_anchor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    number, colon, digest = text.partition(":")
    if not colon or not number.isdigit() or len(digest) != 64:
        raise click.UsageError("An anchor is a number, a colon and 64 hexadecimal digits.")
    return int(number), digest.lower()


def _document(entry: Entry) -> dict[str, Any]:
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "event": entry.event,
        "outcome": entry.outcome,
        "actor": entry.actor,
        "subject": entry.subject,
        "address": entry.private.get("address", ""),
        "port": entry.private.get("port", 0),
        "user_agent": entry.private.get("user_agent", ""),
        "browser": entry.private.get("browser", ""),
        "details": dict(entry.details),
    }
