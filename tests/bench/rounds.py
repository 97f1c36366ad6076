"""Rounds: ours, then what stands beside it, again and again, so that both meet the same weather."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One line of the table. ``ours`` and ``beside`` hold a figure for each round."""

    what: str
    unit: str
    ours: list[float]
    beside: list[float]
    against: str
    target: str = ""

    @property
    def ratios(self) -> list[float]:
        """Ours divided by what stands beside it, round by round."""
        return [ours / beside for ours, beside in zip(self.ours, self.beside, strict=True) if beside]

    def document(self) -> dict[str, object]:
        """Return the line for machines."""
        return {
            "what": self.what,
            "unit": self.unit,
            "against": self.against,
            "target": self.target,
            "ours": spread(self.ours),
            "beside": spread(self.beside),
            "ratio": spread(self.ratios),
        }


def spread(figures: list[float]) -> dict[str, float]:
    """Return median, smallest and largest."""
    known = figures or [0.0]
    return {"median": statistics.median(known), "min": min(known), "max": max(known)}


def alternate(rounds: int, ours: Callable[[], float], beside: Callable[[], float]) -> tuple[list[float], list[float]]:
    """Measure A B A B; return both sides' figures."""
    pairs = [(ours(), beside()) for _ in range(rounds)]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def each_takes(times: int, unit: float, work: Callable[[], object]) -> Callable[[], float]:
    """Return a measurement: how long one call of ``work`` takes, the mean of several, as multiples of ``unit``."""

    def measure() -> float:
        begin = time.perf_counter()
        for _ in range(times):
            work()
        return (time.perf_counter() - begin) / times / unit

    return measure


def table(rows: list[Row]) -> str:
    """Return all lines for people."""
    cells = [["", "unit", "ours", "beside", "which is", "ratio (min-max)", "target"]]
    for row in rows:
        ratio = spread(row.ratios)
        cells.append(
            [
                row.what,
                row.unit,
                _figure(spread(row.ours)["median"]),
                _figure(spread(row.beside)["median"]),
                row.against,
                f"{ratio['median']:.2f} ({ratio['min']:.2f}-{ratio['max']:.2f})",
                row.target,
            ]
        )
    widths = [max(len(line[column]) for line in cells) for column in range(len(cells[0]))]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in cells)


def _figure(value: float) -> str:
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
