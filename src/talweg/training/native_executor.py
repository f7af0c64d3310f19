"""Training steps by native code: one call takes many steps.

The loss of an example is traced and compiled once for each shape that examples have
(`talweg.training.example_programs`). `compiler/runtime/trainer.py` then takes steps with all
examples of that shape. The parameters of the model are copied to the native code before a call
and back after it.

Start reading at `NativeExecutor.take_steps`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from talweg import losses
from talweg._util.cpu_count import cores
from talweg._util.progress import slow_step
from talweg.compiler import pipeline
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
from talweg.compiler.runtime.trainer import Trainer
from talweg.errors import CompilerError, NativeError, TalwegError
from talweg.optim import Optimizer
from talweg.schedules import rate_at
from talweg.training.batches import Batch
from talweg.training.example_programs import ExampleProgram, ExamplePrograms
from talweg.training.history import RunRecord
from talweg.training.objective import Objective
from talweg.training.outcome import explain_divergence
from talweg.training.update_guard import refuse_hidden_state

_SLICE = 0.05
"""Seconds that a call of native code should take at most. Between calls Python handles Ctrl-C and
the progress bar."""


class NativeExecutor:
    """Takes the steps of a run by native code; see `talweg.training.executor.Executor`.

    Args:
        objective: what is minimised.
        optimizer: the rule of the update.
        clip_norm: the largest length of a gradient; a longer one is scaled to it. None: no limit.
        mode: "default" or "exact".
        batch_size: how many examples a step takes; None for all of them.
        as_floats: whether integers in examples are taken as floats.
        threads: how many threads may share the examples of a large batch; None for one for each
            core.
        progress: whether it is said, on a terminal, what is compiled for more than a second.

    Raises:
        NativeError: if the model, the loss, the examples or the optimiser cannot be compiled.
    """

    def __init__(
        self,
        objective: Objective,
        optimizer: Optimizer,
        clip_norm: float | None = None,
        *,
        mode: str,
        batch_size: int | None,
        as_floats: bool,
        threads: int | None = None,
        progress: bool = False,
    ) -> None:
        self.exact = mode == "exact"
        if self.exact and clip_norm is not None:
            raise NativeError('mode="exact" does not support clip_norm')
        self.engine = "native, exact" if self.exact else "native"
        self.objective = objective
        self.optimizer = optimizer
        self.clip_norm = clip_norm
        self.batch_size = batch_size
        self.threads = threads or cores()
        self.programs = ExamplePrograms(objective, as_floats=as_floats, progress=progress)
        refuse_hidden_state(optimizer)
        self._compiled: dict[ExampleProgram, _Compiled] = {}
        first = self.programs.program_of(0)
        if len(objective.examples) > 1 and batch_size != 1:
            self.programs.require_one_program(advice="; take batch_size=1")
        self._owner = self._compile(first).trainer
        self._owner.state[:] = np.reshape(optimizer.initial_state(), (-1, 1))
        self._pace = 1  # how many steps a call takes

    # ---- compilation -------------------------------------------------------------------------

    def _compile(self, program: ExampleProgram) -> _Compiled:
        """The native code of a program, with the numbers of all its examples."""
        if program not in self._compiled:
            examples = self.programs.examples_of(program)
            inputs = np.array([self.programs.numbers_of(i) for i in examples])
            rows = None
            if len(examples) < len(self.objective.examples):
                rows = {i: row for row, i in enumerate(examples)}
            what = f"{self.programs.described(examples[0])}: {len(program.tape):,} operations"
            with slow_step(f"compiling {what}", self.programs.progress):
                trainer = self._trainer(program, inputs)
            if self._compiled:
                self._share_parameters(trainer)
            self._compiled[program] = _Compiled(trainer, rows)
        return self._compiled[program]

    def _share_parameters(self, trainer: Trainer | PerSampleTrainer) -> None:
        """All trainers have the parameters and the state of one of them, in one place.

        A `Trainer` reads them where it has allocated them, so the first one becomes the owner.
        """
        owner = self._owner
        if isinstance(owner, Trainer):  # noqa: SIM114 - mypy does not follow the two joined by `or`
            trainer.share_parameters(owner)
        elif isinstance(trainer, PerSampleTrainer):
            trainer.share_parameters(owner)
        else:
            trainer.state[:] = owner.state
            self._owner = trainer
            for compiled in self._compiled.values():
                compiled.trainer.share_parameters(trainer)

    def _trainer(self, program: ExampleProgram, inputs: Array) -> Trainer | PerSampleTrainer:
        settings: dict[str, Any] = {
            "update": self.optimizer.update,
            "state_size": len(self.optimizer.initial_state()),
            "trained": len(self.objective.parameters),
            "mean": self.objective.mean,
            "clip_norm": self.clip_norm,
            "exact": self.exact,
        }
        try:
            return pipeline.trainer(
                program.tape, inputs, batch=self.batch_size, threads=self.threads, **settings
            )
        except CompilerError:
            raise
        except (TalwegError, TypeError, AttributeError, ValueError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None

    # ---- steps -------------------------------------------------------------------------------

    def steps_per_call(self, limit: int) -> int:
        """How many steps the next call of `take_steps` takes: as many as fit into a slice."""
        return max(1, min(limit, self._pace))

    def take_steps(self, batches: Sequence[Batch], record: RunRecord) -> None:
        """Take a step for each batch and record it; stop if one diverges.

        Consecutive batches whose examples have one program are one call of native code. The
        parameters are copied to native memory before the first call, and back after the last one.
        """
        first, lr = record.history.steps, self.optimizer.lr
        rates = self._rates(first, len(batches))
        runs = self._prepared(batches, rates if callable(lr) else float(lr))
        self._owner.parameters[:] = self.programs.weights()
        start = time.perf_counter()
        number, goes_on = first + 1, True
        for compiled, steps in runs:
            trainer = compiled.trainer
            goes_on = trainer.run(steps.start, steps.stop, number)
            number += len(steps)
            if not goes_on:
                break
        end = time.perf_counter()
        losses = _in_order(runs)
        self._keep_pace(len(losses), end - start)
        self._record(losses, rates, (start, end), trainer.gradient, record)
        if not goes_on:
            record.stop("diverged", explain_divergence(self.objective, record.history.losses))

    def _prepared(
        self, batches: Sequence[Batch], rates: Sequence[float] | float
    ) -> list[tuple[_Compiled, range]]:
        """Prepare steps; returns which steps of which trainer are to be taken, in this order."""
        runs: list[tuple[_Compiled, range]] = []
        own_batches: dict[_Compiled, list[Batch]] = {}
        own_rates: dict[_Compiled, list[float]] = {}
        step = 0
        for program, alike in self._by_program(batches):
            compiled = self._compile(program)
            own = own_batches.setdefault(compiled, [])
            runs.append((compiled, range(len(own), len(own) + len(alike))))
            own += compiled.renumbered(alike)
            if not isinstance(rates, float):
                own_rates.setdefault(compiled, []).extend(rates[step : step + len(alike)])
            step += len(alike)
        for compiled, own in own_batches.items():
            compiled.trainer.load(own, own_rates.get(compiled, rates))
        return runs

    def _by_program(
        self, batches: Sequence[Batch]
    ) -> Iterator[tuple[ExampleProgram, Sequence[Batch]]]:
        """Consecutive batches of one program; a batch has the program of its first example."""
        if self.batch_size is None:
            yield self.programs.program_of(0), batches
            return
        for program, alike in groupby(batches, lambda b: self.programs.program_of((b or (0,))[0])):
            yield program, list(alike)

    def _record(
        self,
        losses: Sequence[float],
        rates: Sequence[float],
        times: tuple[float, float],
        gradient: Array,
        record: RunRecord,
    ) -> None:
        """Record steps that were taken, and assign the parameters and the last gradient.

        The time of a call is divided equally among its steps.
        """
        objective, first, taken = self.objective, record.history.steps, len(losses)
        moved = self._owner.parameters[: len(objective.parameters)].tolist()
        start, end = (t - record.start for t in times)
        seconds = np.linspace(start, end, taken + 1)[1:].tolist()
        try:
            record.add(losses, rates[:taken], seconds)
            for p, g in zip(objective.parameters, gradient.tolist(), strict=True):
                p.grad = g
            objective.assign(moved)
        except KeyboardInterrupt:  # the steps were taken: none of them may be lost
            record.drop_unfinished()
            if record.history.steps == first:
                record.add(losses, rates[:taken], seconds)
            objective.assign(moved)
            raise

    def _rates(self, first: int, count: int) -> list[float]:
        """The learning rates of some steps."""
        lr = self.optimizer.lr
        if callable(lr):
            return [rate_at(lr, first + k) for k in range(count)]
        return [lr] * count

    def _keep_pace(self, steps: int, seconds: float) -> None:
        """Set the steps of the next call: what fits into a slice, at most twice as many as now."""
        fitting = steps * _SLICE / max(seconds, 1e-9)
        most = min(compiled.trainer.most_steps for compiled in self._compiled.values())
        self._pace = max(1, min(int(fitting), 2 * max(steps, self._pace), most))

    # ---- evaluation --------------------------------------------------------------------------

    def evaluate(self, examples: Sequence[Any]) -> float:
        """The loss of some examples at the present parameters, without a gradient.

        Examples that have the program of the first training example are evaluated by native
        code, others by the eager engine.
        """
        inputs = self.programs.inputs_of(self.programs.program_of(0), examples)
        if inputs is None:
            return self.objective.evaluate(examples)
        weights = self.programs.weights()
        parts = [self._loss_function.value(weights, numbers)[0] for numbers in inputs]
        total: float = losses.add_up(parts)
        return total / len(examples) if self.objective.mean else total

    @cached_property
    def _loss_function(self) -> Executable:
        """The loss of an example of the first program, compiled."""
        return pipeline.executable(self.programs.program_of(0).tape, exact=self.exact)


def _in_order(runs: Sequence[tuple[_Compiled, range]]) -> list[float]:
    """The losses of the steps that were taken, in the order of the runs."""
    of_trainer = {compiled: compiled.trainer.losses() for compiled, _ in runs}
    return [x for compiled, steps in runs for x in of_trainer[compiled][steps.start : steps.stop]]


@dataclass(frozen=True, eq=False)
class _Compiled:
    """The native code of a program.

    Attributes:
        trainer: takes steps with its examples.
        rows: the row of each example in the trainer's array of inputs; None if it has all
            examples, in their order.
    """

    trainer: Trainer | PerSampleTrainer
    rows: dict[int, int] | None

    def renumbered(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Batches of examples as batches of rows."""
        if self.rows is None:
            return batches
        return [batch if batch is None else [self.rows[i] for i in batch] for batch in batches]
