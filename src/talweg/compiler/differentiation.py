"""The compiled programs behind `tw.grad`, `tw.jacobian`, `tw.hessian` and the others.

A call of a derivative goes this way:

    CallSignature  ->  DerivativePrograms, found by the key
                   ->  w, the numbers to differentiate by, and x, all others, as bytes (Packing)
                   ->  native code  ->  one array  ->  the shape of the argument (ArgumentShape)

No Python object is made for a number on this way, unless the argument is a list. First derivatives
are the native gradient of the traced function. Second derivatives and Jacobians are those of
`compiler/derivative_matrix.py`.

Inside another function that is traced, and where Values take part that are not differentiated by,
the derivatives are Values, which can be differentiated again: `ComposedDerivative`.

Start reading at `Differentiator.programs`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.higher_order import pulled_back
from talweg.autodiff.tracing import is_tracing, is_uncompiled
from talweg.compiler import pipeline
from talweg.compiler.derivative_shapes import (
    ArgumentShape,
    is_model,
    require_real,
    result_shape,
    shape_of,
    with_float_arrays,
    with_floats,
)
from talweg.compiler.frontend.object_guard import CacheKey
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.pytree import tree_leaves, tree_map, tree_unflatten, tree_values
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature, SignatureCache, signature_of
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.compiler.ir.tape import Array, rearranged
from talweg.compiler.runtime.executable import array_gradient
from talweg.errors import ArgumentError, TraceError
from talweg.value import Value

Arguments: TypeAlias = Sequence[Any]
Named: TypeAlias = dict[str, Any]

FLOAT64 = np.dtype(np.float64)
"""The only object of this type: `is` recognises it."""

_NO_NAMES: Named = {}

DIRECTION = "d"
"""The space of a direction in programs of derivatives along one."""


# ---- which arguments -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Selection:
    """The arguments to differentiate by, as the user gave them.

    Attributes:
        argnums: an integer, or several.
    """

    argnums: int | tuple[int, ...]

    @classmethod
    def of(cls, argnums: Any) -> Selection:
        """The selection of a user.

        Raises:
            ArgumentError: if it is no integer and no sequence of some.
        """
        several = list(argnums) if isinstance(argnums, (list, tuple)) else [argnums]
        if not several or not all(_is_integer(k) for k in several):
            raise ArgumentError(
                f"argnums must be an integer or a tuple of integers, got {argnums!r}"
            )
        is_one = not isinstance(argnums, (list, tuple))
        return cls(int(several[0]) if is_one else tuple([int(k) for k in several]))

    def positions(self, count: int) -> list[int]:
        """The positions of the arguments among `count` of them.

        Raises:
            ArgumentError: if there are too few, or one is selected twice.
        """
        several = self.argnums if isinstance(self.argnums, tuple) else (self.argnums,)
        for k in several:
            if not -count <= k < count:
                expected = f"; expected {-count} to {count - 1}" if count else ""
                raise ArgumentError(f"argnum is {k}, but there are {count} arguments{expected}")
        positions = [k % count for k in several]
        if len(set(positions)) < len(positions):
            raise ArgumentError(f"argnums is {self.argnums}, which names an argument twice")
        return positions

    def result(self, parts: Sequence[Any]) -> Any:
        """What is returned: the part of the only argument, or a tuple of one part for each."""
        return tuple(parts) if isinstance(self.argnums, tuple) else parts[0]


def _is_integer(k: Any) -> bool:
    return isinstance(k, (int, np.integer)) and not isinstance(k, bool)



# ---- what the function returns -------------------------------------------------------------------


def one_number(result: Any) -> Value:
    """The result of a function that is differentiated by `grad`, `hessian` or `hvp`.

    Raises:
        TraceError: if it is not one traced number.
    """
    if isinstance(result, Value):
        return result
    if isinstance(result, (float, int)) and not isinstance(result, bool):
        raise TraceError(
            f"the function must return one number that depends on its arguments, got the "
            f"{type(result).__name__} {result!r}, which was not computed from its arguments by "
            "talweg's operations; a constant has no derivative: return tw.Value(...) if it is meant"
        )
    pair = "; if the rest is not to be differentiated, write has_aux=True"
    shape = f" of shape {result.shape}" if isinstance(result, np.ndarray) else ""
    raise TraceError(
        f"the function must return one number, got {type(result).__name__}{shape}"
        f"{pair if isinstance(result, tuple) and len(result) == 2 else ''}"
        f"{'; tw.jacobian differentiates several' if isinstance(result, (list, np.ndarray)) else ''}"
    )


def several_numbers(result: Any) -> Any:
    """The result of a function that is differentiated by `jacobian`: a pytree of Values.

    Raises:
        TraceError: if there is no traced number in it.
    """
    if not tree_values(result):
        shown = f"{type(result).__name__} {result!r}"
        raise TraceError(
            f"the function must return numbers that depend on its arguments, got {shown}, in which "
            "none was computed from its arguments by talweg's operations"
        )
    return tree_map(result, on_float=Value, on_integer=lambda x: Value(float(x)))


@dataclass(frozen=True)
class Differentiated:
    """A function, and what of its result is differentiated.

    Attributes:
        f: the function.
        selection: the arguments to differentiate by.
        has_aux: whether it returns a pair: what is differentiated, and other results.
        several: whether what is differentiated may be more than one number.
    """

    f: Callable[..., Any]
    selection: Selection
    has_aux: bool
    several: bool

    def __call__(self, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
        """What is differentiated, and the other results.

        Raises:
            TraceError: if the function returns something else.
        """
        result, aux = self.f(*args, **kwargs), ()
        if self.has_aux:
            if not isinstance(result, (tuple, list)) or len(result) != 2:
                raise TraceError(
                    "with has_aux=True the function must return a pair (number, other results), "
                    f"got {_described(result)}"
                )
            result, aux = result
        return (several_numbers if self.several else one_number)(result), aux

    @property
    def __name__(self) -> str:  # what error messages call it
        return str(getattr(self.f, "__name__", "the function"))


def _described(result: Any) -> str:
    if isinstance(result, (tuple, list)):
        return f"a {type(result).__name__} of {len(result)}"
    return f"one {type(result).__name__}"


def with_aux(has_aux: bool, result: Any, aux: Any) -> Any:
    """The result of a derivative, or the pair of it and the other results."""
    return (result, aux) if has_aux else result


# ---- derivatives as Values -----------------------------------------------------------------------


class ComposedDerivative:
    """A derivative inside a function that is traced, or of Values: it is made of Values.

    Args:
        f: the function to differentiate.
        args: the positional arguments.
        kwargs: the named arguments.

    Attributes:
        arguments: the arguments to differentiate by.
        by: their numbers, as Values of their own.
        result: what is differentiated.
        aux: the other results.
    """

    def __init__(self, f: Differentiated, args: Arguments, kwargs: Named) -> None:
        positions = f.selection.positions(len(args))
        given = list(args)
        self.selection = f.selection
        self.arguments: list[Any] = []
        self.by: list[Value] = []
        self._counts: list[int] = []
        for k in positions:
            require_real(args[k], k)
            argument = with_floats(_number_of(args[k]))
            if is_model(argument):
                own = list(argument.parameters())
            else:
                # A Value may be in other arguments too, and f is differentiated by this one only.
                given[k] = tree_map(argument, Value, lambda x: x * 1.0)
                own = tree_values(given[k])
            self.arguments.append(argument)
            self.by += own
            self._counts.append(len(own))
        require_numbers(positions, self.arguments, self._counts)
        self.result, self.aux = f(*given, **kwargs)

    def first(self, output: Value) -> list[Value]:
        """The derivatives of one number of the result."""
        return as_values(pulled_back([output], [1.0], self.by))

    def split(self, numbers: Sequence[Any]) -> list[list[Any]]:
        """The numbers of each argument."""
        rest = iter(numbers)
        return [[next(rest) for _ in range(count)] for count in self._counts]

    def shaped(self, numbers: Sequence[Any]) -> Any:
        """Derivatives in the shape of the arguments."""
        pairs = zip(self.arguments, self.split(numbers), strict=True)
        return self.selection.result([_composed_shape(x, own) for x, own in pairs])

    def matrix(self, rows: Sequence[Sequence[Any]]) -> Any:
        """Second derivatives in the shape of the arguments, one row for each number."""
        shapes = [shape_of(x) for x in self.arguments]
        blocks = []
        for of_argument, row in zip(self.split(rows), shapes, strict=True):
            parts = [self.split(one) for one in of_argument]
            blocks.append(
                self.selection.result(
                    [_composed_block([p[k] for p in parts], row, c) for k, c in enumerate(shapes)]
                )
            )
        return self.selection.result(blocks)

    def jacobian(self, rows: Sequence[Sequence[Any]]) -> Any:
        """First derivatives of each number of the result, in its shape."""
        own = result_shape(self.result)
        parts = [self.split(row) for row in rows]
        found = []
        for k, argument in enumerate(self.arguments):
            shape, block = shape_of(argument), [p[k] for p in parts]
            has_array = shape.is_array or own.is_array
            if has_array and own.dimensions is not None and shape.is_flat:
                found.append(_object_array(block, (*own.dimensions, *shape.dimensions)))
            else:
                rest = iter([_composed_shape(argument, row) for row in block])
                found.append(tree_map(self.result, on_value=lambda _, rest=rest: next(rest)))
        return self.selection.result(found)


def _number_of(argument: Any) -> Any:
    """The number in an array of no dimensions; anything else as it is."""
    return argument.item() if isinstance(argument, np.ndarray) and not argument.ndim else argument


def _composed_shape(argument: Any, numbers: Sequence[Any]) -> Any:
    return list(numbers) if is_model(argument) else tree_unflatten(argument, numbers)


def _composed_block(rows: list[list[Any]], row: ArgumentShape, column: ArgumentShape) -> Any:
    block = _object_array(rows, (*row.dimensions, *column.dimensions))
    return block if row.is_array or column.is_array else block.tolist()


def _object_array(rows: Sequence[Sequence[Any]], shape: tuple[int, ...]) -> Array:
    flat = [x for row in rows for x in row]
    array = np.empty(len(flat), dtype=object)
    array[:] = flat
    return array.reshape(shape)


def as_values(numbers: Sequence[Any]) -> list[Value]:
    """Numbers as Values."""
    return [x if isinstance(x, Value) else Value(x) for x in numbers]


def require_numbers(
    positions: Sequence[int], arguments: Sequence[Any], counts: Sequence[int]
) -> None:
    """Check that there is a number to differentiate by.

    Raises:
        TraceError: if there is none in all of the arguments.
    """
    if not sum(counts):
        k, argument = positions[0], arguments[0]
        raise TraceError(
            f"argument {k} is {type(argument).__name__} {argument!r}, in which there is no "
            "number to differentiate by; expected a float, a list or array of floats, a "
            "Value or a model"
        )


# ---- the numbers of a call -----------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a derivative.

    Attributes:
        args: the positional arguments.
        kwargs: the named arguments.
        signature: their numbers.
    """

    args: Arguments
    kwargs: Named
    signature: CallSignature


