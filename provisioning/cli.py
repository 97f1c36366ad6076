"""The ``extranet`` command: one noun a file in ``commands``, loaded when it is called."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

# Nothing is imported for --help: it works on a broken installation and answers at once.
_NOUNS = {
    "init": "Make the home folder: registry, master key.",
    "tenant": "Tenants, from their creation to their end.",
    "host": "Custom hosts that lead to a tenant.",
    "server": "PostgreSQL servers that hold tenant databases.",
    "user": "People in a tenant: create, invite, disable, unlock.",
    "staff": "The operator's own people: commitments, training.",
    "support": "Ask a tenant for access, and enter where granted.",
    "log": "A tenant's logs: show, export, verify, prune.",
    "backup": "One tenant's backups: create, list, verify, restore.",
    "fleet": "All tenants at once: status, migrate, backups, keys.",
    "nginx": "Write and check nginx's configuration.",
    "serve": "Serve all tenants with gunicorn.",
    "worker": "Send the mails of all tenants.",
    "doctor": "Check that everything is as it should be.",
    "demo": "Make a tenant to try things out, on localhost only.",
}
_INTERRUPTED = 130


class _Nouns(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_NOUNS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _NOUNS:
            return None
        module = importlib.import_module(f"provisioning.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in _NOUNS and not args[0].startswith("-") and not ctx.resilient_parsing:
            # Click would look for what was meant among commands that are loaded, and none is.
            raise click.NoSuchCommand(args[0], possibilities=_NOUNS, ctx=ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_NOUNS.items()))

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            # What shells and schedulers expect of Ctrl-C; Click itself would answer 1, as for a refusal.
            click.echo("Interrupted.", err=True)
            ctx.exit(_INTERRUPTED)


@click.group(cls=_Nouns, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="extranet")
def extranet() -> None:
    """Provision and run extranets, one isolated tenant per customer.

    \b
    Example:
      extranet init
      extranet tenant create acme --name Acme --admin anna --email a@acme.example
      extranet serve
    """


def main() -> None:
    """Run the command line. Files it makes are for their owner alone."""
    os.umask(0o077)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A company's name must not stop a terminal that lacks its letters.
        sys.stdout.reconfigure(errors="backslashreplace")
    extranet(prog_name="extranet")
