"""Horizontal reduction: the sums of the lanes of eight vectors at once.

Start reading at `horizontal_sums`.
"""

from __future__ import annotations

from talweg.compiler.codegen.builder import FunctionBuilder
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.intrinsics.builder_protocol import Name


def horizontal_sums(function: FunctionBuilder, vectors: list[Name], lanes: int) -> Name:
    """The vector of eight numbers of which each is the sum of the lanes of one vector.

    Neighbouring vectors are added crosswise: each round halves the number of vectors and
    doubles the number of different sums that a vector holds. Where vectors have fewer than eight
    lanes, the last rounds concatenate them instead.

    Args:
        function: where instructions go.
        vectors: eight vectors.
        lanes: how many numbers a vector holds: 2, 4 or 8.
    """
    sums = 1  # how many different sums a vector holds
    while len(vectors) > 1:
        b = NumberBuilder(function, lanes, strict=True)
        pairs = list(zip(vectors[0::2], vectors[1::2], strict=True))
        if sums == lanes:  # nothing left to add
            vectors = [b.shuffle(x, y, range(2 * lanes)) for x, y in pairs]
            lanes, sums = 2 * lanes, 2 * sums
            continue
        left, right = ([_term(k, lanes, sums, which) for k in range(lanes)] for which in (0, 1))
        vectors = [b.add(b.shuffle(x, y, left), b.shuffle(x, y, right)) for x, y in pairs]
        sums *= 2
    return vectors[0]


def _term(k: int, lanes: int, sums: int, which: int) -> int:
    """The lane of a pair of vectors that holds a term of lane k of the next round.

    A vector holds `sums` sums, each over `lanes // sums` neighbouring lanes. In the next round
    lane k belongs to sum k // (lanes // (2 * sums)) of the pair's 2 * sums sums.

    Args:
        k: the lane of the next round.
        lanes: how many lanes a vector has.
        sums: how many sums it holds.
        which: 0 for the first term, 1 for the second.
    """
    part = lanes // (2 * sums)
    number, lane = divmod(k, part)
    vector, inside = divmod(number, sums)
    return vector * lanes + inside * 2 * part + which * part + lane