class Variables:
    """The numbers of a call by which a function is differentiated.

    Args:
        positions: the arguments to differentiate by.
        call: a call with the signature key for which they are found.

    Attributes:
        shapes: those of the arguments.
        numbers: each number, once: ("x", its number among the floats of the call), or ("value",
            its position among the Values of the call).
        take: for each number of the arguments its number in `numbers`; None if it is the same.
        bounds: where the numbers of the arguments begin and end.
    """

    def __init__(self, positions: Sequence[int], call: Call) -> None:
        self.positions = list(positions)
        self.shapes = [shape_of(call.args[k]) for k in positions]
        everything: list[tuple[str, int]] = []
        for k, shape in zip(positions, self.shapes, strict=True):
            if shape.is_model:
                own = call.args[k].parameters()
                everything += [("value", call.signature.positions[p]) for p in own]
            else:
                everything += [("x", i) for i in range(*call.signature.float_range(k))]
        number = {one: k for k, one in enumerate(dict.fromkeys(everything))}
        self.numbers = list(number)
        is_plain = len(number) == len(everything)
        self.take = None if is_plain else np.array([number[one] for one in everything])
        self.count = len(everything)
        ends = np.cumsum([0, *[shape.count for shape in self.shapes]]).tolist()
        self.bounds = list(zip(ends, ends[1:], strict=False))

    def leaves(self, args: Arguments) -> list[Value]:
        """The Values that stand for `numbers` while the function is traced."""
        found: list[Value] = []
        for k, shape in zip(self.positions, self.shapes, strict=True):
            found += args[k].parameters() if shape.is_model else tree_leaves(args[k])
        return list(dict.fromkeys(found))

    def expanded(self, gradient: Array) -> Array:
        """The derivatives by all numbers of the arguments, from those by `numbers`."""
        return gradient if self.take is None else gradient[self.take]

    def expanded_columns(self, matrix: Array) -> Array:
        """The columns of all numbers of the arguments."""
        return matrix if self.take is None else matrix[:, self.take]

    def expanded_square(self, matrix: Array) -> Array:
        """The rows and columns of all numbers of the arguments."""
        return matrix if self.take is None else matrix[np.ix_(self.take, self.take)]

    def united(self, vector: Array) -> Array:
        """A direction of `numbers`, from one of all numbers of the arguments."""
        if self.take is None:
            return vector
        return np.bincount(self.take, weights=vector, minlength=len(self.numbers))

    def shaped(self, selection: Selection, gradient: Array) -> Any:
        """The derivatives in the shape of the arguments; the array belongs to them then."""
        gradient = self.expanded(gradient)
        if len(self.shapes) == 1:
            return selection.result([self.shapes[0].shaped(gradient)])
        parts = [gradient[a:b].copy() for a, b in self.bounds]
        return selection.result([s.shaped(p) for s, p in zip(self.shapes, parts, strict=True)])


