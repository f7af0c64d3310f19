"""The error of `math.exp(v)` for a Value v: its result would be a number without a derivative.

A function of `math` converts its argument by `__float__`, as `float` does. `float(v)` itself is
allowed, so the instructions of the calling frame are read to tell which function is called. The
function is found if it is a name, an attribute of a name, an item of a dictionary or a list that
has a name, or an argument of `map`. It is not found if it is part of the result of another call, as
in `make().activation(v)`.

Start reading at `refuse_math_function`.
"""

from __future__ import annotations

import builtins
import cmath
import dis
import inspect
import math
from collections.abc import Iterator
from functools import lru_cache
from types import CodeType, FrameType, ModuleType
from typing import Any, NamedTuple

from talweg.autodiff.operation import REGISTRY
from talweg.errors import NumberError

_TESTS = (math.isnan, math.isinf, math.isfinite, math.isclose)
"""Functions that only look at a number, and have no derivative."""

_OTHER_NAMES = {"fabs": "abs"}

_NAMES = {
    "LOAD_GLOBAL",
    "LOAD_NAME",
    "LOAD_FAST",
    "LOAD_DEREF",
    "LOAD_FAST_CHECK",
    "LOAD_FAST_BORROW",
}
_ATTRIBUTES = {"LOAD_ATTR", "LOAD_METHOD"}


class Chain(NamedTuple):
    """A name with the attributes that are read from it, such as math.exp.

    Attributes:
        is_global: whether the name is not one of the function's own.
        names: the name and the attributes.
        begin: where it begins in the source: (line, column).
        end: where it ends.
    """

    is_global: bool
    names: tuple[str, ...]
    begin: tuple[Any, Any]
    end: tuple[Any, Any]


def refuse_math_function(frame: FrameType) -> None:
    """Raise an error if a frame stands at the call of a function of `math`.

    Args:
        frame: the frame whose instruction has asked for the float of a Value.

    Raises:
        NumberError: with the operation of talweg that is to be used instead.
    """
    called, mentioned = _chains(frame.f_code, frame.f_lasti)
    found = [] if called is None else _objects(_found(frame, called))
    if found and found[0] is float:
        return
    found += [_found(frame, chain) for chain in mentioned]
    if frame.f_code.co_varnames[:1] == (".0",):  # a comprehension, which may run over a `map`
        iterator = frame.f_locals.get(".0")
        found += [iterator.__reduce__()[1][0]] if isinstance(iterator, map) else []
    if any(x is float or x is int for x in found):
        return
    for x in found:
        if _is_math_function(x):
            raise NumberError(_message(x.__module__, x.__name__))


def _message(module: str, name: str) -> str:
    own = _OTHER_NAMES.get(name, name)
    repair = f"for the bare number use {module}.{name}(v.data)"
    if own in REGISTRY:
        repair = f"use tw.{own}, or {repair}"
    return f"{module}.{name} of a Value would be a bare number without a derivative; {repair}"


def _is_math_function(x: Any) -> bool:
    own = getattr(x, "__self__", None)
    return (own is math or own is cmath) and not any(x is test for test in _TESTS)


def _objects(x: Any) -> list[Any]:
    """What is called: x, or something in it, as in `activations["tanh"](v)`."""
    if isinstance(x, dict):
        return list(x.values())
    return list(x) if isinstance(x, (list, tuple)) else [x]


@lru_cache(maxsize=4096)
def _chains(code: CodeType, offset: int) -> tuple[Chain | None, tuple[Chain, ...]]:
    """What the call at an instruction calls, and the functions that its arguments mention.

    Both are known by where they stand in the source: what is called begins where the call begins.
    """
    instructions = list(dis.get_instructions(code))
    here = next(i for i in instructions if i.offset == offset)
    begin, end = _place(here)
    if None in begin:
        return None, ()
    calls = {_place(i)[0] for i in instructions if "CALL" in i.opname}
    inside = [c for c in _all_chains(instructions) if begin <= c.begin and c.end <= end]
    called = next((c for c in inside if c.begin == begin), None)
    return called, tuple([c for c in inside if c.begin not in calls])


def _place(i: dis.Instruction) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
    """Where the source of an instruction begins and ends; (None, None) if that is not known."""
    at = i.positions
    if at is None:
        return (None, None), (None, None)
    return (at.lineno, at.col_offset), (at.end_lineno, at.end_col_offset)


def _all_chains(instructions: list[dis.Instruction]) -> Iterator[Chain]:
    chain: Chain | None = None
    for i in instructions:
        begin, end = _place(i)
        if None in begin or i.opname == "PUSH_NULL":
            continue
        if i.opname in _ATTRIBUTES and chain is not None and begin == chain.begin:
            chain = Chain(chain.is_global, (*chain.names, i.argval), begin, end)
            continue
        if chain is not None:
            yield chain
        is_name = i.opname in _NAMES
        chain = Chain(i.opname == "LOAD_GLOBAL", (i.argval,), begin, end) if is_name else None
    if chain is not None:
        yield chain


def _found(frame: FrameType, chain: Chain) -> Any:
    """The object of a chain in a frame, or None. No property is computed for it."""
    name, *attributes = chain.names
    found = None if chain.is_global else frame.f_locals.get(name)
    if found is None:
        found = frame.f_globals.get(name, getattr(builtins, name, None))
    for attribute in attributes:
        if isinstance(found, ModuleType):
            found = getattr(found, attribute, None)
        else:
            found = inspect.getattr_static(found, attribute, None)
            found = found.__func__ if isinstance(found, staticmethod) else found
    return found
