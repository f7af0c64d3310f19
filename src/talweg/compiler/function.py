"""tw.jit: a Python function of numbers as native code.

The first call with arguments of a kind traces the function, finds its loops and compiles them;
later calls hand their numbers to the native code. What comes back are Values: they have the
Values that the function read as operands, and their step backward is native code too.

Start reading at `Jitted.__call__`, then `_Program.call`.
"""

from __future__ import annotations

import functools
import operator
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from math import isclose, isnan
from typing import Any, Literal, TypeAlias, overload

from talweg.compiler.arguments import Flat, Key, Seen, difference, flatten, rebuilt
from talweg.compiler.compiled import Compiled
from talweg.compiler.tape import CONSTANT, RESULT, restricted
from talweg.compiler.trace import trace
from talweg.errors import ArgumentError, TraceError, TraceWarning
from talweg.operation import Op, to_float
from talweg.tracing import is_tracing
from talweg.value import Value, node_of

Mode: TypeAlias = Literal["default", "exact"]

_MANY_TRACES = 8
"""From so many traces on, a function is probably used in a way that was not meant."""


@overload
def jit(f: Callable[..., Any], *, mode: Mode = "default") -> Jitted: ...
@overload
def jit(f: None = None, *, mode: Mode = "default") -> Callable[[Callable[..., Any]], Jitted]: ...


def jit(f: Callable[..., Any] | None = None, *, mode: Mode = "default") -> Any:
    """A function as native code: the same results, thousands of times faster.

    The numbers in its arguments may change from call to call: floats and Values, alone or in
    lists, tuples, dictionaries, dataclasses and NumPy arrays, and the parameters of a model.
    So may the numbers of Values that it takes from outside. Everything else is part of the
    program: with a list of another length, another string or another whole number the
    function is traced and compiled again.

    Args:
        f: a function of numbers that does arithmetic with talweg's operations. It may use
            loops, lists, models and functions of your own; it may not branch on a number.
        mode: "default" for speed: results agree with the eager engine to rounding errors.
            "exact" for the same bits.

    Returns:
        The function as a `Jitted`. It returns what f returns, with the same Values, floats
        and lists. `backward()` on a result adds to the `grad` of every Value that was read,
        with the numbers that they had at the time of the call.

    Raises:
        ArgumentError: if f is not a function, or the mode is unknown.

    Example:
        >>> w = Value(0.5)
        >>> @jit
        ... def loss(xs):
        ...     return sum((w * x - 1.0) ** 2 for x in xs)
        >>> total = loss([1.0, 2.0, 3.0])
        >>> total.backward()
        >>> total.data, w.grad, loss.traces
        (0.5, 2.0, 1)
    """
    if mode not in ("default", "exact"):
        raise ArgumentError(f'mode must be "default" or "exact", got {mode!r}')
    if f is None:
        return functools.partial(jit, mode=mode)
    if not callable(f) or isinstance(f, type):
        raise ArgumentError(f"jit takes a function, got {f!r}")
    return Jitted(f, mode)


