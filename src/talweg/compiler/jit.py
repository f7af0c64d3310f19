"""tw.jit: a Python function of numbers as native code.

The first call with arguments of a kind traces the function, finds its loops and compiles them;
later calls hand their numbers to the native code. What comes back are Values: they have the
Values that the function read as operands, and their step backward is native code too.

Start reading at `Jitted.__call__`, then `_Program.call`.
"""

from __future__ import annotations

import functools
import operator
import struct
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, overload

from talweg.autodiff.operation import Op, to_float
from talweg.autodiff.tracing import is_plain, is_tracing
from talweg.compiler import pipeline
from talweg.compiler.frontend.object_guard import Key, is_function
from talweg.compiler.frontend.pytree import rebuilt
from talweg.compiler.frontend.signature import Flat, Seen, difference, flatten
from talweg.compiler.frontend.trace import trace
from talweg.compiler.frontend.trace_guard import Check, emptied
from talweg.compiler.ir.tape import CONSTANT, RESULT, restricted
from talweg.compiler.pipeline import Mode
from talweg.compiler.runtime.executable import Executable, Numbers
from talweg.errors import ArgumentError, NumberError, TraceWarning
from talweg.value import Value, node_of

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
    function is traced and compiled again. What f takes from outside is looked at only while it
    is traced, all but Values; so give a model as an argument if something in it will change.

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
        TraceError: at a call, if f depends on its numbers in a way that cannot be compiled: it
            branches on one, makes a float of one, or goes on with the bare number of `.data`.
            The last is found by running f as plain Python too at the first call with other
            numbers.

    Warns:
        TraceWarning: at the 9th trace and at some later ones, with the reason.

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
    pipeline.is_exact(mode)
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
        functools.update_wrapper(self, f, updated=())
        # A model that is called, or whose method is, is looked at like one among the arguments.
        self._first: tuple[Any, ...] = ()
        if isinstance(f, types.MethodType):
            self._first, f = (f.__self__,), f.__func__
        elif not is_function(f):
            self._first, f = (f,), type(f).__call__
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
        if self._first:
            args = (*self._first, *args)
        if is_tracing() or is_plain():  # part of a larger program: that one is compiled
            return self.f(*args, **kwargs)
        flat = flatten(args, kwargs, self._seen)
        program = self._programs.get(flat.key) or self._new(flat.key, flat, args, kwargs, ())
        if program.captured and flat.has_own_values:
            captured = program.captured_among(flat)
            if captured:
                key = (flat.key, captured)
                program = self._programs.get(key) or self._new(key, flat, args, kwargs, captured)
        return program.call(flat, args, kwargs)

    def _new(
        self,
        key: Key,
        flat: Flat,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        captured: tuple[tuple[int, int], ...],
    ) -> _Program:
        with self._lock:
            if key in self._programs:  # another thread was faster
                return self._programs[key]
            if self.traces >= _MANY_TRACES and self.traces & (self.traces - 1) == 0:
                self._warn(flat)
            whole = {flat.values[place] for place, _ in captured}
            program = _Program(self.f, self.mode == "exact", flat, args, kwargs, whole)
            self._programs[key] = program
            return program

    def _warn(self, flat: Flat) -> None:
        last = next(reversed(self._programs.values()))
        warnings.warn(
            f"{self!r} is traced for the {self.traces + 1}th time, because of "
            f"{difference(flat.key, last.key)}; whole numbers, strings and lengths are part of "
            "the program: give what changes from call to call as floats",
            TraceWarning,
            stacklevel=4,
        )

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else types.MethodType(self, instance)

    def __reduce__(self) -> str:
        return str(getattr(self, "__qualname__", self.f))  # as functions are: by name

    def __repr__(self) -> str:
        name = getattr(self.f, "__qualname__", repr(self.f))
        return f"<jit {name}{', exact' if self.mode == 'exact' else ''}>"


