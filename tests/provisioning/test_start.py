"""What must not start does not: one clear sentence and exit 1, at the command line, in serve and in wsgi."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.console import PATIENCE, Console
from tests.platform import copy_home

Breaking = Callable[[Path], None]


def rewrite(path: Path, content: str) -> None:
    path.chmod(0o600)
    path.write_text(content)


def older_registry(home: Path) -> None:
    with closing(sqlite3.connect(home / "registry.sqlite3")) as registry:
        registry.execute("PRAGMA user_version = 1")


def lost_platform_key(home: Path) -> None:
    with closing(sqlite3.connect(home / "registry.sqlite3")) as registry, registry:
        registry.execute("DELETE FROM wrapped_key")


def replaced_key(content: str) -> Breaking:
    return lambda home: rewrite(home / "master.key", content)


def removed(name: str) -> Breaking:
    return lambda home: (home / name).unlink()


def open_to_others(home: Path) -> None:
    (home / "master.key").chmod(0o644)


def no_database(home: Path) -> None:
    rewrite(home / "registry.sqlite3", "x" * 8192)


BROKEN_HOMES: dict[str, tuple[Breaking, str]] = {
    "no key": (removed("master.key"), "The master key {home}/master.key cannot be read: No such file"),
    "garbage for a key": (replaced_key("secret\n"), "The master key {home}/master.key is malformed."),
    "an empty key file": (replaced_key(""), "The master key {home}/master.key is empty."),
    "another key": (replaced_key(f"mk1:{'A' * 43}=\n"), "The key of tenant 00000000-"),
    "a key that others can read": (open_to_others, "The master key {home}/master.key is readable by others"),
    "no registry": (removed("registry.sqlite3"), "There is no registry at {home}/registry.sqlite3. Run: extranet init"),
    "a registry that is none": (no_database, "{home}/registry.sqlite3 is damaged"),
    "an older registry": (older_registry, "The registry has schema 1, this code needs"),
    "a registry without its key": (lost_platform_key, "The registry holds no key of 00000000-"),
}
BAD_ENVIRONMENTS = {
    "a setting nobody knows": ({"EXTRANET_DOMIAN": "x"}, "Unknown setting EXTRANET_DOMIAN. Known are: EXTRANET_HOME"),
    "a domain that is none": ({"EXTRANET_DOMAIN": "-"}, "EXTRANET_DOMAIN is not a DNS name"),
    "a proxy that is none": ({"EXTRANET_TRUSTED_PROXIES": "nginx"}, "EXTRANET_TRUSTED_PROXIES: 'nginx' is neither"),
    "everybody as a proxy": ({"EXTRANET_TRUSTED_PROXIES": "0.0.0.0/0"}, "EXTRANET_TRUSTED_PROXIES: '0.0.0.0/0' would"),
    "no workers": ({"EXTRANET_WORKERS": "0"}, "EXTRANET_WORKERS is a number from 1 to 64, not '0'."),
    "another kind of registry": (
        {"EXTRANET_REGISTRY_URL": "mysql://x"},
        "EXTRANET_REGISTRY_URL must be sqlite:///PATH or postgresql://USER@HOST/DATABASE.",
    ),
}
COMMANDS = [["tenant", "list"], ["tenant", "suspend", "acme"], ["doctor"], ["serve"]]


# What it imports takes a second and a half and is the same for all: each has a fork of what has that already.
_IMPORT_WSGI_IN_EACH = """
import json, os, sys
import extranet.app
for environment in json.loads(sys.argv[1]):
    if os.fork() == 0:
        os.environ.update(environment)
        import wsgi
        sys.exit(0)
    _, status = os.wait()
    print("\\0", os.waitstatus_to_exitcode(status), sep="", file=sys.stderr, flush=True)
"""


def import_wsgi(console: Console, environments: list[dict[str, str]]) -> list[str]:
    """Import it in each environment, where it must end with exit code 1; return the last lines."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_WSGI_IN_EACH, json.dumps(environments)],
        env=console.real_environment(),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=True,
    )
    first, *others = done.stderr.split("\0")
    said = [first, *(other.removeprefix("1\n") for other in others)]
    assert all(other.startswith("1\n") for other in others), done.stderr
    assert said.pop() == ""
    assert len(said) == len(environments)
    return [each.splitlines()[-1] for each in said]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("broken", BROKEN_HOMES)
