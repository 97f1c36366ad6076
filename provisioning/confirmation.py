"""Asking before what cannot be undone: the operator types the tenant's slug, or has said it on the command line."""

from __future__ import annotations

import sys

import click


def confirm(slug: str, meant: str, what: str) -> None:
    """Go on only when the operator has named the tenant once more; ``meant`` is what ``--yes-i-mean`` said.

    Where nobody can be asked, silence is no consent.
    """
    if not meant and sys.stdin.isatty():
        click.echo(f"{what} Type {slug} to go on: ", nl=False, err=True)
        typed = sys.stdin.readline()
        if not typed:
            # Ctrl-D moves no cursor: what follows begins on a line of its own.
            click.echo(err=True)
        meant = typed.strip()
    if meant != slug:
        raise click.ClickException(f"{slug} was not named once more; nothing was changed. See: --yes-i-mean {slug}.")
