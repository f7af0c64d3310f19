"""Many training runs: learning rates, seeds, and any other settings, each with each.

`sweep` writes down what is to be done (`talweg.explore.sweep.specification`), cuts the runs into
tasks, and lets threads, processes or a cluster do them (`talweg.explore.tasks`); what each task
is, stands in `talweg.explore.sweep.lane_batch`. What comes back is kept in memory or on disk
(`talweg.explore.sweep.store`), and becomes a `SweepResult`.

Start reading at `sweep`, then `_gather`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from inspect import signature
from typing import TYPE_CHECKING, Any

from talweg._util.cpu_count import cores
from talweg._util.progress import progress_bar
from talweg.errors import ArgumentError, NativeError
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.specification import Specification, route
from talweg.explore.tasks import completed
from talweg.optim import SGD, Optimizer
from talweg.training.eager_executor import EagerExecutor, Model, Sample
from talweg.training.loop import WORTH_COMPILING, Engine, Mode, Settings, operations
from talweg.training.train import samples_of, train

if TYPE_CHECKING:
    from talweg.explore.sweep.lane_batch import LaneBatch


def sweep(
    make_model: Callable[..., Model],
    data: Iterable[Sample],
    learning_rates: Sequence[float],
    *,
    seeds: Sequence[int] = (42,),
    grid: Mapping[str, Sequence[Any]] | None = None,
    steps: int = 50,
    optimizer: Callable[..., Optimizer] = SGD,
    stop_at: float | None = None,
    engine: Engine = "auto",
    mode: Mode = "default",
    threads: int | None = None,
    executor: Any = None,
    store: str | os.PathLike[str] | None = None,
    progress: bool = False,
    **settings: Any,
) -> SweepResult:
    """Train one model for each combination of learning rate, seed and other settings.

    Native code trains many models at once, one in each SIMD lane, with the same losses and
    verdicts as `train` gives one by one. Models that are one program for all seeds are compiled
    once; another width is another program. Of the settings of `train`, native code takes `loss`,
    `reduction`, `batch_size` and `seed`. Where it cannot, runs are made one by one, and
    `result.fallback_reason` says why.

    Args:
        make_model: makes a model whose weights are drawn from the `random.Random` it gets.
        data: the samples, see `train`.
        learning_rates: the rates to try.
        seeds: for each rate, one run a seed; a seed draws the same weights at every rate.
        grid: other settings to vary, with the values of each. A setting goes to what takes an
            argument of its name: `make_model(rng, width=8)`, `optimizer(lr, momentum=0.9)`, or
            `train` (batch_size, clip_norm, reduction, loss); `initial_scale` multiplies the
            weights that the model begins with.
        steps: how many updates each run makes.
        optimizer: makes an optimiser from a rate; `tw.Adam`, or a function such as
            `lambda lr: tw.SGD(lr, momentum=0.9)`.
        stop_at: a loss at which, or below, a run has converged and ends; None to make all steps.
        engine: "native" for runs at once or an error, "eager" for one by one by the eager
            engine, or "auto" for at once where that is possible and pays, else one by one.
        mode: what native code promises: "default" for numbers that agree to rounding errors, or
            "exact" for the bits of the eager engine.
        threads: how many threads of native code share the runs; None for one for each core. It
            does not change a bit.
        executor: who does the work instead of threads here: a Dask `distributed.Client`, a
            `joblib.Parallel`, or an executor of `concurrent.futures`; see docs/scaling.md.
        store: a folder, to be made, in which losses are kept as they come in (a Zarr group).
            They need not fit in memory then. The same call with the same folder goes on where
            the last one ended, however it ended.
        progress: show a progress bar if this is a terminal.
        **settings: passed on to `train`: loss, reduction, batch_size and so on.

    Returns:
        The `SweepResult`. After Ctrl-C, of the runs that were finished; one by one the last of
        them may be cut short.

    Raises:
        ArgumentError: if there are no rates or no seeds, a setting makes no sense, nothing
            takes one of `grid`, or the store is of another sweep.
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
    choices = _choices(learning_rates, seeds, grid or {}, settings)
    steps = _as_python(steps)
    if not isinstance(steps, int) or steps < 1:
        raise ArgumentError(argument="steps", expected="a whole number of at least 1", got=steps)
    if stop_at is not None and not (isinstance(stop_at, (int, float)) and math.isfinite(stop_at)):
        raise ArgumentError(argument="stop_at", expected="None or a finite number", got=stop_at)
    asked = Specification(
        make_model,
        optimizer,
        samples_of(data, "data"),
        choices,
        steps,
        {name: _as_python(x) for name, x in settings.items()},
        engine,
        mode,
        stop_at,
        threads,
        {name: route(name, make_model, optimizer) for name in grid or {}},
    )
    _check(asked, progress)
    try:
        asked, work, why = _prepared(asked)
        return _gather(asked, work, why, executor=executor, store=store, progress=progress)
    except KeyboardInterrupt:  # before the first run was finished
        return SweepResult.of_runs([], steps, interrupted=True)


