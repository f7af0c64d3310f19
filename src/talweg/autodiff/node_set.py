"""The type of `_prev`, which has the operands of a node: a set that keeps its order.

In the class of the lesson `_prev` is a set, in other classes it is a tuple. A `NodeSet` serves
programs for both: `len(y._prev)` of y = x * x is 1, `seen |= y._prev` works, and so does
`y._prev[0]`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NoReturn


class NodeSet(frozenset[Any]):
    """Nodes in order, each once.

    >>> nodes = NodeSet("abca")
    >>> list(nodes), nodes[0], "b" in nodes, nodes == {"a", "b", "c"}, nodes == ("a", "b", "c")
    (['a', 'b', 'c'], 'a', True, True, True)
    """

    _order: tuple[Any, ...]

    def __new__(cls, nodes: Iterable[Any] = ()) -> NodeSet:
        """A set of nodes in the order given."""
        order = tuple(dict.fromkeys(nodes))
        self = super().__new__(cls, order)
        self._order = order
        return self

    def __iter__(self) -> Iterator[Any]:
        return iter(self._order)

    def __reversed__(self) -> Iterator[Any]:
        return iter(self._order[::-1])

    def __eq__(self, other: object) -> bool:
        return self._order == other if isinstance(other, tuple) else super().__eq__(other)

    __hash__ = frozenset.__hash__

    def __getitem__(self, index: Any) -> Any:
        return self._order[index]

    def __repr__(self) -> str:
        return f"{{{', '.join(map(repr, self._order))}}}" if self._order else "set()"

    def __reduce__(self) -> tuple[Any, ...]:
        return NodeSet, (self._order,)


def _refused(name: str) -> Callable[..., NoReturn]:
    def method(self: NodeSet, *_: Any) -> NoReturn:
        raise TypeError(
            f"_prev.{name}() cannot change the operands of a node; assign them: v._prev = {{...}}, "
            "or v._prev = set() to remove them"
        )

    return method


for _name in ("add", "clear", "discard", "pop", "remove", "update"):
    setattr(NodeSet, _name, _refused(_name))
