"""A warning for a missing `zero_grad`, the commonest mistake in training loops written by hand.

A gradient that is not set to zero after an update is the sum of several steps. A leaf is **stale**
when its data was changed, but its gradient was not, since the last `backward()`. A stale leaf alone
is no mistake: the discriminator of a GAN is stale while the generator is trained, and is zeroed
before its own next step. The mistake is certain in two cases:

* no leaf of the graph was set to zero;
* a leaf that was stale already was updated again, and by the gradient: `data` changed by the same
  negative multiple of `grad` in several leaves. Inputs that are given new data do not do that.

A few leaves of each graph are watched: those that nodes read which are evenly spaced by age.
Gradients of several samples that are summed before one update change no data, and are no mistake.

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

_SAMPLED_NODES = 4
"""How many nodes of a graph are asked for the leaves that they read."""

_MOST_WATCHED = 16

Leaf: TypeAlias = Any  # a Value without operands


class _Record:
    """A watched leaf as it was after the last `backward()`.

    Attributes:
        leaf: a weak reference to it.
        data: its number.
        grad: its gradient.
        is_stale: whether it was updated since its gradient was last set to zero.
        is_new: whether no `backward()` has been recorded.
    """

    __slots__ = ("data", "grad", "is_new", "is_stale", "leaf")

    def __init__(self, leaf: Leaf) -> None:
        self.leaf = weakref.ref(leaf)
        self.data = leaf._data
        self.grad = leaf.grad
        self.is_stale = False
        self.is_new = True


class _Watch(threading.local):
    """What was seen at the calls of `backward()` in this thread."""

    def __init__(self) -> None:
        self.records: dict[int, _Record] = {}  # by serial number of the leaf
        self.serial = -1  # of the youngest node at the last call: later leaves are new


_WATCH = _Watch()

Watched: TypeAlias = list[tuple[_Record, Leaf, float, float]]
"""The records with their leaves, and data and gradient before a walk."""


def before(nodes: Sequence[Any]) -> Watched:
    """Look at the watched leaves before a walk backward, and warn if there is a mistake.

    Args:
        nodes: the inner nodes of the graph, youngest first.

    Returns:
        What `after` is to be given.
    """
    records = _WATCH.records
    first = nodes[-1]._x
    if getattr(first, "_serial", None) not in records:
        _watch_leaves_of(nodes)
    watched: Watched = []
    updated: Watched = []
    for record in records.values():
        leaf = record.leaf()
        if leaf is not None:
            data, grad = leaf._data, leaf.grad
            watched.append((record, leaf, data, grad))
            if data != record.data and grad == record.grad != 0.0:
                updated.append(watched[-1])
    if updated:
        _warn_if_wrong(nodes, watched, updated)
    return watched


def after(nodes: Sequence[Any], watched: Watched) -> None:
    """Record the watched leaves after the walk backward."""
    for record, leaf, data, grad in watched:
        if grad != record.grad or record.is_new:
            record.is_stale = record.is_new = False
        elif data != record.data:
            record.is_stale = True
        record.data = data
        record.grad = leaf.grad
    _WATCH.serial = nodes[0]._serial


def _watch_leaves_of(nodes: Sequence[Any]) -> None:
    """Watch some of the leaves of a graph."""
    records = _WATCH.records
    for node in nodes[:: -max(1, len(nodes) // _SAMPLED_NODES)]:
        for x in node._operands[:3]:
            if type(x) is not float and x._record is LEAF and x._serial not in records:
                if len(records) >= _MOST_WATCHED and not _forget_one():
                    return
                records[x._serial] = _Record(x)


def _forget_one() -> bool:
    """Make room for another leaf: the ones that no longer exist, else one that is not updated."""
    records = _WATCH.records
    gone = [serial for serial, record in records.items() if record.leaf() is None]
    constant = [s for s, r in records.items() if not r.is_new and r.leaf() and not r.is_stale]
    for serial in gone or constant[:1]:
        del records[serial]
    return bool(gone or constant)


def _warn_if_wrong(nodes: Sequence[Any], watched: Watched, updated: Watched) -> None:
    """Warn if leaves that were updated and not set to zero take part in the graph again."""
    is_reset = any(grad != record.grad for record, _, _, grad in watched if not record.is_new)
    if not is_reset:
        operands = {x for node in nodes for x in node._operands if type(x) is not float}
        leaves = [x for x in operands if x._record is LEAF and x._serial <= _WATCH.serial]
        if not any(leaf in operands for _, leaf, _, _ in updated):
            return
        is_reset = any(x.grad == 0.0 for x in leaves)
    if not is_reset or _is_second_update(updated):
        warnings.warn(
            "a parameter was updated, but its gradient was not set to zero before this "
            "backward(), so it will be the sum of several steps; set p.grad = 0.0 for every "
            "parameter (or call model.zero_grad()) before backward()",
            GradientWarning,
            stacklevel=5,
        )


def _is_second_update(updated: Watched) -> bool:
    """Whether several leaves that were stale already were updated by their gradients."""
    rates = [(record.data - data) / grad for record, _, data, grad in updated if record.is_stale]
    return len(rates) > 1 and all(
        rate > 0.0 and math.isclose(rate, rates[0], rel_tol=1e-6) for rate in rates
    )
