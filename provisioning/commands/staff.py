"""extranet staff: the operator's own people, who may ask tenants to let them in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from typing import TYPE_CHECKING, Any

import click

from provisioning.backup_answers import instant
from provisioning.console import Console, verb

if TYPE_CHECKING:
    from tenants.staff import StaffMember


@click.group("staff")
def command() -> None:
    """Keep the list of those who may ask a tenant for support access."""


_ON = click.option(
    "--on",
    "day",
    required=True,
    type=click.DateTime(["%Y-%m-%d"]),
    callback=lambda _context, _parameter, moment: moment.date(),
    metavar="DATE",
    help="The day, for example 2026-11-22.",
)


@command.command(short_help="Add somebody, who may not do anything yet.")
@click.argument("staff", metavar="NAME")
@click.option("--full-name", required=True, help="What tenants read: first and last name.")
@click.option("--email", required=True, help="How to reach them.")
@verb(changes=True)
def add(console: Console, staff: str, full_name: str, email: str) -> None:
    """Add somebody. Before they may ask for access they sign a commitment and are trained.

    A name is never given twice: it stands in tenants' logs for good.

    \b
    Example:
      extranet staff add olga --full-name "Olga Ops" --email olga@ops.example
    """
    member = console.tenancy.staff.add(staff, full_name, email)
    console.say(_document(member), f"{staff} is one of the staff now.", *_missing(member))


@command.command("list")
@verb()
def list_staff(console: Console) -> None:
    """List the staff, with what each lacks, and who is to be reviewed.

    Once a year think about whether each still needs this; who does signs anew.

    \b
    Example:
      extranet staff list
    """
    members = console.tenancy.staff.all()
    console.table(
        [_document(member) for member in members],
        ["Name", "Full name", "Committed", "Trained", "May ask for access"],
        [
            [
                *(member.name, member.full_name),
                *(str(member.committed_on or "-"), str(member.trained_on or "-")),
                "; ".join((*(["no"] if not _may(member) else ["yes"]), *_due(member))),
            ]
            for member in members
        ],
        "There is nobody yet. Add somebody with: extranet staff add",
    )


@command.command(short_help="Note a signed confidentiality commitment.")
@click.argument("staff", metavar="NAME")
@_ON
@click.option("--text", "commitment", required=True, help="Which version they signed, and where it is filed.")
@verb(changes=True)
def commit(console: Console, staff: str, day: date, commitment: str) -> None:
    """Note that somebody signed a confidentiality commitment, which text it was, and where it is filed.

    \b
    Example:
      extranet staff commit olga --on 2026-11-02 --text "version 3, folder HR/7"
    """
    member = console.tenancy.staff.commit(staff, day, commitment)
    console.say(_document(member), f"{staff} signed on {day}: {member.commitment}.", *_missing(member))


@command.command(short_help="Note a training in data protection; good for 12 months.")
@click.argument("staff", metavar="NAME")
@_ON
@verb(changes=True)
def train(console: Console, staff: str, day: date) -> None:
    """Note that somebody was trained in data protection. It counts for 12 months.

    \b
    Example:
      extranet staff train olga --on 2026-11-03
    """
    member = console.tenancy.staff.train(staff, day)
    console.say(_document(member), f"{staff} was trained on {day}.", *_missing(member))


@command.command(short_help="Note that somebody left; their visits end at once.")
@click.argument("staff", metavar="NAME")
@verb(changes=True)
def remove(console: Console, staff: str) -> None:
    """Note that somebody left. Whatever tenants granted them ends at once, and the tenants read so.

    Where a tenant cannot be reached now, it ends with their next click there.

    \b
    Example:
      extranet staff remove olga
    """
    member = console.tenancy.staff.remove(staff)
    ended = list(_end_access(console, staff))
    console.say(
        {**_document(member), "ended": ended},
        f"{staff} is no longer one of the staff.",
        *(f"What was asked of {slug}, or granted there, has ended." for slug in ended),
    )


def _end_access(console: Console, staff: str) -> Iterator[str]:
    """End what somebody asked for and was granted, and yield where."""
    from extranet.support.finding import living_of
    from extranet.support.operations import give_back
    from tenants.errors import TenancyError
    from tenants.tenant import State

    tenancy = console.tenancy
    for tenant in [one for one in tenancy.registry.all() if one.state is State.ACTIVE]:
        # Each request there asks about the staff anyway.
        with suppress(TenancyError), tenancy.open_db(tenant, writing=True) as db:
            if living_of(db, staff) is not None:
                give_back(db, staff, console.origin, "staff_left")
                db.commit()
                yield tenant.slug


def _document(member: StaffMember) -> dict[str, Any]:
    return {
        "name": member.name,
        "full_name": member.full_name,
        "email": member.email,
        "added_at": instant(member.added_at),
        "committed_on": member.committed_on,
        "commitment": member.commitment,
        "trained_on": member.trained_on,
        "left_at": instant(member.left_at) if member.left_at else None,
        "may_ask": _may(member),
        "due": _due(member),
    }


def _may(member: StaffMember) -> bool:
    return not list(member.lacks())


def _due(member: StaffMember) -> list[str]:
    review = ["yearly review: sign anew, or remove"] if member.is_to_be_reviewed() else []
    return [*member.lacks(), *review]


def _missing(member: StaffMember) -> list[str]:
    missing = list(member.lacks())
    return [f"Still missing: {'; '.join(missing)}."] if missing else ["They may ask for access: extranet support ask"]
