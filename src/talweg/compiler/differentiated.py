"""The function that is differentiated, with `argnums` and `has_aux`.

`argnums` selects the arguments to differentiate by (`Selection`). With `has_aux` the function
returns a pair: the number, and other results that are not differentiated. `Differentiated` is the
function with these two settings. It returns such a pair, and raises an error for any other result.

Start reading at `Differentiated`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talweg.compiler.frontend.pytree import tree_leaves, tree_map
from talweg.compiler.frontend.traced_numbers import is_traced, operand
from talweg.errors import ArgumentError, TraceError
from talweg.value import Value

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
    if is_traced(result) or isinstance(result, Value):
        number: Value = operand(result)
        return number
    if isinstance(result, (float, int)) and not isinstance(result, bool):
        raise TraceError(
            f"the function must return one number that depends on its arguments, got the "
            f"{type(result).__name__} {result!r}, which was not computed from its arguments by "
            "talweg's operations; if a constant is meant, return tw.Value(...)"
        )
    several = "; tw.jacobian differentiates several" if _is_sequence(result) else ""
    pair = "; for a pair (number, other results) write has_aux=True"
    shape = f" of shape {result.shape}" if isinstance(result, np.ndarray) else ""
    raise TraceError(
        f"the function must return one number, got {type(result).__name__}{shape}"
        f"{pair if isinstance(result, tuple) and len(result) == 2 else ''}"
        f"{several}"
    )


def _is_sequence(result: Any) -> bool:
    return isinstance(result, (list, np.ndarray))


def several_numbers(result: Any) -> Any:
    """The result of a function that is differentiated by `jacobian`: a pytree of Values.

    Raises:
        TraceError: if there is no traced number in it.
    """
    if not any(is_traced(x) or isinstance(x, Value) for x in tree_leaves(result)):
        shown = f"{type(result).__name__} {result!r}"
        raise TraceError(
            f"the function must return numbers that depend on its arguments, got {shown}, in which "
            "none was computed from its arguments by talweg's operations"
        )
    return tree_map(
        result,
        on_float=lambda x: operand(x) if is_traced(x) else Value(x),
        on_integer=lambda x: Value(float(x)),
    )


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
