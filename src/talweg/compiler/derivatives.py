"""Derivatives of functions of numbers: grad, value_and_grad, hessian, hvp.

First derivatives are the native gradient of the traced function. For second derivatives the
rules of differentiation are applied to themselves: the program of first derivatives is traced
(`autodiff/higher_order.py`, which runs the rules on Values), and that program is compiled with an
adjoint of its own. Nothing is approximated by differences.

Start reading at `value_and_grad`, then `_Differentiated`.
"""

from __future__ import annotations

import functools
import threading
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.higher_order import gradients
from talweg.autodiff.tracing import is_plain, is_tracing
from talweg.compiler import pipeline
from talweg.compiler.frontend.object_guard import Key
from talweg.compiler.frontend.pytree import rebuilt
from talweg.compiler.frontend.signature import Flat, Seen, flatten
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.trace_guard import Check
from talweg.compiler.pipeline import Mode
from talweg.errors import ArgumentError, ShapeError, TraceError
from talweg.value import Value


def grad(f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default") -> Callable[..., Any]:
    """The function that gives the derivatives of f by one of its arguments.

    Args:
        f: a function of numbers that returns one number; see `jit` for what it may do.
        argnum: which argument, 0 for the first: a float, a list, tuple, dictionary or array of
            floats, a Value, or a model.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments. It returns the derivatives in the shape of the
        argument: a float for a float or a Value, a list for a list, an array for an array,
        and for a model the list of derivatives by its parameters.

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> def area(sides):
        ...     return sides[0] * sides[1]
        >>> grad(area)([2.0, 3.0])
        [3.0, 2.0]
    """
    both = value_and_grad(f, argnum=argnum, mode=mode)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        return both(*args, **kwargs)[1]

    return gradient


def value_and_grad(
    f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default"
) -> Callable[..., tuple[Any, Any]]:
    """The function that gives the result of f and its derivatives by one of its arguments.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments, which returns (number, derivatives).

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> value_and_grad(lambda x: x * x)(3.0)
        (9.0, 6.0)
    """
    differentiated = _Differentiated(f, argnum, mode)

    @functools.wraps(f)
    def both(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        if is_tracing() or is_plain():  # part of a larger program
            inner = _Inner(f, argnum, args, kwargs)
            return inner.result, inner.shaped(inner.first())
        call = differentiated.call(args, kwargs)
        (value,), shares = call.program.first(call.flat, [1.0])
        return value, call.shaped(shares)

    return both


def hessian(
    f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default"
) -> Callable[..., Any]:
    """The function that gives all second derivatives of f by one of its arguments.

    Entry (i, j) is the derivative by number i and number j of the argument, d2f/dx_i dx_j.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the same arguments. It returns a float if the argument is a float or a
        Value, an array of shape (*shape, *shape) if it is an array, else a list of lists: one
        row for each number of the argument, in order.

    Raises:
        TraceError: at a call, if f does not return one number, or the argument has none.

    Example:
        >>> hessian(lambda v: v[0] * v[0] * v[1])([3.0, 5.0])
        [[10.0, 6.0], [6.0, 0.0]]
    """
    differentiated = _Differentiated(f, argnum, mode)

    @functools.wraps(f)
    def all_second(*args: Any, **kwargs: Any) -> Any:
        if is_tracing() or is_plain():
            inner = _Inner(f, argnum, args, kwargs)
            return _as_matrix(inner.thing, [gradients(g, inner.by) for g in inner.first()])
        call = differentiated.call(args, kwargs)
        second, unit = call.program.second(call), np.eye(call.count)
        rows = [call.numbers(second(call.flat, row.tolist())[1]) for row in unit]
        return _as_matrix(call.thing, rows)

    return all_second


def hvp(f: Callable[..., Any], *, argnum: int = 0, mode: Mode = "default") -> Callable[..., Any]:
    """The function that gives the Hessian of f times a vector, without making the Hessian.

    The product is the derivative of sum_i v_i df/dx_i, so it costs a few times what f does
    and not as many times as there are numbers.

    Args:
        f: as for `grad`.
        argnum: as for `grad`.
        mode: "default" or "exact", see `jit`.

    Returns:
        A function of the arguments of f and then the vector: as many numbers as the argument
        has, in the same shape or as a flat list. It returns the product in the argument's
        shape.

    Raises:
        ShapeError: at a call, if the vector has another length.
        TraceError: at a call, if f does not return one number, or the argument has none.

    Source: Pearlmutter, Fast exact multiplication by the Hessian, 1994.

    Example:
        >>> hvp(lambda v: v[0] * v[0] * v[1])([3.0, 5.0], [1.0, 0.0])
        [10.0, 6.0]
    """
    differentiated = _Differentiated(f, argnum, mode)

    @functools.wraps(f)
    def product(*args: Any, **kwargs: Any) -> Any:
        if not args:
            raise ArgumentError("hvp(f) takes the arguments of f and then the vector")
        *own, vector = args
        if is_tracing() or is_plain():
            inner = _Inner(f, argnum, own, kwargs)
            factors = _numbers(vector, lambda v: v)
            _require_length(factors, argnum, len(inner.by))
            along = sum([g * v for g, v in zip(inner.first(), factors, strict=True)], Value(0.0))
            return inner.shaped(gradients(along, inner.by))
        call, cotangents = differentiated.call(own, kwargs), _numbers(vector, lambda v: v.data)
        _require_length(cotangents, argnum, call.count)
        return call.shaped(call.program.second(call)(call.flat, cotangents)[1])

    return product


def _numbers(thing: Any, of_value: Callable[[Value], Any]) -> list[Any]:
    """All numbers of a nest, in order."""
    found: list[Any] = []
    rebuilt(thing, found.append, lambda v: found.append(of_value(v)))
    return found


def _require_length(vector: Sequence[Any], argnum: int, count: int) -> None:
    if len(vector) != count:
        raise ShapeError(f"the vector has {len(vector)} numbers, argument {argnum} {count}")


def _as_matrix(thing: Any, rows: list[list[Any]]) -> Any:
    """Second derivatives in the form that fits the argument."""
    if isinstance(thing, np.ndarray):
        return np.array(rows).reshape(thing.shape * 2)
    return rows[0][0] if isinstance(thing, (float, Value)) else rows


def _shaped(thing: Any, numbers: Sequence[Any]) -> Any:
    """First derivatives in the shape of the argument."""
    if _is_model(thing):
        return list(numbers)
    rest = iter(numbers)
    return rebuilt(thing, lambda _: next(rest), lambda _: next(rest))


def _is_model(thing: Any) -> bool:
    return not isinstance(thing, Value) and callable(getattr(thing, "parameters", None))


def _with_floats(thing: Any) -> Any:
    """The argument to differentiate by, in which whole numbers are numbers like others."""
    if isinstance(thing, np.ndarray) and thing.dtype.kind in "iu":
        return thing.astype(float)
    return rebuilt(thing, float, lambda v: v, float)


def _place(argnum: int, args: Sequence[Any]) -> int:
    if not -len(args) <= argnum < len(args):
        raise ArgumentError(f"argnum is {argnum}, but there are {len(args)} arguments")
    return argnum % len(args)


def _one_number(result: Any) -> Value:
    if not isinstance(result, Value):
        raise TraceError(
            f"the function must return one number, got {type(result).__name__} {result!r}, which "
            "was not computed from its arguments by talweg's operations"
            if isinstance(result, float)
            else f"the function must return one number, got {type(result).__name__}"
        )
    return result


# ---- inside a larger program ---------------------------------------------------------------------


class _Inner:
    """A derivative inside a program that is traced: it becomes a part of that, as Values.

    Attributes:
        thing: the argument to differentiate by.
        by: its numbers, as Values of their own.
        result: what f returns.
    """

    def __init__(
        self, f: Callable[..., Any], argnum: int, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        k = _place(argnum, args)
        self.thing = _with_floats(args[k])
        self.by: list[Value] = list(self.thing.parameters()) if _is_model(self.thing) else []

        def own(x: Any) -> Value:
            # A number may be in other arguments too, and only this one is to be differentiated by.
            self.by.append(x * 1.0 if isinstance(x, Value) else Value(x))
            return self.by[-1]

        given = self.thing if _is_model(self.thing) else rebuilt(self.thing, own, own)
        self.result = _one_number(f(*args[:k], given, *args[k + 1 :], **kwargs))

    def first(self) -> list[Value]:
        """The first derivatives."""
        return gradients(self.result, self.by)

    def shaped(self, numbers: Sequence[Any]) -> Any:
        """Derivatives in the shape of the argument."""
        return _shaped(self.thing, numbers)


# ---- native --------------------------------------------------------------------------------------


Shares: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Derivatives by the Values of a call (those of its models), and by its floats."""


class _Native:
    """A traced program, compiled, that is given its numbers by calls of a kind.

    Args:
        f: the function that was traced.
        traced: the program.
        flat: the call.
        exact: whether every bit must be that of the eager engine.
    """

    def __init__(self, f: Callable[..., Any], traced: Trace, flat: Flat, exact: bool) -> None:
        places = flat.places
        self.sources = [places.get(p, p) for p in traced.parameters]
        self.compiled = pipeline.executable(traced.tape, exact=exact, wrt=("w", "x"))
        self.check = Check(f, traced, flat, self._parameters(flat), ())

    def _parameters(self, flat: Flat) -> bytes:
        values = flat.values
        read = [p if isinstance(p, Value) else values[p] for p in self.sources]
        return array("d", [value.data for value in read]).tobytes()

    def compare(self, flat: Flat, args: Sequence[Any], kwargs: dict[str, Any]) -> None:
        """Compare with the function itself, see `Check`."""
        if self.check.is_open:
            self.check(self._parameters(flat), flat, args, kwargs)

    def __call__(self, flat: Flat, cotangents: Sequence[float]) -> tuple[tuple[float, ...], Shares]:
        """The outputs, and the derivatives of the sum of seed times output."""
        w, x = self._parameters(flat), b"".join(flat.chunks)
        outputs, shares = self.compiled.value_and_gradient(w, x, cotangents)
        by_value = [0.0] * len(flat.values)
        for place, share in zip(self.sources, shares["w"], strict=True):
            if isinstance(place, int):
                by_value[place] = share
        return outputs, (by_value, shares["x"])


class _Program:
    """First and second derivatives for one kind of arguments."""

    def __init__(self, f: Callable[..., Any], exact: bool, call: _Call) -> None:
        self.f = f
        self.exact = exact
        self.first = _Native(f, trace(self._result, call.given), call.flat, exact)
        self._second: _Native | None = None

    def _result(self, given: Any) -> Value:
        args, kwargs = given
        return _one_number(self.f(*args, **kwargs))

    def second(self, call: _Call) -> _Native:
        """The program of the first derivatives by the argument's numbers."""

        def first_derivatives(given: Any) -> list[Value]:
            inputs: list[Value] = []  # all floats are Values by now
            rebuilt(given, float, inputs.append)
            by = [*inputs[slice(*call.floats)], *[call.flat.values[k] for k in call.values]]
            # A derivative that is a constant, or an input itself, becomes a result like others.
            return [g * 1.0 for g in gradients(self._result(given), by)]

        if self._second is None:
            traced = trace(first_derivatives, call.given)
            self._second = _Native(self.f, traced, call.flat, self.exact)
        return self._second


@dataclass
class _Call:
    """One call: its numbers, and which of them to differentiate by.

    Attributes:
        thing: the argument to differentiate by.
        given: all arguments, with numbers in place of Values that are not in a model.
        flat: the numbers of all arguments.
        floats: the argument's first float and the first after it, among those of the call.
        values: the places of its parameters among the Values of the call, if it is a model.
    """

    thing: Any
    given: Any
    flat: Flat
    floats: tuple[int, int]
    values: list[int]
    program: _Program = field(init=False)

    @property
    def count(self) -> int:
        """How many numbers the argument has."""
        return self.floats[1] - self.floats[0] + len(self.values)

    def numbers(self, shares: Shares) -> list[float]:
        """The derivatives by the argument's numbers, in order."""
        by_value, by_float = shares
        return [*by_float[slice(*self.floats)], *[by_value[k] for k in self.values]]

    def shaped(self, shares: Shares) -> Any:
        """The derivatives in the shape of the argument."""
        nest = _shaped(self.thing, self.numbers(shares))
        return nest.astype(float) if isinstance(self.thing, np.ndarray) else nest


class _Differentiated:
    """A function with its programs, one for each kind of arguments."""

    def __init__(self, f: Callable[..., Any], argnum: int, mode: Mode) -> None:
        self.exact = pipeline.is_exact(mode)
        if not callable(f):
            raise ArgumentError(f"expected a function, got {f!r}")
        self.f = f
        self.argnum = argnum
        self.programs: dict[Key, _Program] = {}
        self.seen = Seen()
        self.lock = threading.Lock()

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> _Call:
        """A call with these arguments, and its program."""
        k = _place(self.argnum, args)
        thing = _with_floats(args[k])
        given: Any = [[*args[:k], thing, *args[k + 1 :]], dict(sorted(kwargs.items()))]
        flat = flatten(given[0], given[1], self.seen)
        if flat.has_own_values:  # a Value is its number
            given = rebuilt(given, float, lambda v: v.data)
            flat = flatten(given[0], given[1], self.seen)
        places = [flat.places[p] for p in thing.parameters()] if _is_model(thing) else []
        call = _Call(thing, given, flat, flat.float_range(k), places)
        if not call.count:
            raise TraceError(
                f"argument {k} is {type(thing).__name__} {thing!r}, in which there is no "
                "number to differentiate by; expected a float, a list or array of floats, a "
                "Value or a model"
            )
        with self.lock:
            if flat.key not in self.programs:
                self.programs[flat.key] = _Program(self.f, self.exact, call)
            call.program = self.programs[flat.key]
        call.program.first.compare(flat, given[0], given[1])
        return call
