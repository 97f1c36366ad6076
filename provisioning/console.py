"""What every command shares: ``--json``, the open tenancy, errors as sentences with exit codes, the journal.

SQLAlchemy is loaded by the first command that needs a database, never for ``--help``.
"""

from __future__ import annotations

import getpass
import json
import os
import pwd
import shutil
import socket
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

import click

from extranet.errors import ExtranetError
from extranet.security_log.origin import Origin, printable
from provisioning.table import layout
from tenants.errors import BrokenJournal, NoSuchTenant, TenancyError
from tenants.settings import Settings, read_settings

if TYPE_CHECKING:
    from tenants.tenancy import Tenancy

HISTORY = "extranet.migrations"
_LONGEST_SECRET = 4096
_LONGEST_PARAMETER = 200

# What names a person goes into the sealed part of a journal entry, which can be erased without breaking the chain.
_PERSONAL = frozenset({"username", "admin", "email", "first_name", "last_name", "full_name", "reason", "why"})


class Console:
    """One running command: opens the tenancy at first use, closes it at the end, answers once."""

    def __init__(self, as_json: bool) -> None:
        self.as_json = as_json
        self.exit_code = 0
        self.came_of: Mapping[str, Any] = {}  # what the journal is told beside the parameters
        self._opened: Tenancy | None = None
        self._answer: Iterable[str] = ()

    @cached_property
    def settings(self) -> Settings:
        """The environment's settings."""
        return read_settings()

    @property
    def tenancy(self) -> Tenancy:
        """The open tenancy."""
        if self._opened is None:
            from tenants.tenancy import Tenancy

            self._opened = Tenancy.open(self.settings, HISTORY)
        return self._opened

    @cached_property
    def operator(self) -> str:
        """The operating system's name for who is typing. Not ``$USER``, which anybody can set."""
        try:
            return pwd.getpwuid(os.getuid()).pw_name
        except KeyError:
            return f"uid {os.getuid()}"

    @cached_property
    def origin(self) -> Origin:
        """Where this command comes from, for a tenant's security log."""
        return Origin.operator(self.operator, socket.gethostname())

    def say(self, document: Any, *lines: str) -> None:
        """Answer, once the command is journaled: the document as JSON, or the lines for a person."""
        self._answer = [json.dumps(document, ensure_ascii=False, indent=2, default=str)] if self.as_json else lines

    def table(self, document: Any, columns: list[str], rows: list[list[str]], empty: str) -> None:
        """Answer with a table, or with what to do when there is nothing in it."""
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        self.say(document, *(layout(columns, rows, width) if rows else [empty]))

    def stream(self, lines: Iterable[str]) -> None:
        """Answer line by line, with what may be too long to hold."""
        self._answer = lines

    def answer(self) -> None:
        """Write the answer to standard output."""
        for line in self._answer:
            click.echo(line)

    def journal(self, command: str, outcome: str, parameters: Mapping[str, Any]) -> None:
        """Write a changing command into the operators' journal. Secrets are never among its parameters."""
        told = {name: printable(str(value), _LONGEST_PARAMETER) for name, value in parameters.items()}
        with self.tenancy.registry.writing() as connection:
            self.tenancy.operator_journal.append(
                connection,
                command,
                outcome,
                actor=self.operator,
                subject=(told.get("slug") or told.get("staff", ""))[:64],
                details={
                    "machine": socket.gethostname(),
                    **{name: value for name, value in told.items() if name not in _PERSONAL},
                },
                private={name: value for name, value in told.items() if name in _PERSONAL},
            )

    def close(self) -> None:
        """Close the tenancy."""
        if self._opened is not None:
            self._opened.close()


