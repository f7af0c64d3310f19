"""The loop of a training run: batches, progress, callbacks, and when to stop.

`train` and `minimize` define the objective and call `run_training`. The steps are taken by an
executor (`talweg.training.executor`). Start reading at `TrainingLoop.run`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from talweg._util.progress import progress_bar
from talweg.training.batches import batches_of, steps_per_pass
from talweg.training.callbacks import Step
from talweg.training.executor import Executor, choose_executor
from talweg.training.history import History, RunRecord
from talweg.training.objective import Objective
from talweg.training.outcome import describe_loss_change
from talweg.training.settings import Settings
from talweg.training.validation import ValidationMonitor


def run_training(
    objective: Objective,
    settings: Settings,
    *,
    validation: Sequence[Any] | None = None,
    as_floats: bool = False,
) -> History:
    """Train a model: choose the executor, and run the loop.

    Args:
        objective: what is minimised; the parameters of its model are changed.
        settings: those of the run.
        validation: examples that are evaluated, but not trained on.
        as_floats: whether native code takes integers in examples as floats.

    Returns:
        The record of the run.
    """
    record = RunRecord()
    executor, reason = choose_executor(objective, settings, as_floats=as_floats)
    record.history.engine, record.history.fallback_reason = executor.engine, reason
    monitor = ValidationMonitor(
        objective,
        executor.evaluate,
        record,
        validation=validation,
        metrics=settings.metrics,
        early_stopping=settings.early_stopping,
    )
    TrainingLoop(objective, executor, record, monitor, settings).run()
    return record.history


@dataclass(frozen=True)
class TrainingLoop:
    """The loop of one run.

    Attributes:
        objective: what is minimised.
        executor: what takes the steps.
        record: where they are recorded.
        monitor: what evaluates the model once in each pass.
        settings: those of the run.
    """

    objective: Objective
    executor: Executor
    record: RunRecord
    monitor: ValidationMonitor
    settings: Settings

    def run(self) -> None:
        """Take all steps, and record how the run ended. Ctrl-C stops it."""
        record, settings = self.record, self.settings
        try:
            with progress_bar(settings.steps, settings.progress) as show:
                self._take_all_steps(show)
                if record.history.status != "diverged":
                    self.monitor.evaluate()
        except KeyboardInterrupt:
            record.drop_unfinished()
            record.stop(
                "interrupted", f"interrupted after {record.history.steps} of {settings.steps} steps"
            )
        change = describe_loss_change(record.history, batches=settings.batch_size is not None)
        record.stop("finished", f"finished {settings.steps} steps; {change}")
        self.monitor.restore_best()

    def _take_all_steps(self, show: Callable[[int, float], None]) -> None:
        history, settings, count = self.record.history, self.settings, len(self.objective.examples)
        rng = random if settings.seed is None else random.Random(int(settings.seed))
        batches = batches_of(count, settings.batch_size, rng)
        pass_length = steps_per_pass(count, settings.batch_size)
        while history.steps < settings.steps and self.record.is_running:
            if history.steps % pass_length == 0 and self.monitor.stop_if_due():
                break
            at_once = self.executor.steps_per_call(self._limit(pass_length))
            self.executor.take_steps(list(islice(batches, at_once)), self.record)
            show(history.steps, history.losses[-1])
            if settings.callbacks:
                self._call_callbacks()

    def _limit(self, pass_length: int) -> int:
        """How many steps may be taken before a callback or the monitor is due."""
        if self.settings.callbacks:
            return 1
        steps = self.record.history.steps
        limit = self.settings.steps - steps
        return min(limit, pass_length - steps % pass_length) if self.monitor.is_active else limit

    def _call_callbacks(self) -> None:
        history = self.record.history
        step = Step(history.steps, history.losses[-1], self.objective.model, history)
        answers = [callback(step) for callback in self.settings.callbacks]
        if any(answers):
            self.record.stop("stopped early", f"a callback stopped the run at step {step.number}")