def test_no_command_starts_on_a_broken_home(console: Console, broken: str, arguments: list[str]) -> None:
    break_it, sentence = BROKEN_HOMES[broken]
    break_it(console.home)
    assert console.run(*arguments).refusal.startswith(sentence.format(home=console.home))


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("wrong", BAD_ENVIRONMENTS)
def test_no_command_starts_with_wrong_settings(console: Console, wrong: str, arguments: list[str]) -> None:
    environment, sentence = BAD_ENVIRONMENTS[wrong]
    assert console.run(*arguments, **environment).refusal.startswith(sentence)


def test_wsgi_refuses_a_broken_home_or_an_unknown_setting_and_ends_with_the_sentence(
    console: Console, tmp_path: Path
) -> None:
    environments, sentences = [{"EXTRANET_DOMIAN": "x"}], ["Unknown setting EXTRANET_DOMIAN."]
    for broken in ("no key", "a key that others can read", "another key", "no registry"):
        home = copy_home(console.home, tmp_path / broken)
        break_it, sentence = BROKEN_HOMES[broken]
        break_it(home)
        environments.append({"EXTRANET_HOME": str(home)})
        sentences.append(sentence.format(home=home))
    for said, sentence in zip(import_wsgi(console, environments), sentences, strict=True):
        assert sentence in said


@pytest.mark.parametrize("command", [["serve"], ["tenant", "list"]], ids=" ".join)
def test_the_real_process_refuses_without_a_traceback(console: Console, command: list[str]) -> None:
    (console.home / "master.key").unlink()
    refusal = console.run_for_real(*command).refusal
    assert refusal == f"The master key {console.home / 'master.key'} cannot be read: No such file or directory."


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "0.0.0.0:80", "unix:/tmp/extranet.sock"])
def test_a_real_domain_is_never_served_without_a_proxy_in_front(console: Console, bind: str) -> None:
    refusal = console.run("serve", "--bind", bind, EXTRANET_DOMAIN="extranet.example").refusal
    assert refusal.startswith("extranet.example must be served over TLS: put nginx in front")


@pytest.mark.parametrize(
    ("bind", "proxies"),
    [("127.0.0.1:0", "unix"), ("0.0.0.0:80", "unix")],
)
def test_trusting_the_unix_socket_does_not_open_a_port(console: Console, bind: str, proxies: str) -> None:
    answer = console.run("serve", "--bind", bind, EXTRANET_DOMAIN="extranet.example", EXTRANET_TRUSTED_PROXIES=proxies)
    assert answer.refusal.startswith("extranet.example must be served over TLS")


@pytest.mark.parametrize(
    ("bind", "environment"),
    [
        ("127.0.0.1:8000", {}),
        ("127.0.0.1:8000", {"EXTRANET_DOMAIN": "extranet.example", "EXTRANET_TRUSTED_PROXIES": "127.0.0.1/32"}),
        ("unix:/run/x.sock", {"EXTRANET_DOMAIN": "extranet.example", "EXTRANET_TRUSTED_PROXIES": "unix"}),
    ],
)
def test_what_may_start_becomes_gunicorn_with_this_products_settings(
    console: Console, monkeypatch: pytest.MonkeyPatch, bind: str, environment: dict[str, str]
) -> None:
    started: list[tuple[str, list[str], dict[str, str]]] = []
    monkeypatch.setattr(os, "execve", lambda *arguments: started.append(arguments))
    assert console.run("serve", "--bind", bind, EXTRANET_WORKERS="3", **environment).exit_code == 0
    ((program, arguments, inherited),) = started
    assert program == sys.executable
    assert arguments[1:3] == ["-m", "gunicorn"]
    assert "python:provisioning.gunicorn_conf" in arguments
    assert bind in arguments
    assert inherited["EXTRANET_WORKERS"] == "3"
    assert "glibc.malloc.hugetlb=1" in inherited["GLIBC_TUNABLES"]
    assert inherited["EXTRANET_HOME"] == str(console.home)


@pytest.mark.parametrize(
    ("said", "inherited"),
    [
        ("glibc.malloc.arena_max=2", "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1"),
        ("glibc.malloc.hugetlb=0", "glibc.malloc.hugetlb=0"),
    ],
)
def test_what_an_operator_says_about_memory_holds(
    console: Console, monkeypatch: pytest.MonkeyPatch, said: str, inherited: str
) -> None:
    started: list[dict[str, str]] = []
    monkeypatch.setattr(os, "execve", lambda _program, _arguments, environment: started.append(environment))
    assert console.run("serve", GLIBC_TUNABLES=said).exit_code == 0
    assert started[0]["GLIBC_TUNABLES"] == inherited
