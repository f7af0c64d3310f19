"""Symbolic integers: integers of a traced function that may differ at the next call.

Examples are a token of a text and a class to predict. A `SymbolicInt` stands for such an integer
while a function is traced. `Embedding[i]` and `gather(values, i)` leave it symbolic: it becomes an
input of the program. Any other use, as a number, an index or a count, makes it part of the program.
Then `is_fixed` is true, and the program serves only examples that have the same integer.

Start reading at `SymbolicInt`.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from talweg.value import Value


class SymbolicInt(Value):
    """An integer in a traced function.

    Attributes:
        is_fixed: whether the program depends on the number itself.
    """

    __slots__ = ("is_fixed",)

    def __init__(self, number: int) -> None:
        super().__init__(float(number))
        self.is_fixed = False

    def __index__(self) -> int:
        self.is_fixed = True
        return int(self._data)

    __int__ = __index__

    def __float__(self) -> float:
        return float(self.__index__())

    def __bool__(self) -> bool:
        return bool(self.__index__())

    def __hash__(self) -> int:
        return hash(self.__index__())

    def __repr__(self) -> str:
        return repr(self.__index__())

    def __format__(self, spec: str) -> str:
        return format(self.__index__(), spec)


def _fixing(name: str) -> Callable[..., Any]:
    """The method of this name: that of `Value` if the other operand is one, else that of `int`."""
    of_value: Any = getattr(Value, name, None)
    of_int = getattr(int, name)
    forward = getattr(Value, f"__{name[3:]}", None) if name.startswith("__r") else None

    def method(self: SymbolicInt, *others: Any) -> Any:
        if others and isinstance(others[0], Value) and not isinstance(others[0], SymbolicInt):
            # Python calls the subclass first, so `value * integer` arrives here as __rmul__.
            return forward(others[0], self) if forward else of_value(self, *others)
        plain = [operator.index(x) if isinstance(x, SymbolicInt) else x for x in others]
        if plain and isinstance(plain[0], float):
            return getattr(float, name)(float(self), *plain)
        return of_int(self.__index__(), *plain)

    method.__name__ = name
    return method


for _name in (
    "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "floordiv", "rfloordiv",
    "mod", "rmod", "pow", "rpow", "neg", "abs", "lt", "le", "gt", "ge", "eq", "ne",
):  # fmt: skip
    setattr(SymbolicInt, f"__{_name}__", _fixing(f"__{_name}__"))
