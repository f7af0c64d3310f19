"""The lesson's last section: train at several learning rates and compare."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from talweg import losses
from talweg.descent import WORTH_COMPILING, Engine, Mode, Settings, operations
from talweg.eager_run import EagerRun, Model, Sample
from talweg.errors import ArgumentError, NativeError
from talweg.explore.columns import crossed
from talweg.explore.limits import limit_at_start
from talweg.explore.result import ENDS, SweepResult
from talweg.explore.run import Run
from talweg.optim import SGD, Optimizer
from talweg.progress import progress_bar
from talweg.train import samples_of, train


def sweep(
    make_model: Callable[[random.Random], Model],
    data: Iterable[Sample],
    learning_rates: Sequence[float],
    *,
    seeds: Sequence[int] = (42,),
    steps: int = 50,
    optimizer: Callable[[float], Optimizer] = SGD,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: int | None = None,
    progress: bool = False,
    **settings: Any,
) -> SweepResult:
    """Train one model for each learning rate and seed, each from scratch.

    Native code trains all models at once, one in each SIMD lane, with the same losses and
    verdicts as `train` gives one by one. It needs models that are one program for all seeds,
    optimisers that differ in their rate alone, and steps that take all samples; of the other
    settings only `loss` and `reduction` may be given. Else the runs are made one by one, and
    `result.why_one_by_one` says why.

    Args:
        make_model: makes a model whose weights are drawn from the `random.Random` it gets.
        data: the samples, see `train`.
        learning_rates: the rates to try.
        seeds: for each rate, one run a seed; a seed draws the same weights at every rate.
        steps: how many updates each run makes.
        optimizer: makes an optimiser from a rate; `tw.Adam`, or a function such as
            `lambda lr: tw.SGD(lr, momentum=0.9)`.
        engine: "native" for all runs at once or an error, "eager" for one by one by the eager
            engine, or "auto" for all at once where that is possible and pays, else one by one.
        mode: what native code promises: "default" for numbers that agree to rounding errors, or
            "exact" for the bits of the eager engine.
        threads: how many threads of native code share the runs; None for one for each core. It
            does not change a bit.
        progress: show a progress bar if this is a terminal.
        **settings: passed on to `train`: loss, reduction, batch_size and so on.

    Returns:
        The `SweepResult`; after Ctrl-C, of the runs so far: one by one the last of them may be
        cut short, all at once only runs that were finished are kept.

    Raises:
        ArgumentError: if there are no rates or no seeds, or a setting makes no sense.
        DataError: if there are no samples.
        NativeError: if native code is asked for, and is not possible.

    Example:
        >>> from talweg import MLP, lesson_data
        >>> result = sweep(lambda rng: MLP(3, [4, 4, 1], rng=rng), lesson_data(), [0.001, 0.1])
        >>> result.verdicts
        ['descending', 'converged']
        >>> [round(loss, 6) for loss in result.losses[:, -1].tolist()]
        [3.346645, 0.011888]
    """
    for name, given in (("learning_rates", learning_rates), ("seeds", seeds)):
        if not hasattr(given, "__len__") or not len(given):
            raise ArgumentError(f"{name} must be a list with at least one entry, got {given!r}")
    if not isinstance(steps, int) or steps < 1:
        raise ArgumentError(f"steps must be a whole number of at least 1, got {steps!r}")
    optimizers = [optimizer(lr) for lr in learning_rates]  # a bad rate is refused before any run
    wanted = _Wanted(
        make_model,
        samples_of(data, "data"),
        learning_rates,
        seeds,
        steps,
        optimizers,
        progress,
        settings,
    )
    reduction = settings.get("reduction", "sum")
    Settings(reduction, optimizers[0], steps, None, None, engine, mode, None, (), progress, threads)
    try:
        _refuse_what_is_not_for_lanes(wanted, engine)
        return _in_lanes(wanted, mode, threads)
    except KeyboardInterrupt:  # before the first step
        return SweepResult.of_runs([], steps, interrupted=True)
    except NativeError as reason:
        if engine == "native":
            raise NativeError(f'engine="native" is not possible: {reason}') from None
        settings.update(engine=engine, mode=mode, threads=threads)
        return _one_by_one(wanted, str(reason))


@dataclass(frozen=True)
class _Wanted:
    """What a sweep was asked for; `sweep` says what each means."""

    make_model: Callable[[random.Random], Model]
    samples: list[Sample]
    learning_rates: Sequence[float]
    seeds: Sequence[int]
    steps: int
    optimizers: list[Optimizer]
    progress: bool
    settings: dict[str, Any]

    @property
    def count(self) -> int:
        """How many runs."""
        return len(self.learning_rates) * len(self.seeds)

    def limit(self, k: int) -> float | None:
        """The largest stable rate at the first weights of a run."""
        rate, seed = divmod(k, len(self.seeds))
        return limit_at_start(
            lambda: self.make_model(random.Random(self.seeds[seed])),
            self.samples,
            loss=self.settings.get("loss", losses.squared_error),
            reduction=self.settings.get("reduction", "sum"),
            optimizer=self.optimizers[rate],
            among=len(self.seeds),
        )

    def loss(self, model: Model, sample: Sample) -> Any:
        """The loss of a model on a sample."""
        return self.settings.get("loss", losses.squared_error)(model(sample[0]), sample[1])


_FOR_LANES = ("loss", "reduction", "seed")
"""The settings of `train` that runs side by side know."""


def _refuse_what_is_not_for_lanes(wanted: _Wanted, engine: Engine) -> None:
    """Refuse what native code cannot train side by side, or what is not worth it.

    Raises:
        NativeError: with the reason.
    """
    if engine == "eager":
        raise NativeError('engine="eager" was asked for')
    for name, setting in wanted.settings.items():
        is_empty = setting is None or (isinstance(setting, (list, tuple, dict)) and not setting)
        if name not in _FOR_LANES and not is_empty:
            raise NativeError(f"{name} is set, which needs runs one by one")
    if engine == "native":
        return
    in_all = wanted.count * wanted.steps * len(wanted.samples)
    if wanted.count == 1 or in_all * _operations(wanted) < WORTH_COMPILING:
        raise NativeError("the sweep is too short to be worth compiling")


def _operations(wanted: _Wanted) -> int:
    """How many operations the loss of the first sample takes."""
    model = wanted.make_model(random.Random(wanted.seeds[0]))
    return operations(
        EagerRun(
            model,
            wanted.samples,
            lambda sample: wanted.loss(model, sample),
            mean=False,
            optimizer=wanted.optimizers[0],
            clip_norm=None,
        )
    )


def _in_lanes(wanted: _Wanted, mode: Mode, threads: int | None) -> SweepResult:
    """All runs at once, by native code."""
    from talweg.native_sweep import Lanes  # loads NumPy and LLVM, which eager runs do without

    lanes = Lanes(
        [wanted.make_model(random.Random(seed)) for seed in wanted.seeds],
        wanted.optimizers,
        wanted.samples,
        wanted.loss,
        mean=wanted.settings.get("reduction", "sum") == "mean",
        mode=mode,
        threads=threads,
    )
    with progress_bar(wanted.count, wanted.progress) as show:
        swept = lanes.train(wanted.steps, show)

    import numpy as np

    done = len(swept.losses)
    settings = crossed({"learning_rate": wanted.learning_rates, "seed": wanted.seeds})
    return SweepResult(
        {name: values[:done] for name, values in settings.items()},
        wanted.steps,
        swept.losses,
        swept.steps,
        np.where(swept.diverged, ENDS.index("diverged"), ENDS.index("finished")),
        lanes.record,
        interrupted=swept.interrupted,
        limit_of=wanted.limit,
    )


def _one_by_one(wanted: _Wanted, why: str) -> SweepResult:
    """One run after the other, by `train`."""
    runs: list[Run] = []
    with progress_bar(wanted.count, wanted.progress) as show:
        for lr, its_optimizer in zip(wanted.learning_rates, wanted.optimizers, strict=True):
            for seed in wanted.seeds:
                history = train(
                    wanted.make_model(random.Random(seed)),
                    wanted.samples,
                    steps=wanted.steps,
                    optimizer=its_optimizer,
                    **{"seed": seed, **wanted.settings},
                )
                if history.losses:
                    runs.append(Run({"learning_rate": lr, "seed": seed}, history))
                    show(len(runs), history.losses[-1])
                if history.status == "interrupted":
                    return _result(runs, wanted, why, interrupted=True)
    return _result(runs, wanted, why)


def _result(
    runs: list[Run], wanted: _Wanted, why: str, *, interrupted: bool = False
) -> SweepResult:
    return SweepResult.of_runs(
        runs,
        wanted.steps,
        why_one_by_one=why,
        interrupted=interrupted,
        limit_of=wanted.limit,
    )
