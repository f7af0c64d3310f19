"""Reading a program: run the Python function once and keep what it computed.

The numbers among the arguments are replaced by Values, the function is called, and the graph
that it leaves behind is read off in order of creation. What the numbers were does not
matter: they are inputs. Everything else (lengths, strings, branches on plain Python values) has
become part of the program.

A number of the program is one of these:

* a **parameter** `w`: a Value that the function read and did not make, whether it came in an
  argument or was captured from outside; numbered by age;
* an **input** `x`: a float in the arguments; numbered in the order in which they are found;
* a **constant** `c`: any other bare number that met a Value;
* an earlier **result** `t`.

Start reading at `trace`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np

from talweg._util.gc_pause import collection_paused
from talweg.autodiff.backward import by_serial
from talweg.autodiff.operation import GATHER
from talweg.autodiff.tracing import tracing
from talweg.compiler.frontend.pytree import rebuilt
from talweg.compiler.frontend.symbolic_int import SymbolicInt
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Tape
from talweg.errors import TraceError
from talweg.value import Value

SPACES = ("w", "x", CONSTANT, RESULT)
"""The spaces of a traced program: parameters, inputs, constants, results."""


@dataclass(frozen=True)
class Trace:
    """What one call of a function did.

    Attributes:
        tape: the operations.
        parameters: the Values in space `w`, oldest first.
        inputs: the numbers in space `x` at this call.
        output: what the function returned: a Value, or a nest of lists, tuples and
            dictionaries of Values and numbers.
        fixed: which inputs are whole numbers that the program fixes, and their numbers.
        rows: which inputs are rows of tables, and how many rows those have.
        tables: the numbers of each table that is read so, row by row.
    """

    tape: Tape
    parameters: list[Value]
    inputs: list[float]
    output: Any
    fixed: dict[int, int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    tables: list[tuple[Value, ...]] = field(default_factory=list)


@collection_paused()
def trace(f: Callable[..., Any], *args: Any, integers: bool = False) -> Trace:
    """Run f once on stand-ins for the numbers in `args`, and read off what it did.

    Args:
        f: a function of numbers that does arithmetic with the operations of `talweg.ops`.
        *args: floats, Values, and lists, tuples, dictionaries, dataclasses and NumPy arrays
            of them, or any other objects, which f gets as they are.
        integers: whether whole numbers among them are inputs too, as far as f leaves them open.

    Returns:
        The trace.

    Raises:
        TraceError: if f branches on a traced number, makes a float of one, or returns
            something that was not computed from a Value.

    Example:
        >>> w = Value(2.0)
        >>> print(trace(lambda x: (w * x + 1.0).tanh(), 3.0).tape)
        t0 = mul w0 x0
        t1 = add t0 c0
        t2 = tanh t1
        return t2
    """
    stand_ins: list[Value] = []
    replaced = [_with_stand_ins(arg, stand_ins, integers) for arg in args]
    begin = Value(0.0)._serial
    with tracing():
        output = f(*replaced)
    results = _values_in(output)
    if not results:
        raise TraceError(
            f"the function returned {type(output).__name__} {output!r}, which was not computed "
            "from a Value; compute it without reading .data or calling float()"
        )
    nodes = _nodes_since(begin, results)
    inputs = {x._serial: i for i, x in enumerate(stand_ins)}
    takes = [node for node in nodes if node._record is GATHER]
    read = chain(results, (x for node in nodes for x in node._operands if isinstance(x, Value)))
    read = chain(read, *[node._shown for node in takes])
    older = {x._serial: x for x in read if x._serial < begin and x._serial not in inputs}
    made_outside = [older[serial] for serial in sorted(older)]
    parameters = {x._serial: i for i, x in enumerate(made_outside)}
    tables = [node._shown for node in takes]
    refuse_scattered(tables, made_outside)
    return Trace(
        _tape(nodes, parameters, inputs, results),
        made_outside,
        [x.data for x in stand_ins],
        output,
        {i: int(x) for i, x in enumerate(stand_ins) if isinstance(x, SymbolicInt) and x.is_fixed},
        _rows(takes, inputs),
        tables,
    )


def refuse_scattered(tables: Sequence[tuple[Value, ...]], parameters: Sequence[Value]) -> None:
    """Check that the numbers of each table follow each other among the parameters.

    Raises:
        TraceError: if they do not: rows are found by counting from the first.
    """
    place = {x._serial: k for k, x in enumerate(parameters)}
    for first in {table[0]._serial: table for table in tables}.values():
        begin = place[first[0]._serial]
        if any(place.get(x._serial) != begin + k for k, x in enumerate(first)):
            raise TraceError(
                "the numbers of a table do not follow each other in parameters(); list them row "
                "by row"
            )


def _rows(takes: Sequence[Value], inputs: Mapping[int, int]) -> dict[int, int]:
    """For each input that picks a row how many rows there are."""
    rows: dict[int, int] = {}
    for node in takes:
        chosen: tuple[Any, ...] = node._operands
        _, row, columns = chosen
        if row._serial not in inputs:
            raise TraceError("a table is read at a computed number; expected a whole number given")
        rows[inputs[row._serial]] = len(node._shown) // int(columns)
    return rows


def _with_stand_ins(thing: Any, made: list[Value], integers: bool) -> Any:
    """The same thing with a new Value in place of every float in it, or number."""

    def stand_in(x: float) -> Value:
        made.append(Value(x))
        return made[-1]

    def whole(x: int) -> Value:
        made.append(SymbolicInt(x))
        return made[-1]

    return rebuilt(thing, stand_in, lambda value: value, whole if integers else None)


def _values_in(output: Any) -> list[Value]:
    """All Values of a nest, in order."""
    found: list[Value] = []
    rebuilt(output, float, found.append)
    return found


def _nodes_since(begin: int, roots: Sequence[Value]) -> list[Value]:
    """The inner nodes made since `begin` that the roots depend on, oldest first, each once."""
    nodes: list[Value] = []
    walk = object()  # a mark on the nodes that were reached: cheaper than a set
    stack: list[Value] = []
    reached: Sequence[Any] = roots
    while True:
        for x in reached:
            if type(x) is not float and x._operands and x._walk is not walk and x._serial >= begin:
                x._walk = walk
                stack.append(x)
        if not stack:
            break
        node = stack.pop()
        nodes.append(node)
        reached = node._operands
    nodes.reverse()  # nearly sorted now, for the stack takes the last operand first
    nodes.sort(key=by_serial)
    return nodes


def _tape(
    nodes: list[Value], parameters: dict[int, int], inputs: dict[int, int], results: list[Value]
) -> Tape:
    """The flat program; plain lists until the end, for NumPy is slow element by element."""
    places: dict[int, int] = {x: _place(0, i) for x, i in parameters.items()}
    places |= {x: _place(1, i) for x, i in inputs.items()}
    places.update(
        zip(map(by_serial, nodes), range(_place(3, 0), _place(3, len(nodes))), strict=True)
    )
    constants: list[float] = []

    def place_of(x: Any) -> int:
        place = None if x.__class__ is float else places.get(x._serial)
        if place is None:  # a bare number, or a leaf that the function made itself
            constants.append(float(x))
            return _place(2, len(constants) - 1)
        return place

    operations = {op: code for code, op in enumerate(dict.fromkeys([x._record for x in nodes]))}
    for op in operations:
        if not op.equations:
            raise TraceError(
                f"the operation {op.symbol!r} has a _backward of its own, which cannot be "
                "compiled; declare it with tw.ops.register"
            )
    operands: list[Any] = [x for node in nodes for x in node._operands]
    found = [None if x.__class__ is float else places.get(x._serial) for x in operands]
    found = [
        place_of(x) if place is None else place for place, x in zip(found, operands, strict=True)
    ]
    arity = np.array([len(node._operands) for node in nodes], dtype=np.int64)
    table = np.full((len(nodes), 3), _place(NONE, 0))
    table[np.arange(3) < arity[:, None]] = found
    outputs = [place_of(x) for x in results]
    sizes = {"w": len(parameters), "x": len(inputs), CONSTANT: len(constants)}
    return Tape(
        operations=tuple(operations),
        spaces=SPACES,
        code=np.array([operations[node._record] for node in nodes], dtype=np.int64),
        space=table // _SPACE,
        index=table % _SPACE,
        constants=np.array(constants),
        outputs=tuple([divmod(place, _SPACE) for place in outputs]),
        sizes=sizes,
    )


_SPACE = 2**48
"""A place is `space * _SPACE + index` while the tape is made: lists of plain ints are fast."""


def _place(space: int, index: int) -> int:
    return space * _SPACE + index
