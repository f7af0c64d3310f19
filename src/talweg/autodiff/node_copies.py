"""Copies of Values: `copy`, `deepcopy` and `pickle`.

A shallow copy has the same operands. A deep copy and a pickle have copies of the whole graph. A
node that is reached twice is copied once, also if it is copied together with other objects. Nothing
recurses, so a chain of a million operations can be copied. Subclasses and the attributes that a
program has added are kept.

What the backward pass of a copy computes depends on the node:

* the result of an operation: the same operation;
* a node that was made with its derivatives: the same derivatives;
* the result of a compiled function: the derivatives at the numbers of the call, by each Value that
  the function read. The copy has no second derivative;
* a node with a `_backward` of its own: a copy of that function, in which the nodes are replaced by
  their copies. Such a function cannot be pickled.

Start reading at `deep_copied`.
"""

from __future__ import annotations

import copy
import pickle
import threading
import weakref
from collections.abc import Callable, Iterable
from functools import partial
from types import CellType, FunctionType
from typing import Any

from talweg.autodiff.backward import (
    by_serial,
    custom_step,
    next_serial,
    no_step,
    slopes_step,
    step_for,
)
from talweg.autodiff.operation import LEAF, Op, custom_record
from talweg.autodiff.tracing import plain_number

Node = Any


def copied(node: Node) -> Node:
    """A node like this one, with the same operands: the result of `copy.copy`."""
    twin = _bare_copy(node)
    _assign(twin, {**_own_attributes(node), **vars(node)})
    twin._record, twin._step, twin._operands = node._record, node._step, node._operands
    if node._closure is not None:
        twin._closure = _with_nodes(node._closure, {id(node): twin})
    return twin


def deep_copied(root: Node, memo: dict[int, Any]) -> Node:
    """A node like this one, with copies of all that it depends on: the result of `deepcopy`.

    Args:
        root: the node.
        memo: what was copied already, by `id`.
    """
    for node in _ancestors(root):
        if id(node) not in memo:
            operands, slopes = _linear(node)
            twin = memo[id(node)] = _bare_copy(node)
            _finish(
                twin,
                node._record,
                tuple([x if type(x) is float else memo[id(x)] for x in operands]),
                slopes,
            )
            if node._closure is not None:
                twin._closure = _with_nodes(node._closure, memo)
            _assign(twin, copy.deepcopy(_own_attributes(node), memo))
    return memo[id(root)]


def _bare_copy(node: Node) -> Node:
    if node._x is None:
        plain_number(node)
    twin: Node = object.__new__(type(node))
    twin._data, twin.grad = node._data, node.grad
    twin._walk = None
    twin._serial = next_serial()
    return twin


def _finish(node: Node, record: Op, operands: tuple[Any, ...], slopes: Any) -> None:
    """Give a new node its operation."""
    node._record, node._operands = record, operands
    if slopes is not None:
        node._slopes, node._step = slopes, slopes_step
    elif not operands:
        node._step = no_step
    elif record.derivatives:
        node._step = step_for(record, tuple([type(x) is float for x in operands]))
    else:
        node._step = custom_step


# ---- what a node depends on ---------------------------------------------------------------


def _linear(node: Node) -> tuple[tuple[Any, ...], tuple[float, ...] | None]:
    """The operands of a node, and the derivatives by them if it has no operation to copy."""
    operands: tuple[Any, ...] = node._operands
    if node._step is slopes_step:
        slopes: tuple[float, ...] = node._slopes
        return operands, slopes
    if node._record.name == "compiled":
        step: Any = node._step
        which: tuple[int, ...] = ()
        if isinstance(step, partial):  # one of several results
            step, which = step.func, step.args
        operands, slopes = step.__self__.linear(*which)
        return operands, slopes
    return operands, None


def _reads(node: Node) -> tuple[Any, ...]:
    """The operands of a node; of a compiled result, the Values that the function read."""
    operands: tuple[Any, ...] = node._operands
    if node._record.name == "compiled":
        operands = node._shown or node._x._shown
    return operands


def _ancestors(root: Node) -> list[Node]:
    """The node and all nodes and leaves that it depends on, oldest first."""
    seen = {root}
    stack = [root]
    while stack:
        for x in _reads(stack.pop()):
            if type(x) is not float and x not in seen:
                seen.add(x)
                stack.append(x)
    return sorted(seen, key=by_serial)


_DERIVED = {"_closure", "_shown", "_slopes"}
"""Attributes that are not copied as they are."""


