"""How far a long command is: on a terminal one line that is drawn again, elsewhere a line now and then."""

from __future__ import annotations

import shutil
import sys
import time
from types import TracebackType
from typing import Self

_REDRAW_SECONDS = 0.1
_REPEAT_SECONDS = 10.0


class ProgressLine:
    """A line on standard error: what a command answers goes to standard output alone."""

    def __init__(self) -> None:
        self._on_terminal = sys.stderr.isatty()
        self._pause = _REDRAW_SECONDS if self._on_terminal else _REPEAT_SECONDS
        self._drawn_at = 0.0 if self._on_terminal else time.monotonic()
        self._waiting = ""
        self._drawn = False

    def show(self, text: str) -> None:
        """Say how far it is, unless that was said a moment ago."""
        self._waiting = text
        if time.monotonic() - self._drawn_at >= self._pause:
            self._draw()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The last word is always said.
        if self._waiting:
            self._draw()
        if self._on_terminal and self._drawn:
            self._write("\n")

    def _draw(self) -> None:
        if self._on_terminal:
            room = shutil.get_terminal_size().columns - 1
            self._write(f"\r\x1b[K{self._waiting[:room]}")
        else:
            self._write(f"{self._waiting}\n")
        self._waiting = ""
        self._drawn = True
        self._drawn_at = time.monotonic()

    def _write(self, text: str) -> None:
        sys.stderr.write(text)
        sys.stderr.flush()


def pace(done: int, left: int, seconds: float) -> str:
    """Say how fast it goes and how long the rest takes at that rate. At least one must be done."""
    rate = done / max(seconds, 0.001)
    speed = f"{rate:.0f}/s" if rate >= 1 else f"{rate * 60:.0f}/min"
    return f"{speed}, {_duration(left / rate)} left"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
