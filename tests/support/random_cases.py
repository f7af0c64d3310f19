"""Random programs with their outputs and gradients by the eager engine.

The programs are those of `random_programs`, the cases those of `backend_cases`. Start reading at
`random_case`.
"""

import numpy as np
from backend_cases import case_of
from random_programs import SMOOTH, Author, TooLongError, computed

from talweg.compiler.passes.find_loops import find_loops


def drawn_case(description, w, x):
    """The case of a random program, unless it is too long."""
    try:
        return case_of(lambda w, x: computed(description, w, x), w, x)
    except TooLongError:
        return None


def random_case(seed, names, products=False):
    """A description, parameters, inputs and the case; None for a program that is too long."""
    description, w, x = Author(seed, names, products).program()
    return description, w, x, drawn_case(description, w, x)


def is_well_conditioned(description, w, x, case):
    """Whether a change of 1e-9 in the numbers changes outputs and gradient by little more."""
    changed = [[a * (1.0 + 1e-9 * (-1) ** k) for k, a in enumerate(part)] for part in (w, x)]
    again = drawn_case(description, *changed)
    then = [*case.outputs, *case.gradient["w"], *case.gradient["x"]]
    now = [*again.outputs, *again.gradient["w"], *again.gradient["x"]]
    if not np.isfinite(then).all():
        return False
    steps = np.abs(np.array(now) - np.array(then)).max()
    return bool(steps <= 1e-8 * max(1.0, np.abs(then).max()))


def short_enough(seed, names, products=False):
    """The first random case from a seed on that is not too long and has a loop."""
    for k in range(seed, seed + 1000):
        description, w, x, case = random_case(k, names, products)
        if case is not None and find_loops(case.tape).loops:
            return description, w, x, case
    raise AssertionError("no such program")


def well_conditioned(seed, products=False):
    """The first random case from a seed on whose numbers rounding errors hardly change."""
    for k in range(seed, seed + 1000):
        description, w, x, case = short_enough(k, SMOOTH, products)
        if is_well_conditioned(description, w, x, case):
            return case
    raise AssertionError("no such program")