class Packing:
    """Where native code finds the numbers of a call: `w`, those to differentiate by, and `x`.

    Args:
        traced: the trace.
        variables: the numbers to differentiate by.
        call: the call that was traced.
        directions: how many of the last inputs of the trace are a direction.

    Attributes:
        tape: the program, with its inputs in the spaces "w", "x", and "d" for the direction.
        is_one_array: whether the numbers of one argument are all that the program reads.
        reads_other_values: whether the program reads Values that it is not differentiated by.
    """

    def __init__(self, traced: Trace, variables: Variables, call: Call, directions: int = 0):
        signature = call.signature
        values, positions = signature.values, signature.positions
        number = {value: k for k, value in enumerate(traced.parameters)}
        own = [values[k] for kind, k in variables.numbers if kind == "value"]
        others = [value for value in traced.parameters if value not in set(own)]
        floats = traced.tape.sizes["x"] - directions
        selected = {i for kind, i in variables.numbers if kind == "x"}
        w = [
            ("x", k) if kind == "x" else ("w", number[values[k]]) if values[k] in number else None
            for kind, k in variables.numbers
        ]
        rest = [("x", i) for i in range(floats) if i not in selected]
        x = [*rest, *[("w", number[value]) for value in others]]
        d = [("x", floats + i) for i in range(directions)]
        self.tape = rearranged(traced.tape, {"w": w, "x": x, DIRECTION: d})
        self._own = ParameterBinding(own, positions) if own else None
        self._others = ParameterBinding(others, positions) if others else None
        self.reads_other_values = bool(others)
        selected_chunks = [
            k for k, s in zip(variables.positions, variables.shapes, strict=True) if not s.is_model
        ]
        rest_chunks = [k for k, chunk in enumerate(signature.chunks) if chunk]
        self._x_chunks = [k for k in rest_chunks if k not in selected_chunks]
        self._pieces = list(self._w_pieces(variables, call))
        self._is_one_chunk = len(self._pieces) == 1 and self._own is None
        self.is_one_array = self._is_one_chunk and not x and variables.take is None

    @staticmethod
    def _w_pieces(variables: Variables, call: Call) -> Iterator[int | slice]:
        """The pieces of `w`: the number of a chunk, or a part of the bytes of the Values."""
        seen: set[Value] = set()
        for k, shape in zip(variables.positions, variables.shapes, strict=True):
            if shape.is_model:
                start = len(seen)
                seen.update(call.args[k].parameters())
                yield slice(8 * start, 8 * len(seen))
            else:
                yield k

    def __call__(self, signature: CallSignature) -> tuple[bytes, bytes]:
        """The numbers of `w` and `x`, as bytes."""
        chunks = signature.chunks
        if self._is_one_chunk:
            w = chunks[self._pieces[0]]  # type: ignore[index]
        else:
            own = _data(self._own, signature)
            w = b"".join([own[p] if isinstance(p, slice) else chunks[p] for p in self._pieces])
        if not self._x_chunks and self._others is None:
            return w, b""
        rest = [chunks[k] for k in self._x_chunks]
        return w, b"".join([*rest, _data(self._others, signature)])


