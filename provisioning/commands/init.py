"""extranet init."""

from __future__ import annotations

import click

from provisioning.console import Console, verb


@click.command("init")
@verb(changes=True)
def command(console: Console) -> None:
    """Make the home folder with registry and master key. What exists is kept.

    \b
    Example:
      EXTRANET_HOME=/var/lib/extranet extranet init
    """
    from tenants.tenancy import initialise

    settings = console.settings
    initialise(settings)
    console.say(
        {"home": str(settings.home), "master_key_file": str(settings.master_key_file), "domain": settings.domain},
        f"Ready: {settings.home}",
        f"The master key is in {settings.master_key_file}. Back it up apart from everything else:",
        "without it, no sealed byte of any tenant can be read again.",
        "Make a tenant with: extranet tenant create",
    )
