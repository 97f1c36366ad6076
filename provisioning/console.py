"""What every command shares: ``--json``, the open tenancy, errors as sentences with exit codes, the journal."""

from __future__ import annotations

import getpass
import json
import socket
import sys
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import click
from sqlalchemy.exc import DatabaseError

from extranet.errors import ExtranetError
from extranet.security_log.origin import Origin
from tenants.errors import TenancyError
from tenants.settings import Settings, read_settings
from tenants.tenancy import Tenancy

HISTORY = "extranet.migrations"
_LONGEST_SECRET = 4096


class Console:
    """One running command: opens the tenancy at first use, closes it at the end, says things once."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.opened: Tenancy | None = None

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings."""
        return read_settings()

    @property
    def tenancy(self) -> Tenancy:
        """The open tenancy."""
        if self.opened is None:
            self.opened = Tenancy.open(self.settings, HISTORY)
        return self.opened

    @cached_property
    def operator(self) -> str:
        """The operating system's name for who is typing."""
        return getpass.getuser()

    @cached_property
    def origin(self) -> Origin:
        """Where this command comes from, for a tenant's security log."""
        return Origin.operator(self.operator, socket.gethostname())

    def say(self, document: Any, *lines: str) -> None:
        """Answer: the document as JSON, or the lines for a person."""
        if self.as_json:
            click.echo(json.dumps(document, ensure_ascii=False, indent=2, default=str))
            return
        for line in lines:
            click.echo(line)

    def table(self, document: Any, columns: list[str], rows: list[list[str]], empty: str) -> None:
        """Answer with a table, or with what to do when there is nothing in it."""
        if self.as_json or not rows:
            self.say(document, empty)
            return
        from rich.console import Console as Terminal
        from rich.table import Table

        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(_plain(cell) for cell in row))
        # A pipe has no width: give it whole lines instead of cutting at 80 columns.
        Terminal(width=None if sys.stdout.isatty() else 400, highlight=False).print(table)

    def journal(self, command: str, outcome: str, parameters: Mapping[str, Any]) -> None:
        """Write a changing command into the operators' journal. Secrets are never among its parameters."""
        with self.tenancy.registry.writing() as connection:
            self.tenancy.operator_journal.append(
                connection,
                command,
                outcome,
                actor=self.operator,
                subject=str(parameters.get("slug", "")),
                details={"machine": socket.gethostname(), **{name: str(value) for name, value in parameters.items()}},
                private={},
            )

    def close(self) -> None:
        """Close the tenancy."""
        if self.opened is not None:
            self.opened.close()


def verb(*, changes: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn a function of (console, **parameters) into a command body.

    Refusals become one sentence on standard error and exit 1. A command that ``changes`` something is journaled,
    refused ones too.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
        @click.pass_context
        def run(ctx: click.Context, /, as_json: bool, **parameters: Any) -> None:
            console = Console(as_json)
            ctx.call_on_close(console.close)
            try:
                _run(console, ctx, function, parameters, changes)
            except (TenancyError, ExtranetError, OSError) as error:
                raise click.ClickException(str(error)) from error
            except DatabaseError as error:
                raise click.ClickException(f"The database refused: {error.orig}") from error

        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        return run

    return decorate


def _run(
    console: Console, ctx: click.Context, function: Callable[..., Any], parameters: dict[str, Any], changes: bool
) -> None:
    command = ctx.command_path.removeprefix("extranet ")
    try:
        function(console, **parameters)
    except (TenancyError, ExtranetError):
        if changes and console.opened is not None:
            console.journal(command, "refused", parameters)
        raise
    if changes:
        console.journal(command, "ok", parameters)


def read_secret(what: str) -> str:
    """Read one line from standard input, without echo on a terminal. Never from the arguments: others see those."""
    if sys.stdin.isatty():
        return getpass.getpass(f"{what}: ")
    line = sys.stdin.readline(_LONGEST_SECRET).rstrip("\r\n")
    if not line:
        raise click.ClickException(f"No {what.lower()} came on standard input.")
    return line


def _plain(cell: str) -> str:
    from rich.markup import escape

    return escape(cell)
