"""Adding up the lanes of several vectors at once.

Start reading at `summed`.
"""

from __future__ import annotations

from talweg.compiler.codegen.builder import Emitter, Function, Name


def summed(e: Emitter, vectors: list[Name]) -> Name:
    """Eight vectors -> one vector of eight numbers, the sums of their lanes.

    Neighbours are added crosswise: after each round half as many vectors are left, and each
    of their lanes is a sum of twice as many numbers.
    """
    f, lanes = e.function, e.lanes
    width = lanes  # how many lanes a vector has; grows to 8 where lanes < 8
    spread = 1  # how many different sums a vector holds
    while len(vectors) > 1:
        left, right = vectors[0::2], vectors[1::2]
        if width // spread == 1:  # nothing left to add: put side by side
            joined = ", ".join(f"i32 {k}" for k in range(2 * width))
            kind = f"<{width} x double>"
            vectors = [
                f.new(f"shufflevector {kind} {a}, {kind} {b}, <{2 * width} x i32> <{joined}>")
                for a, b in zip(left, right, strict=True)
            ]
            width, spread = 2 * width, 2 * spread
            continue
        kind = f"<{width} x double>"
        low = [_half(k, width, spread, 0) for k in range(width)]
        high = [_half(k, width, spread, 1) for k in range(width)]
        vectors = [
            f.new(f"fadd {kind} {_shuffled(f, kind, a, b, low)}, {_shuffled(f, kind, a, b, high)}")
            for a, b in zip(left, right, strict=True)
        ]
        spread *= 2
    return vectors[0]


def _half(k: int, width: int, spread: int, which: int) -> int:
    """Where lane k of the next round finds its two terms.

    A vector holds `spread` sums, each over `width // spread` neighbouring lanes. In the next
    round lane k belongs to sum k // (width // (2 * spread)) of the pair's 2 * spread sums.
    """
    part = width // (2 * spread)
    number, lane = divmod(k, part)
    vector, inside = divmod(number, spread)
    return vector * width + inside * 2 * part + which * part + lane


def _shuffled(f: Function, kind: str, a: Name, b: Name, lanes: list[int]) -> Name:
    listed = ", ".join(f"i32 {k}" for k in lanes)
    return f.new(f"shufflevector {kind} {a}, {kind} {b}, <{len(lanes)} x i32> <{listed}>")
