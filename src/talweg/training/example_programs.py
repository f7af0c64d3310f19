"""The programs of the examples of a run: the loss of an example, traced once for each path.

Examples of one shape have the same structure and differ in numbers alone. Their loss is one
program, whose inputs are these numbers, unless it branches on a number: then it is one program for
each way that its branches go (`compiler/paths.py`). Conditions on the numbers of an example are
decided once; those on the parameters at each step. Each program is compared with the loss itself:
at other weights, and on other examples.

Start reading at `ExamplePrograms.program_of`.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from numbers import Real
from typing import Any

import numpy as np

from talweg import ops
from talweg._util.progress import slow_step
from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.effects import (
    Observer,
    UnrepeatedChangeError,
    observed_trace,
)
from talweg.compiler.frontend.object_guard import ObjectGuard, ObjectGuards
from talweg.compiler.frontend.reachable import Reach
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import Trace, require_contiguous, trace
from talweg.compiler.ir import tape as tapes
from talweg.compiler.ir.tape import Tape
from talweg.compiler.paths import MOST_PATHS, PathGuard, guards_by_source, too_many_paths
from talweg.compiler.runtime.executable import Numbers
from talweg.errors import NativeError, TalwegError, TraceError
from talweg.training.example_shapes import shape_difference, warn_of_many_shapes
from talweg.training.objective import Objective
from talweg.value import Value

_MOST_COMPARED = 16
"""How many examples with different integers are compared with the trace before training."""


class TooManyPathsError(NativeError):
    """A loss branches on its numbers in more ways than are compiled."""


class ChangedLossError(NativeError):
    """What a loss reads from outside has changed, and it cannot be compiled any more."""


@dataclass(frozen=True, eq=False)
class ExampleProgram:
    """The loss of examples of one shape, on one path.

    Attributes:
        key: the structure of the examples.
        trace: the trace of the first of them.
        tape: its operations. The inputs are `w`, the numbers of `ExamplePrograms.weights`, and
            `x`, those of an example.
        input_guard: the conditions on the numbers of an example; None if there are none.
        weight_guard: the conditions on the parameters too; None if there are none.
    """

    key: CacheKey
    trace: Trace
    tape: Tape
    input_guard: PathGuard | None
    weight_guard: PathGuard | None

    def fits(self, numbers: Sequence[float]) -> bool:
        """Whether an example has the integers that the trace has fixed, and takes its branches."""
        if any(numbers[k] != fixed for k, fixed in self.trace.fixed.items()):
            return False
        return self.input_guard is None or self.input_guard.holds(
            bytes(8 * self.tape.sizes["w"]), numbers
        )

    def serves(self, weights: Numbers, numbers: Numbers) -> bool:
        """Whether the branches that depend on the parameters go as in the trace."""
        return self.weight_guard is None or self.weight_guard.holds(weights, numbers)


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
        self._as_floats = as_floats
        self._prepare: Callable[[Any], Any] = _with_floats if as_floats else lambda x: x
        self._guards: list[ObjectGuard] | None = None
        self._by_key: dict[CacheKey, list[ExampleProgram]] = {}
        self._by_example: dict[int, ExampleProgram] = {}
        self._is_limited = False  # whether many shapes are an error, and need no warning

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
        """The program of example i at the present parameters; it is traced if it is a new one.

        Raises:
            NativeError: if the loss cannot be traced, does what a trace does not record, or has too
                many paths.
        """
        found = self._by_example.get(i)
        if found is None:
            key, numbers = self.flat[i]
            known = [program for program in self._by_key.get(key, []) if program.fits(numbers)]
            if any(program.weight_guard for program in known):
                return self._on_path(i, known, self._weights_as_bytes())
            found = known[0] if known else self._trace(i)
            self._refuse_rows_outside(found, i)
            if found.weight_guard is None:
                self._by_example[i] = found
        return found

    def program_at(self, i: int, weights: bytes) -> ExampleProgram:
        """The program of example i at other parameters than those of the model.

        A new one is traced at these parameters, which are assigned to the model.

        Args:
            i: the example.
            weights: the numbers of `weights()`, as the bytes of doubles.
        """
        found = self._by_example.get(i)
        if found is not None:
            return found
        key, numbers = self.flat[i]
        known = [program for program in self._by_key.get(key, []) if program.fits(numbers)]
        return self._on_path(i, known, weights)

    def _on_path(self, i: int, known: Sequence[ExampleProgram], weights: bytes) -> ExampleProgram:
        """The program whose branches go as they go for example i at these parameters."""
        numbers = self.numbers_of(i)
        for program in known:
            self._refuse_rows_outside(program, i)  # a guard may read these rows
            if program.serves(weights, numbers):
                return program
        trained = len(self.objective.parameters)
        self.objective.assign(array("d", weights).tolist()[:trained])
        return self._trace(i)

    def examples_of(self, program: ExampleProgram) -> list[int]:
        """The indices of all examples of a program."""
        alike = [i for i, (key, _) in enumerate(self.flat) if key == program.key]
        return [i for i in alike if self.program_of(i) is program]

    def of_all_examples(self) -> list[ExampleProgram]:
        """The programs of all examples at the present parameters, each once.

        Each is also compared with the loss of some of its examples.
        """
        examples: dict[ExampleProgram, list[int]] = {}
        self._is_limited = True
        for i in range(len(self.flat)):
            examples.setdefault(self.program_of(i), []).append(i)
            if len(examples) > MOST_PATHS:
                raise NativeError(
                    f"the examples have more than {MOST_PATHS} shapes: they differ in structure, "
                    "in text, or in an integer that is used other than as an index"
                )
        for program, own in examples.items():
            compared: dict[Any, int] = {}
            for i in own:
                if len(compared) < _MOST_COMPARED:
                    compared.setdefault(_integers(self.numbers_of(i)), i)
            last = len(own) - 1
            for i in [*compared.values(), own[min(1, last)], own[last // 2], own[last]]:
                self._refuse_frozen_numbers(program, i)
        return list(examples)

    def require_one_program(self, advice: str = "") -> None:
        """Refuse a loss that is not one program for all examples and all parameters.

        Args:
            advice: what the message adds for examples of several shapes.

        Raises:
            NativeError: if there are several shapes, or branches on numbers.
        """
        first = self.program_of(0)
        for i in range(len(self.flat)):
            program = self.program_of(i)
            guard = program.weight_guard or (program is not first and program.input_guard)
            if guard:
                raise NativeError(
                    f"the loss is not one program: {', '.join(guard.places[:3])} branches on a "
                    "number or uses it as a plain one; choose with tw.where(condition, a, b)"
                )
            if program is not first:
                raise NativeError(
                    f"example {i} has another shape than the first: they differ in structure, in "
                    "text, or in an integer that is used other than as an index" + advice
                )
        self.of_all_examples()

    def inputs_of(self, examples: Sequence[Any]) -> list[tuple[ExampleProgram, list[float]]] | None:
        """The programs and the numbers of other examples, such as validation data.

        Returns:
            For each example its program at the present parameters, and its inputs. None if one of
            the examples has none of the known programs, or may have none.
        """
        cache, found = SignatureCache(), []
        weights = self._weights_as_bytes()
        for example in examples:
            flat = self._flatten(example, cache)
            if flat is None:
                return None
            key, numbers = flat
            known = [p for p in self._by_key.get(key, []) if not p.trace.fixed and not p.trace.rows]
            own = [p for p in known if p.fits(numbers) and p.serves(weights, numbers)]
            if not own:
                return None
            found.append((own[0], numbers))
        return found

    def _weights_as_bytes(self) -> bytes:
        return array("d", self.weights()).tobytes()

    def _flatten(self, example: Any, cache: SignatureCache) -> tuple[CacheKey, list[float]] | None:
        """The structure and the numbers of an example; None if there is a Value in it."""
        signature = signature_of([self._prepare(example)], {}, cache, integers=True)
        return None if signature.values else (signature.key, signature.floats)

    # ---- tracing -----------------------------------------------------------------------------

    def _trace(self, i: int) -> ExampleProgram:
        """Trace the loss of example i with all its numbers as inputs."""
        key = self.flat[i][0]
        known = self._by_key.get(key, [])
        guards = [p.weight_guard or p.input_guard for p in known]
        if len(known) >= MOST_PATHS and all(guards):
            places = dict.fromkeys(place for guard in guards if guard for place in guard.places)
            raise TooManyPathsError(too_many_paths(list(places), "the loss has"))
        if not self._is_limited:
            warn_of_many_shapes(self._shapes(), i, self._reason(i))
        try:
            with slow_step(f"tracing {self.described(i)}", self.progress):
                traced = self._observed_trace(i)
        except TalwegError as error:
            with Observer([guard.renewed() for guard in self._guards or ()]):
                self.objective.loss(self.objective.examples[i])  # its own error is raised
            raise NativeError(str(error)) from None
        except Exception as error:  # what takes only plain numbers: an index, range(), "%d"
            raise NativeError(
                f"example {i} cannot be traced with Values for its numbers: "
                f"{type(error).__name__}: {error}"
            ) from None
        if traced.kinds != [Value] or not isinstance(traced.output, Value):
            raise NativeError(
                f"the loss of example {i} was not computed from the parameters; expected a Value"
            )
        self._note_outside(traced, i)
        weights = [*self.objective.parameters, *self.outside]
        try:
            require_contiguous(traced.tables, weights)
            tape = _renumbered(traced.tape, traced.parameters, weights)
            guard_tape = _renumbered(traced.guard_tape, traced.parameters, weights)
        except TraceError as error:
            raise NativeError(str(error)) from None
        on_inputs, on_weights = guards_by_source(replace(traced, guard_tape=guard_tape))
        program = ExampleProgram(key, traced, tape, on_inputs, on_weights)
        self._refuse_rows_outside(program, i)
        self._refuse_frozen_numbers(program, i)
        self._by_key.setdefault(key, []).append(program)
        return program

    def _observed_trace(self, i: int) -> Trace:
        """The trace of example i. What the loss changes outside of itself is undone.

        Raises:
            NativeError: if there is anything that it changes.
        """
        tracer = partial(trace, integers=True, kinds=self._kinds_of(i))
        loss = self.objective.loss
        if self._guards is None:
            self._guards = ObjectGuards(Reach()).of_loss(loss)
        try:
            traced, writes = observed_trace(
                loss, lambda: [[self._prepared(i)], {}], self._guards, tracer
            )
        except UnrepeatedChangeError as error:
            raise NativeError(f"the loss {error} at its first call; call it once before") from None
        if writes:
            raise NativeError(
                f"the loss keeps numbers in `{writes[0].name}` from example to example, which "
                "training by native code does not"
            )
        return traced

    def hold(self) -> bool:
        """Whether what the loss reads from outside is as it was when it was traced."""
        return all(guard.holds() for guard in self._guards or ())

    def _prepared(self, i: int) -> Any:
        return self._prepare(self.objective.examples[i])

    def _kinds_of(self, i: int) -> list[type] | None:
        """The types of the numbers of example i, if integers among them are taken as floats."""
        if not self._as_floats:
            return None
        kinds: list[type] = []
        _with_floats(self.objective.examples[i], kinds)
        return kinds

    def _note_outside(self, traced: Trace, i: int) -> None:
        """The first trace determines which Values are read from outside of the model."""
        known = {*self.objective.parameters, *self.outside}
        new = [p for p in traced.parameters if p not in known]
        if new and self._by_key:
            raise NativeError(
                f"example {i} reads Values from outside of the model that the first does not read"
            )
        self.outside += new

    # ---- why there is another program --------------------------------------------------------

    def described(self, i: int) -> str:
        """The loss of example i as text, and why it has a program of its own, if not the first."""
        reason = self._reason(i)
        return f"the loss of example {i}" + (f", because of its {reason}" if reason else "")

    def _shapes(self) -> int:
        """How many shapes have programs: structures, with the integers that a trace has fixed."""
        programs = [program for alike in self._by_key.values() for program in alike]
        return len({(p.key, *sorted(p.trace.fixed.items())) for p in programs})

    def _reason(self, i: int) -> str:
        """In what example i differs from the last one that was traced before; "" for the first."""
        programs = [program for alike in self._by_key.values() for program in alike]
        earlier = [program for program in programs if program is not self._by_example.get(i)]
        if not earlier:
            return ""
        return shape_difference(*self.flat[i], earlier[-1].key, earlier[-1].trace.fixed)

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
            if not program.serves(self._weights_as_bytes(), self.numbers_of(i)):
                self.objective.assign(numbers)  # a branch goes another way at the other weights
            inputs = {"w": self.weights(), "x": self.numbers_of(i)}
            own = ops.to_float(self.objective.loss(self.objective.examples[i]))
            (by_trace,) = tapes.run(program.tape, inputs)
        finally:
            for p, x in zip(parameters, numbers, strict=True):
                p.data = x
        if own != by_trace and not (math.isnan(own) and math.isnan(by_trace)):
            raise NativeError(
                f"the loss of sample {i} depends on numbers in a way that tracing does not record "
                f"(it is {own!r}, but {by_trace!r} by the trace): the model or the loss depends "
                "on something that changes from call to call"
            )


def perturbed(weight: float) -> float:
    """Another weight near this one, at which a program is compared with the loss."""
    return weight * 1.015625 + 0.0078125


def _with_floats(thing: Any, kinds: list[type] | None = None) -> Any:
    """The same structure with floats for all its numbers, whose types are added to `kinds`."""
    if isinstance(thing, Real):
        if kinds is not None:
            kinds.append(type(thing))
        return ops.to_float(thing)
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "biuf":
        if kinds is not None:
            kinds += [thing.dtype.type] * thing.size
        return thing.astype(float)
    if type(thing) in (list, tuple):
        return type(thing)([_with_floats(x, kinds) for x in thing])
    return thing


def _integers(numbers: Sequence[float]) -> tuple[tuple[int, float], ...]:
    """The integers among the numbers of an example, with their indices: programs branch on them."""
    return tuple([(k, x) for k, x in enumerate(numbers) if x.is_integer()])


def _renumbered(tape: Tape, numbered: Sequence[Value], parameters: Sequence[Value]) -> Tape:
    """A tape whose parameters are numbered by another list.

    Args:
        tape: the tape.
        numbered: its parameters, in their present order.
        parameters: the new order, in which all of them occur.
    """
    index_of = {p: k for k, p in enumerate(parameters)}
    number = np.array([index_of[p] for p in numbered], dtype=np.int64)
    w = tape.spaces.index("w")
    index = tape.index.copy()
    index[tape.space == w] = number[index[tape.space == w]]
    outputs = tuple([(s, int(number[k]) if s == w else k) for s, k in tape.outputs])
    return replace(tape, index=index, outputs=outputs, sizes={**tape.sizes, "w": len(parameters)})
