"""extranet log: a tenant's security log, and with --activity its activity log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import Event
from extranet.security_log.origin import OPERATOR
from provisioning.commands.log_pruning import prune
from provisioning.console import Console, verb
from provisioning.log_answers import activity_document, activity_row, array, event_document, parse_anchor, sentence
from tenants.errors import AnchorPruned, BrokenJournal, CutOff, KeyUnavailable, TenancyError
from tenants.tenant import State, Tenant

if TYPE_CHECKING:
    from sqlalchemy import Connection
    from sqlalchemy.orm import Session

    from tenants.databases import TenantSession
    from tenants.journal import Journal
    from tenants.tenancy import Tenancy

_WITHOUT_LOG = frozenset({State.PROVISIONING, State.PURGED})

# What verifying ends with, the worst of all logs: they are told apart by whoever runs it from cron.
_BROKEN, _NOT_COMPARED, _WITHOUT_KEY = 1, 2, 3


@click.group("log")
def command() -> None:
    """Show, export, verify and prune a tenant's security log and its activity log."""


command.add_command(prune)


_ACTIVITY = click.option("--activity", is_flag=True, help="The activity log instead: what was changed.")


@command.command()
@click.argument("slug")
@click.option("--last", default=20, type=click.IntRange(1, 10_000), show_default=True, help="How many entries.")
@_ACTIVITY
@verb(changes=True)
def show(console: Console, slug: str, last: int, activity: bool) -> None:
    """Show the newest entries. Looking is itself noted in the security log.

    \b
    Example:
      extranet log show acme --last 50
      extranet log show acme --activity
    """
    from extranet.security_log.operations import record

    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    with tenancy.open_db(tenant, writing=_takes_entries(tenant)) as db:
        entries = _newest(db, last, activity)
        names = _usernames(db)
        if _takes_entries(tenant):
            details = {"entries": len(entries), **_which(activity)}
            record(db, Event.LOG_VIEWED, console.origin, actor=OPERATOR, details=details)
            db.commit()
    if activity:
        columns = ["#", "Time (UTC)", "Change", "By", "Of", "Fields"]
        console.table(entries, columns, [activity_row(entry, names) for entry in entries], "The log is empty.")
        return
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
@_ACTIVITY
@verb(changes=True)
def export(console: Console, slug: str, activity: bool) -> None:
    """Write the whole log to standard output, one JSON object a line. Exporting is itself noted in the security log.

    With --json it is one array.

    \b
    Example:
      extranet log export acme > acme-log.jsonl
      extranet log export acme --activity > acme-activity.jsonl
    """
    from extranet.security_log.operations import record

    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    if _takes_entries(tenant):
        with tenancy.open_db(tenant, writing=True) as db:
            record(db, Event.LOG_EXPORTED, console.origin, actor=OPERATOR, details=_which(activity))
            db.commit()
    entries = _all_entries(tenancy, tenant, activity)
    console.stream(array(entries) if console.as_json else entries)


@command.command(short_help="Check that no entry was changed, removed or added.")
@click.argument("slug", required=False)
@click.option("--all", "everyone", is_flag=True, help="Every tenant's logs, and the operators' own.")
@click.option("--anchor", default="", metavar="NUMBER:HEX", help="A head noted earlier: nothing before it may be gone.")
@click.option("--activity", is_flag=True, help="The anchor is one of the activity log.")
@verb()
def verify(console: Console, slug: str | None, everyone: bool, anchor: str, activity: bool) -> None:
    """Check that no entry was changed, removed, added or moved, in the security log and in the activity log.

    Prints the head of each: note them down elsewhere. Exit 1 when a log is broken or cannot be read, 2 when one ends
    before the anchor or the anchor's entry was removed for its age, 3 when the key is missing.

    \b
    Example:
      extranet log verify acme
      extranet log verify acme --anchor 1042:5f0c…
      extranet log verify acme --activity --anchor 17:93ab…
    """
    if bool(slug) == everyone:
        raise click.UsageError("Name one tenant, or say --all.")
    if anchor and everyone:
        raise click.UsageError("--anchor belongs to one tenant.")
    noted = (parse_anchor(anchor), activity)
    try:
        results = list(_verify_all(console.tenancy) if everyone else _verify_one(console.tenancy, str(slug), *noted))
    except KeyUnavailable as error:
        raise _KeyMissing(str(error)) from error
    codes = {code for result in results if (code := result.pop("exit", 0))}
    console.say(results, *(sentence(result) for result in results))
    if codes:
        raise click.exceptions.Exit(min(codes))


