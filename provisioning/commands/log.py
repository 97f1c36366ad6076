"""extranet log: a tenant's security log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, verb
from tenants.errors import BrokenJournal, TenancyError
from tenants.tenant import State, Tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from tenants.journal import Entry, Journal
    from tenants.tenancy import Tenancy

_DIGEST_LENGTH = 64
_WITHOUT_LOG = frozenset({State.PROVISIONING, State.PURGED})


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
    from extranet.security_log.operations import read_last, record

    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    with tenancy.open_db(tenant, writing=_takes_entries(tenant)) as db:
        entries = [_document(entry) for entry in read_last(db, last)]
        names = _usernames(db)
        if _takes_entries(tenant):
            record(db, Event.LOG_VIEWED, console.origin, actor=OPERATOR, details={"entries": len(entries)})
            db.commit()
    console.table(
        entries,
        ["#", "Time (UTC)", "Event", "Result", "Person", "Address"],
        [
            [
                str(entry["sequence"]),
                entry["at"][:19].replace("T", " "),
                entry["event"],
                entry["outcome"],
                names.get(entry["subject"], entry["subject"]),
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

    With --json it is one array.

    \b
    Example:
      extranet log export acme > acme-log.jsonl
    """
    from extranet.security_log.operations import record

    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    if _takes_entries(tenant):
        with tenancy.open_db(tenant, writing=True) as db:
            record(db, Event.LOG_EXPORTED, console.origin, actor=OPERATOR)
            db.commit()
    entries = _all_entries(tenancy, tenant)
    console.stream(_array(entries) if console.as_json else entries)


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
    noted = _parse_anchor(anchor)
    results = list(_verify_all(console.tenancy) if everyone else _verify_one(console.tenancy, str(slug), noted))
    console.say(results, *(_sentence(result) for result in results))
    if not all(result["ok"] for result in results):
        raise click.exceptions.Exit(1)


def _takes_entries(tenant: Tenant) -> bool:
    # A closed tenant's log takes no more; that somebody looked is in the operators' journal all the same.
    return tenant.state is not State.CLOSED


def _usernames(db: Session) -> dict[str, str]:
    from sqlalchemy import select

    from extranet.models import User

    return {user.id: user.username for user in db.execute(select(User.id, User.username))}


def _all_entries(tenancy: Tenancy, tenant: Tenant) -> Iterator[str]:
    from extranet.security_log.operations import read_all

    with tenancy.open_db(tenant) as db:
        for entry in read_all(db):
            yield json.dumps(_document(entry), ensure_ascii=False)


def _array(items: Iterator[str]) -> Iterator[str]:
    yield "["
    previous = next(items, "")
    for item in items:
        yield f"{previous},"
        previous = item
    yield previous
    yield "]"


def _verify_one(tenancy: Tenancy, slug: str, anchor: tuple[int, str] | None) -> Iterator[dict[str, Any]]:
    from extranet.security_log.operations import journal

    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        yield _verified(slug, journal(db.info["keys"]), db, anchor)


def _verify_all(tenancy: Tenancy) -> Iterator[dict[str, Any]]:
    for tenant in tenancy.registry.all():
        if tenant.state not in _WITHOUT_LOG:
            try:
                yield from _verify_one(tenancy, tenant.slug, None)
            except TenancyError as error:
                # One tenant that cannot be read must not hide what is wrong with the next.
                yield {"log": tenant.slug, "ok": False, "first_bad_entry": None, "why": str(error)}
    with tenancy.registry.engine.connect() as connection:
        yield _verified("operators", tenancy.operator_journal, connection, None)


def _verified(name: str, log: Journal, db: Session | Connection, anchor: tuple[int, str] | None) -> dict[str, Any]:
    try:
        count = log.verify(db, anchor)
    except BrokenJournal as broken:
        return {"log": name, "ok": False, "first_bad_entry": broken.sequence, "why": broken.why}
    return {"log": name, "ok": True, "entries": count, "head": "{}:{}".format(*log.head(db))}


def _sentence(result: dict[str, Any]) -> str:
    if result["ok"]:
        return f"{result['log']}: {result['entries']} entries, all hold. Head {result['head']}"
    if result["first_bad_entry"] is None:
        return f"{result['log']}: NOT READ: {result['why']}"
    return f"{result['log']}: BROKEN at entry {result['first_bad_entry']}: {result['why']}"


def _parse_anchor(text: str) -> tuple[int, str] | None:
    if not text:
        return None
    number, _colon, digest = text.partition(":")
    if not (number.isascii() and number.isdigit()) or not _is_digest(digest.lower()):
        raise click.UsageError("An anchor is a number, a colon and 64 hexadecimal digits.")
    return int(number), digest.lower()


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_LENGTH and set(text) <= set("0123456789abcdef")


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
