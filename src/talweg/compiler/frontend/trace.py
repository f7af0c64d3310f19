"""Tracing: a Python function is run once, and its operations become a tape.

The floats among the arguments are replaced by traced numbers (`frontend/traced_numbers.py`), the
function is called, and the graph of its result is recorded in order of creation. The numbers
themselves are inputs. Everything else (lengths, strings, branches on other objects) is part of the
program. Where the function branches on a number, or uses it as a plain number, the trace has a
guard (`frontend/recorder.py`): it serves the calls in which the branch goes the same way, or the
number is the same.

A number of the program is one of these:

* a **parameter** `w`: a Value that the function read and did not create, whether it came in an
  argument or was captured from outside; numbered in order of creation;
* an **input** `x`: a float in the arguments; numbered in the order in which they are found;
* a **constant** `c`: any other bare number that was an operand beside a Value;
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
from talweg.autodiff.operation import GATHER, IDENTITY
from talweg.compiler.frontend.pytree import tree_map, tree_values
from talweg.compiler.frontend.recorder import Guard, Recorder, recording
from talweg.compiler.frontend.symbolic_int import SymbolicInt
from talweg.compiler.frontend.traced_array import TracedArray
from talweg.compiler.frontend.traced_numbers import TracedFloat, is_traced
from talweg.compiler.ir.tape import CONSTANT, NONE, RESULT, Tape
from talweg.errors import TraceError
from talweg.value import Value

SPACES = ("w", "x", CONSTANT, RESULT)
"""The spaces of a traced program: parameters, inputs, constants, results."""


@dataclass(frozen=True)
class Trace:
    """What one call of a function computed.

    Attributes:
        tape: the operations.
        parameters: the Values in space `w`, in order of creation.
        inputs: the numbers in space `x` at this call.
        output: what the function returned: a pytree with a Value for each number.
        kinds: for each Value in `output` the type of the number: `Value`, `float`, `int`, `bool`.
        guard_tape: the operations of the guards; its outputs are one for each guard.
        guards: the conditions under which the program is this one, in the order of the trace.
        fixed: the inputs that are integers which the program depends on, and their numbers.
        rows: the inputs that select a row of a table, and how many rows the table has.
        tables: the Values of each table that is read so, row by row.
    """

    tape: Tape
    parameters: list[Value]
    inputs: list[float]
    output: Any
    kinds: list[type]
    guard_tape: Tape
    guards: tuple[Guard, ...] = ()
    fixed: dict[int, int] = field(default_factory=dict)
    rows: dict[int, int] = field(default_factory=dict)
    tables: list[tuple[Value, ...]] = field(default_factory=list)


@collection_paused()
def trace(
    f: Callable[..., Any],
    *args: Any,
    integers: bool = False,
    exact: bool = False,
    ieee: bool = False,
    kinds: Sequence[type] | None = None,
) -> Trace:
    """Run f once on traced numbers in place of those in `args`, and record its operations.

    Args:
        f: a function of numbers that does arithmetic with the operations of `talweg.ops`.
        *args: pytrees of floats and Values, or any other objects, which f is given as they are.
        integers: whether integers among them are inputs too, see `symbolic_int.py`.
        exact: whether the compiled program must have the bits of f.
        ieee: whether the floats stand for Values, as in a function that is differentiated.
        kinds: the types that f sees of the floats in `args`, in order; None for their own.

    Raises:
        TraceError: if f does with a number what cannot be recorded.

    Example:
        >>> w = Value(2.0)
        >>> print(trace(lambda x: (w * x + 1.0).tanh(), 3.0).tape)
        t0 = mul w0 x0
        t1 = add t0 c0
        t2 = tanh t1
        return t2
    """
    stand_ins: list[Value] = []
    replaced = [_with_stand_ins(arg, stand_ins, integers, kinds) for arg in args]
    first = Value(0.0)._serial
    recorder = Recorder(is_exact=exact, is_ieee=ieee)
    with recording(recorder):
        output, output_kinds = _with_values(f(*replaced))
    results = tree_values(output)
    conditions = [guard.node for guard in recorder.guards]
    nodes = _nodes_since(first, [*results, *conditions])
    inputs = {x._serial: i for i, x in enumerate(stand_ins)}
    gathers = [node for node in nodes if node._record is GATHER]
    tables = [node._shown for node in gathers]
    read = chain(
        results, conditions, (x for node in nodes for x in node._operands if isinstance(x, Value))
    )
    older = {
        x._serial: x for x in chain(read, *tables) if x._serial < first and x._serial not in inputs
    }
    parameters = [older[serial] for serial in sorted(older)]
    require_contiguous(tables, parameters)
    numbers = {x._serial: i for i, x in enumerate(parameters)}
    own = _nodes_since(first, results) if conditions else nodes
    return Trace(
        _tape(own, numbers, inputs, results),
        parameters,
        [x._data for x in stand_ins],
        output,
        output_kinds,
        _tape(_nodes_since(first, conditions), numbers, inputs, conditions),
        tuple(recorder.guards),
        {i: int(x) for i, x in enumerate(stand_ins) if isinstance(x, SymbolicInt) and x.is_fixed},
        _rows(gathers, inputs),
        tables,
    )


def require_contiguous(tables: Sequence[tuple[Value, ...]], parameters: Sequence[Value]) -> None:
    """Check that the Values of each table are consecutive parameters.

    Raises:
        TraceError: if they are not: native code computes the address of a row from the first one.
    """
    position = {x._serial: k for k, x in enumerate(parameters)}
    for table in {table[0]._serial: table for table in tables}.values():
        start = position[table[0]._serial]
        if any(position.get(x._serial) != start + k for k, x in enumerate(table)):
            raise TraceError(
                "the parameters of an Embedding are not consecutive in parameters() of the model; "
                "list them row by row"
            )


def _rows(gathers: Sequence[Value], inputs: Mapping[int, int]) -> dict[int, int]:
    """For each input that selects a row of a table, how many rows the table has."""
    rows: dict[int, int] = {}
    for node in gathers:
        operands: tuple[Any, ...] = node._operands
        _, row, columns = operands
        if row._serial not in inputs:
            raise TraceError(
                "an Embedding is indexed with a computed number; give the index as an integer "
                "among the arguments"
            )
        rows[inputs[row._serial]] = len(node._shown) // int(columns)
    return rows


def _with_stand_ins(
    tree: Any, stand_ins: list[Value], integers: bool, kinds: Sequence[type] | None
) -> Any:
    """The same pytree with a traced number for every float, and for every integer if asked."""

    def of_float(x: float) -> Any:
        kind = kinds[len(stand_ins)] if kinds is not None else type(x)
        stand_ins.append(Value(x))
        return TracedFloat(stand_ins[-1], kind)

    def of_integer(x: int) -> Value:
        stand_ins.append(SymbolicInt(x))
        return stand_ins[-1]

    return tree_map(
        tree,
        of_float,
        on_integer=of_integer if integers else None,
        array_class=TracedArray,
    )


def _with_values(output: Any) -> tuple[Any, list[type]]:
    """A result with a Value for each of its numbers, and the types of these numbers."""
    kinds: list[type] = []

    def of_value(value: Value) -> Value:
        kinds.append(Value)
        return value

    def of_float(x: Any) -> Any:
        if not is_traced(x):
            return x
        kinds.append(x.__class__)
        return x._traced_node

    return tree_map(output, of_float, of_value), kinds


def _nodes_since(first: int, roots: Sequence[Value]) -> list[Value]:
    """The inner nodes made since `first` that the roots depend on, oldest first, each once."""
    nodes: list[Value] = []
    walk = object()  # a mark on the nodes that were reached: cheaper than a set
    stack: list[Value] = []
    reached: Sequence[Any] = roots
    while True:
        for x in reached:
            if type(x) is not float and x._operands and x._walk is not walk and x._serial >= first:
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
    """The tape; plain lists until the end, because NumPy is slow element by element."""
    codes: dict[int, int] = {x: _code(0, i) for x, i in parameters.items()}
    codes |= {x: _code(1, i) for x, i in inputs.items()}
    identities = [node for node in nodes if node._record is IDENTITY]
    nodes = [node for node in nodes if node._record is not IDENTITY] if identities else nodes
    codes.update(zip(map(by_serial, nodes), range(_code(3, 0), _code(3, len(nodes))), strict=True))
    constants: list[float] = []

    def code_of(x: Any) -> int:
        code = None if x.__class__ is float else codes.get(x._serial)
        if code is None:  # a bare number, or a leaf that the function created itself
            constants.append(float(x))
            return _code(2, len(constants) - 1)
        return code

    for node in identities:  # in order of creation: one may be the operand of another
        codes[node._serial] = code_of(node._operands[0])
    operations = {op: code for code, op in enumerate(dict.fromkeys([x._record for x in nodes]))}
    for op in operations:
        if not op.equations:
            raise TraceError(
                f"the operation {op.symbol!r} has a _backward of its own, which cannot be "
                "compiled; declare it with tw.ops.register"
            )
    operands: list[Any] = [x for node in nodes for x in node._operands]
    found = [None if x.__class__ is float else codes.get(x._serial) for x in operands]
    found = [code_of(x) if code is None else code for code, x in zip(found, operands, strict=True)]
    arity = np.array([len(node._operands) for node in nodes], dtype=np.int64)
    table = np.full((len(nodes), 3), _code(NONE, 0))
    table[np.arange(3) < arity[:, None]] = found
    outputs = [code_of(x) for x in results]
    sizes = {"w": len(parameters), "x": len(inputs), CONSTANT: len(constants)}
    return Tape(
        operations=tuple(operations),
        spaces=SPACES,
        code=np.array([operations[node._record] for node in nodes], dtype=np.int64),
        space=table // _SPACE,
        index=table % _SPACE,
        constants=np.array(constants),
        outputs=tuple([divmod(code, _SPACE) for code in outputs]),
        sizes=sizes,
    )


_SPACE = 2**48
"""An operand is `space * _SPACE + index` until the tape is made: lists of integers are fast."""


def _code(space: int, index: int) -> int:
    return space * _SPACE + index
