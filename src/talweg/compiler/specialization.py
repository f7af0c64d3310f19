"""A specialization: one trace of a function, compiled, for the calls of one key and one path.

The steps of a call:

    CallSignature  ->  the Values that are read (ParameterBinding)  ->  their numbers, as bytes
                   ->  native code (Executable)  ->  numbers  ->  results as Values

The operands of the results are the Values that were read. The backward step of a result is native
code too: a `BackwardPass` stores the numbers of the call, and adds the derivatives to the `grad` of
these Values.

Start reading at `Specialization.call`.
"""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Collection, Sequence
from itertools import compress
from typing import Any

from talweg.autodiff.operation import Op, to_float
from talweg.compiler import pipeline
from talweg.compiler.derivative_shapes import with_float_arrays
from talweg.compiler.frontend.effects import StateWrite, observed_trace
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.pytree import tree_map
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.compiler.frontend.value_attributes import (
    ValueAttributes,
    refuse_new_attributes,
    stand_in_of,
)
from talweg.compiler.ir.tape import CONSTANT, RESULT
from talweg.compiler.paths import PathGuard
from talweg.compiler.runtime.executable import Executable, Numbers
from talweg.value import Value, node_of

_double = struct.Struct("=d").pack

_ONE = _double(1.0)

OTHER_PATH = object()
"""What `Specialization.call` returns if the numbers of a call take another path."""


class Specialization:
    """A function compiled for the calls of one signature key.

    Args:
        f: the function.
        signature: the call that is traced.
        args: its positional arguments.
        kwargs: its named arguments.
        exact: whether every bit must be that of the eager engine.
        shared: Values among the arguments that f is known to take from outside as well.

    Attributes:
        key: of the signature.
        parameters: the Values that f reads.
        captured: those of them that f takes from outside.
        zeros: the derivatives by them before most backward passes, as bytes.
        count: how many results are computed, and neither given nor constant.
        expects_backward: whether the last result went backward in the most common way, from 1.0
            and into derivatives that were zero. The next result probably will too, so its
            derivatives are computed together with it; that saves a second forward pass.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        signature: CallSignature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        *,
        exact: bool,
        shared: Collection[Value] = (),
    ) -> None:
        traced, positions, self._writes = _traced(f, signature, args, kwargs, shared, exact)
        self.key = signature.key
        self._attributes = ValueAttributes.of(signature.values)
        self.path_guard = PathGuard(traced) if traced.guards else None
        self.parameters = ParameterBinding(traced.parameters, positions)
        self.captured = self.parameters.captured
        self.zeros = bytes(8 * len(traced.parameters))
        self.expects_backward = False
        self._template = ResultTemplate(traced)
        self._is_single = self._template.is_single
        self.count = len(self._template.computed)
        self._kinds = [] if self._is_single else traced.kinds
        self._tape = traced.tape
        self._exact = exact
        self._executables: dict[tuple[bool, ...], Executable] = {}
        self._executable = self.executable_of((True,) * self.count) if self.count else None
        name = getattr(f, "__name__", "function")
        self._record = Op("compiled", name, to_float, (), (), f"What {name} computed, compiled.")
        self._guard = TraceGuard(
            f,
            traced.tape,
            self._template,
            signature,
            self.parameters.data(traced.parameters),
            self.parameters.unread(len(signature.values)),
            self._writes,
            native=self._executable.value if exact and self._executable else None,
        )

    def executable_of(self, reached: tuple[bool, ...]) -> Executable:
        """The native code of some of the results: those that a backward pass starts from."""
        executable = self._executables.get(reached)
        if executable is None:
            outputs = list(compress(self._template.computed, reached))
            is_all = outputs == list(self._tape.outputs)
            executable = self._executables[reached] = pipeline.executable(
                self._tape, outputs=None if is_all else outputs, exact=self._exact
            )
        return executable

    def captured_positions(self, signature: CallSignature) -> tuple[tuple[int, int], ...]:
        """Which Values of a call f also takes from outside: (position in the call, which)."""
        positions = signature.positions
        captured = enumerate(self.captured)
        return tuple([(positions[value], k) for k, value in captured if value in positions])

    def call(self, signature: CallSignature, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The result of the function for a call; `OTHER_PATH` if a guard of the program fails."""
        if self._attributes is not None and not self._attributes.hold(signature.values):
            return OTHER_PATH
        parameters = self.parameters
        values, operands = parameters.bound(signature)
        w, x = parameters.data(values), b"".join(signature.chunks)
        if self.path_guard is not None and not self.path_guard.holds(w, x):
            return OTHER_PATH
        if self._guard.is_open and self._guard.is_due(signature):
            self._guard(w, signature, args, kwargs)
        executable = self._executable
        if executable is None:
            return self._results(signature, [], values, x)
        backward = BackwardPass(self, values, w, x)
        if self.expects_backward:
            self.expects_backward = False
            numbers, gradients = executable.value_and_gradient(w, x, _ONE)
            backward.gradient = gradients["w"]
        else:
            numbers = executable.value(w, x)
        if not self._is_single:
            nodes = backward.nodes(self._record, operands, numbers)
            return self._results(signature, nodes, values, x)
        node = node_of(self._record, backward.from_result, operands, numbers[0])
        node._shown = values
        return node

    def _results(
        self,
        signature: CallSignature,
        nodes: Sequence[Value],
        values: Sequence[Value],
        x: bytes,
    ) -> Any:
        """The pytree that the function returns; what it stores outside is stored."""
        template, constants = self._template, self._tape.constants
        spaces: dict[str, Any] = {
            "w": values,
            "x": struct.unpack(f"={len(x) // 8}d", x),
            RESULT: dict(zip([k for _, k in template.computed], nodes, strict=True)),
        }
        numbers = [
            Value(constants[k]) if space == CONSTANT else spaces[space][k]
            for space, k in template.outputs
        ]
        result = template.filled(map(_of_kind, self._kinds, numbers))
        if template.has_float_arrays:
            result = with_float_arrays(result)
        if not self._writes:
            return result
        output, items = result
        for write, item in zip(self._writes, items, strict=True):
            write.store(signature.guards, item)
        return output


