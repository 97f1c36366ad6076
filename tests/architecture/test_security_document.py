"""Every requirement in docs/security.md names tests that are there."""

from __future__ import annotations

import re

import pytest

from tests.architecture.tree import ROOT

_DOCUMENT = (ROOT / "docs" / "security.md").read_text()
_NAMED = sorted(set(re.findall(r"`([\w/]+\.py)::(\w+|\*)`", _DOCUMENT)))
_ROWS = {"P": 10, "L": 11, "S": 18, "M": 9, "R": 10, "K": 8, "E": 15, "O": 9}


@pytest.mark.parametrize(("file", "name"), _NAMED, ids=lambda part: str(part))
def test_a_test_that_is_named_is_there(file: str, name: str) -> None:
    path = ROOT / "tests" / (file if "/" in file else f"extranet/{file}")
    assert path.is_file()
    assert name == "*" or re.search(rf"^def {name}\(", path.read_text(), re.MULTILINE)


def test_every_requirement_has_a_row() -> None:
    rows = set(re.findall(r"^\| ([A-Z]\d+) \|", _DOCUMENT, re.MULTILINE))
    assert rows == {f"{letter}{number}" for letter, last in _ROWS.items() for number in range(1, last + 1)}


def test_what_no_test_proves_is_said_to_be_missing() -> None:
    unproved = re.findall(r"^\| ([A-Z]\d+) \|.*\| \|$", _DOCUMENT, re.MULTILINE)
    missing = _DOCUMENT.partition("## What is not there yet")[2]
    assert all(f"- {row}:" in missing for row in unproved)