def verb(*, changes: bool = False) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Turn a function of (console, **parameters) into a command body.

    Refusals become one sentence on standard error and exit 1. A command that ``changes`` something is journaled,
    refused ones too.
    """

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @click.option("--json", "as_json", is_flag=True, help="Answer with one JSON document.")
        @click.pass_context
        def run(ctx: click.Context, /, as_json: bool, **parameters: Any) -> None:
            _refuse_unreadable(parameters)
            console = Console(as_json)
            ctx.call_on_close(console.close)
            try:
                _run(console, ctx, function, parameters, changes)
            except Exception as error:
                sentence = _sentence(error, console, parameters)
                if sentence is None:
                    raise
                raise click.ClickException(sentence) from error
            ctx.exit(console.exit_code)

        run.__name__ = function.__name__
        run.__doc__ = function.__doc__
        return run

    return decorate


def read_secret(what: str, *, twice: bool = True) -> str:
    """Read one line from standard input, without echo on a terminal. Never from the arguments: others see those.

    ``twice`` is for what nothing but a second try could prove to be what was meant.
    """
    if sys.stdin.isatty():
        return _ask(what, twice)
    line = sys.stdin.buffer.readline(_LONGEST_SECRET).rstrip(b"\r\n")
    if not line:
        raise click.ClickException(f"No {_in_sentence(what)} came on standard input.")
    try:
        return line.decode()
    except UnicodeDecodeError:
        # The error's own text would show the secret.
        raise click.ClickException(f"The {_in_sentence(what)} on standard input is not text in UTF-8.") from None


def _ask(what: str, twice: bool) -> str:
    try:
        first = getpass.getpass(f"{what}: ")
        second = getpass.getpass("Once more: ") if twice else first
    except EOFError:
        raise click.ClickException(f"No {_in_sentence(what)} was typed.") from None
    if first != second or (twice and not first):
        raise click.ClickException(f"The {_in_sentence(what)} was not typed twice alike; nothing was changed.")
    return first


def _in_sentence(what: str) -> str:
    return what if what.isupper() else what.lower()


def _run(
    console: Console, ctx: click.Context, function: Callable[..., Any], parameters: dict[str, Any], changes: bool
) -> None:
    command = ctx.command_path.removeprefix("extranet ")
    try:
        function(console, **parameters)
    except click.exceptions.Exit as end:
        console.exit_code = end.exit_code
    except click.UsageError:
        raise
    except BaseException as error:
        if changes:
            _journal_refusal(console, command, error, parameters)
        raise
    if changes:
        _journal_success(console, command, {**parameters, **console.came_of})
    # Last: a reader who goes away early must not leave a change out of the journal.
    console.answer()


def _journal_refusal(console: Console, command: str, error: BaseException, parameters: dict[str, Any]) -> None:
    refused = isinstance(error, (TenancyError, ExtranetError, click.ClickException))
    outcome, why = ("refused", error) if refused else ("failed", type(error).__name__)
    try:
        console.journal(command, outcome, {**parameters, "why": why})
    except Exception as second:
        # Where there is no registry there is no journal; what the operator must read is the first error.
        if _sentence(second, console, {}) is None:
            raise


def _journal_success(console: Console, command: str, parameters: dict[str, Any]) -> None:
    try:
        console.journal(command, "ok", parameters)
    except Exception as error:
        sentence = _sentence(error, console, {})
        if sentence is None:
            raise
        told = f"The change was made, but the operators' journal could not be written: {sentence}"
        raise click.ClickException(told) from error


def _sentence(error: Exception, console: Console, parameters: Mapping[str, Any]) -> str | None:
    """Return what to tell the operator about an error; None for one that is a fault of ours."""
    match error:
        case NoSuchTenant():
            return f"{error}{_what_next(console, str(parameters.get('slug', '')))}"
        case BrokenJournal():
            return f"The log is broken at entry {error.sequence}: {error.why}. See: extranet log verify"
        case TenancyError() | ExtranetError():
            return str(error)
        case BrokenPipeError():
            return None
        case OSError():
            return f"{error.strerror}: {error.filename}." if error.filename else f"{error}."
    from sqlalchemy.exc import DatabaseError

    return f"The database refused: {error.orig}." if isinstance(error, DatabaseError) else None


def _what_next(console: Console, slug: str) -> str:
    try:
        return f" It is called {console.tenancy.registry.by_former_slug(slug).slug!r} now."
    except TenancyError:
        return " See: extranet tenant list"


def _refuse_unreadable(parameters: Mapping[str, Any]) -> None:
    for name, value in parameters.items():
        try:
            str(value).encode()
        except UnicodeEncodeError:
            raise click.UsageError(f"The argument {name.upper()} is not text in UTF-8.") from None
