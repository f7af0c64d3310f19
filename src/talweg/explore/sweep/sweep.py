"""Many training runs: learning rates, seeds and other settings, in all combinations.

`sweep` describes the runs (`talweg.explore.sweep.specification`) and divides them into tasks,
which are ranges of runs. Threads, processes or a cluster do the tasks (`talweg.explore.tasks`):
they train the runs (`talweg.explore.sweep.lane_batch`). The results are kept in memory or on disk
(`talweg.explore.sweep.collector`), and become a `SweepResult`.

Start reading at `sweep`, then `_collect`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from talweg._util.cpu_count import cores
from talweg._util.progress import progress_bar
from talweg.errors import NativeError
from talweg.explore.sweep.arguments import as_python, check_steps, checked_optimizers, choices_of
from talweg.explore.sweep.optimizer_table import OptimizerTable
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.specification import Specification, route
from talweg.explore.tasks import completed
from talweg.optim import SGD, Optimizer
from talweg.training.executor import WORTH_COMPILING, operation_count
from talweg.training.objective import Model, Sample
from talweg.training.settings import Engine, Mode
from talweg.training.train import samples_of

if TYPE_CHECKING:
    from talweg.explore.sweep.lane_batch import LaneBatch, SweepJob


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
    verdicts as `train`. Models that are one program for all seeds are compiled once; another
    width is another program. Of the settings of `train`, native code supports `loss`,
    `reduction`, `batch_size` and `seed`. Where it cannot be used, runs are trained one by one, and
    `result.fallback_reason` gives the reason.

    Learning rates and other numbers reach native code as arrays. If `optimizer` is a class of
    `talweg.optim`, no optimiser is made for each run; a function is called for each combination of
    rate and settings.

    Args:
        make_model: makes a model whose weights are drawn from the `random.Random` it is given.
        data: the samples, see `train`.
        learning_rates: the rates to try.
        seeds: for each rate, one run a seed; a seed draws the same weights at every rate.
        grid: other settings to vary, with the values of each. A setting goes to the function that
            takes an argument of its name: `make_model(rng, width=8)`,
            `optimizer(lr, momentum=0.9)`, or `train` (batch_size, clip_norm, reduction, loss);
            `initial_scale` multiplies the first weights of the model.
        steps: how many updates each run makes.
        optimizer: makes an optimiser from a rate; `tw.Adam`, or a function such as
            `lambda lr: tw.SGD(lr, momentum=0.9)`.
        stop_at: a loss at which, or below, a run has converged and stops; None to make all steps.
        engine: "native" trains many runs at once, and raises an error if that is not possible.
            "eager" trains one run after the other by the eager engine. "auto" trains many at once
            where that is possible and faster, else one after the other.
        mode: "default" for numbers that agree with the eager engine to rounding errors, or
            "exact" for its bits.
        threads: how many threads of native code share the runs; None for one for each core. It
            does not change a bit.
        executor: what does the work instead of threads of this process: a Dask
            `distributed.Client`, a `joblib.Parallel`, or an executor of `concurrent.futures`; see
            docs/scaling.md.
        store: a folder in which losses are kept as they are computed (a Zarr group); it is
            created. The losses then need not fit in memory. The same call with the same folder
            resumes a sweep that was interrupted.
        progress: show a progress bar if the output is a terminal.
        **settings: passed to `train`: loss, reduction, batch_size and so on.

    Returns:
        The `SweepResult`. After Ctrl-C, it has the runs that were finished; of runs that are
        trained one by one, the last may be cut short.

    Raises:
        ArgumentError: if there are no rates or no seeds, a setting is invalid, nothing takes a
            setting of `grid`, or the store is of another sweep.
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
    choices = choices_of(learning_rates, seeds, grid or {}, settings)
    steps = as_python(steps)
    check_steps(steps, stop_at)
    specification = Specification(
        make_model,
        optimizer,
        samples_of(data, "data"),
        choices,
        steps,
        {name: as_python(x) for name, x in settings.items()},
        engine,
        mode,
        stop_at,
        threads,
        {name: route(name, make_model, optimizer) for name in grid or {}},
    )
    optimizers = checked_optimizers(specification, progress)
    try:
        job, batch, reason = _prepared(specification, optimizers)
        return _collect(job, batch, reason, executor=executor, store=store, progress=progress)
    except KeyboardInterrupt:  # before the first run was finished
        return SweepResult.of_runs([], steps, interrupted=True)


def _prepared(
    specification: Specification, optimizers: OptimizerTable
) -> tuple[SweepJob, LaneBatch, str]:
    """The job, its work in this process, and why runs are trained one by one, if they are."""
    from talweg.explore.sweep.lane_batch import LaneBatch, SweepJob  # loads NumPy and LLVM

    try:
        specification.require_lanes()
        if specification.engine == "auto":
            _require_length(specification)
        batch = LaneBatch(specification, optimizers)
        batch.prepare_first()
        return SweepJob(specification, in_lanes=True), batch, ""
    except NativeError as reason:
        if specification.engine == "native":
            raise NativeError.not_possible(reason) from None
        return SweepJob(specification, in_lanes=False), LaneBatch(specification, None), str(reason)


def _require_length(specification: Specification) -> None:
    """Refuse a sweep that takes less time than its compilation.

    Raises:
        NativeError: if it is too short.
    """
    first = specification.settings_of(0)
    batch = specification.given_to_train(first).get("batch_size") or len(specification.samples)
    samples = specification.count * specification.steps * batch
    if specification.count == 1 or samples * _operations(specification, first) < WORTH_COMPILING:
        raise NativeError("the sweep is too short to be worth compiling")


def _operations(specification: Specification, settings: Mapping[str, Any]) -> int:
    """How many operations the loss of the first sample takes."""
    model, loss = specification.model_of(settings), specification.loss_of(settings)
    return operation_count(lambda sample: loss(model, sample), specification.samples[0])


def _collect(
    job: SweepJob,
    batch: LaneBatch,
    fallback_reason: str,
    *,
    executor: Any,
    store: str | os.PathLike[str] | None,
    progress: bool,
) -> SweepResult:
    """Submit the tasks, and keep their results."""
    from talweg.explore.sweep.collector import Collector  # loads NumPy

    specification = job.specification
    threads = 1
    if job.in_lanes and executor is None:
        threads = specification.threads or cores()
    chunk = _runs_of_a_task(
        specification, job.in_lanes, threads, remote=executor is not None, stored=store is not None
    )
    with Collector(specification, chunk, store, fallback_reason) as collector:
        numbers = collector.missing()
        tasks = [collector.runs_of(number) for number in numbers]
        try:
            with progress_bar(specification.count, progress, "run") as show:
                results = completed(job, tasks, executor=executor, threads=threads, prepared=batch)
                with closing(results):
                    for place, result in results:
                        collector.put(numbers[place], result)
                        if collector.interrupted:
                            break
                        show(collector.finished, collector.last_loss)
        except KeyboardInterrupt:
            collector.interrupted = True
        return collector.result()


_LOSSES_OF_A_TASK = 1_000_000
"""About how many losses a task has: 8 MB."""


def _runs_of_a_task(
    specification: Specification, in_lanes: bool, threads: int, *, remote: bool, stored: bool
) -> int:
    """How many runs a task has: enough to fill lanes, and so few that all threads have tasks.

    With a store it depends on nothing but the sweep, so that any number of threads or workers can
    continue it.
    """
    if not in_lanes:  # runs take long, one by one: few are lost with a task
        return 8 if stored else -(-specification.count // 1024) if remote else 1
    most = max(8, min(4096, _LOSSES_OF_A_TASK // specification.steps))
    tasks = 64 if remote else 1 if stored else 4 * threads
    equal = max(64, -(-specification.count // tasks))
    chunk = most if stored else min(most, equal)
    return -(-chunk // 8) * 8
