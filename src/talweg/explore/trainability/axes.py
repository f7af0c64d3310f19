"""The axes of a map: which setting varies, from where to where, and the points between.

An axis of level L has 2**L points. They divide its range evenly, on a logarithmic axis in powers
of ten, and begin at its low end; the high end itself is not a point. Point 2 i of level L + 1 is
point i of level L, to the last bit, because (2 i) / 2**(L + 1) and i / 2**L are one number.
Start reading at `Axis.values`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from talweg.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

Scale: TypeAlias = Literal["log", "linear"]
Given: TypeAlias = tuple[str, float, float] | tuple[str, float, float, Scale]
"""An axis as it is asked for: the setting, its lowest and its highest number, and the scale."""

LAYERED = ("learning_rate", "initial_scale")
"""The settings that may be those of one layer, `learning_rate[0]`."""

_APART = 16.0
"""Neighbouring points lie at least so many steps of a float apart: then they are evenly spaced."""


@dataclass(frozen=True)
class Axis:
    """One axis of a map.

    Attributes:
        name: the setting as it was asked for, such as "learning_rate[0]" or "momentum".
        low: the first point.
        high: where the axis ends; not a point itself.
        scale: "log" or "linear".
    """

    name: str
    low: float
    high: float
    scale: Scale

    @property
    def setting(self) -> str:
        """The name without the layer.

        >>> Axis("learning_rate[1]", 0.1, 1.0, "log").setting
        'learning_rate'
        """
        return self.name.split("[")[0]

    @property
    def layer(self) -> int | None:
        """The number of the layer, or None for all of them.

        >>> Axis("learning_rate[1]", 0.1, 1.0, "log").layer
        1
        """
        return int(self.name[:-1].split("[")[1]) if "[" in self.name else None

    @property
    def ends(self) -> tuple[float, float]:
        """Where the axis begins and ends, on a logarithmic axis as powers of ten."""
        if self.scale == "linear":
            return self.low, self.high
        return math.log10(self.low), math.log10(self.high)

    @property
    def finest_level(self) -> int:
        """The last level whose points a float can tell apart well enough.

        >>> Axis("learning_rate", 1e-3, 1e6, "log").finest_level
        49
        """
        low, high = self.ends
        grain = math.ulp(max(abs(low), abs(high)))
        if self.scale == "log":  # 10**position must differ too
            grain = max(grain, 2.0**-52 / math.log(10.0))
        return max(0, math.floor(math.log2((high - low) / (_APART * grain))))

    def values(self, level: int, first: int, count: int) -> np.ndarray[Any, Any]:
        """The points `first`, `first + 1`, ... of a level.

        Point i is low + (high - low) i / 2**level, on a logarithmic axis as power of ten. They
        are computed one by one by Python, whose powers do not depend on how many there are.

        >>> Axis("learning_rate", 0.01, 100.0, "log").values(2, 0, 4).tolist()
        [0.01, 0.1, 1.0, 10.0]
        """
        import numpy as np

        low, high = self.ends
        points = 1 << level
        places = [low + (high - low) * (i / points) for i in range(first, first + count)]
        return np.array(places if self.scale == "linear" else [10.0**place for place in places])

    def index(self, value: Any, level: int) -> int:
        """The point of a level that is nearest to a value.

        Raises:
            ArgumentError: if the value is not between the ends of the axis.

        >>> Axis("learning_rate", 0.01, 100.0, "log").index(0.9, 2)
        2
        """
        if not isinstance(value, Real) or not self.low <= float(value) <= self.high:
            raise ArgumentError(
                f"{self.name} is mapped from {self.low:g} to {self.high:g}, got {value!r}"
            )
        low, high = self.ends
        place = float(value) if self.scale == "linear" else math.log10(float(value))
        nearest = round((place - low) / (high - low) * (1 << level))
        return min(max(nearest, 0), (1 << level) - 1)


def axis(given: Given, which: str) -> Axis:
    """The axis that is asked for, checked.

    Args:
        given: (name, low, high) or (name, low, high, scale). Without a scale the axis is
            logarithmic where low is positive and high at least ten times as large.
        which: "x" or "y", for messages.

    Raises:
        ArgumentError: if it is no such thing, a number makes no sense, or a setting that all
            layers share is asked for of one.

    Example:
        >>> axis(("learning_rate", 0.001, 10.0), "x").scale, axis(("momentum", 0.0, 1.0), "y").scale
        ('log', 'linear')
    """
    if not isinstance(given, (tuple, list)) or len(given) not in (3, 4):
        raise ArgumentError(
            argument=which,
            expected='(name, low, high) such as ("learning_rate", 1e-3, 10.0)',
            got=given,
        )
    name, low, high = given[:3]
    _require_name(name, which)
    ends: tuple[Any, Any] = (low, high)
    for end in ends:
        if isinstance(end, bool) or not isinstance(end, Real) or not math.isfinite(end):
            raise ArgumentError(f"both ends must be finite numbers, got {end!r}", argument=which)
    if not low < high or not math.isfinite(high - low):
        raise ArgumentError(
            argument=which, expected="a range from a low number to a higher one", got=given
        )
    scale: Any = given[3] if len(given) == 4 else "log" if 0.0 < 10.0 * low <= high else "linear"
    if scale not in ("log", "linear"):
        raise ArgumentError(f'the scale must be "log" or "linear", got {scale!r}', argument=which)
    if scale == "log" and low <= 0.0:
        raise ArgumentError(
            f"a logarithmic axis starts above 0, but this one starts at {low!r}", argument=which
        )
    return Axis(name, float(low), float(high), scale)


def _require_name(name: Any, which: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[a-z_]\w*(\[\d{1,6}\])?", name, re.ASCII):
        raise ArgumentError(
            argument=which,
            expected='the name of a setting, such as "learning_rate", "learning_rate[0]" (that of '
            'the first layer), "initial_scale" or "momentum"',
            got=name,
        )
    setting = name.split("[")[0]
    if setting != name and setting not in LAYERED:
        raise ArgumentError(
            f"{setting} is the same for all layers, got {name!r}",
            argument=which,
            repair=f"{' and '.join(LAYERED)} may be those of one layer",
        )
