"""Processor time of processes, as Linux counts it: what each used, however many others wanted the same cores."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path


def used_by(pids: Iterable[int]) -> float:
    """Return the processor time that processes have used so far, in seconds."""
    return sum(_used(pid) for pid in pids)


def _used(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    # Field 2 is the name, which may hold anything.
    fields = stat.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
