"""The settings of a training run, and what each of them may be.

Start reading at `Settings`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from numbers import Integral
from typing import Any, Literal, TypeAlias

from talweg.errors import ArgumentError
from talweg.optim import Optimizer
from talweg.training.callbacks import Callback
from talweg.training.early_stopping import EarlyStopping
from talweg.training.validation import Metric

Engine: TypeAlias = Literal["auto", "eager", "native"]
Mode: TypeAlias = Literal["default", "exact"]
Reduction: TypeAlias = Literal["sum", "mean"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a training run; `talweg.train` describes each of them.

    Raises:
        ArgumentError: if a setting is not valid.

    >>> Settings(steps=10).reduction
    'sum'
    """

    reduction: Reduction = "sum"
    optimizer: Optimizer | None = None
    steps: int = 50
    batch_size: int | None = None
    seed: int | None = None
    engine: Engine = "auto"
    mode: Mode = "default"
    threads: int | None = None
    early_stopping: EarlyStopping | None = None
    clip_norm: float | None = None
    metrics: dict[str, Metric] | None = None
    callbacks: Sequence[Callback] = ()
    progress: bool = False

    @classmethod
    def among(cls, arguments: Mapping[str, Any]) -> Settings:
        """The settings among the arguments of a function.

        Args:
            arguments: the arguments by name, such as `locals()` at the start of a function.
                Those that are not settings are ignored.

        Raises:
            ArgumentError: if a setting is not valid.

        >>> Settings.among({"model": None, "steps": 10}).steps
        10
        """
        return cls(**{f.name: arguments[f.name] for f in fields(cls) if f.name in arguments})

    def __post_init__(self) -> None:
        for name, (expected, holds) in _RULES.items():
            setting = getattr(self, name)
            if not holds(setting):
                raise ArgumentError(argument=name, expected=expected, got=setting)


_RULES: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "reduction": ('"sum" or "mean"', lambda x: x in ("sum", "mean")),
    "optimizer": (
        "None or an optimiser such as tw.Adam(lr=0.01)",
        lambda x: x is None or isinstance(x, Optimizer),
    ),
    "steps": ("an integer of at least 0", lambda x: isinstance(x, Integral) and int(x) >= 0),
    "batch_size": (
        "None or an integer of at least 1",
        lambda x: x is None or (isinstance(x, Integral) and int(x) >= 1),
    ),
    "seed": ("None or an integer", lambda x: x is None or isinstance(x, Integral)),
    "threads": (
        "None or an integer of at least 1",
        lambda x: x is None or (isinstance(x, Integral) and int(x) >= 1),
    ),
    "engine": ('"auto", "eager" or "native"', lambda x: x in ("auto", "eager", "native")),
    "mode": ('"default" or "exact"', lambda x: x in ("default", "exact")),
    "early_stopping": (
        "None or an object such as tw.EarlyStopping(patience=10)",
        lambda x: x is None or isinstance(x, EarlyStopping),
    ),
    "clip_norm": (
        "None or a number above 0",
        lambda x: x is None or (isinstance(x, (int, float)) and x > 0.0),
    ),
    "metrics": (
        'None or functions by name such as {"accuracy": tw.metrics.accuracy}',
        lambda x: x is None or (isinstance(x, dict) and all(map(callable, x.values()))),
    ),
    "callbacks": (
        "a list of functions",
        lambda x: isinstance(x, (list, tuple)) and all(map(callable, x)),
    ),
}
"""For each setting what it must be, in words and as a test."""
