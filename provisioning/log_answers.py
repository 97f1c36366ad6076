"""How ``extranet log`` writes entries and what came of verifying them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from tenants.journal import Entry
    from tenants.pruning import Pruned

_DIGEST_LENGTH = 64


def event_document(entry: Entry) -> dict[str, Any]:
    """Return an entry of the security log."""
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


def activity_document(entry: Entry) -> dict[str, Any]:
    """Return an entry of the activity log."""
    return {
        "sequence": entry.sequence,
        "at": entry.at.isoformat(),
        "change": entry.event,
        "actor": entry.actor,
        "subject": entry.subject,
        "label": entry.private.get("label", ""),
        "before": dict(entry.private.get("before", {})),
        "after": dict(entry.private.get("after", {})),
    }


def activity_row(entry: dict[str, Any], names: dict[str, str]) -> list[str]:
    """Return an entry of the activity log as a line of a table."""
    return [
        str(entry["sequence"]),
        entry["at"][:19].replace("T", " "),
        entry["change"],
        names.get(entry["actor"], entry["actor"]),
        names.get(entry["subject"], entry["label"] or entry["subject"]),
        ", ".join(dict.fromkeys([*entry["before"], *entry["after"]])),
    ]


def array(items: Iterator[str]) -> Iterator[str]:
    """Yield JSON documents as one array."""
    yield "["
    previous = next(items, "")
    for item in items:
        yield f"{previous},"
        previous = item
    yield previous
    yield "]"


def sentence(result: dict[str, Any]) -> str:
    """Return what came of verifying one log."""
    if result["ok"]:
        pruned = f", after {result['pruned']} that were removed" if "pruned" in result else ""
        return f"{result['log']}: {result['entries']} entries, all hold{pruned}. Head {result['head']}"
    if result["first_bad_entry"] is not None:
        return f"{result['log']}: BROKEN at entry {result['first_bad_entry']}: {result['why']}"
    return f"{result['log']}: {'NOT COMPARED' if 'head' in result else 'NOT READ'}: {result['why']}"


def pruned_document(log: str, pruned: Pruned, days: int, dry_run: bool) -> dict[str, Any]:
    """Return what was removed from one tenant's two logs, or from the operators' journal."""
    return {
        "log": log,
        "kept_days": days,
        "before": f"{pruned.before:%Y-%m-%dT%H:%M:%SZ}",
        "dry_run": dry_run,
        "removed": pruned.total,
        "journals": {
            name: {"removed": removed, "begins_at": pruned.begins_at[name]} for name, removed in pruned.removed.items()
        },
    }


def pruned_sentence(document: dict[str, Any]) -> str:
    """Return what was removed as a line."""
    log, days = document["log"], document["kept_days"]
    if not document["removed"]:
        return f"{log}: nothing is older than {days} days."
    count = document["removed"]
    entries = f"{count} {'entry' if count == 1 else 'entries'} from before {document['before'][:10]}"
    if document["dry_run"]:
        return f"{log}: {entries} would be removed."
    return f"{log}: {entries} {'was' if count == 1 else 'were'} removed. See: extranet log verify{_whose(log)}"


def _whose(log: str) -> str:
    return " --all" if log == "operators" else f" {log}"


def parse_anchor(text: str) -> tuple[int, str] | None:
    """Return a head as it was noted; None for none."""
    if not text:
        return None
    number, _colon, digest = text.partition(":")
    if not (number.isascii() and number.isdigit()) or not _is_digest(digest.lower()):
        raise click.UsageError("An anchor is a number, a colon and 64 hexadecimal digits.")
    return int(number), digest.lower()


def _is_digest(text: str) -> bool:
    return len(text) == _DIGEST_LENGTH and set(text) <= set("0123456789abcdef")
