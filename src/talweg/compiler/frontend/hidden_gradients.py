"""Hidden gradients: a function that is traced cannot read `grad` of the Values that it reads.

A function that reads `p.grad` would be compiled with the gradient at the time of the trace. So
while a function is traced, `grad` of the Values in its arguments and outside is an object that
raises an error when it is used. An assignment to `grad` is found after the run.

Start reading at `HiddenGradients`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from talweg.compiler.frontend.reachable import is_user_file
from talweg.errors import TraceError
from talweg.value import Value

_REPAIR = "compute gradients by tw.grad(f) inside, or call backward() on the result, outside"


class HiddenGradient:
    """Stands for the gradient of a Value; it can be printed, and not used.

    Args:
        number: the gradient.
    """

    __slots__ = ("number",)

    def __init__(self, number: float) -> None:
        self.number = number

    def __repr__(self) -> str:
        return repr(self.number)

    def __format__(self, spec: str) -> str:
        return format(self.number, spec)

    def __ne__(self, other: object) -> bool:
        if is_user_file(sys._getframe(1).f_code.co_filename):
            _refuse()
        return self.number != other  # by Value.__repr__

    __hash__ = object.__hash__

    @property
    def _traced_node(self) -> NoReturn:
        """What the operators of Values ask of another operand."""
        _refuse()


def _refuse(*_: object) -> NoReturn:
    raise TraceError(
        f"a function that is compiled reads .grad of a Value, or calls backward(); {_REPAIR}"
    )


def _refusing(name: str) -> Callable[..., Any]:
    def method(self: HiddenGradient, *others: object) -> Any:
        _refuse()

    method.__name__ = name
    return method


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv",
    "mod", "rmod", "pow", "rpow", "neg", "pos", "abs", "lt", "le", "gt", "ge", "eq", "bool",
    "float", "int", "round", "index", "complex",
):  # fmt: skip
    setattr(HiddenGradient, f"__{_name}__", _refusing(f"__{_name}__"))


class HiddenGradients:
    """Inside the `with`, the gradients of these Values are hidden.

    Args:
        values: the Values.
    """

    def __init__(self, values: Sequence[Value]) -> None:
        # Each once, by identity: the hash of a symbolic integer would be a use of its number.
        self._values = list({id(value): value for value in values}.values())
        self._before = [value.grad for value in self._values]
        self._hidden: list[Any] = [*map(HiddenGradient, self._before)]
        self._is_changed = False

    def __enter__(self) -> HiddenGradients:
        for value, hidden in zip(self._values, self._hidden, strict=True):
            value.grad = hidden
        return self

    def __exit__(self, *_: object) -> None:
        now = [value.grad for value in self._values]
        self._is_changed = any(a is not b for a, b in zip(now, self._hidden, strict=True))
        for value, number in zip(self._values, self._before, strict=True):
            value.grad = number

    def changes(self) -> Iterator[tuple[str, str]]:
        """What was done to them and the repair, if one was assigned."""
        if self._is_changed:
            yield "assigns .grad of a Value", _REPAIR
