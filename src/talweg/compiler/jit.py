"""tw.jit: a Python function of numbers as native code.

The first call with arguments of one signature (types, lengths, names, integers) traces the
function, finds its loops and compiles them. Later calls with the same signature pass their numbers
to the native code. A function that branches on numbers is traced once for each path
(`compiler/paths.py`). The results are Values; their operands are the Values that the function read.

Start reading at `Jitted.__call__`, then `compiler/specialization.py`.
"""

from __future__ import annotations

import functools
import inspect
import threading
import types
import warnings
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, overload

from talweg.autodiff.tracing import is_tracing, is_uncompiled
from talweg.compiler.frontend.cache_key import CacheKey, is_function
from talweg.compiler.frontend.effects import UnrepeatedChangeError
from talweg.compiler.frontend.signature import CallSignature, SignatureCache, in_order, signature_of
from talweg.compiler.paths import refuse_another_path
from talweg.compiler.pipeline import Mode, is_exact
from talweg.compiler.specialization import OTHER_PATH, Specialization
from talweg.errors import ArgumentError, TraceError, TraceWarning

Shared: TypeAlias = tuple[tuple[int, int], ...]
"""The Values of a call that f takes from outside too: (position in the call, which of them)."""

_MANY_TRACES = 8
"""From so many traces on, a warning tells why the function is traced again."""


@overload
def jit(f: Callable[..., Any], *, mode: Mode = "default") -> Jitted: ...
@overload
def jit(f: None = None, *, mode: Mode = "default") -> Callable[[Callable[..., Any]], Jitted]: ...


def jit(f: Callable[..., Any] | None = None, *, mode: Mode = "default") -> Any:
    """A function as native code: the same results, thousands of times faster.

    The numbers in its arguments may change from call to call: floats and Values, alone or in
    lists, tuples, dictionaries, dataclasses and NumPy arrays, and the parameters of a model.
    So may the numbers of Values that it takes from outside. Everything else is part of the
    program: with a list of another length, another string or another integer the function is
    traced and compiled again. What f reads from outside (closures, globals, attributes of objects
    and classes) is compared at every call. Numbers that it stores there, as in `self.h = h`, are
    stored after every call; docs/compiled_programs.md has the whole list.

    Args:
        f: a function of numbers that does arithmetic with talweg's operations. It may use
            loops, lists, models, your own functions, and branches on numbers: it is traced once
            for each path, at most 16 times for one signature.
        mode: "default" for speed: results agree with the eager engine to rounding errors.
            "exact" for the same bits.

    Returns:
        The function as a `Jitted`. It returns what f returns, with the same Values, floats
        and lists. `backward()` on a result adds to the `grad` of every Value that was read; it
        computes with the numbers that the Values had at the time of the call.

    Raises:
        ArgumentError: if f is not a function, or the mode is unknown.
        TraceError: at a call, if f does what compiled code would not repeat: it draws random
            numbers, counts its calls or appends to a list; or if it has more than 16 paths. Also
            if the first call with other numbers, which runs f as plain Python too, gives another
            result there.

    Warns:
        TraceWarning: at the 9th trace and at some later ones, with the reason.

    Example:
        >>> import talweg as tw
        >>> w = tw.Value(0.5)
        >>> @tw.jit
        ... def loss(xs):
        ...     return sum((w * x - 1.0) ** 2 for x in xs)
        >>> total = loss([1.0, 2.0, 3.0])
        >>> total.backward()
        >>> total.data, w.grad, loss.traces
        (0.5, 2.0, 1)
    """
    is_exact(mode)  # raises an error if there is no such mode
    if f is None:
        return functools.partial(jit, mode=mode)
    decorated: Any = f
    if isinstance(decorated, (staticmethod, classmethod)):
        return type(decorated)(jit(decorated.__func__, mode=mode))
    _refuse_no_function(f)
    return Jitted(f, mode)


def _refuse_no_function(f: Any) -> None:
    """Raise an error for what is not a function, or one that does not return its result.

    Raises:
        ArgumentError: with the repair.
    """
    called = f
    while isinstance(called, functools.partial):
        called = called.func
    if not (inspect.isroutine(called) or isinstance(called, type)):
        called = inspect.getattr_static(type(called), "__call__", called)
    if isinstance(f, property):
        problem = "a property; write @property above @tw.jit"
    elif isinstance(f, functools.partialmethod):
        problem = "a partialmethod; give tw.jit the function, and make the partialmethod of that"
    elif isinstance(f, type):
        problem = f"the class {f.__name__}; give a function that returns numbers, or an object"
    elif not callable(f):
        problem = f"{type(f).__name__} {f!r}"
    elif inspect.isgeneratorfunction(called) or inspect.isasyncgenfunction(called):
        problem = f"{_name(f)}, a generator; return a list of the numbers instead of yielding them"
    elif inspect.iscoroutinefunction(called):
        problem = f"{_name(f)}, a coroutine; compile the arithmetic in it as a function of its own"
    else:
        return
    raise ArgumentError(f"jit takes a function, got {problem}")


