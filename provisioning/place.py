"""Where a new tenant goes when nobody said."""

from __future__ import annotations

import click

from provisioning.console import Console


def place_for_new(console: Console) -> str:
    """Return the least filled server that answers; say on standard error which were passed over, and why."""
    from tenants.stores.placement import least_filled

    return least_filled(console.tenancy, lambda why: click.echo(f"Passed over: {why}", err=True))