def _data(binding: ParameterBinding | None, signature: CallSignature) -> bytes:
    return b"" if binding is None else binding.data(binding.bound(signature)[0])


# ---- programs ------------------------------------------------------------------------------------


class NativeGradient:
    """A traced program and its derivatives by some of its numbers, compiled.

    Args:
        packing: the program, and where its numbers are.
        exact: whether every bit must be that of the eager engine.
        outputs: how many of the first outputs are differentiated.
    """

    def __init__(self, packing: Packing, exact: bool, outputs: int) -> None:
        self.packing = packing
        self.outputs = outputs
        tape = packing.tape
        own = None if outputs == len(tape.outputs) else tape.outputs[:outputs]
        self.executable = pipeline.executable(tape, outputs=own, exact=exact, wrt=("w",))
        self._one = np.ones(1).tobytes()

    def value_and_gradient(self, signature: CallSignature) -> tuple[float, Array]:
        """The only output and its derivatives."""
        w, x = self.packing(signature)
        outputs, gradient = self.executable.derivatives(w, x, self._one)
        return outputs[0], gradient

    def pulled_back(self, signature: CallSignature, cotangents: bytes) -> Array:
        """The derivatives of the sum of cotangent times output."""
        w, x = self.packing(signature)
        return self.executable.derivatives(w, x, cotangents)[1]

    def native_call(self, signature: CallSignature) -> Callable[[], None]:
        """The native function alone, on memory that is filled already; for measurements."""
        return self.executable.native_gradient(*self.packing(signature))

    def rows(self, signature: CallSignature) -> Array:
        """The derivatives of each output, one row each, as the eager engine computes them."""
        units = [row.tobytes() for row in np.eye(self.outputs)]
        return np.array([self.pulled_back(signature, unit) for unit in units])


