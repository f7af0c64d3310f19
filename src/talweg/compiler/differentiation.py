"""The compiled programs behind `tw.grad`, `tw.hessian` and the others.

First derivatives are the native gradient of the traced function. For second derivatives the
program of the first derivatives is traced: `autodiff/higher_order.py` applies the derivative
equations to Values. That program is compiled with an adjoint of its own, so

    second derivatives of f = native gradient of (trace of the gradient of f)

Nothing is approximated by differences.

Start reading at `Differentiator.call`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talweg.autodiff.higher_order import gradients
from talweg.compiler import pipeline
from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.pytree import tree_map, tree_unflatten, tree_values
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature, SignatureCache, in_order, signature_of
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.errors import ArgumentError, TraceError
from talweg.value import Value


@dataclass(slots=True, eq=False)
class Gradient:
    """Derivatives by the numbers of a call.

    Attributes:
        by_value: by each Value of the call, that is by the parameters of its models.
        by_float: by each float of the call.
    """

    by_value: Sequence[float]
    by_float: Sequence[float]


# ---- the argument to differentiate by ------------------------------------------------------------


def is_model(argument: Any) -> bool:
    """Whether an argument is differentiated by its parameters."""
    return not isinstance(argument, Value) and callable(getattr(argument, "parameters", None))


def shaped(argument: Any, numbers: Sequence[Any]) -> Any:
    """First derivatives in the shape of the argument: a list for a model."""
    return list(numbers) if is_model(argument) else tree_unflatten(argument, numbers)


def _with_floats(argument: Any) -> Any:
    """The argument with floats in place of integers, by which it is differentiated too."""
    if isinstance(argument, np.ndarray) and argument.dtype.kind in "iu":
        return argument.astype(float)
    return tree_map(argument, on_integer=float)


def _position(argnum: int, args: Sequence[Any]) -> int:
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


# ---- inside a function that is traced --------------------------------------------------------


class TracedDerivative:
    """A derivative inside a function that is being traced: it becomes part of that trace.

    Args:
        f: the function to differentiate.
        argnum: by which of its arguments.
        args: the positional arguments.
        kwargs: the named arguments.

    Attributes:
        argument: the argument to differentiate by.
        by: its numbers, as Values of their own.
        result: what f returns.
    """

    def __init__(
        self, f: Callable[..., Any], argnum: int, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        k = _position(argnum, args)
        self.argument = _with_floats(args[k])
        self.by: list[Value]
        if is_model(self.argument):
            given, self.by = self.argument, list(self.argument.parameters())
        else:
            # A Value may be in other arguments too, and f is differentiated by this one only.
            given = tree_map(self.argument, Value, lambda x: x * 1.0)
            self.by = tree_values(given)
        self.result = _one_number(f(*args[:k], given, *args[k + 1 :], **kwargs))

    def first(self) -> list[Value]:
        """The first derivatives."""
        return gradients(self.result, self.by)

    def shaped(self, numbers: Sequence[Any]) -> Any:
        """Derivatives in the shape of the argument."""
        return shaped(self.argument, numbers)


# ---- native --------------------------------------------------------------------------------------


@dataclass(slots=True, eq=False)
class DerivativeCall:
    """One call of a derivative: its numbers, and which of them to differentiate by.

    Attributes:
        argument: the argument to differentiate by.
        args: the positional arguments, with numbers in place of Values that are not in a model.
        kwargs: the named arguments, likewise.
        signature: their numbers.
        floats: the number of the argument's first float, and of the first float after it.
        positions: those of its parameters among the Values of the call, if it is a model.
    """

    argument: Any
    args: list[Any]
    kwargs: dict[str, Any]
    signature: CallSignature
    floats: tuple[int, int]
    positions: list[int]

    @property
    def count(self) -> int:
        """How many numbers the argument has."""
        return self.floats[1] - self.floats[0] + len(self.positions)

    def selected(self, gradient: Gradient) -> list[float]:
        """The derivatives by the argument's numbers, in order."""
        by_float = gradient.by_float[slice(*self.floats)]
        return [*by_float, *[gradient.by_value[k] for k in self.positions]]

    def shaped(self, gradient: Gradient) -> Any:
        """The derivatives in the shape of the argument."""
        tree = shaped(self.argument, self.selected(gradient))
        return tree.astype(float) if isinstance(self.argument, np.ndarray) else tree


