"""Training steps by native code: one call takes many steps.

The loss of an example is traced and compiled once for each shape and each path of branches that
examples have (`talweg.training.example_programs`). `compiler/runtime/trainer.py` takes steps with
examples of one program. Where a batch has examples of several programs, or a branch depends on the
parameters, `compiler/runtime/per_sample_trainer.py` takes them example by example. The parameters
of the model are copied to the native code before a call and back after it.

Start reading at `NativeExecutor.take_steps`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, TypeAlias

import numpy as np

from talweg import losses
from talweg._util.cpu_count import cores
from talweg._util.progress import slow_step
from talweg.compiler import pipeline
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
from talweg.compiler.runtime.trainer import Trainer
from talweg.errors import CompilerError, NativeError, TalwegError, TraceWarning
from talweg.optim import Optimizer
from talweg.schedules import rate_at
from talweg.training.batches import Batch
from talweg.training.example_programs import (
    ChangedLossError,
    ExampleProgram,
    ExamplePrograms,
    TooManyPathsError,
)
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
        fall_back: makes the executor that continues a run whose loss turns out to have too many
            paths, from the optimiser's state, shape (state size, parameters). None: an error.

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
        fall_back: Callable[[Array], Any] | None = None,
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
        self._fall_back = fall_back
        self._as_floats = as_floats
        self._progress = progress
        self.programs = self._new_programs()
        refuse_hidden_state(optimizer)
        self._compiled: dict[ExampleProgram | None, _Compiled] = {}
        self._executables: dict[ExampleProgram, Executable] = {}
        first = self.programs.program_of(0)
        self._is_mixed = self._has_several_programs()
        self._owner = self._compile(None if self._is_mixed else first).trainer
        self._owner.state[:] = np.reshape(optimizer.initial_state(), (-1, 1))
        self._pace = 1  # how many steps a call takes
        self._successor: Any = None  # an executor

    # ---- compilation -------------------------------------------------------------------------

    def _compile(self, program: ExampleProgram | None) -> _Compiled:
        """The native code of a program, with the numbers of all its examples.

        It is code that takes every example by itself if there are several programs (None), or if
        the program depends on the parameters.
        """
        if program is None or program.weight_guard:
            program = None
            if program not in self._compiled:
                self._add(program, _Compiled(self._per_sample_trainer(), None, True))
        elif program not in self._compiled:
            examples = self.programs.examples_of(program)
            inputs = np.array([self.programs.numbers_of(i) for i in examples])
            rows = None
            if len(examples) < len(self.objective.examples):
                rows = {i: row for row, i in enumerate(examples)}
            what = f"{self.programs.described(examples[0])}: {len(program.tape):,} operations"
            with slow_step(f"compiling {what}", self.programs.progress):
                trainer = self._trainer(program, inputs)
            self._add(program, _Compiled(trainer, rows))
        return self._compiled[program]

    def _add(self, program: ExampleProgram | None, compiled: _Compiled) -> None:
        """All trainers have the parameters and the state of one of them, in one place.

        A `Trainer` reads them where it has allocated them, so the first one becomes the owner.
        """
        trainer = compiled.trainer
        if self._compiled:
            owner = self._owner
            if isinstance(owner, Trainer):  # noqa: SIM114 - mypy does not follow the two in one
                trainer.share_parameters(owner)
            elif isinstance(trainer, PerSampleTrainer):
                trainer.share_parameters(owner)
            else:
                trainer.state[:] = owner.state
                self._owner = trainer
                for other in self._compiled.values():
                    other.trainer.share_parameters(trainer)
        self._compiled[program] = compiled

    def _settings(self) -> dict[str, Any]:
        return {
            "update": self.optimizer.update,
            "state_size": len(self.optimizer.initial_state()),
            "trained": len(self.objective.parameters),
            "mean": self.objective.mean,
            "clip_norm": self.clip_norm,
        }

    def _per_sample_trainer(self) -> PerSampleTrainer:
        """Steps in which each example has a program of its own, which is chosen at each step."""
        return PerSampleTrainer(
            lambda i, w: self._executable(self.programs.program_at(i, w)),
            [numbers for _, numbers in self.programs.flat],
            parameters=len(self.programs.weights()),
            **self._settings(),
        )

    def _executable(self, program: ExampleProgram) -> Executable:
        if program not in self._executables:
            self._executables[program] = pipeline.executable(program.tape, exact=self.exact)
        return self._executables[program]

    def _trainer(self, program: ExampleProgram, inputs: Array) -> Trainer | PerSampleTrainer:
        try:
            return pipeline.trainer(
                program.tape,
                inputs,
                batch=self.batch_size,
                threads=self.threads,
                exact=self.exact,
                **self._settings(),
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
        If the loss turns out to have more paths than are compiled, the eager engine takes the steps
        from there.
        """
        first = record.history.steps
        if self._successor is None:
            try:
                if not self.programs.hold():
                    self._compile_again()
                for stretch in self._stretches(batches):
                    if record.is_running:
                        self._take_stretch(stretch, record)
                return
            except (TooManyPathsError, ChangedLossError) as error:
                self._successor = self._succeeded(error, record)
        left = batches[record.history.steps - first :]
        self._successor.take_steps(left, record)

    def _compile_again(self) -> None:
        """Trace and compile the loss anew: something that it reads from outside has changed."""
        try:
            self.programs = self._new_programs()
            self._is_mixed = self._has_several_programs()
            first = None if self._is_mixed else self.programs.program_of(0)
        except NativeError as error:
            raise ChangedLossError(f"what the loss reads has changed: {error}") from None
        self._compiled, self._executables = {}, {}
        state = self._owner.state
        self._owner = self._compile(first).trainer
        self._owner.state[:] = state

    def _new_programs(self) -> ExamplePrograms:
        return ExamplePrograms(self.objective, as_floats=self._as_floats, progress=self._progress)

    def _has_several_programs(self) -> bool:
        return self.batch_size != 1 and len(self.programs.of_all_examples()) > 1

    def _succeeded(self, error: NativeError, record: RunRecord) -> Any:
        """The executor that continues the run."""
        if self._fall_back is None:
            raise NativeError.not_possible(error) from None
        successor = self._fall_back(self._owner.state)
        message = f"the {successor.engine} engine continues the run: {error}"
        warnings.warn(message, TraceWarning, stacklevel=2)
        self.engine = record.history.engine = successor.engine
        record.history.fallback_reason = str(error)
        return successor

    def _stretches(self, batches: Sequence[Batch]) -> Iterator[Sequence[_Part]]:
        """Steps that are taken before anything is recorded: a single one where it may fail."""
        stretch: list[_Part] = []
        for program, alike in self._by_program(batches):
            compiled = self._compile(program)
            if not compiled.is_per_path:
                stretch.append((compiled, alike))
                continue
            if stretch:
                yield stretch
                stretch = []
            for batch in alike:
                yield [(compiled, [batch])]
        if stretch:
            yield stretch

    def _by_program(
        self, batches: Sequence[Batch]
    ) -> Iterator[tuple[ExampleProgram | None, Sequence[Batch]]]:
        """Consecutive batches of one program; a batch has the program of its first example."""
        if self._is_mixed or self.batch_size != 1:
            yield None if self._is_mixed else self.programs.program_of(0), batches
            return
        for program, alike in groupby(batches, lambda b: self.programs.program_of((b or (0,))[0])):
            yield program, list(alike)

    def _take_stretch(self, stretch: Sequence[_Part], record: RunRecord) -> None:
        """Take steps by the trainers of their programs, and record them."""
        rates = self._rates(record.history.steps, sum(len(batches) for _, batches in stretch))
        runs = self._prepared(stretch, rates)
        self._owner.parameters[:] = self.programs.weights()
        start = time.perf_counter()
        number, goes_on = record.history.steps + 1, True
        for compiled, steps in runs:
            trainer = compiled.trainer
            goes_on = trainer.run(steps.start, steps.stop, number)
            number += len(steps)
            if not goes_on:
                break
        times = (start, time.perf_counter())
        losses = _in_order(runs)
        self._keep_pace(len(losses), times[1] - start)
        self._record(losses, rates, times, trainer.gradient, record)
        if not goes_on:
            record.stop("diverged", explain_divergence(self.objective, record.history.losses))

    def _prepared(
        self, stretch: Sequence[_Part], rates: Sequence[float]
    ) -> list[tuple[_Compiled, range]]:
        """Give each trainer all its steps; returns which of them are to be taken, in order."""
        runs: list[tuple[_Compiled, range]] = []
        own_batches: dict[_Compiled, list[Batch]] = {}
        own_rates: dict[_Compiled, list[float]] = {}
        step = 0
        for compiled, alike in stretch:
            own = own_batches.setdefault(compiled, [])
            runs.append((compiled, range(len(own), len(own) + len(alike))))
            own += compiled.renumbered(alike)
            own_rates.setdefault(compiled, []).extend(rates[step : step + len(alike)])
            step += len(alike)
        lr = self.optimizer.lr
        for compiled, own in own_batches.items():
            compiled.trainer.load(own, own_rates[compiled] if callable(lr) else float(lr))
        return runs

    def _record(
        self,
        losses: Sequence[float],
        rates: Sequence[float],
        times: tuple[float, float],
        gradient: Array,
        record: RunRecord,
    ) -> None:
        """Record steps that were taken, and assign the parameters and the last gradient.

        The time from the start to the end is divided equally among the steps.
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

        Native code evaluates them if each has the program of a training example, else the eager
        engine does.
        """
        inputs = None if self._successor else self.programs.inputs_of(examples)
        if inputs is None:
            return self.objective.evaluate(examples)
        weights = self.programs.weights()
        parts = [self._executable(p).value(weights, numbers)[0] for p, numbers in inputs]
        total: float = losses.add_up(parts)
        return total / len(examples) if self.objective.mean else total


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
        is_per_path: whether each example has a program that is chosen at each step; then a step may
            need a program that cannot be compiled.
    """

    trainer: Trainer | PerSampleTrainer
    rows: dict[int, int] | None
    is_per_path: bool = False

    def renumbered(self, batches: Sequence[Batch]) -> Sequence[Batch]:
        """Batches of examples as batches of rows."""
        if self.rows is None:
            return batches
        return [batch if batch is None else [self.rows[i] for i in batch] for batch in batches]


_Part: TypeAlias = tuple[_Compiled, Sequence[Batch]]
"""Consecutive batches that one trainer takes."""
