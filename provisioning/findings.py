"""What ``extranet doctor`` finds: one thing that was checked, and what there is to say of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tenants.errors import TenancyError

_FOR_OTHERS = 0o077


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked."""

    about: str
    ok: bool
    says: str


def attempt(about: str, well: str, check: Callable[[], None]) -> Finding:
    """Check something: what it raises is what there is to say."""
    from sqlalchemy.exc import DatabaseError

    try:
        check()
    except (TenancyError, DatabaseError, OSError) as error:
        return Finding(about, False, str(error))
    return Finding(about, True, well)


def check_private(path: Path) -> None:
    """Raise TenancyError when others than its owner may touch a file or folder."""
    mode = path.lstat().st_mode
    if mode & _FOR_OTHERS:
        raise TenancyError(f"{path} is open to others: chmod go= {path}")
