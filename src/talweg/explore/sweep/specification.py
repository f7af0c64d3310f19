"""What a sweep does, as plain data and functions: which runs there are, and how each is made.

A `Specification` numbers the runs: all combinations of the settings' values, with the settings of
`grid` varying slowest, then the learning rate, then the seed. From the number of a run follow its
settings, from these its model and its optimiser. It can be sent to another process.

Each setting goes to the function that takes a setting of its name: the one that makes models, the
one that makes optimisers, or `train`; see `route`.

Start reading at `Specification`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeAlias

from talweg import losses, ops
from talweg.errors import ArgumentError, NativeError
from talweg.optim import Optimizer
from talweg.training.objective import Model, Sample, parameters_of

Route: TypeAlias = Literal["model", "optimizer", "scale", "train"]
"""Where a setting goes; see `route`."""

IN_GRID = ("batch_size", "clip_norm", "reduction", "loss")
"""The settings of `train` that a sweep's grid may vary."""

IN_LANES = ("loss", "reduction", "seed", "batch_size")
"""The settings of `train` that native code supports where it trains many models at once."""


@dataclass(frozen=True)
class Specification:
    """What a sweep does; the parts are the arguments of `talweg.sweep`.

    Attributes:
        make_model: makes a model.
        optimizer: makes an optimiser.
        samples: the data.
        choices: for each setting its values, in the order in which runs are numbered.
        steps: how many updates each run makes.
        settings: what else `train` is given.
        engine: "native", "auto" or "eager".
        mode: "default" or "exact".
        stop_at: a loss at which a run stops; None for none.
        threads: how many threads share a run that is trained by itself; None for all cores.
        routes: where each setting of the grid goes.
    """

    make_model: Callable[..., Model]
    optimizer: Callable[..., Optimizer]
    samples: list[Sample]
    choices: Mapping[str, Sequence[Any]]
    steps: int
    settings: Mapping[str, Any]
    engine: str
    mode: str
    stop_at: float | None
    threads: int | None
    routes: Mapping[str, Route]

    @cached_property
    def count(self) -> int:
        """How many runs."""
        return math.prod(map(len, self.choices.values()))

    @cached_property
    def grid(self) -> tuple[str, ...]:
        """The names of the settings other than learning rate and seed."""
        return tuple([x for x in self.choices if x not in ("learning_rate", "seed")])

    def names_of(self, *routes: Route) -> list[str]:
        """The names of the settings of the grid that go to one of these."""
        return [name for name in self.grid if self.routes[name] in routes]

    @cached_property
    def optimizer_names(self) -> list[str]:
        """The settings that the optimiser depends on: those of the grid, and the rate last."""
        return [*self.names_of("optimizer"), "learning_rate"]

    @property
    def may_have_batches(self) -> bool:
        """Whether steps of some runs may take fewer than all samples."""
        return "batch_size" in self.settings or "batch_size" in self.choices

    # ---- numbers of runs ----------------------------------------------------------------------

    def places_of(self, k: Any) -> dict[str, Any]:
        """For each setting, the index of run k's value in `choices`.

        Args:
            k: the number of a run, or an array of such numbers.

        Returns:
            The indices: integers, or arrays for an array.
        """
        places = {}
        for name, count in self._counts:
            k, places[name] = k // count, k % count
        return places

    @cached_property
    def _counts(self) -> list[tuple[str, int]]:
        return [(name, len(values)) for name, values in reversed(list(self.choices.items()))]

    def runs_with_each_value(self, names: Sequence[str]) -> list[int]:
        """The first run, and for each further value of these settings the first run with it."""
        runs, step = [0], 1
        for name, count in self._counts:
            runs += [step * place for place in range(1, count)] if name in names else []
            step *= count
        return sorted(runs)

    def combination(self, places: Mapping[str, Any], names: Sequence[str]) -> Any:
        """The number of a run's combination of some settings, below `combinations(names)`.

        Args:
            places: the indices of its values, see `places_of`.
            names: the settings, the last of which varies fastest.
        """
        number = places[names[0]] if names else 0 * places["seed"]
        for name in names[1:]:
            number = number * len(self.choices[name]) + places[name]
        return number

    def combinations(self, names: Sequence[str]) -> int:
        """How many combinations of some settings there are."""
        return math.prod([len(self.choices[name]) for name in names])

    def settings_of(self, k: int) -> dict[str, Any]:
        """The settings of run k: the learning rate and the seed first."""
        places = self.places_of(int(k))
        names = ("learning_rate", "seed", *self.grid)
        return {name: self.choices[name][places[name]] for name in names}

    # ---- one run ------------------------------------------------------------------------------

    def routed(self, where: Route, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a run's settings that go there."""
        return {name: settings[name] for name in self.names_of(where)}

    def model_of(self, settings: Mapping[str, Any]) -> Model:
        """The model of a run before its first step."""
        rng = random.Random(settings["seed"])
        model = self.make_model(rng, **self.routed("model", settings))
        scale = settings.get("initial_scale", 1.0)
        if self.routes.get("initial_scale") == "scale" and scale != 1.0:
            for p in parameters_of(model):
                p.data *= scale
        return model

    def optimizer_of(self, settings: Mapping[str, Any]) -> Optimizer:
        """The optimiser of a run.

        Raises:
            ArgumentError: if `optimizer` makes something else.
        """
        made = self.optimizer(settings["learning_rate"], **self.routed("optimizer", settings))
        if not isinstance(made, Optimizer):
            raise ArgumentError(
                f"optimizer must make an optimiser such as tw.SGD(lr), got {made!r}"
            )
        return made

    def given_to_train(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """What else `train` is given for a run."""
        return {"seed": settings["seed"], **self.settings, **self.routed("train", settings)}

    def loss_of(self, settings: Mapping[str, Any]) -> Callable[[Model, Sample], Any]:
        """The loss of a model on a sample, in a run."""
        loss = self.given_to_train(settings).get("loss", losses.squared_error)
        return lambda model, sample: loss(model(sample[0]), sample[1])

    # ---- what native code supports ------------------------------------------------------------

    def require_lanes(self) -> None:
        """Refuse settings with which native code cannot train many models at once.

        Raises:
            NativeError: with the reason.
        """
        if self.engine == "eager":
            raise NativeError("the eager engine was requested")
        if self.may_have_batches and self.settings.get("seed", 0) is None:
            raise NativeError("seed=None shuffles by Python's own random, one run after the other")
        in_grid = {name: values for name, values in self.choices.items() if name in IN_GRID}
        for name, setting in {**self.settings, **in_grid}.items():
            is_empty = setting is None or (isinstance(setting, (list, tuple, dict)) and not setting)
            if name not in IN_LANES and not is_empty:
                raise NativeError(f"{name} is set, which needs runs one by one")

    # ---- what identifies it -------------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What identifies a sweep in a store, as plain data: all that its losses depend on.

        Functions cannot be compared from one process to the next, so the loss of the first run
        at its first weights, on all samples, stands for the model and the loss.
        """
        first = self.settings_of(0)
        model, loss = self.model_of(first), self.loss_of(first)
        start = [repr(ops.to_float(loss(model, sample))) for sample in self.samples]
        weights = [repr(p.data) for p in parameters_of(model)]
        return {
            "what": "talweg sweep",
            "settings": {name: [_plain(x) for x in xs] for name, xs in self.choices.items()},
            "steps": self.steps,
            "optimizer": repr(self.optimizer_of(first)),
            "train": {name: _plain(x) for name, x in sorted(self.settings.items())},
            "mode": self.mode,
            "stop_at": self.stop_at,
            "samples": _hash([repr((_as_list(x), _as_list(y))) for x, y in self.samples]),
            "model and loss": _hash([*weights, *start]),
        }


def _plain(x: Any) -> Any:
    """The value as JSON represents it; a function or an object by its name."""
    if type(x) in (int, float, str, bool):
        return x
    try:
        return json.loads(json.dumps(x))
    except TypeError:
        return getattr(x, "__qualname__", type(x).__name__)


def _as_list(numbers: Any) -> Any:
    """An array as a list, whose text has all its numbers with all their digits."""
    return numbers.tolist() if hasattr(numbers, "tolist") else numbers


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def route(
    name: str, make_model: Callable[..., Model], optimizer: Callable[..., Optimizer]
) -> Route:
    """Where a setting of this name goes: to the first of these that takes it.

    1. "model": `make_model(rng, name=value)`.
    2. "optimizer": `optimizer(lr, name=value)`.
    3. "train": batch_size, clip_norm, reduction, loss.
    4. "scale": `initial_scale` multiplies the first value of every parameter.

    Raises:
        ArgumentError: if nothing takes it.

    >>> from talweg import MLP, SGD
    >>> make = lambda rng, width: MLP(2, [width, 1], rng=rng)
    >>> [route(name, make, SGD) for name in ("width", "momentum", "batch_size", "initial_scale")]
    ['model', 'optimizer', 'train', 'scale']
    """
    if _takes(make_model, name):
        return "model"
    if _takes(optimizer, name):
        return "optimizer"
    if name in IN_GRID:
        return "train"
    if name == "initial_scale":
        return "scale"
    raise ArgumentError(
        f"nothing takes the setting {name!r} of grid: make_model(rng, {name}=...) does not, nor "
        f"does optimizer(lr, {name}=...), and it is none of initial_scale, {', '.join(IN_GRID)}"
    )


def _takes(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has an argument of this name after its first."""
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(x.name == name and x.kind in named for x in arguments[1:])
