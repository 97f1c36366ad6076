"""A terminal, a pipe, Ctrl-C: the command line among other programs."""

from __future__ import annotations

import errno
import fcntl
import getpass
import os
import pty
import runpy
import signal
import sqlite3
import struct
import sys
import termios
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
import pytest
from sqlalchemy.exc import IntegrityError

from provisioning.cli import main
from provisioning.console import read_secret
from tenants import lifecycle
from tests.console import PATIENCE, Console, create_arguments
from tests.platform import PASSWORD, open_platform

COLUMNS = 80


@contextmanager
def terminal(columns: int = COLUMNS) -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    try:
        yield ours, theirs
    finally:
        os.close(ours)


def read_all(terminal: int) -> str:
    """Read a terminal until nobody has it open any more."""
    seen = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            part = b""
        if not part:
            return seen.decode().replace("\r\n", "\n")
        seen += part


def test_a_table_on_a_terminal_is_folded_to_its_width_and_has_no_colours(console: Console) -> None:
    console.create("zoe", "--name", "Zoe and Daughters, Makers of Extraordinarily Long Company Names, Incorporated")
    with terminal() as (ours, theirs):
        process = console.start("tenant", "list", stdout=theirs, environment={"COLUMNS": "", "TERM": "xterm-256color"})
        os.close(theirs)
        shown = read_all(ours)
        assert process.wait(PATIENCE) == 0
        assert process.stderr
        process.stderr.close()
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= COLUMNS
    assert "http://globex.localhost:8000" in shown
    assert len(shown.splitlines()) > 4


def test_a_table_in_a_pipe_keeps_one_line_a_row(console: Console) -> None:
    name = "Zoe and Daughters, Makers of Extraordinarily Long Company Names, Incorporated"
    console.create("zoe", "--name", name)
    answer = console.run_for_real("tenant", "list", environment={"FORCE_COLOR": "1", "TERM": "xterm-256color"})
    assert answer.exit_code == 0
    assert len(answer.stdout.splitlines()) == 4
    assert name in answer.stdout
    assert "\x1b" not in answer.stdout


def test_ctrl_c_is_one_word_and_130_and_the_command_is_journaled(console: Console) -> None:
    before = console.contents()
    with terminal() as (_ours, theirs):
        process = console.start(*create_arguments("zoe"), "--password-stdin", stdin=theirs, start_new_session=True)
        os.close(theirs)
        assert process.stderr
        assert process.stderr.read(10) == "Password: "
        process.send_signal(signal.SIGINT)
        stdout, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert (stdout, stderr.strip().splitlines()[-1]) == ("", "Interrupted.")
    assert "Traceback" not in stderr
    assert console.contents() == before
    (entry,) = console.journal()
    assert (entry.event, entry.outcome) == ("tenant create", "failed")


def type_password(console: Console, first: str, second: str) -> tuple[int, str, str]:
    """Set a password at a terminal; return exit code, what the terminal showed, and the rest."""
    with terminal() as (ours, theirs):
        arguments = ["user", "set-password", "acme", "ben"]
        process = console.start(*arguments, stdin=theirs, start_new_session=True)
        os.close(theirs)
        assert process.stderr
        assert process.stderr.read(10) == "Password: "
        os.write(ours, first.encode())
        if second:
            assert process.stderr.read(12) == "\nOnce more: "
            os.write(ours, second.encode())
        stdout, stderr = process.communicate(timeout=PATIENCE)
        return process.returncode, read_all(ours), stdout + stderr


def test_a_password_at_a_terminal_is_typed_twice_and_not_shown(console: Console) -> None:
    password = "seven violet lanterns hum"
    exit_code, shown, said = type_password(console, f"{password}\n", f"{password}\n")
    assert exit_code == 0
    assert "lanterns" not in shown + said
    platform = open_platform(console.home)
    platform.browser().sign_in("ben", password)
    platform.close()


