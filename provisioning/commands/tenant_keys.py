"""extranet tenant rotate-keys: another key for one tenant."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from extranet.security_log.events import TenantEvent
from extranet.security_log.origin import OPERATOR
from provisioning.console import Console, verb
from provisioning.telling import telling

if TYPE_CHECKING:
    from tenants.rotation import EndLogins, Rotated


@click.command("rotate-keys", short_help="Give a tenant a new key; nobody is signed out.")
@click.argument("slug")
@click.option("--logout", is_flag=True, help="Sign everybody out, and let the old key open nothing from now on.")
@verb(changes=True)
def rotate_keys(console: Console, slug: str, logout: bool) -> None:
    """Give a tenant a new key and seal everything with it anew, while it is served. Nobody is signed out.

    Where the old key may have become known, use --logout: without it, the old
    key goes on opening cookies for 100 days. Cut short, it goes on when it is
    run again.

    \b
    Example:
      extranet tenant rotate-keys acme
      extranet tenant rotate-keys acme --logout
    """
    from tenants import rotation

    rotated = rotation.rotate_keys(
        console.tenancy, slug, ending_logins(console), logout=logout, tell=telling(console, TenantEvent.KEYS_ROTATED)
    )
    console.say(document(rotated), *_lines(rotated))


def ending_logins(console: Console) -> EndLogins:
    """Return what ends every login of a tenant in this command's name."""
    from extranet.accounts.logins import end_all_logins

    return partial(end_all_logins, origin=console.origin, actor=OPERATOR)


def document(rotated: Rotated) -> dict[str, Any]:
    """Return what came of one tenant's rotation."""
    return {
        "slug": rotated.tenant.slug,
        "uuid": str(rotated.tenant.uuid),
        "key_version": rotated.tenant.key_version,
        "resumed": rotated.resumed,
        "resealed": rotated.resealed,
        "unreadable": rotated.unreadable,
        "older_keys_open_until": f"{rotated.retired_at:%Y-%m-%dT%H:%M:%SZ}",
        "logins_ended": rotated.ended,
    }


def _lines(rotated: Rotated) -> Iterator[str]:
    slug, count = rotated.tenant.slug, rotated.resealed
    values = "1 value was" if count == 1 else f"{count} values were"
    yield f"{slug} seals with key {rotated.tenant.key_version} now; {values} sealed anew."
    if rotated.ended is None:
        yield f"Nobody is signed out. Older keys open cookies until {rotated.retired_at:%Y-%m-%d}, then nothing."
    else:
        logins = "1 login was" if rotated.ended == 1 else f"{rotated.ended} logins were"
        yield f"Everybody is signed out: {logins} ended. Older keys open nothing any more."
    if rotated.unreadable:
        yield f"{rotated.unreadable} did not open with any key and stayed as they were. See: extranet log verify {slug}"
