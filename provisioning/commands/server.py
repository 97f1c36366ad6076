"""extranet server: PostgreSQL servers that hold tenant databases."""

from __future__ import annotations

import os
import stat
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from provisioning.console import Console, read_secret, verb
from tenants.errors import BadServer

if TYPE_CHECKING:
    from tenants.servers import Server
    from tenants.stores.registering import Registration

_LONGEST_URL = 4096


@click.group("server")
def command() -> None:
    """Register PostgreSQL servers that hold tenant databases."""


@command.command(short_help="Let a PostgreSQL server hold tenants, or replace its entry.")
@click.argument("name")
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    metavar="N",
    help="How many this platform may have open there.  [default: three quarters of what the server gives]",
)
@click.option("--through", default="", metavar="HOST:PORT", help="A pooler in transaction mode for tenants' logins.")
@click.option(
    "--url-file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Read the URL from a file instead of standard input.",
)
@verb(changes=True)
def add(console: Console, name: str, connections: int | None, through: str, url_file: Path | None) -> None:
    """Let a PostgreSQL server hold tenants, or replace what is known of it.

    Reads one line from standard input: the URL of a role with CREATEDB and CREATEROLE. It is kept in the home
    folder for operators alone, never shown, and never given to the web.

    \b
    Example:
      extranet server add pg1 < url.txt
      extranet server add pg1 --url-file url.txt --connections 60
      extranet server add pg1 --through 127.0.0.1:6432
    """
    from tenants.stores.registering import register_server

    url = _read_url(url_file) if url_file else read_secret("URL", twice=False)
    done = register_server(console.tenancy, name, url.strip(), connections=connections, through=through)
    document = {
        **_document(done.server),
        "replaced": done.replaced,
        "statements": done.statements,
        "rules": done.rules,
    }
    console.say(document, *_told(done))


@command.command("list")
@verb()
def list_servers(console: Console) -> None:
    """List the registered servers, and whether each can be reached. Exit 1 when one cannot.

    \b
    Example:
      extranet server list
    """
    from tenants.stores.registering import why_unreachable

    tenancy = console.tenancy
    held = Counter(tenant.server for tenant in tenancy.registry.all())
    documents = [
        {**_document(server), "tenants": held[server.name], "fault": why_unreachable(tenancy, server.name)}
        for server in tenancy.servers.all()
    ]
    console.table(
        documents,
        ["Name", "Address", "Tenants", "Connections", "Reachable"],
        [
            [
                *(found["name"], _shown(found)),
                *(str(found["tenants"]), str(found["connections"])),
                f"no: {found['fault']}" if found["fault"] else "yes",
            ]
            for found in documents
        ],
        "There is no server: tenants are kept in the home folder. Register one with: extranet server add",
    )
    if any(found["fault"] for found in documents):
        raise click.exceptions.Exit(1)


@command.command(short_help="Forget a server that holds no tenant.")
@click.argument("name")
@verb(changes=True)
def remove(console: Console, name: str) -> None:
    """Forget a server that holds no tenant, with the operator's credential for it.

    \b
    Example:
      extranet server remove pg1
    """
    from tenants.stores.registering import remove_server

    remove_server(console.tenancy, name)
    console.say(
        {"name": name},
        f"{name} is forgotten.",
        "What every tenant shared there stays: databases tpl_*, roles extranet_tables and extranet_tenants.",
    )


def _read_url(path: Path) -> str:
    with open(path, "rb") as file:
        status = os.fstat(file.fileno())
        if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
            raise BadServer(f"{path} is open to others: chmod go= it, and change that password.")
        try:
            return file.read(_LONGEST_URL).decode()
        except UnicodeDecodeError:
            # The error's own text would show the secret.
            raise BadServer(f"{path} is not text in UTF-8.") from None


def _document(server: Server) -> dict[str, Any]:
    return {
        "name": server.name,
        "address": server.address,
        "pooled": server.pooled,
        "connections": server.connections,
    }


def _shown(document: dict[str, Any]) -> str:
    return f"{document['address']}{' (pooler)' if document['pooled'] else ''}"


def _told(done: Registration) -> list[str]:
    server = done.server
    lines = [f"{server.name} can hold tenants: {_shown(_document(server))}, up to {server.connections} connections."]
    if done.replaced:
        lines.append("It was registered before: credential, address and connections are replaced.")
        lines.append("Serving processes take up another number of connections when they are restarted.")
    if done.statements:
        lines += ["", "Still to be run by the server's own administrator:"]
        lines += [f"  {statement}" for statement in done.statements]
    lines += ["", "Before all other lines in the server's pg_hba.conf, then reload it:"]
    lines += [f"  {rule}" for rule in done.rules]
    lines += [
        "The first two once for each machine that connects"
        + (", the second for the pooler's." if server.pooled else "."),
        "",
        f"Make a tenant there with: extranet tenant create SLUG --server {server.name}",
        "See whether all is well with: extranet doctor",
    ]
    return lines
