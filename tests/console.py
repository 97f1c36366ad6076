"""The command line as an operator uses it: quick in this process, or real in one of its own."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sysconfig
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from provisioning.cli import extranet
from provisioning.console import HISTORY
from tenants.journal import Entry
from tenants.registry_tables import operator_event_table
from tenants.settings import read_settings
from tenants.tenancy import Tenancy

SCRIPT = Path(sysconfig.get_path("scripts")) / "extranet"
PATIENCE = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> Any:
        """Standard output as the one JSON document it must be."""
        return json.loads(self.stdout)

    @property
    def refusal(self) -> str:
        """The one sentence of a refused command."""
        assert self.exit_code == 1, self
        assert self.stdout == "", self
        (line,) = self.stderr.splitlines()
        start, sentence = line[:7], line[7:]
        assert start == "Error: ", self
        assert sentence[-1] in ".…" or "extranet " in sentence, self
        return sentence


class Console:
    """A terminal in front of one home."""

    def __init__(self, home: Path, **environment: str) -> None:
        self.home = home
        self.environment = {"EXTRANET_HOME": str(home), **environment}

    def run(self, *arguments: str, stdin: str | bytes = "", **environment: str) -> Answer:
        """Run a command in this process."""
        # None takes a variable away: nothing of the machine the tests run on may decide.
        strangers = {name: None for name in os.environ if name.startswith("EXTRANET_")}
        result = CliRunner(catch_exceptions=False).invoke(
            extranet,
            arguments,
            input=stdin,
            env={**strangers, **self.environment, **environment},
            prog_name="extranet",
        )
        return Answer(result.exit_code, result.stdout, result.stderr)

    def done(self, *arguments: str, stdin: str | bytes = "") -> Answer:
        """Run a command that must succeed."""
        answer = self.run(*arguments, stdin=stdin)
        assert answer.exit_code == 0, answer
        return answer

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start the installed command as a process of its own."""
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        environment = self.real_environment(**options.pop("environment", {}))
        return subprocess.Popen([SCRIPT, *arguments], text=True, env=environment, **options)

    def run_for_real(self, *arguments: str, stdin: str = "", **options: Any) -> Answer:
        """Run the installed command as a process of its own."""
        process = self.start(*arguments, stdin=subprocess.PIPE, **options)
        stdout, stderr = process.communicate(stdin, timeout=PATIENCE)
        return Answer(process.returncode, stdout, stderr)

    def real_environment(self, **environment: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("EXTRANET_")}
        return {**inherited, **self.environment, **environment}

    def create(self, slug: str, *options: str, stdin: str = "") -> Answer:
        """Create a tenant that is as it should be, unless the options say otherwise."""
        return self.run(*create_arguments(slug), *options, stdin=stdin)

    def journal(self) -> list[Entry]:
        """Read the operators' journal."""
        with (
            Tenancy.open(read_settings(self.environment), HISTORY) as tenancy,
            tenancy.registry.engine.connect() as connection,
        ):
            rows = connection.execute(operator_event_table.select().order_by(operator_event_table.c.sequence))
            return list(tenancy.operator_journal.read(iter(rows.all())))

    def contents(self) -> tuple[list[tuple[Any, ...]], set[str]]:
        """What the registry says of tenants and hosts, and the names of all files but the side files of SQLite."""
        rows: list[tuple[Any, ...]] = []
        with closing(sqlite3.connect(self.home / "registry.sqlite3")) as registry:
            for table in ("tenant", "host", "former_slug", "wrapped_key"):
                rows += registry.execute(f"SELECT '{table}', * FROM {table} ORDER BY 2, 3")
        return rows, file_names(self.home)


def create_arguments(slug: str, *, admin: str = "zoe", email: str = "zoe@zoe.example", name: str = "New") -> list[str]:
    return ["tenant", "create", slug, "--name", name, "--admin", admin, "--email", email]


def file_names(home: Path) -> set[str]:
    return {
        str(file.relative_to(home))
        for file in home.rglob("*")
        # Lock files are named after slugs and stay; templates are the same for everybody.
        if not file.name.endswith(("-wal", "-shm", ".lock")) and file.parent.name != "templates"
    }


def mapping_of(entry: Entry) -> Mapping[str, Any]:
    """Everything that an operator's command left in the journal about its parameters."""
    return {**entry.details, **entry.private}