def _choices(
    learning_rates: Sequence[float],
    seeds: Sequence[int],
    grid: Mapping[str, Sequence[Any]],
    settings: Mapping[str, Any],
) -> dict[str, list[Any]]:
    """The values of each setting, in the order in which runs are numbered."""
    if not isinstance(grid, Mapping):
        raise ArgumentError(f'grid must be a dict such as {{"momentum": [0.0, 0.9]}}, got {grid!r}')
    for name, x in settings.items():
        if name not in signature(train).parameters:
            raise ArgumentError(
                f"{name}={x!r} is no setting of train; what make_model or optimizer takes goes "
                f"into grid={{{name!r}: [...]}}"
            )
    named = {**grid, "learning_rates": learning_rates, "seeds": seeds}
    for name, values in named.items():
        if isinstance(values, str) or not hasattr(values, "__len__") or not len(values):
            raise ArgumentError(f"{name} must be a list with at least one entry, got {values!r}")
    for name in grid:
        if name in settings:
            raise ArgumentError(f"{name} is given twice: in grid, and as {name}={settings[name]!r}")
        if name in ("learning_rate", "learning_rates", "seed", "seeds"):
            raise ArgumentError(f"{name} in grid: give learning_rates=[...] or seeds=[...] instead")
    given = {**grid, "learning_rate": learning_rates, "seed": seeds}
    choices = {name: [_as_python(x) for x in values] for name, values in given.items()}
    for rate in choices["learning_rate"]:
        if not isinstance(rate, (int, float)):
            raise ArgumentError(
                f"learning_rates must be numbers, got {rate!r} among them; a schedule of each is "
                "made by optimizer=lambda lr: tw.SGD(tw.schedules.Cosine(lr, steps=50))"
            )
    for seed in choices["seed"]:
        if not isinstance(seed, int):
            raise ArgumentError(f"seeds must be whole numbers, got {seed!r} among them")
    return choices


def _as_python(x: Any) -> Any:
    """A number of NumPy as one of Python."""
    return x.item() if hasattr(x, "item") and getattr(x, "ndim", 1) == 0 else x


def _check(asked: Specification, progress: bool) -> None:
    """Refuse what makes no sense, before any run."""
    count = len(asked.choices["seed"])
    for k in range(0, asked.count, count):  # a bad rate, or a bad momentum
        settings, (made, _) = asked.settings_of(k), asked.made(k)
        scale = asked.routed("scale", settings).get("initial_scale", 1.0)
        if not isinstance(scale, (int, float)):
            raise ArgumentError(f"initial_scale must be a number, got {scale!r}")
        if k and not asked.routed("train", settings):
            continue
        given = asked.given_to_train(settings)
        Settings(
            given.get("reduction", "sum"),
            made,
            asked.steps,
            given.get("batch_size"),
            given.get("seed"),
            asked.engine,  # type: ignore[arg-type]
            asked.mode,  # type: ignore[arg-type]
            given.get("clip_norm"),
            (),
            progress,
            asked.threads,
        )


def _prepared(asked: Specification) -> tuple[Specification, LaneBatch, str]:
    """The sweep with its native programs if it has any, what does it, and why it has none."""
    try:
        asked.refuse_what_is_not_for_lanes()
        if asked.engine == "auto":
            _refuse_what_is_short(asked)
        with_native = asked.with_families()
        work = with_native.prepare()
        work.prepare_first()
        return with_native, work, ""
    except NativeError as reason:
        if asked.engine == "native":
            raise NativeError.not_possible(reason) from None
        return asked, asked.prepare(), str(reason)


def _refuse_what_is_short(asked: Specification) -> None:
    """Refuse what is over before it would have been compiled.

    Raises:
        NativeError: with the reason.
    """
    first = asked.settings_of(0)
    taken = asked.given_to_train(first).get("batch_size") or len(asked.samples)
    in_all = asked.count * asked.steps * taken
    if asked.count == 1 or in_all * _operations(asked, first) < WORTH_COMPILING:
        raise NativeError("the sweep is too short to be worth compiling")


def _operations(asked: Specification, settings: Mapping[str, Any]) -> int:
    """How many operations the loss of the first sample takes."""
    model, loss = asked.model_of(settings), asked.loss_of(settings)
    return operations(
        EagerExecutor(
            model,
            asked.samples,
            lambda sample: loss(model, sample),
            mean=False,
            optimizer=asked.optimizer_of(settings),
            clip_norm=None,
        )
    )


def _gather(
    asked: Specification,
    work: LaneBatch,
    why: str,
    *,
    executor: Any,
    store: str | os.PathLike[str] | None,
    progress: bool,
) -> SweepResult:
    """Hand out the runs, and keep what comes back."""
    from talweg.explore.sweep.collector import Collector  # loads NumPy, which checks do without

    threads = 1
    if asked.in_lanes and executor is None:
        threads = asked.threads or cores()
    chunk = _runs_of_a_task(asked, threads, executor is not None, store is not None)
    with Collector(asked, chunk, store, why) as gathered:
        tasks = [gathered.runs_of(number) for number in gathered.missing()]
        numbers = gathered.missing()
        try:
            with progress_bar(asked.count, progress, "run") as show:
                results = completed(asked, tasks, executor=executor, threads=threads, prepared=work)
                with closing(results):
                    for place, trained in results:
                        gathered.put(numbers[place], trained)
                        if gathered.interrupted:
                            break
                        show(gathered.finished, gathered.last_loss)
        except KeyboardInterrupt:
            gathered.interrupted = True
        return gathered.result()


_LOSSES_OF_A_TASK = 1_000_000
"""About how many losses a task gives: 8 MB."""


def _runs_of_a_task(asked: Specification, threads: int, away: bool, stored: bool) -> int:
    """How many runs a task has: many enough to fill lanes, few enough to be shared.

    For what is stored it depends on nothing but the sweep, so that any number of threads or
    workers can go on with it.
    """
    if not asked.in_lanes:  # runs take long, one by one: few are lost if a task is
        return 8 if stored else -(-asked.count // 1024) if away else 1
    most = max(8, min(4096, _LOSSES_OF_A_TASK // asked.steps))
    shares = 64 if away else 1 if stored else 4 * threads
    fair = max(64, -(-asked.count // shares))
    chunk = most if stored else min(most, fair)
    return -(-chunk // 8) * 8
