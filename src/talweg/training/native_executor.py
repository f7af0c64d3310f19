"""A training run by native code: many steps are one call.

The loss of an example is traced and compiled once for each shape that examples have;
`runtime/trainer.py` then takes steps for all examples of that shape. What the eager engine
does in its own way is asked of it here too: f is called in Python once, to be traced, and then
a few times more to see that nothing was frozen into the trace that may change.

Start reading at `NativeExecutor`, then `NativeExecutor.take`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from numbers import Real
from typing import Any

import numpy as np

from talweg import losses, ops
from talweg._util.cpu_count import cores
from talweg.compiler import pipeline
from talweg.compiler.frontend.object_guard import CacheKey
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import Trace, require_contiguous, trace
from talweg.compiler.ir import tape as tapes
from talweg.compiler.ir.tape import Array, Tape
from talweg.compiler.runtime.executable import Executable
from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
from talweg.compiler.runtime.trainer import Trainer
from talweg.errors import CompilerError, NativeError, TalwegError, TraceError
from talweg.schedules import rate_at
from talweg.training.eager_executor import Batch, EagerExecutor
from talweg.value import Value

_SLICE = 0.05
"""Seconds that a call of native code may take before Python looks up: for Ctrl-C and the
progress bar."""


class NativeExecutor(EagerExecutor):
    """A training run whose steps are native code; see `EagerExecutor`.

    Args:
        mode: "default" or "exact".
        batch_size: how many samples a step takes; None for all of them.
        as_floats: whether whole numbers in samples are meant as numbers like others.
        threads: how many threads may share the samples of a large batch; None for one for each
            core.
        **settings: those of `EagerExecutor`.

    Raises:
        NativeError: if the model, the loss or the samples cannot be compiled.
    """

    def __init__(
        self,
        *,
        mode: str,
        batch_size: int | None,
        as_floats: bool,
        threads: int | None,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.threads = threads or cores()
        self.exact = mode == "exact"
        self.batch_size = batch_size
        self.prepared: Callable[[Any], Any] = _with_floats if as_floats else lambda x: x
        if self.exact and self.clip_norm is not None:
            raise NativeError("the length of a gradient (clip_norm) is not computed exactly there")
        if len(set(self.parameters)) < len(self.parameters):
            raise NativeError("parameters() of the model returns the same Value twice")
        self._refuse_hidden_state()
        self.others: list[Value] = []  # that f reads, but are not the model's
        self.shapes: dict[CacheKey, list[_Shape]] = {}
        self.shape_of: dict[int, _Shape] = {}
        self.memory: Array | None = None
        first = self._shape(0)
        if len(self.samples) > 1 and batch_size != 1:
            self._refuse_mixed_batches()
        first.trainer = self._trainer(first)
        self.pace = 1  # how many steps fit into a slice
        self.history.engine = "native, exact" if self.exact else "native"

    # ---- shapes ------------------------------------------------------------------------------

    @cached_property
    def numbers(self) -> list[tuple[CacheKey, list[float]]]:
        """Of each example its shape, and its numbers."""
        cache, found = SignatureCache(), []
        for i, example in enumerate(self.samples):
            signature = signature_of([self.prepared(example)], {}, cache, integers=True)
            if signature.values:
                raise NativeError(f"example {i} has a Value in it; expected numbers")
            found.append((signature.key, signature.floats))
        return found

    def _shape(self, i: int) -> _Shape:
        """The shape of example i; it is traced if it is a new one."""
        if i in self.shape_of:
            return self.shape_of[i]
        key, numbers = self.numbers[i]
        for shape in self.shapes.get(key, []):
            if all(numbers[k] == fixed for k, fixed in shape.traced.fixed.items()):
                break
        else:
            shape = self._traced(i)
            self.shapes.setdefault(key, []).append(shape)
        self._refuse_rows_outside(shape, i)
        shape.examples.append(i)
        self.shape_of[i] = shape
        return shape

    def _traced(self, i: int) -> _Shape:
        """Trace the loss of an example with all its numbers as inputs."""
        try:
            traced = trace(self.f, self.prepared(self.samples[i]), integers=True)
        except TalwegError as error:
            raise NativeError(str(error)) from None
        except Exception as error:  # what takes only plain numbers: an index, range(), "%d"
            raise NativeError(
                f"example {i} cannot be traced with Values for its numbers: "
                f"{type(error).__name__}: {error}"
            ) from None
        if not isinstance(traced.output, Value):
            raise NativeError(f"the loss of example {i} is {type(traced.output).__name__}")
        known = {p: k for k, p in enumerate([*self.parameters, *self.others])}
        self.others += [p for p in traced.parameters if p not in known]
        if self.memory is not None and any(p not in known for p in traced.parameters):
            raise NativeError(f"example {i} reads Values from outside that others do not")
        try:
            shape = _Shape(traced, _numbered(traced, [*self.parameters, *self.others]))
        except TraceError as error:
            raise NativeError(str(error)) from None
        self._refuse_frozen_numbers(shape, i)
        return shape

    def _refuse_mixed_batches(self) -> None:
        """All examples must have one shape, if several of them come into one batch."""
        first = self._shape(0)
        seen: dict[Any, int] = {}
        for i in range(1, len(self.samples)):
            if self._shape(i) is not first:
                raise NativeError(
                    f"example {i} has another shape than the first, in its number of numbers or "
                    "in whole numbers that are not only picked by"
                    + ("" if self.batch_size == 1 else "; take batch_size=1")
                )
            if len(seen) < _MOST_COMPARED:
                seen.setdefault(_wholes(self.numbers[i][1]), i)
        for i in [*seen.values(), 1, len(self.samples) // 2, len(self.samples) - 1]:
            self._refuse_frozen_numbers(first, i)

    def _refuse_rows_outside(self, shape: _Shape, i: int) -> None:
        for k, rows in shape.traced.rows.items():
            row = self.numbers[i][1][k]
            if not 0 <= row < rows:
                raise NativeError(f"example {i} picks row {row:g} of a table of {rows} rows")

    def _refuse_frozen_numbers(self, shape: _Shape, i: int) -> None:
        """Compare the trace with f itself, on other parameters than it was traced with."""
        numbers = [p.data for p in self.parameters]
        try:
            for k, p in enumerate(self.parameters):
                p.data = moved(numbers[k])
            inputs = {"w": self._parameters(), "x": self.numbers[i][1]}
            own = ops.to_float(self.f(self.samples[i]))
            (by_trace,) = tapes.run(shape.tape, inputs)
        finally:
            for p, x in zip(self.parameters, numbers, strict=True):
                p.data = x
        if own != by_trace and not (math.isnan(own) and math.isnan(by_trace)):
            raise NativeError(
                f"the loss of sample {i} depends on numbers in a way that tracing does not see "
                f"(it is {own!r}, but {by_trace!r} by the trace): the model or the loss reads "
                ".data, or branches on a number of the sample"
            )

    def _refuse_hidden_state(self) -> None:
        """Refuse an optimiser that counts or draws by itself: its first step would be repeated."""
        optimizer = copy(self.optimizer)
        given = (0.5, 0.25, optimizer.initial_state(), 0.125, 3.0)
        try:
            moved = [repr(optimizer.update(*given)) for _ in range(2)]
        except Exception as error:
            raise NativeError(f"the optimiser: {type(error).__name__}: {error}") from None
        if moved[0] != moved[1]:
            raise NativeError(
                f"the optimiser {type(optimizer).__name__} gives another result when update() is "
                "called again with the same numbers; numbers that it remembers belong into state"
            )

    def _parameters(self) -> list[float]:
        """The numbers of everything that is read."""
        return [p.data for p in [*self.parameters, *self.others]]

    def _trainer(self, shape: _Shape) -> Trainer | PerSampleTrainer:
        """Native code for a shape, with all examples of it."""
        for i in self._all_of(shape):
            self._shape(i)
        shape.examples.sort()
        rows = np.array([self.numbers[i][1] for i in shape.examples])
        for place, i in enumerate(shape.examples):
            shape.rows[i] = place
        start = self.optimizer.initial_state()
        settings: dict[str, Any] = {
            "update": self.optimizer.update,
            "state_size": len(start),
            "trained": len(self.parameters),
            "mean": self.mean,
            "clip_norm": self.clip_norm,
            "exact": self.exact,
        }
        try:
            trainer = pipeline.trainer(
                shape.tape, rows, batch=self.batch_size, threads=self.threads, **settings
            )
        except CompilerError:
            raise
        except (TalwegError, TypeError, AttributeError, ValueError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None
        if self.memory is None:
            self.memory = trainer.state
            self.memory[:] = np.reshape(start, (-1, 1))
        return trainer

    # ---- running it ------------------------------------------------------------------------

    def steps_at_once(self, most: int) -> int:
        """How many steps fit into a slice of time."""
        return max(1, min(most, self.pace))

    def take(self, batches: Sequence[Batch]) -> None:
        """Take a step for each batch, until one diverges."""
        if batches and batches[0] is None:  # all samples, in every step
            self._take(self._shape(0), batches)
            return
        for shape, group in groupby(batches, key=self._shape_of_batch):
            if self.history.status == "running":
                self._take(shape, list(group))

    def _shape_of_batch(self, batch: Batch) -> _Shape:
        return self._shape(0 if batch is None else batch[0])

    def _take(self, shape: _Shape, batches: Sequence[Batch]) -> None:
        """Take steps with examples of one shape."""
        chosen = batches
        is_whole = batches[0] is None
        if shape.trainer is None or not (is_whole or all(b[0] in shape.rows for b in batches if b)):
            shape.trainer = self._trainer(shape)
        trainer = shape.trainer
        if len(shape.rows) < len(self.samples):  # it has only its own examples, numbered anew
            chosen = [[shape.rows[i] for i in batch or ()] for batch in batches]
        number = self.history.steps
        rates, lr = self._rates(number, len(batches)), self.optimizer.lr
        trainer.parameters[:] = self._parameters()
        if self.memory is not None and trainer.state is not self.memory:
            trainer.state[:] = self.memory
        begin = time.perf_counter()
        taken = trainer.take(chosen, rates if callable(lr) else float(lr), number + 1)
        end = time.perf_counter()
        if self.memory is not None and trainer.state is not self.memory:
            self.memory[:] = trainer.state
        self._keep_pace(trainer, len(batches), end - begin)
        moved = trainer.parameters[: len(self.parameters)].tolist()
        times = (begin - self.start, end - self.start)
        try:
            self._note(taken.losses, rates, *times)
            for p, g in zip(self.parameters, trainer.gradient.tolist(), strict=True):
                p.grad = g
            self.assign(moved)
        except KeyboardInterrupt:  # the steps were taken: none of them is to be lost
            self.history.drop_half_a_step()
            self._note(taken.losses[self.history.steps - number :], rates, *times)
            self.assign(moved)
            raise
        if taken.diverged:
            self.end("diverged", self.why_diverged(self.history.steps, taken.losses[-1]))

    def _all_of(self, shape: _Shape) -> Iterator[int]:
        """The examples that look as if they were of a shape."""
        key = self.numbers[shape.examples[0]][0]
        return (i for i, (other, _) in enumerate(self.numbers) if other == key)

    def _rates(self, first: int, count: int) -> list[float]:
        """The learning rates of some steps."""
        lr = self.optimizer.lr
        if callable(lr):
            return [rate_at(lr, first + k) for k in range(count)]
        return [lr] * count

    def _keep_pace(self, trainer: Trainer | PerSampleTrainer, steps: int, seconds: float) -> None:
        """Take as many steps at once as fit into a slice, but at most twice as many as before."""
        fitting = steps * _SLICE / max(seconds, 1e-9)
        self.pace = max(1, min(int(fitting), 2 * max(steps, self.pace), trainer.most_steps))

    def _note(
        self, losses_seen: Sequence[float], rates: Sequence[float], begin: float, end: float
    ) -> None:
        """Write steps into the history; the time of a slice is divided among its steps."""
        history, count = self.history, len(losses_seen)
        history.learning_rates += rates[:count]
        history.seconds += np.linspace(begin, end, count + 1)[1:].tolist()
        history.losses += losses_seen

    def mean_loss(self, samples: Sequence[Any]) -> float:
        """The loss of samples that are only looked at, reduced as in training."""
        shape, cache, parameters = self._shape(0), SignatureCache(), self._parameters()
        key = self.numbers[0][0]
        parts: list[float] = []
        for example in samples:
            signature = signature_of([self.prepared(example)], {}, cache, integers=True)
            if signature.key != key or shape.traced.fixed or shape.traced.rows or signature.values:
                return super().mean_loss(samples)
            parts += shape.valuer(self.exact).value(parameters, signature.floats)
        total: float = losses.add_up(parts)
        return total / len(samples) if self.mean else total


def moved(weight: float) -> float:
    """Another weight near this one, at which a program is tried too."""
    return weight * 1.015625 + 0.0078125


def _with_floats(thing: Any) -> Any:
    """The same thing with floats for all its numbers."""
    if isinstance(thing, Real):
        return ops.to_float(thing)
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "biuf":
        return thing.astype(float)
    if type(thing) in (list, tuple):
        return type(thing)([_with_floats(x) for x in thing])
    return thing


_MOST_COMPARED = 16
"""Of how many different sets of whole numbers an example is tried eagerly, before training."""


def _wholes(numbers: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The numbers of an example that are whole: a program may go its own ways for them."""
    return tuple([(k, x) for k, x in enumerate(numbers) if x.is_integer()])


