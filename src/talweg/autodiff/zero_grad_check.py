"""A warning for a missing `zero_grad`, the commonest mistake in training loops written by hand.

A gradient that is not set to zero after an update becomes the sum of several steps. A leaf is
**stale** if its data was changed since the last `backward()`, and its gradient was not. A stale
leaf alone is no mistake: the discriminator of a GAN is stale while the generator is trained, and
its gradient is set to zero before its own next step. The mistake is certain in two cases:

* no leaf of the graph was set to zero;
* a stale leaf was updated again by its gradient: `data` changed by the same negative multiple of
  `grad` in several leaves. New data of inputs does not have this property.

To sum the gradients of several samples before one update changes no data, so there is no warning.
A few leaves of each graph are compared, spread over the whole graph. A program that makes the
mistake makes it from its first step on. So after some steps only a few of the steps are checked,
until the graph has other leaves.

Start reading at `before` and `after`, which `backward` calls.
"""

from __future__ import annotations

import math
import threading
import warnings
import weakref
from collections.abc import Sequence
from typing import Any, TypeAlias

from talweg.autodiff.operation import LEAF
from talweg.errors import GradientWarning

_SAMPLED_NODES = 12
"""How many nodes of a graph are asked for the leaves that they read."""

_MOST_WATCHED = 16

_FIRST = 100
"""How many calls of `backward()` are looked at before the watch takes pauses."""

_PERIOD, _WINDOW = 64, 6
"""From then on, of how many calls how many are looked at."""

Leaf: TypeAlias = Any  # a Value without operands


class _Record:
    """A watched leaf as it was when its gradient had last changed.

    Attributes:
        leaf: a weak reference to it.
        data: its number.
        grad: its gradient.
        is_stale: whether it was updated since its gradient was last set to zero.
    """

    __slots__ = ("data", "grad", "is_stale", "leaf")

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = weakref.ref(leaf)
        self.renew()

    def renew(self) -> None:
        """Take what the leaf is now."""
        leaf: Leaf = self.leaf()
        if leaf is not None:
            self.data = leaf._data
            self.grad = leaf.grad
            self.is_stale = False


class _Watch(threading.local):
    """What was seen at the calls of `backward()` in this thread."""

    def __init__(self) -> None:
        self.records: dict[int, _Record] = {}  # by serial number of the leaf
        self.serial = -1  # of the youngest node at the last call: later leaves are new
        self.calls = 0  # since leaves came that were not watched


_WATCH = _Watch()

Watched: TypeAlias = list[tuple[_Record, Leaf, float, float]]
"""The records with their leaves, and data and gradient before a walk."""


def before(nodes: Sequence[Any]) -> Watched:
    """Look at the watched leaves before a walk backward, and warn if nothing was set to zero.

    Args:
        nodes: the inner nodes of the graph, youngest first.

    Returns:
        What `after` is to be given.
    """
    records = _WATCH.records
    if not _is_known(nodes):
        _watch_leaves_of(nodes)
        _WATCH.calls = 0
    _WATCH.calls += 1
    if _WATCH.calls > _FIRST:
        place = _WATCH.calls % _PERIOD
        if place >= _WINDOW:
            return []
        if place == 0:
            for record in records.values():
                record.renew()
    watched: Watched = []
    updated = []
    is_any_reset = False
    for record in records.values():
        leaf = record.leaf()
        if leaf is not None:
            data, grad = leaf._data, leaf.grad
            watched.append((record, leaf, data, grad))
            if grad != record.grad:
                is_any_reset = True
            elif data != record.data and grad != 0.0:
                updated.append(leaf)
    if updated and not is_any_reset and _is_nothing_reset(nodes, updated):
        _warn()
    return watched


def after(nodes: Sequence[Any], watched: Watched) -> None:
    """Record the watched leaves after the walk backward, and warn of a second update.

    Args:
        nodes: the inner nodes of the graph.
        watched: what `before` returned.
    """
    rates = []  # of the leaves that were stale already: by which multiple of grad they changed
    for record, leaf, data, grad in watched:
        if grad != record.grad:
            record.is_stale = False
        elif leaf.grad == grad:
            continue  # the leaf is not in this graph
        elif data != record.data:
            if record.is_stale:
                rates.append((record.data - data) / grad)
            record.is_stale = grad != 0.0
        record.data = data
        record.grad = leaf.grad
    _WATCH.serial = nodes[0]._serial
    if len(rates) > 1 and all(r > 0.0 and math.isclose(r, rates[0], rel_tol=1e-6) for r in rates):
        _warn()


def _is_known(nodes: Sequence[Any]) -> bool:
    """Whether the oldest node or one in the middle reads a leaf that is watched."""
    records = _WATCH.records
    first = nodes[-1]._x
    if getattr(first, "_serial", None) in records:  # nearly always
        return True
    read = [*nodes[-1]._operands[:2], *nodes[len(nodes) // 2]._operands[:2]]
    return any(type(x) is not float and x._serial in records for x in read)


def _watch_leaves_of(nodes: Sequence[Any]) -> None:
    """Watch some of the leaves of a graph: those that a few nodes read, spread over all of it."""
    records = _WATCH.records
    for k in range(_SAMPLED_NODES):
        node = nodes[-1 - int(len(nodes) * (k * _GOLDEN_RATIO % 1.0))]
        for x in node._operands[:3]:
            if type(x) is not float and x._record is LEAF and x._serial not in records:
                if len(records) >= _MOST_WATCHED and not _forget_some():
                    return
                records[x._serial] = _Record(x)


_GOLDEN_RATIO = 0.618
"""The fractions of its multiples cover a graph without falling in with its period."""


def _forget_some() -> bool:
    """Make room for other leaves: forget those that no longer exist, else one not updated."""
    records = _WATCH.records
    gone = [serial for serial, record in records.items() if record.leaf() is None]
    idle = [serial for serial, record in records.items() if not record.is_stale]
    for serial in gone or idle[:1]:
        del records[serial]
    return bool(gone or idle)


def _is_nothing_reset(nodes: Sequence[Any], updated: Sequence[Leaf]) -> bool:
    """Whether some of the updated leaves are in a graph none of whose older leaves is at zero."""
    operands = {x for node in nodes for x in node._operands if type(x) is not float}
    older = [x for x in operands if x._record is LEAF and x._serial <= _WATCH.serial]
    return any(x in operands for x in updated) and all(x.grad != 0.0 for x in older)


def _warn() -> None:
    warnings.warn(
        "a parameter was updated, but its gradient was not set to zero before this "
        "backward(), so it will be the sum of several steps; set p.grad = 0.0 for every "
        "parameter (or call model.zero_grad()) before backward()",
        GradientWarning,
        stacklevel=5,
    )
