"""The programs of the examples of a run: the loss of an example, traced once for each shape.

Examples of one shape have the same structure and differ in numbers alone. Their loss is one
program, whose inputs are these numbers. A trace can miss what a program does with numbers outside
of Values, so each program is compared with the loss itself: at other weights, and on other
examples.

Start reading at `ExamplePrograms.program_of`.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from typing import Any

import numpy as np

from talweg import ops
from talweg._util.progress import slow_step
from talweg._util.user_line import user_stacklevel
from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.key_difference import key_difference
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import Trace, require_contiguous, trace
from talweg.compiler.ir import tape as tapes
from talweg.compiler.ir.tape import Tape
from talweg.errors import NativeError, TalwegError, TraceError, TraceWarning
from talweg.training.objective import Objective
from talweg.value import Value

_MANY_PROGRAMS = 8
"""From so many programs on, a warning tells why another one is needed, as that of `tw.jit`."""

_MOST_COMPARED = 16
"""How many examples with different integers are compared with the trace before training."""


@dataclass(frozen=True, eq=False)
class ExampleProgram:
    """The loss of all examples of one shape.

    Attributes:
        key: the structure of the examples.
        trace: the trace of the first of them.
        tape: its operations. The inputs are `w`, the numbers of `ExamplePrograms.weights`, and
            `x`, those of an example.
    """

    key: CacheKey
    trace: Trace
    tape: Tape

    def fits(self, numbers: Sequence[float]) -> bool:
        """Whether an example has the integers that the trace has fixed."""
        return all(numbers[k] == fixed for k, fixed in self.trace.fixed.items())


class ExamplePrograms:
    """The programs of the examples of an objective.

    Args:
        objective: what is minimised.
        as_floats: whether integers in examples are taken as floats.
        progress: whether it is said, on a terminal, what is traced for more than a second.

    Attributes:
        outside: the Values that the loss reads beside the parameters of the model.

    Raises:
        NativeError: if a Value is listed twice among the parameters.
    """

    def __init__(self, objective: Objective, *, as_floats: bool, progress: bool = False) -> None:
        if len(set(objective.parameters)) < len(objective.parameters):
            raise NativeError("parameters() of the model returns the same Value twice")
        self.objective = objective
        self.progress = progress
        self.outside: list[Value] = []
        self._prepare: Callable[[Any], Any] = _with_floats if as_floats else lambda x: x
        self._by_key: dict[CacheKey, list[ExampleProgram]] = {}
        self._by_example: dict[int, ExampleProgram] = {}

    @cached_property
    def flat(self) -> list[tuple[CacheKey, list[float]]]:
        """The structure and the numbers of each example."""
        cache, found = SignatureCache(), []
        for i, example in enumerate(self.objective.examples):
            numbers = self._flatten(example, cache)
            if numbers is None:
                raise NativeError(f"example {i} has a Value in it; expected numbers")
            found.append(numbers)
        return found

    def numbers_of(self, i: int) -> list[float]:
        """The numbers of example i, which are the inputs of its program."""
        return self.flat[i][1]

    def weights(self) -> list[float]:
        """The present numbers of all Values that programs read: parameters, then `outside`."""
        return [p.data for p in [*self.objective.parameters, *self.outside]]

    def program_of(self, i: int) -> ExampleProgram:
        """The program of example i, which is traced if it is the first of its shape.

        Raises:
            NativeError: if the loss cannot be traced, or does what a trace does not record.
        """
        if i not in self._by_example:
            key, numbers = self.flat[i]
            known = [program for program in self._by_key.get(key, []) if program.fits(numbers)]
            if not known:
                self._warn_of_many_programs(i)
                with slow_step(f"tracing {self.described(i)}", self.progress):
                    known = [self._trace(i)]
                self._by_key.setdefault(key, []).extend(known)
            self._refuse_rows_outside(known[0], i)
            self._by_example[i] = known[0]
        return self._by_example[i]

    def examples_of(self, program: ExampleProgram) -> list[int]:
        """The indices of all examples of a program."""
        alike = [i for i, (key, _) in enumerate(self.flat) if key == program.key]
        return [i for i in alike if self.program_of(i) is program]

    def described(self, i: int) -> str:
        """The loss of example i as text, and why it has a program of its own, if not the first."""
        reason = self._reason(i)
        return f"the loss of example {i}" + (f", because of its {reason}" if reason else "")

    def _reason(self, i: int) -> str:
        """In what example i differs from the last one that was traced before; "" for the first."""
        key, numbers = self.flat[i]
        programs = [program for alike in self._by_key.values() for program in alike]
        earlier = [program for program in programs if program is not self._by_example.get(i)]
        if not earlier:
            return ""
        last = earlier[-1]
        if last.key != key:
            return key_difference(key, last.key).removeprefix("argument 1: ")
        for k, fixed in last.trace.fixed.items():
            if numbers[k] != fixed:
                return f"number {k}, the integer {numbers[k]:g}, was {fixed:g}"
        return "numbers"

    def _warn_of_many_programs(self, i: int) -> None:
        """Warn that examples have many shapes, at the 9th one and at some later ones."""
        count = sum(map(len, self._by_key.values()))
        if count >= _MANY_PROGRAMS and count & (count - 1) == 0:
            warnings.warn(
                f"the loss is traced and compiled for the {count + 1}th time, because of the shape "
                f"of example {i}: {self._reason(i)}; lengths, texts, and integers that the loss "
                "compares or branches on are part of a program: give what changes from example to "
                "example as floats, and examples a common length",
                TraceWarning,
                stacklevel=user_stacklevel(),
            )

    def require_one_program(self, advice: str = "") -> None:
        """Refuse examples of several shapes.

        The first program is also compared with the loss of further examples.

        Args:
            advice: what the message adds.

        Raises:
            NativeError: if there are several shapes.
        """
        first = self.program_of(0)
        compared: dict[Any, int] = {}
        for i in range(1, len(self.flat)):
            if self.program_of(i) is not first:
                raise NativeError(
                    f"example {i} has another shape than the first: they differ in structure, in "
                    "text, or in an integer that is used other than as an index" + advice
                )
            if len(compared) < _MOST_COMPARED:
                compared.setdefault(_integers(self.numbers_of(i)), i)
        for i in [*compared.values(), 1, len(self.flat) // 2, len(self.flat) - 1]:
            self._refuse_frozen_numbers(first, i)

    def inputs_of(
        self, program: ExampleProgram, examples: Sequence[Any]
    ) -> list[list[float]] | None:
        """The numbers of other examples, if a program without gathered rows is theirs too.

        Args:
            program: the program.
            examples: the examples, such as validation data.

        Returns:
            The inputs of each example; None if one of them has another program, or may have.
        """
        if program.trace.fixed or program.trace.rows:
            return None
        cache, found = SignatureCache(), []
        for example in examples:
            flat = self._flatten(example, cache)
            if flat is None or flat[0] != program.key:
                return None
            found.append(flat[1])
        return found

    def _flatten(self, example: Any, cache: SignatureCache) -> tuple[CacheKey, list[float]] | None:
        """The structure and the numbers of an example; None if there is a Value in it."""
        signature = signature_of([self._prepare(example)], {}, cache, integers=True)
        return None if signature.values else (signature.key, signature.floats)

    # ---- tracing -----------------------------------------------------------------------------

    def _trace(self, i: int) -> ExampleProgram:
        """Trace the loss of example i with all its numbers as inputs."""
        try:
            traced = trace(self.objective.loss, self._prepared(i), integers=True)
        except TalwegError as error:
            raise NativeError(str(error)) from None
        except Exception as error:  # what takes only plain numbers: an index, range(), "%d"
            raise NativeError(
                f"example {i} cannot be traced with Values for its numbers: "
                f"{type(error).__name__}: {error}"
            ) from None
        if not isinstance(traced.output, Value):
            raise NativeError(f"the loss of example {i} is {type(traced.output).__name__}")
        self._note_outside(traced, i)
        weights = [*self.objective.parameters, *self.outside]
        try:
            tape = _renumbered(traced, weights)
        except TraceError as error:
            raise NativeError(str(error)) from None
        program = ExampleProgram(self.flat[i][0], traced, tape)
        self._refuse_frozen_numbers(program, i)
        return program

    def _prepared(self, i: int) -> Any:
        return self._prepare(self.objective.examples[i])

    def _note_outside(self, traced: Trace, i: int) -> None:
        """The first trace determines which Values are read from outside of the model."""
        known = {*self.objective.parameters, *self.outside}
        new = [p for p in traced.parameters if p not in known]
        if new and self._by_key:
            raise NativeError(
                f"example {i} reads Values from outside of the model that the first does not read"
            )
        self.outside += new

    # ---- what a trace may miss ---------------------------------------------------------------

    def _refuse_rows_outside(self, program: ExampleProgram, i: int) -> None:
        for k, rows in program.trace.rows.items():
            row = self.numbers_of(i)[k]
            if not 0 <= row < rows:
                raise NativeError(
                    f"example {i} gathers row {row:g} of {rows}; expected 0 to {rows - 1}"
                )

    def _refuse_frozen_numbers(self, program: ExampleProgram, i: int) -> None:
        """Compare a program with the loss itself, at other weights than it was traced with."""
        parameters = self.objective.parameters
        numbers = [p.data for p in parameters]
        try:
            for p, x in zip(parameters, numbers, strict=True):
                p.data = perturbed(x)
            inputs = {"w": self.weights(), "x": self.numbers_of(i)}
            own = ops.to_float(self.objective.loss(self.objective.examples[i]))
            (by_trace,) = tapes.run(program.tape, inputs)
        finally:
            for p, x in zip(parameters, numbers, strict=True):
                p.data = x
        if own != by_trace and not (math.isnan(own) and math.isnan(by_trace)):
            raise NativeError(
                f"the loss of sample {i} depends on numbers in a way that tracing does not record "
                f"(it is {own!r}, but {by_trace!r} by the trace): the model or the loss reads "
                ".data, or branches on a number of the sample"
            )


def perturbed(weight: float) -> float:
    """Another weight near this one, at which a program is compared with the loss."""
    return weight * 1.015625 + 0.0078125


def _with_floats(thing: Any) -> Any:
    """The same structure with floats for all its numbers."""
    if isinstance(thing, Real):
        return ops.to_float(thing)
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "biuf":
        return thing.astype(float)
    if type(thing) in (list, tuple):
        return type(thing)([_with_floats(x) for x in thing])
    return thing


def _integers(numbers: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The integers among the numbers of an example, with their indices: programs branch on them."""
    return tuple([(k, x) for k, x in enumerate(numbers) if x.is_integer()])


def _renumbered(traced: Trace, parameters: Sequence[Value]) -> Tape:
    """The tape of a trace with the parameters numbered by their order in a list.

    Raises:
        TraceError: if the parameters of an embedding do not follow each other in it.
    """
    require_contiguous(traced.tables, parameters)
    index_of = {p: k for k, p in enumerate(parameters)}
    tape = traced.tape
    number = np.array([index_of[p] for p in traced.parameters], dtype=np.int64)
    w = tape.spaces.index("w")
    index = tape.index.copy()
    index[tape.space == w] = number[index[tape.space == w]]
    outputs = tuple([(s, int(number[k]) if s == w else k) for s, k in tape.outputs])
    return replace(tape, index=index, outputs=outputs, sizes={**tape.sizes, "w": len(parameters)})