class Jitted:
    """A function as native code; made by `jit`.

    Attributes:
        mode: "default" or "exact".
        traces: how often the function was traced and compiled.
    """

    def __init__(self, f: Callable[..., Any], mode: Mode) -> None:
        functools.update_wrapper(self, f)
        self.f = f
        self.mode = mode
        self._programs: dict[Key, _Program] = {}
        self._seen = Seen()
        self._lock = threading.Lock()

    @property
    def traces(self) -> int:
        """How often the function was traced and compiled."""
        return len(self._programs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What f returns for these arguments."""
        if is_tracing():  # part of a larger program: that one is compiled
            return self.f(*args, **kwargs)
        flat = flatten(args, kwargs, self._seen)
        program = self._programs.get(flat.key)
        if program is None:
            with self._lock:
                program = self._programs.get(flat.key) or self._trace(flat, args, kwargs)
        return program.call(flat, args, kwargs)

    def _trace(self, flat: Flat, args: Sequence[Any], kwargs: dict[str, Any]) -> _Program:
        if self.traces >= _MANY_TRACES and self.traces & (self.traces - 1) == 0:
            last = next(reversed(self._programs))
            warnings.warn(
                f"{self!r} is traced for the {self.traces + 1}th time, because of "
                f"{difference(flat.key, last)}; whole numbers, strings and lengths are part of "
                "the program: give what changes from call to call as floats",
                TraceWarning,
                stacklevel=4,
            )
        program = _Program(self.f, self.mode == "exact", flat, args, kwargs)
        self._programs[flat.key] = program
        return program

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", repr(self.f))
        return f"<jit {name}{', exact' if self.mode == 'exact' else ''}>"


class _Program:
    """One trace of a function, compiled."""

    def __init__(
        self,
        f: Callable[..., Any],
        exact: bool,
        flat: Flat,
        args: Sequence[Any],
        kwargs: dict[str, Any],
    ) -> None:
        self.f = f
        self.exact = exact
        stand_ins: dict[Value, Value] = {}

        def stand_in(value: Value) -> Value:
            return stand_ins.setdefault(value, Value(value.data))

        given = rebuilt([list(args), kwargs], float, stand_in)
        traced = trace(lambda given: f(*given[0], **given[1]), given)
        self.first = (list(flat.floats), [v.data for v in flat.values])
        self.is_checked = False
        place: dict[Value, int] = {own: flat.places[v] for v, own in stand_ins.items()}
        place.update({v: k for v, k in flat.places.items() if v not in stand_ins})
        self.sources: list[int | Value] = [place.get(p, p) for p in traced.parameters]
        self.output = traced.output
        self.tape = traced.tape
        self.compiled = Compiled(traced.tape, exact=exact)
        self.parts: dict[tuple[bool, ...], Compiled] = {}
        self.kinds = [(traced.tape.spaces[s], k) for s, k in traced.tape.outputs]
        self.is_one = isinstance(traced.output, Value)
        self.captures = [p for p in self.sources if isinstance(p, Value)]
        # A Value may be read twice only if it can come in both ways.
        self.may_repeat = 0 < len(self.captures) < len(self.sources)
        self.read = _reader(self.sources)
        name = getattr(f, "__name__", "function")
        self.record = Op("compiled", name, to_float, (), (), f"What {name} computed, compiled.")

    def call(self, flat: Flat, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The function's result for these numbers."""
        read = self.read(flat.values)
        w = list(map(_data, read))
        numbers = self.compiled.value(w, flat.floats)
        if not self.is_checked:
            self._check(flat, numbers, args, kwargs)
        call = _Call(self, read, w, flat.floats)
        if self.is_one and self.kinds[0][0] == RESULT:
            return node_of(self.record, call.step, read, numbers[0])
        return call.results(numbers)

    def _check(
        self, flat: Flat, numbers: Sequence[float], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> None:
        """Compare the first call with other numbers than were traced with an eager one."""
        is_new = self.first != (flat.floats, [v.data for v in flat.values])
        if not is_new and not self.captures:
            return
        self.is_checked = is_new
        traced, eager = _leaves(self.output), _leaves(self.f(*args, **kwargs))
        found = iter(zip(numbers, self.kinds, strict=True))
        for was, is_now in zip(traced, eager, strict=True):
            if not isinstance(was, Value):
                continue
            own, (space, _) = next(found)
            b = is_now.data if isinstance(is_now, Value) else is_now
            same = own == b or (isnan(own) and isnan(b)) or space == "x"
            if not same and (self.exact or not isclose(own, b, rel_tol=1e-6, abs_tol=1e-9)):
                raise TraceError(
                    f"{getattr(self.f, '__name__', 'the function')} gives {b!r} when it is run, "
                    f"but {own!r} compiled: it reads .data of a Value, or something else that "
                    "changed, and goes on with the bare number, which was traced as a constant"
                )

    def part(self, reached: tuple[bool, ...]) -> Compiled:
        """The program of some of the outputs alone."""
        if all(reached):
            return self.compiled
        if reached not in self.parts:
            outputs = [o for o, wanted in zip(self.tape.outputs, reached, strict=True) if wanted]
            self.parts[reached] = Compiled(restricted(self.tape, outputs), exact=self.exact)
        return self.parts[reached]


def _leaves(nest: Any) -> list[Value | float]:
    """The numbers of a nest, Values and floats, in order."""
    found: list[Value | float] = []
    rebuilt(nest, found.append, found.append)
    return found


_data = operator.attrgetter("data")
_grad = operator.attrgetter("grad")


def _reader(sources: Sequence[int | Value]) -> Callable[[Sequence[Value]], tuple[Value, ...]]:
    """A function from the Values of a call to those that the program reads.

    Args:
        sources: for each of these its number among the Values of the call, or itself.
    """
    captured = tuple([p for p in sources if isinstance(p, Value)])
    if len(captured) == len(sources):
        return lambda values: captured
    numbers = [p for p in sources if isinstance(p, int)]
    if len(numbers) == len(sources) > 1:
        return operator.itemgetter(*numbers)
    return lambda values: tuple([p if isinstance(p, Value) else values[p] for p in sources])


class _Call:
    """One call: what its step backward needs."""

    __slots__ = ("program", "read", "seeds", "w", "x")

    def __init__(
        self, program: _Program, read: tuple[Value, ...], w: list[float], x: list[float]
    ) -> None:
        self.program = program
        self.read = read
        self.w = w
        self.x = x
        self.seeds: dict[int, float] = {}

    def step(self, node: Value) -> None:
        """Backward through a program with one result."""
        self._add(self.program.compiled, [node.grad])

    def _add(self, compiled: Compiled, seeds: Sequence[float]) -> None:
        """Add to the derivatives of everything that was read."""
        read = self.read
        if self.program.may_repeat and len(set(read)) < len(
            read
        ):  # given, and captured too: no single start
            shares = compiled.gradient(self.w, self.x, seeds)["w"]
            for value, share in zip(read, shares, strict=True):
                value.grad += share
            return
        start = {"w": list(map(_grad, read))}
        for value, g in zip(
            read, compiled.gradient(self.w, self.x, seeds, start)["w"], strict=True
        ):
            value.grad = g

    def results(self, numbers: Sequence[float]) -> Any:
        """The nest that the function returns.

        Several results share a node behind them, older than they are, which goes backward for
        all of them at once when each has left its derivative there.
        """
        hub = node_of(self.program.record, self._step_of_hub, self.read, 0.0)
        found = iter(range(len(numbers)))
        made: dict[int, Value] = {}

        def result(_: Value) -> Any:
            k = next(found)
            space, index = self.program.kinds[k]
            if space == RESULT:
                if index not in made:
                    step = functools.partial(self._leave, k)
                    made[index] = node_of(self.program.record, step, (hub,), numbers[k])
                return made[index]
            if space == CONSTANT:
                return Value(numbers[k])
            return self.read[index] if space == "w" else numbers[k]

        return rebuilt(self.program.output, float, result)

    def _leave(self, k: int, node: Value) -> None:
        self.seeds[k] = node.grad

    def _step_of_hub(self, _: Value) -> None:
        count = len(self.program.kinds)
        reached = tuple([k in self.seeds for k in range(count)])
        seeds = [self.seeds[k] for k in range(count) if k in self.seeds]
        self.seeds = {}
        self._add(self.program.part(reached), seeds)
