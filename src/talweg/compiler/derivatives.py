"""Derivatives of functions of numbers: grad, value_and_grad, hessian, hvp.

First derivatives are the native gradient of the traced function. For second derivatives the
rules of differentiation are applied to themselves: the program of first derivatives is traced
(`talweg.gradients`, which runs the rules on Values), and that program is compiled with an
adjoint of its own. Nothing is approximated by differences.

Start reading at `value_and_grad`, then `_Differentiated`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from talweg.compiler.arguments import Flat, Key, Seen, flatten, rebuilt
from talweg.compiler.compiled import Compiled
from talweg.compiler.function import Mode
from talweg.compiler.trace import Trace, trace
from talweg.errors import ArgumentError, ShapeError, TraceError
from talweg.gradients import gradients
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
) -> Callable[..., tuple[float, Any]]:
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
    def both(*args: Any, **kwargs: Any) -> tuple[float, Any]:
        call = differentiated.call(args, kwargs)
        (value,) = call.program.first.value(call.flat)
        return value, call.shaped(call.program.first.gradient(call.flat, [1.0]))

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
        call = differentiated.call(args, kwargs)
        unit = np.eye(call.count)
        second = call.program.second
        rows = [call.numbers(second.gradient(call.flat, row.tolist())) for row in unit]
        if isinstance(call.thing, np.ndarray):
            return np.array(rows).reshape(call.thing.shape * 2)
        return rows[0][0] if isinstance(call.thing, (float, Value)) else rows

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
        call, seeds = differentiated.call(own, kwargs), _numbers(vector)
        if len(seeds) != call.count:
            raise ShapeError(f"the vector has {len(seeds)} numbers, argument {argnum} {call.count}")
        return call.shaped(call.program.second.gradient(call.flat, seeds))

    return product


def _numbers(thing: Any) -> list[float]:
    """All numbers of a nest, in order."""
    found: list[float] = []
    rebuilt(thing, found.append, lambda v: found.append(v.data))
    return found


Shares: TypeAlias = tuple[Sequence[float], Sequence[float]]
"""Derivatives by the Values of a call (those of its models), and by its floats."""


class _Native:
    """A traced program, compiled, that is given its numbers by calls of a kind.

    Args:
        traced: the program.
        places: the numbers of the models' parameters among the Values of a call.
        exact: whether every bit must be that of the eager engine.
    """

    def __init__(self, traced: Trace, places: dict[Value, int], exact: bool) -> None:
        self.sources = [places.get(p, p) for p in traced.parameters]
        self.compiled = Compiled(traced.tape, exact=exact, wanted=("w", "x"))

    def _parameters(self, flat: Flat) -> list[float]:
        read = [p if isinstance(p, Value) else flat.values[p] for p in self.sources]
        return [value.data for value in read]

    def value(self, flat: Flat) -> tuple[float, ...]:
        """The outputs."""
        return self.compiled.value(self._parameters(flat), flat.floats)

    def gradient(self, flat: Flat, seeds: Sequence[float]) -> Shares:
        """The derivatives of the sum of seed times output."""
        shares = self.compiled.gradient(self._parameters(flat), flat.floats, seeds)
        by_value = [0.0] * len(flat.values)
        for place, share in zip(self.sources, shares["w"], strict=True):
            if isinstance(place, int):
                by_value[place] = share
        return by_value, shares["x"]


class _Program:
    """First and second derivatives for one kind of arguments."""

    def __init__(self, f: Callable[..., Any], exact: bool, call: _Call, given: Any) -> None:
        self.f = f
        self.exact = exact
        self.given = given
        self.floats, self.values = call.floats, call.values
        self.places = call.flat.places
        self.first = _Native(trace(self._result, given), self.places, exact)

    def _result(self, given: Any) -> Value:
        args, kwargs = given
        result = self.f(*args, **kwargs)
        if not isinstance(result, Value):
            raise TraceError(f"the function must return one number, got {type(result).__name__}")
        return result

    @functools.cached_property
    def second(self) -> _Native:
        """The program of the first derivatives by the argument's numbers."""
        by_place = list(self.places)

        def first_derivatives(given: Any) -> list[Value]:
            inputs: list[Value] = []  # all floats are Values by now
            rebuilt(given, float, inputs.append)
            by = [*inputs[slice(*self.floats)], *[by_place[k] for k in self.values]]
            # A derivative that is a constant, or an input itself, becomes a result like others.
            return [g * 1.0 for g in gradients(self._result(given), by)]

        return _Native(trace(first_derivatives, self.given), self.places, self.exact)


@dataclass
class _Call:
    """One call: its numbers, and which of them to differentiate by.

    Attributes:
        thing: the argument to differentiate by.
        flat: the numbers of all arguments.
        floats: the argument's first float and the first after it, among those of the call.
        values: the places of its parameters among the Values of the call, if it is a model.
    """

    thing: Any
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
        numbers = self.numbers(shares)
        if self.values:
            return numbers
        rest = iter(numbers)
        nest = rebuilt(self.thing, lambda _: next(rest), lambda _: next(rest))
        return nest.astype(float) if isinstance(self.thing, np.ndarray) else nest


class _Differentiated:
    """A function with its programs, one for each kind of arguments."""

    def __init__(self, f: Callable[..., Any], argnum: int, mode: Mode) -> None:
        if mode not in ("default", "exact"):
            raise ArgumentError(f'mode must be "default" or "exact", got {mode!r}')
        if not callable(f):
            raise ArgumentError(f"expected a function, got {f!r}")
        self.f = f
        self.argnum = argnum
        self.exact = mode == "exact"
        self.programs: dict[Key, _Program] = {}
        self.seen = Seen()

    def call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> _Call:
        """A call with these arguments, and its program."""
        if not -len(args) <= self.argnum < len(args):
            raise ArgumentError(f"argnum is {self.argnum}, but there are {len(args)} arguments")
        number = self.argnum % len(args)
        thing = args[number]
        given = rebuilt([list(args), kwargs], float, lambda v: v.data)  # a Value is its number
        before = flatten(given[0][:number], {}, self.seen)
        through = flatten(given[0][: number + 1], {}, self.seen)
        flat = flatten(given[0], given[1], self.seen)
        parameters = thing.parameters() if _is_model(thing) else []
        floats = (len(before.floats), len(through.floats))
        call = _Call(thing, flat, floats, [flat.place(p) for p in parameters])
        if not call.count:
            raise TraceError(
                f"argument {number} is {type(thing).__name__} {thing!r}, in which there is no "
                "number to differentiate by; expected a float, a list or array of floats, a "
                "Value or a model"
            )
        if flat.key not in self.programs:
            self.programs[flat.key] = _Program(self.f, self.exact, call, given)
        call.program = self.programs[flat.key]
        return call


def _is_model(thing: Any) -> bool:
    return not isinstance(thing, Value) and callable(getattr(thing, "parameters", None))
