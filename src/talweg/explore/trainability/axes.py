"""The axes of a map: the setting that varies, its range, and the points of each level.

An axis of level L has 2**L points. They divide its range into equal parts, on a logarithmic axis
in powers of ten. The first point is the lower end of the range; the upper end is not a point.
Point 2 i of level L + 1 equals point i of level L to the last bit, because (2 i) / 2**(L + 1) and
i / 2**L are the same float.

Start reading at `Axis.values`, then `parse_axis`.
"""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from numbers import Real
from typing import Any, Literal, TypeAlias

from talweg._util.arrays import Array
from talweg.errors import ArgumentError

Scale: TypeAlias = Literal["log", "linear"]
AxisLike: TypeAlias = tuple[str, float, float] | tuple[str, float, float, Scale]
"""An axis as the user gives it: (setting, low, high) or (setting, low, high, scale)."""

LAYER_SETTINGS = ("learning_rate", "initial_scale")
"""The settings that a single layer can have, as in `learning_rate[0]`."""

_MIN_DISTANCE = 16.0
"""The least distance of neighbouring points, in steps of a float: so distances are about equal."""


@dataclass(frozen=True)
class Axis:
    """One axis of a map.

    Attributes:
        name: the setting as the user gave it, such as "learning_rate[0]" or "momentum".
        low: the lower end, which is the first point.
        high: the upper end, which is not a point.
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
        """The index of the layer, or None for all layers.

        >>> Axis("learning_rate[1]", 0.1, 1.0, "log").layer
        1
        """
        return int(self.name[:-1].split("[")[1]) if "[" in self.name else None

    @property
    def limits(self) -> tuple[float, float]:
        """The two ends; on a logarithmic axis their decadic logarithms."""
        if self.scale == "linear":
            return self.low, self.high
        return math.log10(self.low), math.log10(self.high)

    @property
    def finest_level(self) -> int:
        """The last level whose neighbouring points are distinct floats at about equal distances.

        >>> Axis("learning_rate", 1e-3, 1e6, "log").finest_level
        49
        """
        low, high = self.limits
        grain = math.ulp(max(abs(low), abs(high)))
        if self.scale == "log":  # 10**position must differ too
            grain = max(grain, 2.0**-52 / math.log(10.0))
        return max(0, math.floor(math.log2((high - low) / (_MIN_DISTANCE * grain))))

    def values(self, level: int, first: int, count: int) -> Array:
        """The setting at the points `first`, `first + 1`, ... of a level.

        Point i is low + (high - low) i / 2**level; on a logarithmic axis low and high are the
        logarithms, and the setting is 10 to that power. Each is computed by itself with Python
        floats, so that its bits do not depend on `count`.

        Args:
            level: the level.
            first: the index of the first point.
            count: the number of points.

        >>> Axis("learning_rate", 0.01, 100.0, "log").values(2, 0, 4).tolist()
        [0.01, 0.1, 1.0, 10.0]
        """
        import numpy as np

        low, high = self.limits
        points = 1 << level
        positions = [low + (high - low) * (i / points) for i in range(first, first + count)]
        return np.array(positions if self.scale == "linear" else [10.0**p for p in positions])

    def index(self, value: Any, level: int) -> int:
        """The index of the point of a level that is nearest to a value.

        Raises:
            ArgumentError: if the value is not between the ends of the axis.

        >>> Axis("learning_rate", 0.01, 100.0, "log").index(0.9, 2)
        2
        """
        if not isinstance(value, Real) or not self.low <= float(value) <= self.high:
            raise ArgumentError(
                f"{self.name} is mapped from {self.low:g} to {self.high:g}, got {value!r}"
            )
        low, high = self.limits
        position = float(value) if self.scale == "linear" else math.log10(float(value))
        nearest = round((position - low) / (high - low) * (1 << level))
        return min(max(nearest, 0), (1 << level) - 1)


@dataclass(frozen=True)
class Plane:
    """The plane that a whole map shows: its two axes."""

    x: Axis
    y: Axis

    @property
    def finest_level(self) -> int:
        """The last level that both axes have, see `Axis.finest_level`."""
        return min(self.x.finest_level, self.y.finest_level)

    def description(self) -> dict[str, Any]:
        """The axes as plain JSON data."""
        return asdict(self)


def parse_axis(given: AxisLike, which: str) -> Axis:
    """Check an axis that the user gave, and return it as an `Axis`.

    Args:
        given: (name, low, high) or (name, low, high, scale). Without a scale the axis is
            logarithmic if low is positive and high is at least ten times as large.
        which: "x" or "y", for messages.

    Raises:
        ArgumentError: if it has another form, a number is not valid, or a single layer is named
            of a setting that all layers share.

    Example:
        >>> parse_axis(("learning_rate", 0.001, 10.0), "x").scale
        'log'
        >>> parse_axis(("momentum", 0.0, 1.0), "y").scale
        'linear'
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
            f"a logarithmic axis must start above 0, this one starts at {low!r}", argument=which
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
    if setting != name and setting not in LAYER_SETTINGS:
        raise ArgumentError(
            f"{setting} is the same for all layers, got {name!r}",
            argument=which,
            repair=f"a single layer can have {' and '.join(LAYER_SETTINGS)}",
        )
