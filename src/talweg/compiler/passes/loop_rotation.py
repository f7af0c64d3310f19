"""Loop rotation: at which instruction of its body an iteration should start.

A loop that is found first may start at any instruction of the intended body: `tanh | mul add
tanh | mul add tanh | mul add` is three times `tanh mul add` as well as twice `mul add tanh`. The
start at which the fewest results are carried from one iteration to the next is usually that of
the loop in the source, over neurons or samples.

Start reading at `fewest_carried`.
"""

from __future__ import annotations

from itertools import accumulate


def fewest_carried(period: int, most: int, readers: list[int], read: list[int]) -> int:
    """After how many instructions to start an iteration, so that the fewest results are carried.

    A result is carried if it is read in the iteration after its own: if the iteration starts
    between the instruction that computes it and the one that reads it.

    Args:
        period: the count of instructions in one iteration.
        most: the largest allowed answer.
        readers: for each operand that is a result, the instruction that reads it.
        read: for each of these, the instruction that computed it.

    In the body `tanh mul add` below, each add reads the mul before it, and each tanh the add before
    it. At start 0 the sum is carried from the add to the tanh; at start 1 nothing is.

    >>> fewest_carried(3, 2, readers=[0, 2, 3, 5], read=[-1, 1, 2, 4])
    1
    """
    change = [0] * (most + 2)  # by how much the count of carried results changes at each start
    for p, k in zip(readers, read, strict=True):
        lowest = max(k + 1, p - period + 1, 0)
        highest = min(p, k + period, most)
        if lowest <= highest:
            change[lowest] += 1
            change[highest + 1] -= 1
    carried = list(accumulate(change[:-1]))
    return carried.index(min(carried))