class NativeDerivative:
    """A traced program and its derivatives by all of its numbers, compiled.

    Args:
        traced: the program.
        signature: the call that was traced.
        exact: whether every bit must be that of the eager engine.
    """

    def __init__(self, traced: Trace, signature: CallSignature, exact: bool) -> None:
        self.parameters = ParameterBinding(traced.parameters, signature.positions)
        self.executable = pipeline.executable(traced.tape, exact=exact, wrt=("w", "x"))

    def __call__(
        self, signature: CallSignature, cotangents: Sequence[float]
    ) -> tuple[tuple[float, ...], Gradient]:
        """The outputs, and the derivatives of the sum of cotangent times output."""
        values, _ = self.parameters.bound(signature)
        w = self.parameters.data(values)
        outputs, by_space = self.executable.value_and_gradient(w, signature.inputs, cotangents)
        by_value = [0.0] * len(signature.values)
        for source, derivative in zip(self.parameters.sources, by_space["w"], strict=True):
            if isinstance(source, int):
                by_value[source] = derivative
        return outputs, Gradient(by_value, by_space["x"])


class DerivativePrograms:
    """First and second derivatives of a function, for the calls of one signature key.

    Args:
        f: the function.
        call: the call that is traced.
        exact: whether every bit must be that of the eager engine.
    """

    def __init__(self, f: Callable[..., Any], call: DerivativeCall, exact: bool) -> None:
        self.f = f
        self.exact = exact
        traced = trace(self._result, call.args, call.kwargs)
        self.first = NativeDerivative(traced, call.signature, exact)
        parameters = self.first.parameters.data(traced.parameters)
        template = ResultTemplate(traced)
        self._guard = TraceGuard(f, traced.tape, template, call.signature, parameters)
        self._second: NativeDerivative | None = None

    def check(self, call: DerivativeCall) -> None:
        """Raise an error if the function does not compute what was traced, see `TraceGuard`."""
        if self._guard.is_open:
            parameters = self.first.parameters
            w = parameters.data(parameters.bound(call.signature)[0])
            self._guard(w, call.signature, call.args, call.kwargs)

    def second(self, call: DerivativeCall) -> NativeDerivative:
        """The program whose outputs are the first derivatives by the argument's numbers."""

        def first_derivatives(args: list[Any], kwargs: dict[str, Any]) -> list[Value]:
            inputs = tree_values([args, kwargs])  # all floats are Values by now
            parameters = [call.signature.values[k] for k in call.positions]
            by = [*inputs[slice(*call.floats)], *parameters]
            # A derivative that is a constant, or an input itself, becomes a computed result.
            return [g * 1.0 for g in gradients(self._result(args, kwargs), by)]

        if self._second is None:
            traced = trace(first_derivatives, call.args, call.kwargs)
            self._second = NativeDerivative(traced, call.signature, self.exact)
        return self._second

    def _result(self, args: list[Any], kwargs: dict[str, Any]) -> Value:
        return _one_number(self.f(*args, **kwargs))


class Differentiator:
    """A function with its compiled derivatives, for each signature key.

    Args:
        f: the function.
        argnum: the argument to differentiate by.
        mode: "default" or "exact".
    """

    def __init__(self, f: Callable[..., Any], argnum: int, mode: pipeline.Mode) -> None:
        self.exact = pipeline.is_exact(mode)
        if not callable(f):
            raise ArgumentError(f"expected a function, got {f!r}")
        self.f = f
        self.argnum = argnum
        self._programs: dict[CacheKey, DerivativePrograms] = {}
        self._cache = SignatureCache(f)
        self._lock = threading.Lock()

    def call(
        self, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> tuple[DerivativeCall, DerivativePrograms]:
        """A call with these arguments, and the programs that serve it.

        Raises:
            TraceError: if there are no numbers in the argument, or if the function cannot be
                traced.
        """
        call = self._call(args, kwargs)
        key = call.signature.key
        with self._lock:
            if key not in self._programs:
                self._programs[key] = DerivativePrograms(self.f, call, self.exact)
            programs = self._programs[key]
        programs.check(call)
        return call, programs

    def _call(self, args: Sequence[Any], kwargs: dict[str, Any]) -> DerivativeCall:
        k = _position(self.argnum, args)
        argument = _with_floats(args[k])
        args = [*args[:k], argument, *args[k + 1 :]]
        kwargs = in_order(self.f, kwargs)
        signature = signature_of(args, kwargs, self._cache)
        if signature.has_direct_values:  # a Value is its number
            args, kwargs = tree_map([args, kwargs], on_value=lambda v: v._data)
            signature = signature_of(args, kwargs, self._cache)
        parameters = argument.parameters() if is_model(argument) else ()
        positions = [signature.positions[p] for p in parameters]
        call = DerivativeCall(
            argument, list(args), kwargs, signature, signature.float_range(k), positions
        )
        if not call.count:
            raise TraceError(
                f"argument {k} is {type(argument).__name__} {argument!r}, in which there is no "
                "number to differentiate by; expected a float, a list or array of floats, a "
                "Value or a model"
            )
        return call