class _Program:
    """One trace of a function, compiled.

    Args:
        f: the function.
        exact: whether every bit must be that of the eager engine.
        flat: the call that is traced.
        args: its positional arguments.
        kwargs: its other arguments.
        whole: Values among the arguments which f also takes from outside. The others get
            stand-ins, to tell what f reads in its arguments from what it takes from outside.

    Attributes:
        key: of the calls that it serves.
        captured: the Values from outside that it reads.
        follows: whether the last result went backward in the most common way, from 1.0 and
            into derivatives that were zero. Then the next result probably will too, and its
            derivatives are computed together with it: this saves a second way forward.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        exact: bool,
        flat: Flat,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        whole: set[Value],
    ) -> None:
        self.key = flat.key
        self.exact = exact
        stand_ins: dict[Value, Value] = {}

        def stand_in(value: Value) -> Value:
            return value if value in whole else stand_ins.setdefault(value, Value(value.data))

        whole = whole | {value for look in flat.looks for value in look.values}
        given = rebuilt([list(args), dict(sorted(kwargs.items()))], float, stand_in)
        traced = trace(lambda given: f(*given[0], **given[1]), given)
        self.tape = traced.tape
        self.output = emptied(traced.output)
        place = {stand_ins.get(value, value): k for value, k in flat.places.items()}
        self.sources: list[int | Value] = [place.get(p, p) for p in traced.parameters]
        self.captured = tuple([p for p in self.sources if isinstance(p, Value)])
        self.pack = struct.Struct(f"={len(self.sources)}d").pack
        self.zeros = bytes(8 * len(self.sources))
        self.fixed = _reading(self.captured) if len(self.captured) == len(self.sources) else None

        self.kinds = [(traced.tape.spaces[s], k) for s, k in traced.tape.outputs]
        self.is_one = isinstance(traced.output, Value) and self.kinds[0][0] == RESULT
        own = dict.fromkeys(o for o in traced.tape.outputs if traced.tape.spaces[o[0]] == RESULT)
        self.outputs = list(own)
        self.compiled = self.part((True,) * len(own)) if own else None
        self.parts: dict[tuple[bool, ...], Executable] = {}
        self.follows = False
        name = getattr(f, "__name__", "function")
        self.record = Op("compiled", name, to_float, (), (), f"What {name} computed, compiled.")
        unread = sorted(
            {*range(len(flat.values))}.difference(p for p in self.sources if isinstance(p, int))
        )
        self.check = Check(f, traced, flat, self.pack(*map(_data, traced.parameters)), unread)

    def packed(self, number: Callable[[Value], float], values: Sequence[Value]) -> bytes:
        """The data or the derivatives of what is read, as bytes."""
        try:
            return self.pack(*map(number, values))
        except struct.error:
            wrong = next(x for x in map(number, values) if not hasattr(x, "__float__"))
            raise NumberError(
                f"a Value holds {type(wrong).__name__} {wrong!r}, which is not a number"
            ) from None

    def captured_among(self, flat: Flat) -> tuple[tuple[int, int], ...]:
        """Which Values of a call f also takes from outside: (place in the call, which)."""
        places = flat.places
        return tuple([(places[v], k) for k, v in enumerate(self.captured) if v in places])

    def part(self, reached: tuple[bool, ...]) -> Executable:
        """The program of some of the results alone."""
        outputs = [o for o, wanted in zip(self.outputs, reached, strict=True) if wanted]
        same = outputs == list(self.tape.outputs)
        tape = self.tape if same else restricted(self.tape, outputs)
        return pipeline.executable(tape, exact=self.exact)

    def _reading(self, flat: Flat) -> _Reading:
        """What is read at a call; worked out anew only if the Values may be others."""
        if self.fixed is not None:
            return self.fixed
        look = flat.look
        reading = look.reads.get(self) if look is not None else None
        if reading is None:
            values = flat.values
            read = tuple([p if isinstance(p, Value) else values[p] for p in self.sources])
            reading = _reading(read)
            if look is not None:
                look.reads[self] = reading
        return reading

    def call(self, flat: Flat, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """The function's result for these numbers."""
        read, operands = self._reading(flat)
        w, x = self.packed(_data, read), b"".join(flat.chunks)
        if self.check.is_open:
            self.check(w, flat, args, kwargs)
        call = _Call(self, read, w, x)
        numbers: tuple[float, ...] = ()
        if self.follows and self.compiled:
            self.follows = False
            numbers, shares = self.compiled.value_and_gradient(w, x, _ONE)
            call.shares = shares["w"]
        elif self.compiled:
            numbers = self.compiled.value(w, x)
        if not self.is_one:
            return call.results(numbers, operands)
        node = node_of(self.record, call.step, operands, numbers[0])
        node._shown = read
        return node


