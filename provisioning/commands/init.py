"""extranet init."""

from __future__ import annotations

import click

from provisioning.console import Console, verb


@click.command("init")
@verb(changes=True)
def command(console: Console) -> None:
    """Make the home folder, the registry and the master key. What exists is kept, an older registry is upgraded.

    The registry is a file in the home folder, or the PostgreSQL database that EXTRANET_REGISTRY_URL names: an empty
    one of a role of its own, which several machines can share. Its password goes into a file that passfile= names.

    \b
    Example:
      EXTRANET_HOME=/var/lib/extranet extranet init
    """
    from tenants.registry_database import where_registry_is
    from tenants.tenancy import initialise

    settings = console.settings
    upgraded_from = initialise(settings)
    registry = where_registry_is(settings)
    console.say(
        {
            "home": str(settings.home),
            "registry": registry,
            "upgraded_from": upgraded_from,
            "master_key_file": str(settings.master_key_file),
            "domain": settings.domain,
        },
        f"Ready: {settings.home}",
        f"The registry is {registry}.",
        *([f"It had schema {upgraded_from} and was upgraded to this code's."] if upgraded_from else []),
        f"The master key is in {settings.master_key_file}. Back it up apart from everything else:",
        "without it, no sealed byte of any tenant can be read again.",
        "Make a tenant with: extranet tenant create",
    )