class DerivativePrograms:
    """The derivatives of a function, for the calls of one signature key.

    Each program is compiled when it is first called.

    Args:
        f: the function.
        call: the call that is traced.
        exact: whether every bit must be that of the eager engine.

    Attributes:
        variables: the numbers to differentiate by.
        packing: the traced function, and where its numbers are.
        result: the shape of what is differentiated.
        is_composed: whether derivatives are Values, because Values that are not differentiated by
            take part: a later derivative may be one by them.
    """

    def __init__(self, f: Differentiated, call: Call, exact: bool) -> None:
        self.f = f
        self.exact = exact
        positions = f.selection.positions(len(call.args))
        self.variables = Variables(positions, call)
        shapes = self.variables.shapes
        require_numbers(positions, [call.args[k] for k in positions], [s.count for s in shapes])
        traced = trace(lambda args, kwargs: f(*args, **kwargs), list(call.args), call.kwargs)
        self.packing = Packing(traced, self.variables, call)
        self.is_composed = self.packing.reads_other_values and not any(
            shape.is_array or shape.is_model for shape in shapes
        )
        self.result = result_shape(traced.output[0])
        self._template = ResultTemplate(traced)
        self._parameters = ParameterBinding(traced.parameters, call.signature.positions)
        parameters = self._parameters.data(traced.parameters)
        self._guard = TraceGuard(f, traced.tape, self._template, call.signature, parameters)
        self._lock = threading.RLock()

    def check(self, call: Call) -> None:
        """Raise an error if the function does not compute what was traced, see `TraceGuard`."""
        if self._guard.is_open:
            self._guard(_data(self._parameters, call.signature), call.signature, call.args, call.kwargs)

    @property
    def is_open(self) -> bool:
        """Whether there is something left to check at the next call."""
        return self._guard.is_open

    @functools.cached_property
    def first(self) -> NativeGradient:
        """First derivatives of the numbers of the result."""
        return NativeGradient(self.packing, self.exact, self.result.count)

    @functools.cached_property
    def _other_results(self) -> Any:
        outputs = self.packing.tape.outputs[self.result.count :]
        return outputs and pipeline.executable(
            self.packing.tape, outputs=outputs, exact=self.exact, wrt=()
        )

    def aux(self, signature: CallSignature) -> Any:
        """The other results, with floats for Values."""
        numbers: Sequence[float] = ()
        if self._other_results:
            numbers = self._other_results.value(*self.packing(signature))
        own = [0.0] * self.result.count
        return filled_result(self._template, [*own, *numbers])[1]

    def traced_again(
        self, call: Call, program: Callable[..., Sequence[Any]], directions: int = 0
    ) -> Packing:
        """The trace of a program made of the function, for the same calls.

        Args:
            call: the call that is traced.
            program: a function of what is differentiated, the Values to differentiate by, and the
                numbers of a direction.
            directions: how many numbers the direction has.
        """

        def traced(args: Any, kwargs: Any, direction: Any) -> list[Value]:
            result, _ = self.f(*args, **kwargs)
            found = program(tree_values(result), self.variables.leaves(args), direction)
            # A derivative that is a constant, or an input itself, becomes a computed result.
            return [x * 1.0 for x in as_values(found)]

        given = (list(call.args), call.kwargs, [0.0] * directions)
        return Packing(trace(traced, *given), self.variables, call, directions)

    def once(self, made: dict[DerivativePrograms, Any], make: Any, call: Call) -> Any:
        """The program that `make` compiles for these programs, compiled at the first call."""
        if self not in made:
            with self._lock:
                if self not in made:
                    made[self] = make(self, call)
        return made[self]

    @property
    def size(self) -> int:
        """How many different numbers there are to differentiate by."""
        return len(self.variables.numbers)