class _KeyMissing(click.ClickException):
    exit_code = _WITHOUT_KEY


def _takes_entries(tenant: Tenant) -> bool:
    # A closed tenant's log takes no more; that somebody looked is in the operators' journal all the same.
    return tenant.state is not State.CLOSED


def _usernames(db: Session) -> dict[str, str]:
    from sqlalchemy import select

    from extranet.models import User

    return {user.id: user.username for user in db.execute(select(User.id, User.username))}


def _newest(db: TenantSession, last: int, activity: bool) -> list[dict[str, Any]]:
    from extranet.activity.operations import read_last as read_changes
    from extranet.security_log.operations import read_last

    if activity:
        return [activity_document(entry) for entry in read_changes(db, last)]
    return [event_document(entry) for entry in read_last(db, last)]


def _all_entries(tenancy: Tenancy, tenant: Tenant, activity: bool) -> Iterator[str]:
    from extranet.activity.operations import read_all as read_changes
    from extranet.security_log.operations import read_all

    with tenancy.open_db(tenant) as db:
        entries = map(activity_document, read_changes(db)) if activity else map(event_document, read_all(db))
        for entry in entries:
            yield json.dumps(entry, ensure_ascii=False)


def _which(activity: bool) -> dict[str, str]:
    return {"log": "activity"} if activity else {}


def _verify_one(
    tenancy: Tenancy, slug: str, anchor: tuple[int, str] | None = None, activity: bool = False
) -> Iterator[dict[str, Any]]:
    from extranet.activity.operations import activity_journal
    from extranet.security_log.operations import journal

    with tenancy.open_db(tenancy.registry.by_slug(slug)) as db:
        yield _verified(slug, journal(db.info["keys"]), db, None if activity else anchor)
        yield _verified(f"{slug} activity", activity_journal(db.info["keys"]), db, anchor if activity else None)


def _verify_all(tenancy: Tenancy) -> Iterator[dict[str, Any]]:
    for tenant in tenancy.registry.all():
        if tenant.state not in _WITHOUT_LOG:
            try:
                yield from _verify_one(tenancy, tenant.slug)
            except TenancyError as error:
                # One tenant that cannot be read must not hide what is wrong with the next.
                yield _not_read(tenant.slug, error)
    with tenancy.registry.engine.connect() as connection:
        yield _verified("operators", tenancy.operator_journal, connection, None)


def _verified(name: str, log: Journal, db: Session | Connection, anchor: tuple[int, str] | None) -> dict[str, Any]:
    try:
        count = log.verify(db, anchor)
    except BrokenJournal as broken:
        code = _NOT_COMPARED if isinstance(broken, CutOff) else _BROKEN
        return {"log": name, "ok": False, "first_bad_entry": broken.sequence, "why": broken.why, "exit": code}
    except AnchorPruned as pruned:
        head = "{}:{}".format(*log.head(db))
        why = f"{pruned}. All entries since then hold"
        return {"log": name, "ok": False, "first_bad_entry": None, "why": why, "head": head, "exit": _NOT_COMPARED}
    gone = log.bases.newest(db).sequence
    pruned_before = {"pruned": gone} if gone else {}
    return {"log": name, "ok": True, "entries": count, **pruned_before, "head": "{}:{}".format(*log.head(db))}


def _not_read(slug: str, error: TenancyError) -> dict[str, Any]:
    code = _WITHOUT_KEY if isinstance(error, KeyUnavailable) else _BROKEN
    return {"log": slug, "ok": False, "first_bad_entry": None, "why": str(error), "exit": code}
