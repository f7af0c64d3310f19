"""Hoisting: the part of a program that does not depend on one of its spaces comes first.

A program of derivatives along a direction computes the function, and with its numbers, which are
the same for all directions, a linear map of the direction. `hoisted` separates the two, so that
code generation can compute the first part once and the second one for many directions.

Start reading at `hoisted`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from talweg.compiler.ir.tape import RESULT, Tape


def hoisted(tape: Tape, space: str) -> Tape:
    """The same program; instructions that do not depend on a space come before all others.

    >>> from talweg.compiler.frontend.trace import trace
    >>> from talweg.compiler.ir.tape import rearranged
    >>> tape = trace(lambda d, x: (d * x) * (x + 1.0), 2.0, 3.0).tape
    >>> print(hoisted(rearranged(tape, {"d": [("x", 0)], "x": [("x", 1)]}), "d"))
    t0 = add x0 c0
    t1 = mul d0 x0
    t2 = mul t1 t0
    return t2
    """
    own, result = tape.spaces.index(space), tape.spaces.index(RESULT)
    depends = (tape.space == own).any(axis=1).tolist()
    operands = np.where(tape.space == result, tape.index, -1).tolist()
    for i, read in enumerate(operands):
        if not depends[i]:
            depends[i] = any(depends[k] for k in read if k >= 0)
    order = np.argsort(depends, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    spaces, indices = tape.space[order], tape.index[order]
    is_result = spaces == result
    indices[is_result] = place[indices[is_result]]
    outputs = tuple([(s, int(place[k]) if s == result else k) for s, k in tape.outputs])
    return replace(tape, code=tape.code[order], space=spaces, index=indices, outputs=outputs)