_ONE = struct.pack("=d", 1.0)

_data = operator.attrgetter("data")
_grad = operator.attrgetter("grad")

_Reading: TypeAlias = tuple[tuple[Value, ...], tuple[Value, ...]]
"""The Values that a program reads, and those of them that its results have as operands."""


def _reading(read: tuple[Value, ...]) -> _Reading:
    """What is read, and what of it a walk through the graph has to see.

    The walk must go on behind inner nodes. Of the leaves three are enough, for it only looks
    whether a parameter was updated and its gradient not zeroed.
    """
    leaves = [v for v in read if not v._operands]
    witnesses = dict.fromkeys([leaves[0], leaves[len(leaves) // 2], leaves[-1]]) if leaves else {}
    return read, (*witnesses, *[v for v in read if v._operands])


class _Call:
    """One call: what its way backward needs."""

    __slots__ = ("cotangents", "program", "read", "shares", "w", "x")

    def __init__(self, program: _Program, read: tuple[Value, ...], w: bytes, x: bytes) -> None:
        self.program = program
        self.read = read
        self.w = w
        self.x = x
        self.cotangents: dict[int, float] = {}
        self.shares: Sequence[float] | None = None

    def step(self, node: Value) -> None:
        """Backward through a program with one result."""
        program, read = self.program, self.read
        start, seed = program.packed(_grad, read), _double(node.grad)
        usual = start == program.zeros and seed == _ONE
        if usual and self.shares is not None:
            sums = self.shares
        else:
            assert program.compiled is not None  # for there is a result
            sums = self._sums(program.compiled, seed, start)
        program.follows = usual
        _put(sums, read)

    def _sums(self, compiled: Executable, cotangents: Numbers, start: bytes) -> Sequence[float]:
        """The derivatives of what was read, added to what was there before."""
        return compiled.gradient(self.w, self.x, cotangents, {"w": start})["w"]

    def results(self, numbers: Sequence[float], operands: tuple[Value, ...]) -> Any:
        """The nest that the function returns.

        Several results share a node behind them, older than they are, which goes backward for
        all of them at once when each has left its derivative there.
        """
        program = self.program
        hub = node_of(program.record, self._step_of_hub, operands, 0.0)
        hub._shown = self.read
        results = [
            node_of(program.record, functools.partial(self._leave, k), (hub,), number)
            for k, number in enumerate(numbers)
        ]
        by_index = dict(zip([k for _, k in program.outputs], results, strict=True))
        kinds = iter(program.kinds)
        floats = struct.unpack(f"={len(self.x) // 8}d", self.x)
        constants = program.tape.constants

        def result(_: Value) -> Any:
            space, k = next(kinds)
            if space == RESULT:
                return by_index[k]
            if space == CONSTANT:
                return Value(constants[k])
            return self.read[k] if space == "w" else floats[k]

        return rebuilt(program.output, float, result)

    def _leave(self, k: int, node: Value) -> None:
        self.cotangents[k] = node.grad

    def _step_of_hub(self, _: Value) -> None:
        program, read = self.program, self.read
        reached = tuple([k in self.cotangents for k in range(len(program.outputs))])
        cotangents = [self.cotangents[k] for k in sorted(self.cotangents)]
        self.cotangents = {}
        if reached not in program.parts:
            whole = program.compiled if all(reached) else None
            program.parts[reached] = whole or program.part(reached)
        start = program.packed(_grad, read)
        _put(self._sums(program.parts[reached], cotangents, start), read)


_double = struct.Struct("=d").pack


def _put(sums: Sequence[float], values: Sequence[Value]) -> None:
    """Store the derivatives of Values; the loop writes to `value.grad` by itself."""
    value: Value
    for value, value.grad in zip(values, sums, strict=True):  # noqa: B007 - twice as fast as a body
        pass
