"""The compiled programs behind `tw.grad`, `tw.jacobian`, `tw.hessian` and the others.

A call of a derivative goes this way:

    CallSignature  ->  DerivativePrograms, found by the key
                   ->  w, the numbers to differentiate by, and x, all others, as bytes (Packing)
                   ->  native code  ->  one array  ->  the shape of the argument (ArgumentShape)

No Python object is made for a single number, unless the argument is a list. First derivatives
are the native gradient of the traced function. Second derivatives and Jacobians are computed by
`compiler/derivative_matrix.py`. `Variables` and `Packing` are in `compiler/derivative_call.py`.

Inside another function that is traced, and if f reads Values that it is not differentiated by, the
derivatives are Values, which can be differentiated again (`compiler/composed_derivative.py`).

Start reading at `Differentiator.programs`.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from talweg.autodiff.tracing import is_tracing, is_uncompiled
from talweg.compiler import pipeline
from talweg.compiler.composed_derivative import ComposedDerivative, as_values
from talweg.compiler.derivative_call import Arguments, Call, Named, Packing, Variables, data_of
from talweg.compiler.derivative_shapes import (
    number_of,
    require_real,
    result_shape,
    with_float_arrays,
    with_floats,
)
from talweg.compiler.differentiated import Differentiated, Selection, require_numbers
from talweg.compiler.frontend.cache_key import CacheKey
from talweg.compiler.frontend.effects import UnrepeatedChangeError, observed_trace
from talweg.compiler.frontend.object_guard import ObjectGuard
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.pytree import tree_differences, tree_map, tree_values
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import CallSignature, SignatureCache, in_order, signature_of
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.trace_guard import TraceGuard
from talweg.compiler.frontend.traced_numbers import operand
from talweg.compiler.ir.tape import Array
from talweg.compiler.paths import PathGuard, refuse_another_path, refuse_lost_derivatives
from talweg.compiler.runtime.executable import array_gradient
from talweg.errors import ArgumentError, TraceError
from talweg.value import Value

FLOAT64 = np.dtype(np.float64)
"""The only object of this type: `is` recognises it."""

ArrayGradient: TypeAlias = Callable[[Array], tuple[float, Array]]

_NO_NAMES: Named = {}


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
        path_guard: the conditions under which the programs serve a call; None if there are none.
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
        traced = self._observed_trace(call)
        self.path_guard = PathGuard(traced) if traced.guards else None
        self.packing = Packing(traced, self.variables, call)
        refuse_lost_derivatives(traced, self.packing.sources)
        self.is_composed = not any(x.is_array or x.is_model for x in shapes) and self._varies()
        self.result = result_shape(traced.output[0])
        self._template = ResultTemplate(traced)
        self._parameters = ParameterBinding(traced.parameters, call.signature.positions)
        parameters = self._parameters.data(traced.parameters)
        self._guard = TraceGuard(
            f, traced.tape, self._template, call.signature, parameters, oracle=self._by_values
        )
        self._lock = threading.RLock()

    def _observed_trace(self, call: Call) -> Trace:
        """The trace of a call. The function may not change anything outside of itself.

        Raises:
            TraceError: if it does.
        """
        traced, writes = observed_trace(
            self.f,
            lambda: [list(call.args), call.kwargs],
            call.signature.guards,
            functools.partial(trace, exact=self.exact, ieee=True),
        )
        if writes:
            raise TraceError(
                f"{self.f.__name__} keeps numbers in `{writes[0].name}`, which a compiled "
                "derivative would not repeat at every call; return them, or use tw.jit and "
                "backward()"
            )
        return traced

    def _varies(self) -> bool:
        """Whether the results have a derivative by a Value that is not differentiated by."""
        others = self.packing.other_values
        return bool(others) and any(map(len, pipeline.dependence(self.packing.tape, others)))

    def _traced(self, args: Arguments, kwargs: Named) -> Trace:
        """The trace of a call."""
        f, exact = self.f, self.exact
        return trace(lambda a, k: f(*a, **k), list(args), kwargs, exact=exact, ieee=True)

    def _by_values(self, *args: Any, **kwargs: Any) -> Any:
        """What f returns for Values in place of floats."""
        return self._traced(args, kwargs).output

    def serves(self, call: Call) -> bool:
        """Whether the numbers of a call take the path of these programs."""
        if self.path_guard is None:
            return True
        w = data_of(self._parameters, call.signature)
        return self.path_guard.holds(w, call.signature.inputs)

    def check(self, call: Call) -> None:
        """Raise an error if the function does not compute what was traced, see `TraceGuard`."""
        if self._guard.is_due(call.signature):
            parameters = data_of(self._parameters, call.signature)
            self._guard(parameters, call.signature, call.args, call.kwargs)

    def is_due(self, call: Call) -> bool:
        """Whether there is something left to check at a call like this one."""
        return self._guard.is_due(call.signature)

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
            along = [operand(x) for x in direction]
            found = program(tree_values(result), self.variables.leaves(args), along)
            # A derivative that is a constant, or an input itself, becomes a computed result.
            return [x * 1.0 for x in as_values(found)]

        given = (list(call.args), call.kwargs, [0.0] * directions)
        again = trace(traced, *given, exact=self.exact, ieee=True)
        return Packing(again, self.variables, call, directions)

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
    """A result with these numbers in place of its Values; arrays have floats, not objects."""
    return with_float_arrays(template.filled(numbers))


def _number(x: Value) -> float:
    return x._data


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
            gradient as a function of it, and the guard of what f read from outside then.
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
        self._programs: dict[CacheKey, tuple[DerivativePrograms, ...] | None] = {}
        self._is_plain = not (has_aux or several or isinstance(self.selection.argnums, tuple))
        self.array_gradients: dict[tuple[int, ...], tuple[ArrayGradient, ObjectGuard]] = {}
        self._by_shapes: dict[Any, tuple[DerivativePrograms, ObjectGuard]] = {}
        self._cache = SignatureCache(f)
        self._lock = threading.Lock()

    def programs(self, args: Arguments, kwargs: Named) -> tuple[DerivativePrograms, Call] | None:
        """The programs that serve a call, and its numbers; None if derivatives are Values.

        Raises:
            ArgumentError: if an argument to differentiate by is missing.
            TraceError: if there are no numbers in it, or if the function cannot be traced.
        """
        if is_tracing() or is_uncompiled():  # part of a larger program
            return None
        arrays = self._known_arrays(args) if not kwargs else None
        if arrays is not None:
            return arrays
        if kwargs:
            kwargs = in_order(self.f.f, kwargs)
        call = Call(args, kwargs, signature_of(args, kwargs, self._cache))
        known = self._programs.get(call.signature.key, ())
        if known is None:
            return None
        programs = next((found for found in known if found.serves(call)), None)
        if programs is None:
            programs, call = self._prepare(call)
        if programs is None:
            return None
        programs.check(call)
        self._remember_arrays(programs, call)
        return programs, call

    def _known_arrays(self, args: Arguments) -> tuple[DerivativePrograms, Call] | None:
        """The same for arrays of float64 in shapes that are known, in half the time."""
        shapes = []
        for x in args:
            if type(x) is not np.ndarray or x.dtype is not FLOAT64:
                return None
            shapes.append(x.shape)
        known = self._by_shapes.get(tuple(shapes))
        if known is None or not known[1].holds():
            return None
        programs, guard = known
        signature = CallSignature()
        signature.chunks = [x.tobytes() for x in args]
        signature.add_object(guard)
        return programs, Call(args, _NO_NAMES, signature)

    def _remember_arrays(self, programs: DerivativePrograms, call: Call) -> None:
        """Let `_known_arrays` find programs for which nothing is left to check."""
        args = call.args
        is_array = [type(x) is np.ndarray and x.dtype is FLOAT64 and x.ndim > 0 for x in args]
        if not all(is_array) or call.kwargs or programs.path_guard or programs.is_due(call):
            return
        guard = self._cache.outside()
        if guard is None:
            return
        self._by_shapes[tuple([x.shape for x in args])] = programs, guard
        if self._is_plain and len(args) == 1 and programs.packing.is_one_array:
            run = array_gradient(programs.first.executable, args[0].shape)
            self.array_gradients[args[0].shape] = run, guard

    def _prepare(self, call: Call) -> tuple[DerivativePrograms | None, Call]:
        """The programs for a call whose key is new, or has integers to differentiate by."""
        if call.signature.has_direct_values:
            self._programs[call.signature.key] = None
            return None, call
        args = list(call.args)
        for k in self.selection.positions(len(args)):
            require_real(args[k], k)
            args[k] = with_floats(number_of(args[k]))
        call = Call(args, call.kwargs, signature_of(args, call.kwargs, self._cache))
        with self._lock:
            key = call.signature.key
            known = self._programs.get(key, ())
            if known is None:
                return None, call
            programs = next((found for found in known if found.serves(call)), None)
            if programs is None:
                guards = [found.path_guard for found in known if found.path_guard]
                refuse_another_path(guards, self.f.__name__)
                try:
                    programs = DerivativePrograms(self.f, call, self.exact)
                except UnrepeatedChangeError:  # parameters are made at the first call: make them
                    self._run_once(call)
                    call = Call(args, call.kwargs, signature_of(args, call.kwargs, self._cache))
                    key, known = call.signature.key, ()
                    programs = self._made_again(call)
                self._programs[key] = None if programs.is_composed else (programs, *known)
            return (None if programs.is_composed else programs), call

    def _run_once(self, call: Call) -> None:
        """Run f on Values, so that it makes its parameters.

        Raises:
            TraceError: if it returns something else afterwards: the call has no one result.
        """
        first, second = [self.composed(call.args, call.kwargs).result for _ in range(2)]
        for a, b in tree_differences(
            tree_map(first, on_value=_number), tree_map(second, on_value=_number)
        ):
            raise TraceError(
                f"{self.f.__name__} changes something at its first run: it returns {a!r}, then "
                f"{b!r}; call it once before it is differentiated"
            )

    def _made_again(self, call: Call) -> DerivativePrograms:
        """The programs for a call, after a first run that has changed something.

        Raises:
            TraceError: if the function changes something again.
        """
        try:
            return DerivativePrograms(self.f, call, self.exact)
        except UnrepeatedChangeError as error:
            raise TraceError(
                f"{self.f.__name__} {error}, which functions that compute derivatives do not "
                "repeat; return the number, or use tw.jit and backward()"
            ) from None

    def composed(self, args: Arguments, kwargs: Named) -> ComposedDerivative:
        """The derivatives as Values."""
        return ComposedDerivative(self.f, args, kwargs)
