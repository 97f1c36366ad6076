"""extranet fleet rotate-keys: another key for every tenant, or another master key."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import click

from extranet.security_log.events import TenantEvent
from provisioning.commands.tenant_keys import document, ending_logins
from provisioning.console import Console, verb
from provisioning.progress import ProgressLine, pace
from provisioning.telling import telling

if TYPE_CHECKING:
    from tenants.fleet_rotation import Plan
    from tenants.master_rotation import Rewrapped
    from tenants.rotation import Rotated

_SHOWN = 10


@click.command("rotate-keys", short_help="Give all tenants new keys, or the platform a new master key.")
@click.option("--master", is_flag=True, help="Another master key instead: all tenants' keys are wrapped under it.")
@click.option("--drop-old", is_flag=True, help="Remove master keys that wrap nothing any more from the file.")
@verb(changes=True)
def rotate_keys(console: Console, master: bool, drop_old: bool) -> None:
    """Give every tenant a new key, or the platform a new master key. Nobody is signed out, nothing is stopped.

    A tenant that fails does not hold up the others. Cut short, it goes on
    when it is run again. Exit 1 when a tenant or a key failed.

    An old master key that was dropped also opens no older backup of the
    registry: keep a copy apart for as long as you keep those.

    \b
    Example:
      extranet fleet rotate-keys
      extranet fleet rotate-keys --master
      extranet fleet rotate-keys --drop-old
    """
    if master:
        _rotate_master(console, drop_old)
    elif drop_old:
        dropped = _drop_old(console)
        console.say({"newest": console.tenancy.master_keys.newest, "dropped": dropped}, _dropped_line(dropped))
    else:
        _rotate_tenants(console)


def _rotate_tenants(console: Console) -> None:
    from tenants.fleet_rotation import plan_rotation, rotate_fleet

    plan = plan_rotation(console.tenancy)
    done: list[Rotated] = []
    failed: dict[str, str] = {}
    began = time.monotonic()
    tell = telling(console, TenantEvent.KEYS_ROTATED)
    with ProgressLine() as line, closing(rotate_fleet(console.tenancy, plan, ending_logins(console), tell)) as outcomes:
        for outcome in outcomes:
            if outcome.rotated is None:
                failed[outcome.slug] = outcome.fault
            else:
                done.append(outcome.rotated)
            count, total = len(done) + len(failed), len(plan.slugs)
            speed = pace(count, total - count, time.monotonic() - began)
            line.show(f"{count} of {total} done, {len(failed)} failed, {speed}")
    console.say(
        {
            "rotated": [document(rotated) for rotated in sorted(done, key=lambda rotated: rotated.tenant.slug)],
            "failed": [{"slug": slug, "error": error} for slug, error in sorted(failed.items())],
            "done_before": plan.done,
        },
        *_tenant_lines(plan, len(done), failed),
    )
    if failed:
        raise click.exceptions.Exit(1)


def _rotate_master(console: Console, drop_old: bool) -> None:
    from tenants.master_rotation import add_master_key, rewrap_keys

    tenancy = console.tenancy
    added = add_master_key(tenancy)
    newest, file = tenancy.master_keys.newest, tenancy.settings.master_key_file
    if added and tenancy.settings.nodes > 1:
        # Another machine could not open what is wrapped under a line that its own file does not have.
        console.say(
            {"newest": newest, "added": True, "keys": 0, "faults": [], "dropped": []},
            f"The master key {newest} was added to {file}, and wraps nothing yet.",
            "When every other machine has that file too, run this again: extranet fleet rotate-keys --master",
        )
        return
    done = rewrap_keys(tenancy)
    dropped = _drop_old(console) if drop_old and not done.faults else []
    console.say(
        {"newest": newest, "added": added, "keys": done.keys, "faults": done.faults, "dropped": dropped},
        *_master_lines(done, dropped, drop_old),
    )
    if done.faults:
        raise click.exceptions.Exit(1)


def _drop_old(console: Console) -> list[str]:
    from tenants.master_rotation import drop_old_master_keys

    return drop_old_master_keys(console.tenancy)


def _master_lines(done: Rewrapped, dropped: list[str], drop_old: bool) -> Iterator[str]:
    yield f"{'1 key is' if done.keys == 1 else f'{done.keys} keys are'} wrapped under {done.newest} now."
    yield from done.faults
    if drop_old and not done.faults:
        yield _dropped_line(dropped)
    elif done.faults:
        yield "No older master key can be dropped before these open."
    else:
        yield "Back the master key file up again. Drop the older one with: extranet fleet rotate-keys --drop-old"


def _dropped_line(dropped: list[str]) -> str:
    if not dropped:
        return "There is no older master key."
    return f"Dropped from the master key file: {', '.join(dropped)}."


def _tenant_lines(plan: Plan, done: int, failed: dict[str, str]) -> Iterator[str]:
    if plan.done:
        yield f"{_tenants(plan.done)} had a new key already, from the run of {plan.begun_at:%Y-%m-%d %H:%M} UTC."
    yield f"{_tenants(done)} got a new key. Nobody is signed out."
    if failed:
        yield f"{_tenants(len(failed))} failed; try each again with: extranet tenant rotate-keys SLUG"
        yield from (f"  {slug}: {error}" for slug, error in sorted(failed.items())[:_SHOWN])
    if len(failed) > _SHOWN:
        yield f"  and {len(failed) - _SHOWN} more: see --json"


def _tenants(count: int) -> str:
    return "1 tenant" if count == 1 else f"{count} tenants"
