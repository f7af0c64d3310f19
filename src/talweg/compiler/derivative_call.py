"""The numbers of a call of a derivative, as native code takes them.

Native code is given two arrays: `w`, the numbers to differentiate by, and `x`, all others.
`Variables` knows which numbers of a call are in `w`; `Packing` makes the bytes of both from
a call signature. Where an argument is an array, these are its own bytes: no Python object is made
for a number.

Start reading at `Variables`, then `Packing.__call__`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from talweg.compiler.derivative_shapes import shape_of
from talweg.compiler.differentiated import Selection
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.pytree import tree_leaves
from talweg.compiler.frontend.signature import CallSignature
from talweg.compiler.frontend.trace import Trace
from talweg.compiler.frontend.traced_numbers import operand
from talweg.compiler.ir.tape import Array, rearranged
from talweg.value import Value

Arguments: TypeAlias = Sequence[Any]
Named: TypeAlias = dict[str, Any]

DIRECTION = "d"
"""The space of a direction in programs of derivatives along one."""


@dataclass(frozen=True, eq=False)
class Call:
    """A call of a derivative.

    Attributes:
        args: the positional arguments.
        kwargs: the named arguments.
        signature: their numbers.
    """

    args: Arguments
    kwargs: Named
    signature: CallSignature


class Variables:
    """The numbers of a call by which a function is differentiated.

    Args:
        positions: the arguments to differentiate by.
        call: a call with the signature key for which they are found.

    Attributes:
        shapes: those of the arguments.
        numbers: each number, once: ("x", its number among the floats of the call), or ("value",
            its position among the Values of the call).
        take: for each number of the arguments its number in `numbers`; None if it is the same.
        bounds: where the numbers of the arguments begin and end.
    """

    def __init__(self, positions: Sequence[int], call: Call) -> None:
        self.positions = list(positions)
        self.shapes = [shape_of(call.args[k]) for k in positions]
        everything: list[tuple[str, int]] = []
        for k, shape in zip(positions, self.shapes, strict=True):
            if shape.is_model:
                own = call.args[k].parameters()
                everything += [("value", call.signature.positions[p]) for p in own]
            else:
                everything += [("x", i) for i in range(*call.signature.float_range(k))]
        number = {one: k for k, one in enumerate(dict.fromkeys(everything))}
        self.numbers = list(number)
        is_plain = len(number) == len(everything)
        self.take = None if is_plain else np.array([number[one] for one in everything])
        self.count = len(everything)
        ends = np.cumsum([0, *[shape.count for shape in self.shapes]]).tolist()
        self.bounds = list(pairwise(ends))

    def leaves(self, args: Arguments) -> list[Value]:
        """The Values that stand for `numbers` while the function is traced."""
        found: list[Value] = []
        for k, shape in zip(self.positions, self.shapes, strict=True):
            own = args[k].parameters() if shape.is_model else tree_leaves(args[k])
            found += [operand(x) for x in own]
        return list(dict.fromkeys(found))

    def expanded(self, gradient: Array) -> Array:
        """The derivatives by all numbers of the arguments, from those by `numbers`."""
        return gradient if self.take is None else gradient[self.take]

    def expanded_columns(self, matrix: Array) -> Array:
        """The columns of all numbers of the arguments."""
        return matrix if self.take is None else matrix[:, self.take]

    def expanded_square(self, matrix: Array) -> Array:
        """The rows and columns of all numbers of the arguments."""
        return matrix if self.take is None else matrix[np.ix_(self.take, self.take)]

    def united(self, vector: Array) -> Array:
        """A direction of `numbers`, from one of all numbers of the arguments."""
        if self.take is None:
            return vector
        return np.bincount(self.take, weights=vector, minlength=len(self.numbers))

    def shaped(self, selection: Selection, gradient: Array) -> Any:
        """The derivatives in the shape of the arguments; the array belongs to them then."""
        gradient = self.expanded(gradient)
        if len(self.shapes) == 1:
            return selection.result([self.shapes[0].shaped(gradient)])
        parts = [gradient[a:b].copy() for a, b in self.bounds]
        return selection.result([s.shaped(p) for s, p in zip(self.shapes, parts, strict=True)])


class Packing:
    """Where native code finds the numbers of a call: `w`, those to differentiate by, and `x`.

    Args:
        traced: the trace.
        variables: the numbers to differentiate by.
        call: the call that was traced.
        directions: how many of the last inputs of the trace are a direction.

    Attributes:
        tape: the program, with its inputs in the spaces "w", "x", and "d" for the direction.
        sources: the numbers to differentiate by that the trace reads, as its (space, index).
        is_one_array: whether the numbers of one argument are all that the program reads.
        other_values: the Values that it is not differentiated by, as numbers of the program.
    """

    def __init__(
        self, traced: Trace, variables: Variables, call: Call, directions: int = 0
    ) -> None:
        signature = call.signature
        values, positions = signature.values, signature.positions
        number = {value: k for k, value in enumerate(traced.parameters)}
        own = [values[k] for kind, k in variables.numbers if kind == "value"]
        others = [value for value in traced.parameters if value not in set(own)]
        floats = traced.tape.sizes["x"] - directions
        selected = {i for kind, i in variables.numbers if kind == "x"}
        w = [
            ("x", k) if kind == "x" else ("w", number[values[k]]) if values[k] in number else None
            for kind, k in variables.numbers
        ]
        rest = [("x", i) for i in range(floats) if i not in selected]
        x = [*rest, *[("w", number[value]) for value in others]]
        d = [("x", floats + i) for i in range(directions)]
        self.sources = [one for one in w if one is not None]
        self.tape = rearranged(traced.tape, {"w": w, "x": x, DIRECTION: d})
        self._own = ParameterBinding(own, positions) if own else None
        self._others = ParameterBinding(others, positions) if others else None
        self.other_values = [("x", len(rest) + k) for k in range(len(others))]
        selected_chunks = [
            k for k, s in zip(variables.positions, variables.shapes, strict=True) if not s.is_model
        ]
        rest_chunks = [k for k, chunk in enumerate(signature.chunks) if chunk]
        self._x_chunks = [k for k in rest_chunks if k not in selected_chunks]
        self._pieces = list(self._w_pieces(variables, call))
        only = self._pieces[0] if len(self._pieces) == 1 else None
        self._only_chunk = only if isinstance(only, int) else None
        self.is_one_array = self._only_chunk is not None and not x and variables.take is None

    @staticmethod
    def _w_pieces(variables: Variables, call: Call) -> Iterator[int | slice]:
        """The pieces of `w`: the number of a chunk, or a part of the bytes of the Values."""
        seen: set[Value] = set()
        for k, shape in zip(variables.positions, variables.shapes, strict=True):
            if shape.is_model:
                start = len(seen)
                seen.update(call.args[k].parameters())
                yield slice(8 * start, 8 * len(seen))
            else:
                yield k

    def __call__(self, signature: CallSignature) -> tuple[bytes, bytes]:
        """The numbers of `w` and `x`, as bytes."""
        chunks = signature.chunks
        if self._only_chunk is not None:
            w = chunks[self._only_chunk]
        else:
            own = data_of(self._own, signature)
            w = b"".join([own[p] if isinstance(p, slice) else chunks[p] for p in self._pieces])
        if not self._x_chunks and self._others is None:
            return w, b""
        rest = [chunks[k] for k in self._x_chunks]
        return w, b"".join([*rest, data_of(self._others, signature)])


def data_of(binding: ParameterBinding | None, signature: CallSignature) -> bytes:
    """The numbers of some Values of a call, as bytes; none without a binding."""
    return b"" if binding is None else binding.data(binding.bound(signature)[0])
