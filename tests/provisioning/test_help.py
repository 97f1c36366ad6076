"""Help: it answers at once, on any machine, and every example in it works."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import provisioning.commands
from provisioning.cli import extranet
from provisioning.commands import user
from tests.console import SCRIPT, Console

NOUNS = [
    "init",
    "tenant",
    "host",
    "server",
    "user",
    "staff",
    "support",
    "log",
    "backup",
    "fleet",
    "nginx",
    "serve",
    "worker",
    "doctor",
    "demo",
]
VERBS = [
    "backup create",
    "backup list",
    "backup restore",
    "backup verify",
    "demo",
    "doctor",
    "fleet backup",
    "fleet migrate",
    "fleet rotate-keys",
    "fleet status",
    "fleet verify",
    "host add",
    "host list",
    "host remove",
    "init",
    "log export",
    "log prune",
    "log show",
    "log verify",
    "nginx check",
    "nginx write",
    "serve",
    "server add",
    "server list",
    "server remove",
    "staff add",
    "staff commit",
    "staff list",
    "staff remove",
    "staff train",
    "support ask",
    "support end",
    "support list",
    "support open",
    "tenant clone",
    "tenant close",
    "tenant create",
    "tenant list",
    "tenant logout-all",
    "tenant move",
    "tenant purge",
    "tenant rename",
    "tenant reopen",
    "tenant resume",
    "tenant rotate-keys",
    "tenant show",
    "tenant suspend",
    "user create",
    "user disable",
    "user enable",
    "user invite",
    "user list",
    "user reset-factors",
    "user reset-password",
    "user set-password",
    "user unlock",
    "worker",
]


def verbs(group: click.Group = extranet, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from verbs(command, (*path, name))
        elif command is not None:
            yield " ".join((*path, name)), command


def examples(command: click.Command) -> list[str]:
    _before, _word, after = (command.help or "").partition("Example:\n")
    return [line.strip() for line in after.replace("\\\n", " ").splitlines() if line.strip()]


def parse(example: str) -> None:
    words = shlex.split(example, comments=True)
    while "=" in words[0]:
        words.pop(0)
    for sign in ("<", ">"):
        if sign in words:
            words = words[: words.index(sign)]
    assert words.pop(0) == "extranet"
    command: click.Command = extranet
    context = click.Context(extranet, info_name="extranet")
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found, example
        command, context = found, click.Context(found, parent=context, info_name=name)
    command.make_context(command.name, words, parent=context)


def loaded_by(*arguments: str) -> set[str]:
    asked = [sys.executable, "-X", "importtime", SCRIPT, *arguments]
    answer = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=60)
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in answer.stderr.splitlines()}


def test_the_nouns_in_help_are_the_files_in_commands() -> None:
    folder = Path(provisioning.commands.__file__).parent
    # A noun with many verbs has several files, which begin with its name.
    stems = {file.stem.partition("_")[0] for file in folder.glob("*.py") if file.stem != "__init__"}
    assert sorted(NOUNS) == sorted(stems)
    assert extranet.list_commands(click.Context(extranet)) == NOUNS


def test_the_verbs_are_those_of_the_contract() -> None:
    assert sorted(name for name, _ in verbs()) == VERBS


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_has_an_example_that_parses(name: str) -> None:
    command = dict(verbs())[name]
    assert examples(command), name
    for example in examples(command):
        parse(example)


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_speaks_json_and_explains_each_option(name: str) -> None:
    options = [parameter for parameter in dict(verbs())[name].params if isinstance(parameter, click.Option)]
    assert "--json" in [flag for option in options for flag in option.opts]
    assert [option.name for option in options if not option.help] == []


@pytest.mark.parametrize("name", VERBS)
def test_no_verb_takes_a_secret_on_its_command_line(name: str) -> None:
    for parameter in dict(verbs())[name].params:
        for word in ("password", "secret", "token", "passphrase"):
            if any(word in spelling for spelling in parameter.opts):
                assert parameter.opts == ["--password-stdin"]
                assert isinstance(parameter, click.Option)
                assert parameter.is_flag


def test_help_examples_parse_too() -> None:
    for example in examples(extranet):
        parse(example)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["tenant", "--help"], ["user", "create", "-h"]])
def test_help_loads_neither_flask_nor_sqlalchemy_nor_alembic(arguments: list[str]) -> None:
    loaded = loaded_by(*arguments)
    assert "click" in loaded
    assert not loaded & {"flask", "werkzeug", "sqlalchemy", "alembic", "rich"}


def test_listing_tenants_loads_neither_flask_nor_alembic(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXTRANET_HOME", str(console.home))
    loaded = loaded_by("tenant", "list")
    assert "sqlalchemy" in loaded
    assert not loaded & {"flask", "werkzeug", "alembic", "argon2", "zxcvbn", "rich"}


def test_help_works_where_nothing_is_set_up(empty_console: Console) -> None:
    for noun in NOUNS:
        assert empty_console.done(noun, "--help").stdout.startswith(f"Usage: extranet {noun}")
    assert not empty_console.home.exists()


@pytest.mark.parametrize("name", VERBS)
def test_every_help_fits_on_a_terminal(empty_console: Console, name: str) -> None:
    answer = empty_console.done(*name.split(), "--help")
    assert max(map(len, answer.stdout.splitlines())) <= 80


def test_the_list_of_nouns_fits_on_a_terminal(empty_console: Console) -> None:
    answer = empty_console.done("--help")
    assert max(map(len, answer.stdout.splitlines())) <= 80
    assert [line.split()[0] for line in answer.stdout.rpartition("Commands:\n")[2].splitlines()] == NOUNS


@pytest.mark.parametrize(
    "arguments",
    [
        ["tnt"],
        ["tenant", "shw", "acme"],
        ["tenant", "show"],
        ["tenant", "show", "acme", "globex"],
        ["tenant", "show", "acme", "--colour"],
        ["tenant", "create", "zoe"],
        ["tenant", "create", "zoe", "--name", "Z", "--admin", "z", "--email", "z@z.example", "--locale", "xx"],
        ["user", "create", "acme", "zoe", "--email", "z@z.example", "--first-name", "Z"],
        ["log", "show", "acme", "--last", "0"],
        ["log", "verify"],
        ["log", "verify", "acme", "--all"],
        ["log", "verify", "--all", "--anchor", "1:" + "0" * 64],
        ["log", "verify", "acme", "--anchor", "nonsense"],
        ["log", "verify", "acme", "--anchor", "1:" + "g" * 64],
        ["tenant", "show", "\udcff"],
    ],
)
def test_wrong_usage_exits_2_and_says_how_it_is_used(console: Console, arguments: list[str]) -> None:
    answer = console.run(*arguments)
    assert answer.exit_code == 2
    assert answer.stdout == ""
    assert answer.stderr.startswith("Usage: extranet")
    assert console.journal() == []


def test_a_mistyped_word_is_answered_with_the_one_that_was_meant(console: Console) -> None:
    assert "Did you mean 'show'?" in console.run("tenant", "shw", "acme").stderr
    assert "Did you mean 'tenant'?" in console.run("tenent", "show", "acme").stderr


def test_the_roles_on_offer_are_the_roles_there_are() -> None:
    from extranet.models import Role

    (role,) = [parameter for parameter in user.create.params if parameter.name == "role"]
    assert isinstance(role.type, click.Choice)
    assert sorted(role.type.choices) == sorted(Role)


def test_python_m_provisioning_is_the_same_command() -> None:
    answers = [
        subprocess.run([*command, "--help"], capture_output=True, text=True, check=True, timeout=60).stdout
        for command in ([SCRIPT], [sys.executable, "-m", "provisioning"])
    ]
    assert answers[0] == answers[1]
