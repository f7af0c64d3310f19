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
from typing import Any

import numpy as np

from talweg import losses
from talweg._util.cpu_count import cores
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
        self.programs = ExamplePrograms(objective, as_floats=as_floats)
        refuse_hidden_state(optimizer)
        self._compiled: dict[ExampleProgram | None, _Compiled] = {}
        self._executables: dict[ExampleProgram, Executable] = {}
        first = self.programs.program_of(0)
        self._is_mixed = self._has_several_programs()
        self._state: Array = self._compile(None if self._is_mixed else first).trainer.state
        self._state[:] = np.reshape(optimizer.initial_state(), (-1, 1))
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
                self._compiled[program] = _Compiled(self._per_sample_trainer(), None, True)
        elif program not in self._compiled:
            examples = self.programs.examples_of(program)
            inputs = np.array([self.programs.numbers_of(i) for i in examples])
            rows = None
            if len(examples) < len(self.objective.examples):
                rows = {i: row for row, i in enumerate(examples)}
            self._compiled[program] = _Compiled(self._trainer(program, inputs), rows)
        return self._compiled[program]

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

        Consecutive batches whose examples have one program are one call of native code. If the loss
        turns out to have more paths than are compiled, the eager engine takes the steps from there.
        """
        first = record.history.steps
        if self._successor is None:
            try:
                if not self.programs.hold():
                    self._compile_again()
                for program, alike in self._by_program(batches):
                    compiled = self._compile(program)
                    for some in [[batch] for batch in alike] if compiled.is_per_path else [alike]:
                        if record.is_running:
                            self._take_steps(compiled, some, record)
                return
            except (TooManyPathsError, ChangedLossError) as error:
                self._successor = self._succeeded(error, record)
        left = batches[record.history.steps - first :]
        self._successor.take_steps(left, record)

    def _compile_again(self) -> None:
        """Trace and compile the loss anew: something that it reads from outside has changed."""
        try:
            self.programs = ExamplePrograms(self.objective, as_floats=self._as_floats)
            self._is_mixed = self._has_several_programs()
        except NativeError as error:
            raise ChangedLossError(f"what the loss reads has changed: {error}") from None
        self._compiled, self._executables = {}, {}

    def _has_several_programs(self) -> bool:
        return self.batch_size != 1 and len(self.programs.of_all_examples()) > 1

    def _succeeded(self, error: NativeError, record: RunRecord) -> Any:
        """The executor that continues the run."""
        if self._fall_back is None:
            raise NativeError.not_possible(error) from None
        successor = self._fall_back(self._state)
        message = f"the {successor.engine} engine continues the run: {error}"
        warnings.warn(message, TraceWarning, stacklevel=2)
        self.engine = record.history.engine = successor.engine
        record.history.fallback_reason = str(error)
        return successor

    def _by_program(
        self, batches: Sequence[Batch]
    ) -> Iterator[tuple[ExampleProgram | None, Sequence[Batch]]]:
        """Consecutive batches of one program; a batch has the program of its first example."""
        if self._is_mixed or self.batch_size != 1:
            yield None if self._is_mixed else self.programs.program_of(0), batches
            return
        for program, alike in groupby(batches, lambda b: self.programs.program_of((b or (0,))[0])):
            yield program, list(alike)

    def _take_steps(self, compiled: _Compiled, batches: Sequence[Batch], record: RunRecord) -> None:
        """Take steps with examples of one program."""
        trainer, objective, first = compiled.trainer, self.objective, record.history.steps
        rates, lr = self._rates(first, len(batches)), self.optimizer.lr
        trainer.parameters[:] = self.programs.weights()
        trainer.state[:] = self._state
        start = time.perf_counter()
        taken = trainer.take(
            compiled.renumbered(batches), rates if callable(lr) else float(lr), first + 1
        )
        end = time.perf_counter()
        self._state[:] = trainer.state
        self._keep_pace(trainer, len(batches), end - start)
        moved = trainer.parameters[: len(objective.parameters)].tolist()
        bounds = np.linspace(start - record.start, end - record.start, len(taken.losses) + 1)
        seconds = bounds[1:].tolist()  # the time of a call, divided equally among its steps
        try:
            record.add(taken.losses, rates[: len(taken.losses)], seconds)
            for p, g in zip(objective.parameters, trainer.gradient.tolist(), strict=True):
                p.grad = g
            objective.assign(moved)
        except KeyboardInterrupt:  # the steps were taken: none of them may be lost
            record.drop_unfinished()
            if record.history.steps == first:
                record.add(taken.losses, rates[: len(taken.losses)], seconds)
            objective.assign(moved)
            raise
        if taken.diverged:
            record.stop("diverged", explain_divergence(objective, record.history.losses))

    def _rates(self, first: int, count: int) -> list[float]:
        """The learning rates of some steps."""
        lr = self.optimizer.lr
        if callable(lr):
            return [rate_at(lr, first + k) for k in range(count)]
        return [lr] * count

    def _keep_pace(self, trainer: Trainer | PerSampleTrainer, steps: int, seconds: float) -> None:
        """Set the steps of the next call: what fits into a slice, at most twice as many as now."""
        fitting = steps * _SLICE / max(seconds, 1e-9)
        self._pace = max(1, min(int(fitting), 2 * max(steps, self._pace), trainer.most_steps))

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


@dataclass(frozen=True)
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