def filled_result(template: ResultTemplate, numbers: Sequence[float]) -> Any:
    """A result with these numbers in place of its Values; arrays of numbers are arrays of floats."""
    return with_float_arrays(template.filled(numbers))


class Differentiator:
    """A function with its compiled derivatives, for each signature key.

    Args:
        f: the function.
        argnums: the arguments to differentiate by, an integer or several.
        mode: "default" or "exact".
        has_aux: whether the function returns a pair, see `Differentiated`.
        several: whether it may return several numbers.

    Attributes:
        selection: the arguments to differentiate by.
        array_gradients: for shapes of an array that is the only argument, the value and the
            gradient as a function of it.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        argnums: Any,
        mode: pipeline.Mode,
        *,
        has_aux: bool = False,
        several: bool = False,
    ) -> None:
        self.exact = pipeline.is_exact(mode)
        if not callable(f):
            raise ArgumentError(f"expected a function, got {f!r}")
        self.f = Differentiated(f, Selection.of(argnums), has_aux, several)
        self.selection = self.f.selection
        self._programs: dict[CacheKey, DerivativePrograms | None] = {}
        self._is_plain = not (has_aux or several or isinstance(self.selection.argnums, tuple))
        self.array_gradients: dict[tuple[int, ...], Callable[[Array], tuple[float, Array]]] = {}
        self._by_shapes: dict[tuple[tuple[int, ...], ...], DerivativePrograms] = {}
        self._cache = SignatureCache()
        self._lock = threading.Lock()

    def programs(self, args: Arguments, kwargs: Named) -> tuple[DerivativePrograms, Call] | None:
        """The programs that serve a call, and its numbers; None if derivatives are Values.

        Raises:
            ArgumentError: if an argument to differentiate by is missing.
            TraceError: if there are no numbers in it, or if the function cannot be traced.
        """
        if is_tracing() or is_uncompiled():  # part of a larger program
            return None
        known = self._known_arrays(args) if not kwargs else None
        if known is not None:
            return known
        call = Call(args, kwargs, signature_of(args, kwargs, self._cache))
        key = call.signature.key
        if key in self._programs:
            programs = self._programs[key]
        else:
            programs, call = self._prepare(call)
        if programs is None:
            return None
        programs.check(call)
        self._remember_arrays(programs, args, kwargs)
        return programs, call

    def _known_arrays(self, args: Arguments) -> tuple[DerivativePrograms, Call] | None:
        """The same for arrays of float64 in shapes that are known, in half the time."""
        shapes = []
        for x in args:
            if type(x) is not np.ndarray or x.dtype is not FLOAT64:
                return None
            shapes.append(x.shape)
        programs = self._by_shapes.get(tuple(shapes))
        if programs is None:
            return None
        signature = CallSignature()
        signature.chunks = [x.tobytes() for x in args]
        return programs, Call(args, _NO_NAMES, signature)

    def _remember_arrays(self, programs: DerivativePrograms, args: Arguments, kwargs: Named) -> None:
        """Let `_known_arrays` find programs for which nothing is left to check."""
        is_array = [type(x) is np.ndarray and x.dtype is FLOAT64 and x.ndim > 0 for x in args]
        if all(is_array) and not kwargs and not programs.is_open:
            self._by_shapes[tuple([x.shape for x in args])] = programs
            if self._is_plain and len(args) == 1 and programs.packing.is_one_array:
                shape = args[0].shape
                self.array_gradients[shape] = array_gradient(programs.first.executable, shape)

    def _prepare(self, call: Call) -> tuple[DerivativePrograms | None, Call]:
        """The programs for a call whose key is new, or has integers to differentiate by."""
        if call.signature.has_direct_values:
            self._programs[call.signature.key] = None
            return None, call
        args = list(call.args)
        for k in self.selection.positions(len(args)):
            require_real(args[k], k)
            args[k] = with_floats(_number_of(args[k]))
        call = Call(args, call.kwargs, signature_of(args, call.kwargs, self._cache))
        with self._lock:
            key = call.signature.key
            if key not in self._programs:
                made = DerivativePrograms(self.f, call, self.exact)
                self._programs[key] = None if made.is_composed else made
            return self._programs[key], call

    def composed(self, args: Arguments, kwargs: Named) -> ComposedDerivative:
        """The derivatives as Values."""
        return ComposedDerivative(self.f, args, kwargs)