def _of_kind(kind: type, x: Any) -> Any:
    """A number of a result, a Value or a float, as the type that the function returns it as."""
    if kind is Value:
        return x if isinstance(x, Value) else Value(x)  # `Value(a)` of a float argument
    return kind(x._data if isinstance(x, Value) else x)


def _traced(
    f: Callable[..., Any],
    signature: CallSignature,
    args: Sequence[Any],
    kwargs: dict[str, Any],
    shared: Collection[Value],
    exact: bool,
) -> tuple[Trace, dict[Value, int], list[StateWrite]]:
    """The trace of a call, the positions of its parameters, and what it stores outside.

    Values among the arguments are replaced by others with the same numbers. This separates the
    Values that f reads in its arguments from those that it takes from outside. The Values in
    `shared` are not replaced, and neither are those in objects, which f is given as they are.

    If the run has changed something that a second one does not change, an `UnrepeatedChangeError`
    is raised for `Jitted`, which then returns what f itself computes.
    """
    stand_ins: dict[Value, Value] = {}
    unreplaced = {*shared, *[value for guard in signature.guards for value in guard.values]}

    def stand_in(value: Value) -> Value:
        if value in unreplaced:
            return value
        if value not in stand_ins:
            stand_ins[value] = stand_in_of(value)
        return stand_ins[value]

    def given() -> Any:
        return tree_map([list(args), kwargs], on_value=stand_in)

    tracer = functools.partial(trace, exact=exact)
    traced, writes = observed_trace(f, given, signature.guards, tracer)
    refuse_new_attributes(f, stand_ins)
    return traced, {stand_ins.get(v, v): k for v, k in signature.positions.items()}, writes


class BackwardPass:
    """The step backward of one call, with the numbers that the Values had then.

    Args:
        specialization: the program that was called.
        values: the Values that it read.
        w: their numbers.
        x: the inputs.

    Attributes:
        gradient: the derivatives by the Values, if they were computed together with the result.
    """

    __slots__ = ("_cotangents", "_specialization", "_values", "_w", "_x", "gradient")

    def __init__(
        self, specialization: Specialization, values: tuple[Value, ...], w: bytes, x: bytes
    ) -> None:
        self._specialization = specialization
        self._values = values
        self._w = w
        self._x = x
        self._cotangents: dict[int, float] = {}
        self.gradient: Sequence[float] | None = None

    def from_result(self, node: Value) -> None:
        """Backward from the only result."""
        specialization, values = self._specialization, self._values
        start, cotangent = specialization.parameters.gradient(values), _double(node.grad)
        is_usual = start == specialization.zeros and cotangent == _ONE
        if is_usual and self.gradient is not None:
            _store(self.gradient, values)
        else:
            self._accumulate((True,), cotangent, start)
        specialization.expects_backward = is_usual

    def nodes(
        self, record: Op, operands: tuple[Value, ...], numbers: Sequence[float]
    ) -> list[Value]:
        """Several results as Values.

        Their common operand is a node that is older than they are. When the walk backward arrives
        there, each result that it came through has left its derivative.
        """
        common = node_of(record, self._from_common_node, operands, 0.0)
        common._shown = self._values
        return [
            node_of(record, functools.partial(self._leave, k), (common,), number)
            for k, number in enumerate(numbers)
        ]

    def linear(self, k: int = 0) -> tuple[tuple[Value, ...], tuple[float, ...]]:
        """The Values that were read, and the derivatives of a result by them: what a copy keeps.

        Args:
            k: which of the results.
        """
        specialization = self._specialization
        executable = specialization.executable_of(
            tuple([i == k for i in range(specialization.count)])
        )
        start = {"w": specialization.zeros}
        return self._values, tuple(executable.gradient(self._w, self._x, [1.0], start)["w"])

    def _leave(self, k: int, node: Value) -> None:
        self._cotangents[k] = node.grad

    def _from_common_node(self, _: Value) -> None:
        specialization = self._specialization
        left, self._cotangents = self._cotangents, {}
        reached = tuple([k in left for k in range(specialization.count)])
        start = specialization.parameters.gradient(self._values)
        self._accumulate(reached, [left[k] for k in sorted(left)], start)

    def _accumulate(self, reached: tuple[bool, ...], cotangents: Numbers, start: bytes) -> None:
        """Add the derivatives to those that are there, in the order of the eager engine."""
        executable = self._specialization.executable_of(reached)
        sums = executable.gradient(self._w, self._x, cotangents, {"w": start})["w"]
        _store(sums, self._values)


def _store(sums: Sequence[float], values: Sequence[Value]) -> None:
    """Assign the derivatives of Values; the loop header assigns `value.grad`."""
    value: Value
    for value, value.grad in zip(values, sums, strict=True):  # noqa: B007 - twice as fast as a body
        pass