@dataclass(eq=False)
class _Shape:
    """The program of all examples of one shape.

    Attributes:
        traced: the loss of the first of them.
        tape: its operations, with the parameters numbered as for all shapes.
        examples: their numbers.
        rows: where each stands among the trainer's.
        trainer: the native code, when it is first needed.
    """

    traced: Trace
    tape: Tape
    examples: list[int] = field(default_factory=list)
    rows: dict[int, int] = field(default_factory=dict)
    trainer: Trainer | PerSampleTrainer | None = None
    _valuer: Executable | None = None

    def valuer(self, exact: bool) -> Executable:
        """The program as a function of parameters and numbers."""
        if self._valuer is None:
            self._valuer = pipeline.executable(self.tape, exact=exact)
        return self._valuer


def _numbered(traced: Trace, parameters: Sequence[Value]) -> Tape:
    """The tape with the parameters numbered by their order in a list.

    Raises:
        TraceError: if a table's numbers do not follow each other in it.
    """
    require_contiguous(traced.tables, parameters)
    place = {p: k for k, p in enumerate(parameters)}
    tape = traced.tape
    number = np.array([place[p] for p in traced.parameters], dtype=np.int64)
    w = tape.spaces.index("w")
    index = tape.index.copy()
    index[tape.space == w] = number[index[tape.space == w]]
    outputs = tuple([(s, int(number[k]) if s == w else k) for s, k in tape.outputs])
    return replace(tape, index=index, outputs=outputs, sizes={**tape.sizes, "w": len(place)})