def _name(f: Any) -> str:
    return str(getattr(f, "__qualname__", None) or repr(f))


class Jitted:
    """A function as native code; made by `jit`.

    Attributes:
        mode: "default" or "exact".
        traces: how often the function was traced and compiled.
    """

    def __init__(self, f: Callable[..., Any], mode: Mode) -> None:
        functools.update_wrapper(self, f, updated=())
        # The object of a method, or an object that is called, becomes the first argument.
        self._bound: tuple[Any, ...] = ()
        if isinstance(f, types.MethodType):
            self._bound, f = (f.__self__,), f.__func__
        elif not is_function(f):
            self._bound, f = (f,), type(f).__call__
        self.f = f
        self.mode = mode
        self._specializations: dict[CacheKey, tuple[Specialization, ...]] = {}
        self._cache = SignatureCache(f, changing=True)
        self._lock = threading.Lock()

    @property
    def traces(self) -> int:
        """How often the function was traced and compiled."""
        return sum(map(len, self._specializations.values()))

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What f returns for these arguments."""
        if self._bound:
            args = (*self._bound, *args)
        if is_tracing() or is_uncompiled():  # part of a larger program: that one is compiled
            return self.f(*args, **kwargs)
        if kwargs:
            kwargs = in_order(self.f, kwargs)
        signature = signature_of(args, kwargs, self._cache)
        try:
            return self._call(signature.key, signature, args, kwargs)
        except UnrepeatedChangeError:
            return self.f(*args, **kwargs)
        except TraceError:
            if not self._cache.keep_constant(signature):
                raise
        signature = signature_of(args, kwargs, self._cache)
        return self._call(signature.key, signature, args, kwargs)

    def _call(
        self,
        key: CacheKey,
        signature: CallSignature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        shared: Shared | None = None,
    ) -> Any:
        """The result by the program that serves the call; it is compiled if there is none.

        Args:
            key: what the program's calls have in common.
            signature: the call.
            args: its positional arguments.
            kwargs: its named arguments.
            shared: which Values are arguments and taken from outside; None if that is not known.
        """
        known = self._specializations.get(key, ())
        for found in known:
            if shared is None and found.captured and signature.has_direct_values:
                also = found.captured_positions(signature)
                if also:
                    return self._call((key, also), signature, args, kwargs, also)
            result = found.call(signature, args, kwargs)
            if result is not OTHER_PATH:
                if found is not known[0]:
                    self._put_first(key, found)
                return result
        with self._lock:
            if len(self._specializations.get(key, ())) == len(known):  # no other thread was faster
                self._specialize(key, signature, args, kwargs, shared or ())
        return self._call(key, signature, args, kwargs, shared)

    def _specialize(
        self,
        key: CacheKey,
        signature: CallSignature,
        args: Sequence[Any],
        kwargs: dict[str, Any],
        shared: Shared,
    ) -> None:
        """Trace and compile the function for a call."""
        known = self._specializations.get(key, ())
        if known:
            guards = [found.path_guard for found in known if found.path_guard]
            refuse_another_path(guards, getattr(self.f, "__name__", "the function"))
        elif self.traces >= _MANY_TRACES and self.traces & (self.traces - 1) == 0:
            self._warn(signature)
        found = Specialization(
            self.f,
            signature,
            args,
            kwargs,
            exact=is_exact(self.mode),
            shared={signature.values[position] for position, _ in shared},
        )
        self._specializations[key] = (found, *known)

    def _put_first(self, key: CacheKey, found: Specialization) -> None:
        """Try this program first at the next call: branches often go as they went before."""
        with self._lock:
            others = [other for other in self._specializations[key] if other is not found]
            self._specializations[key] = (found, *others)

    def _warn(self, signature: CallSignature) -> None:
        from talweg.compiler.frontend.key_difference import key_difference

        last = next(reversed(self._specializations.values()))[0]
        warnings.warn(
            f"{self!r} is traced for the {self.traces + 1}th time, because of "
            f"{key_difference(signature.key, last.key)}; integers, strings and lengths are part "
            "of the program: give what changes from call to call as floats",
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