def test_a_password_that_is_not_typed_twice_alike_changes_nothing(console: Console) -> None:
    exit_code, shown, said = type_password(console, "seven violet lanterns hum\n", "seven violet lantern hum\n")
    assert exit_code == 1
    assert said.endswith("Error: The password was not typed twice alike; nothing was changed.\n")
    assert "lantern" not in shown + said
    platform = open_platform(console.home)
    platform.browser().sign_in("ben", PASSWORD)
    platform.close()


def test_an_end_of_file_at_a_terminal_is_no_password(console: Console) -> None:
    exit_code, _shown, said = type_password(console, "\x04", "")
    assert exit_code == 1
    assert said.endswith("Error: No password was typed.\n")


def test_a_reader_who_goes_away_is_no_error_and_the_command_is_journaled(console: Console) -> None:
    process = console.start("log", "export", "acme")
    assert process.stdout
    process.stdout.close()
    _, stderr = process.communicate(timeout=PATIENCE)
    assert (process.returncode, stderr) == (1, "")
    (entry,) = console.journal()
    assert (entry.event, entry.outcome) == ("log export", "ok")


def test_a_terminal_that_lacks_the_letters_of_a_name_still_gets_an_answer(console: Console) -> None:
    console.create("zoe", "--name", "日本")
    answer = console.run_for_real("tenant", "list", environment={"PYTHONIOENCODING": "iso-8859-1"})
    assert answer.exit_code == 0
    assert "\\u65e5\\u672c" in answer.stdout


def test_a_full_disk_behind_the_pipe_is_said_in_one_sentence(console: Console) -> None:
    with open("/dev/full", "w") as full:
        process = console.start("tenant", "list", stdout=full)
        _, stderr = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert stderr.splitlines()[0].startswith("Error: ")
    assert "No space left on device" in stderr
    assert "Traceback" not in stderr


class Typist:
    """Types at the prompts, in turn; an empty list is an end of file."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)

    def __call__(self, _prompt: str) -> str:
        if not self.lines:
            raise EOFError
        return self.lines.pop(0)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (["one phrase", "another phrase"], "The password was not typed twice alike; nothing was changed."),
        (["", ""], "The password was not typed twice alike; nothing was changed."),
        ([], "No password was typed."),
    ],
)
def test_what_is_not_typed_twice_alike_is_no_password(
    monkeypatch: pytest.MonkeyPatch, typed: list[str], sentence: str
) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    monkeypatch.setattr(getpass, "getpass", Typist(*typed))
    with pytest.raises(click.ClickException) as refused:
        read_secret("Password")
    assert refused.value.message == sentence
    monkeypatch.setattr(getpass, "getpass", Typist("one phrase", "one phrase"))
    assert read_secret("Password") == "one phrase"


def test_an_interrupt_in_the_middle_of_a_change_exits_130(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(lifecycle, "suspend_tenant", interrupted)
    answer = console.run("tenant", "suspend", "acme")
    assert (answer.exit_code, answer.stdout, answer.stderr) == (130, "", "Interrupted.\n")


@pytest.mark.parametrize("start", [main, lambda: runpy.run_module("provisioning", run_name="__main__")])
def test_what_a_command_makes_is_for_its_owner_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], start: Callable[[], None]
) -> None:
    monkeypatch.setattr(sys, "argv", ["extranet", "--help"])
    mask = os.umask(0o022)
    try:
        with pytest.raises(SystemExit) as end:
            start()
        assert os.umask(0o022) == 0o077
    finally:
        os.umask(mask)
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith("Usage: extranet")


def test_a_refusal_of_the_database_itself_is_one_sentence(console: Console, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise IntegrityError("INSERT", {"password": "canary"}, sqlite3.IntegrityError("a constraint failed"))

    monkeypatch.setattr(lifecycle, "suspend_tenant", refused)
    assert console.run("tenant", "suspend", "acme").refusal == "The database refused: a constraint failed."


def test_what_the_system_refuses_without_a_file_is_one_sentence(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object) -> None:
        raise TimeoutError("the network drive did not answer")

    monkeypatch.setattr(lifecycle, "suspend_tenant", refused)
    assert console.run("tenant", "suspend", "acme").refusal == "the network drive did not answer."
