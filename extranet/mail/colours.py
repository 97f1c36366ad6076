"""A company's hue as the colours mails are painted with: those of tokens.css, for readers that know no oklch()."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

# As --accent in tokens.css: light enough or dark enough that text on it can be read, whatever the hue.
_LIGHT, _DARK = (0.49, 0.16), (0.74, 0.13)


@dataclass(frozen=True, slots=True)
class Accent:
    """What buttons and links are painted with, on white and on black."""

    light: str
    dark: str


@lru_cache(maxsize=360)
def accent_of(hue: int) -> Accent:
    """Return the accent of a hue in degrees."""
    return Accent(_hex(*_LIGHT, hue), _hex(*_DARK, hue))


def _hex(lightness: float, chroma: float, hue: int) -> str:
    # A screen cannot show every such colour: less of it, until it can, changes neither hue nor contrast.
    channels = _linear(lightness, chroma, hue)
    while not all(-0.0001 <= channel <= 1.0001 for channel in channels):
        chroma *= 0.98
        channels = _linear(lightness, chroma, hue)
    return "#" + "".join(f"{round(_gamma(min(max(channel, 0.0), 1.0)) * 255):02x}" for channel in channels)


def _linear(lightness: float, chroma: float, hue: int) -> tuple[float, float, float]:
    # Björn Ottosson's matrices, as in CSS Color 4.
    a, b = chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue))
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return (
        4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short,
        -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short,
        -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short,
    )


def _gamma(channel: float) -> float:
    return 12.92 * channel if channel <= 0.0031308 else 1.055 * channel ** (1 / 2.4) - 0.055
