"""extranet init: it makes what is missing, keeps what is there and never makes a second key."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.console import Console


def test_it_makes_a_home_for_its_owner_alone_and_says_what_to_do_next(empty_console: Console) -> None:
    home = empty_console.home
    answer = empty_console.run_for_real("init")
    assert (answer.exit_code, answer.stderr) == (0, "")
    assert answer.stdout.splitlines()[0] == f"Ready: {home}"
    assert f"The master key is in {home / 'master.key'}. Back it up" in answer.stdout
    assert answer.stdout.splitlines()[-1] == "Make a tenant with: extranet tenant create"
    for path in (home, *home.rglob("*")):
        assert path.stat().st_mode & 0o077 == 0, path


def test_it_answers_in_json(empty_console: Console) -> None:
    home = empty_console.home
    assert empty_console.done("init", "--json").document == {
        "home": str(home),
        "master_key_file": str(home / "master.key"),
        "domain": "localhost",
    }


def test_a_second_time_it_keeps_everything(console: Console) -> None:
    key = (console.home / "master.key").read_bytes()
    before = console.contents()
    console.done("init")
    console.done("init")
    assert (console.home / "master.key").read_bytes() == key
    assert console.contents()[0] == before[0]


def test_it_never_makes_a_new_key_for_an_old_registry(console: Console) -> None:
    (console.home / "master.key").unlink()
    assert "Put the key back" in console.run("init").refusal
    assert not (console.home / "master.key").exists()


def test_a_home_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    refusal = Console(tmp_path / "file" / "home").run("init").refusal
    assert refusal == f"Not a directory: {tmp_path / 'file' / 'home'}."


@pytest.mark.parametrize("url", ["postgresql://db/registry", "sqlite://", "sqlite:///:memory:"])
def test_a_registry_that_is_not_supported_is_refused(empty_console: Console, url: str) -> None:
    assert (
        empty_console.run("init", EXTRANET_REGISTRY_URL=url).refusal == "EXTRANET_REGISTRY_URL must be sqlite:///PATH."
    )


def test_two_at_once_make_one_home(empty_console: Console) -> None:
    processes = [empty_console.start("init") for _ in range(2)]
    assert [process.communicate(timeout=60)[1] for process in processes] == ["", ""]
    assert [process.returncode for process in processes] == [0, 0]
    assert empty_console.run("doctor").exit_code == 0