def _own_attributes(node: Node) -> dict[str, Any]:
    """The attributes that the user has set, also those in slots of a subclass."""
    own: dict[str, Any] = {}
    for cls in type(node).__mro__:
        slots = vars(cls).get("__slots__", ())
        names = (slots,) if isinstance(slots, str) else slots
        own |= {name: getattr(node, name) for name in names if hasattr(node, name)}
    return own | {name: x for name, x in vars(node).items() if name not in _DERIVED}


def _assign(node: Node, attributes: dict[str, Any]) -> None:
    for name, x in attributes.items():
        setattr(node, name, x)


# ---- functions with nodes in them ------------------------------------------------------------


def _with_nodes(function: Any, copies: dict[int, Any]) -> Any:
    """A function that propagates between copies where this one does between the originals.

    Args:
        function: a Python function, a `partial`, or a bound method.
        copies: the copies, by `id` of the original.
    """

    def replaced(x: Any) -> Any:
        if id(x) in copies:
            return copies[id(x)]
        if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
            return type(x)([replaced(part) for part in x])
        is_function = isinstance(x, (partial, FunctionType)) or hasattr(x, "__self__")
        return _with_nodes(x, copies) if is_function else x

    if isinstance(function, partial):
        named = {name: replaced(x) for name, x in function.keywords.items()}
        return partial(replaced(function.func), *map(replaced, function.args), **named)
    if isinstance(function, FunctionType):
        cells = [_cell(cell, replaced) for cell in function.__closure__ or ()]
        twin = FunctionType(
            function.__code__,
            function.__globals__,
            function.__name__,
            tuple(map(replaced, function.__defaults__ or ())),
            tuple(cells),
        )
        twin.__kwdefaults__ = function.__kwdefaults__
        return twin
    owner = getattr(function, "__self__", None)
    return getattr(copies[id(owner)], function.__name__) if id(owner) in copies else function


def _cell(cell: CellType, replaced: Callable[[Any], Any]) -> CellType:
    try:
        return CellType(replaced(cell.cell_contents))
    except ValueError:  # the variable is not assigned yet
        return cell


# ---- pickling ---------------------------------------------------------------------------------


class _Graph(list[Any]):
    """A root behind all that it depends on, oldest first, so that pickling does not recurse.

    Each node in the list refers to nodes that the pickler has met already.

    Args:
        nodes: the nodes, of which the root is the last.

    Attributes:
        waiting: those that the pickler has not asked for yet.
    """

    def __init__(self, nodes: Iterable[Node] = ()) -> None:
        self.nodes = list(nodes)
        self.waiting = set(self.nodes)

    def __reduce_ex__(self, protocol: object) -> tuple[Any, ...]:
        return _Graph, (), None, iter(self.nodes)


class _Session(threading.local):
    """The graphs that are being pickled; the pickler keeps them alive until it is done."""

    def __init__(self) -> None:
        self.graphs: list[weakref.ref[_Graph]] = []

    def graph_of(self, root: Node) -> _Graph:
        """A new graph."""
        graph = _Graph(_ancestors(root))
        self.graphs.append(weakref.ref(graph))
        return graph

    def is_waiting(self, node: Node) -> bool:
        """Whether a node is part of a graph that is being pickled, and is asked for now."""
        graphs = [graph for reference in self.graphs if (graph := reference()) is not None]
        if len(graphs) < len(self.graphs):
            self.graphs = [weakref.ref(graph) for graph in graphs]
        for graph in graphs:
            if node in graph.waiting:
                graph.waiting.discard(node)
                return True
        return False


_SESSION = _Session()


def pickled(node: Node) -> tuple[Any, ...]:
    """What `pickle` stores of a node.

    Raises:
        pickle.PicklingError: if it has a `_backward` that the user defined.
    """
    if _reads(node) and not _SESSION.is_waiting(node):
        return _last_of, (_SESSION.graph_of(node),)
    if node._closure is not None:
        raise pickle.PicklingError(
            f"the operation {node._op!r} has a _backward of its own, which cannot be "
            "pickled; declare the operation with tw.ops.register"
        )
    operands, slopes = _linear(node)
    record = node._record
    if not operands:
        plain_number(node)
    kind = record if record.derivatives else record.symbol if operands else None
    arguments = (type(node), kind, operands, slopes, node._data, node.grad)
    return _restored, arguments, (None, _own_attributes(node))


def _last_of(graph: list[Node]) -> Node:
    return graph[-1]


def _restored(
    cls: type[Node],
    kind: Op | str | None,
    operands: tuple[Any, ...],
    slopes: tuple[float, ...] | None,
    data: float,
    grad: float,
) -> Node:
    node: Node = object.__new__(cls)
    node._data, node.grad, node._walk = data, grad, None
    node._serial = next_serial()
    record = LEAF if kind is None else custom_record(kind) if isinstance(kind, str) else kind
    _finish(node, record, operands, slopes)
    return node
