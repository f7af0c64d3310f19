"""What a sweep does, as plain data and functions: which runs there are, and how each is made.

A `Specification` can be sent to another process. It numbers the runs: all combinations of the
settings' values, with the settings of `grid` varying slowest, then the learning rate, then the
seed. From the number of a run follow its settings, from these its model and its optimiser.

Each setting goes to what takes a setting of that name: the function that makes models, the one
that makes optimisers, or `train`; see `route`. Runs of one *program* differ in numbers only
(weights, rates, numbers of the optimiser), so that native code can train them side by side.

Start reading at `Specification`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import random
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from talweg import losses, ops
from talweg.errors import ArgumentError, NativeError
from talweg.optim import Optimizer
from talweg.training.eager_executor import Model, Sample, parameters_of

if TYPE_CHECKING:
    from talweg.explore.sweep.lane_batch import LaneBatch
    from talweg.training.lane_executor import Family

Route: TypeAlias = Literal["model", "optimizer", "scale", "train"]
"""Where a setting goes; see `route`."""

Program: TypeAlias = tuple[Any, ...]
"""What runs that can be trained side by side have in common; see `Specification.made`."""

_MOST_MADE = 100_000
"""So many optimisers are kept; more of them would be made again when they are needed."""

IN_GRID = ("batch_size", "clip_norm", "reduction", "loss")
"""The settings of `train` that a sweep's grid may vary."""

IN_LANES = ("loss", "reduction", "seed", "batch_size")
"""The settings of `train` that runs side by side know."""


@dataclass(frozen=True)
class Specification:
    """What a sweep does; `talweg.sweep` says what each part means.

    Attributes:
        make_model: makes a model.
        optimizer: makes an optimiser.
        samples: the data.
        choices: for each setting its values, in the order in which runs are numbered.
        steps: how many updates each run makes.
        settings: what else `train` is given.
        engine: "native", "auto" or "eager".
        mode: "default" or "exact".
        stop_at: a loss at which a run ends; None for none.
        threads: how many threads share a run that is trained by itself; None for all cores.
        routes: where each setting goes.
        families: the optimisers of each program, where native code trains.
        token: names this sweep; workers compile once for each token.
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
    families: dict[Program, Family] = field(default_factory=dict)
    token: str = field(default_factory=lambda: uuid.uuid4().hex)
    _made: dict[int, tuple[Optimizer, Program]] = field(
        default_factory=dict, repr=False, compare=False
    )

    @property
    def count(self) -> int:
        """How many runs."""
        return math.prod(map(len, self.choices.values()))

    @property
    def in_lanes(self) -> bool:
        """Whether native code is to train runs side by side."""
        return bool(self.families)

    @property
    def may_have_batches(self) -> bool:
        """Whether steps of some runs do not take all samples."""
        return "batch_size" in self.settings or "batch_size" in self.choices

    def prepare(self) -> LaneBatch:
        """What trains the runs in this process."""
        from talweg.explore.sweep.lane_batch import LaneBatch

        return LaneBatch(self)

    # ---- one run ------------------------------------------------------------------------------

    def places_of(self, k: int) -> dict[str, int]:
        """For each setting, which of its values run k has."""
        places = {}
        for name, count in self._backwards:
            k, places[name] = divmod(k, count)
        return places

    def settings_of(self, k: int) -> dict[str, Any]:
        """The settings of run k: the learning rate and the seed first."""
        places = self.places_of(k)
        return {name: self.choices[name][places[name]] for name in self._names}

    @cached_property
    def _names(self) -> tuple[str, ...]:
        return ("learning_rate", "seed", *self.grid)

    @cached_property
    def _backwards(self) -> list[tuple[str, int]]:
        return [(name, len(values)) for name, values in reversed(list(self.choices.items()))]

    @cached_property
    def grid(self) -> tuple[str, ...]:
        """The names of the settings beside learning rate and seed."""
        return tuple([x for x in self.choices if x not in ("learning_rate", "seed")])

    def routed(self, where: Route, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Those of a run's settings that go there."""
        return {name: settings[name] for name in self.grid if self.routes[name] == where}

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
        """The optimiser of a run."""
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

    # ---- programs -----------------------------------------------------------------------------

    def made(self, k: int) -> tuple[Optimizer, Program]:
        """The optimiser of run k, and its program: what it shares with runs trained beside it.

        That is the values that go to the model or to `train`; and which numbers of the
        optimiser are zero, because equations leave out what is zero: without momentum there is
        no velocity. Runs that differ in their seed alone have one optimiser, made once.
        """
        combination = k // len(self.choices["seed"])
        found = self._made.get(combination)
        if found is None:
            optimizer, places = self.optimizer_of(self.settings_of(k)), self.places_of(k)
            shared = [places[x] for x in self.grid if self.routes[x] in ("model", "train")]
            numbers = vars(optimizer).items()
            not_zero = [
                name for name, x in numbers if isinstance(x, (int, float)) and x and name != "lr"
            ]
            found = optimizer, (*shared, *not_zero)
            if len(self._made) < _MOST_MADE:
                self._made[combination] = found
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_made": {}}  # a worker makes those that it needs

    def with_families(self) -> Specification:
        """The same with families of optimisers, one for each program.

        Raises:
            NativeError: if the optimisers of a program do not fit together.
        """
        from talweg.training.lane_executor import family_of

        found: dict[Program, list[Optimizer]] = {}
        for k in range(0, self.count, len(self.choices["seed"])):
            optimizer, program = self.made(k)
            found.setdefault(program, []).append(optimizer)
        return replace(self, families={key: family_of(all_) for key, all_ in found.items()})

    def refuse_what_is_not_for_lanes(self) -> None:
        """Refuse settings that native code cannot train side by side.

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

    # ---- what it is, in short -----------------------------------------------------------------

    def description(self) -> dict[str, Any]:
        """What a stored sweep says about itself, so that no other is taken for it.

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
            "samples": _hash([repr((_listed(x), _listed(y))) for x, y in self.samples]),
            "model and loss": _hash([*weights, *start]),
        }


def _plain(x: Any) -> Any:
    """The value as JSON has it; a function or an object by its name."""
    try:
        return json.loads(json.dumps(x))
    except TypeError:
        return getattr(x, "__qualname__", type(x).__name__)


def _listed(numbers: Any) -> Any:
    """An array as a list, whose text has all its numbers with all their digits."""
    return numbers.tolist() if hasattr(numbers, "tolist") else numbers


def _hash(texts: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def route(
    name: str, make_model: Callable[..., Model], optimizer: Callable[..., Optimizer]
) -> Route:
    """Where a setting of this name goes: the first that takes it.

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
    """Whether a function has an argument of this name, beside its first."""
    try:
        arguments = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return False
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return any(x.name == name and x.kind in named for x in arguments[1:])
