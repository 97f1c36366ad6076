"""What the tests of the house look at: the files that are the project's own."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("extranet", "nginx", "provisioning", "tenants")


@cache
def tracked() -> tuple[Path, ...]:
    """Every file that git keeps, or would keep."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.splitlines()
    return tuple(ROOT / name for name in listed if (ROOT / name).is_file())


def product_code() -> Iterator[Path]:
    """Every Python file outside the tests."""
    for path in tracked():
        if path.suffix == ".py" and path.relative_to(ROOT).parts[0] != "tests":
            yield path


def name_of(path: Path) -> str:
    """A file's name as one would write it in a message."""
    return path.relative_to(ROOT).as_posix()


def tree_of(path: Path) -> ast.Module:
    """A file's syntax tree."""
    return ast.parse(path.read_text())
