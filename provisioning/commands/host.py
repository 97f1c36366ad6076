"""extranet host: custom hosts."""

from __future__ import annotations

import click

from provisioning.console import Console, verb


@click.group("host")
def command() -> None:
    """Let custom hosts lead to a tenant."""


@command.command()
@click.argument("slug")
@click.argument("host")
@verb(changes=True)
def add(console: Console, slug: str, host: str) -> None:
    """Let a custom host lead to a tenant.

    \b
    Example:
      extranet host add acme extranet.acme.example
    """
    from tenants.lifecycle import add_host

    canonical = add_host(console.tenancy, slug, host)
    console.say(
        {"slug": slug, "host": canonical},
        f"{canonical} leads to {slug}.",
        "It needs a certificate of its own: see extranet nginx write --help",
    )


@command.command()
@click.argument("slug")
@click.argument("host")
@verb(changes=True)
def remove(console: Console, slug: str, host: str) -> None:
    """Take a custom host from a tenant.

    \b
    Example:
      extranet host remove acme extranet.acme.example
    """
    from tenants.lifecycle import parse_custom_host

    tenancy = console.tenancy
    canonical = parse_custom_host(host)
    tenancy.registry.remove_host(tenancy.registry.by_slug(slug), canonical)
    console.say({"slug": slug, "host": canonical}, f"{canonical} no longer leads to {slug}.")


@command.command("list")
@click.argument("slug")
@verb()
def list_hosts(console: Console, slug: str) -> None:
    """List every host that leads to a tenant.

    \b
    Example:
      extranet host list acme
    """
    tenancy = console.tenancy
    tenant = tenancy.registry.by_slug(slug)
    hosts = [
        {"host": console.settings.host_of(tenant.slug), "kind": "slug"},
        *(
            {"host": console.settings.host_of(former), "kind": "former slug"}
            for former in tenancy.registry.former_slugs_of(tenant)
        ),
        *({"host": host, "kind": "custom"} for host in tenancy.registry.hosts_of(tenant)),
    ]
    console.table(hosts, ["Host", "Kind"], [[host["host"], host["kind"]] for host in hosts], "There is no host.")
