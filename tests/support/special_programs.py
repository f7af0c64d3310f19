"""Small programs of parameters and inputs, each with a difficulty of its own for the compiler.

State that is swapped or read late, trip counts that vary, branches, constants, unread parameters.
`SPECIAL` lists them.
"""

from itertools import pairwise

from random_programs import NOISE

import talweg as tw


def swapped(w, x):
    a, b = w[0], w[1]
    for number in x:
        a, b = b, tw.tanh(a * number + b)
    return [a, b]


def two_steps_back(w, x):
    old, now = w[0], w[1]
    for number in x:
        old, now = now, 0.5 * now + 0.25 * old * number
    return [now]


def read_long_after(w, x):
    states, state = [], w[0]
    for number in x:
        state = tw.tanh(state * w[1] + number)
        states.append(state)
    total = 0.0
    for k in range(len(x)):
        total = total + states[-1 - k] * states[k // 2]
    return [total, states[3]]


def triangle(w, x):
    made = []
    for i, number in enumerate(x):
        total = w[0] * number
        for j in range(i):
            total = total + made[j] * x[i - j]
        made.append(tw.tanh(total))
    return [made[-1]]


def shrinking(w, x):
    row = [w[0] * number for number in x]
    while len(row) > 1:
        row = [tw.tanh(a * b + w[1]) for a, b in pairwise(row)]
    return row


def three_loops(w, x):
    """Three nested loops, all but the innermost parallel: jammed twice."""
    outputs = []
    for i in range(9):
        for j in range(11):
            total = w[j % 2] * x[i]
            for k in range(13):
                total = total + w[(j + k) % 2] * x[(i + k) % len(x)]
            outputs.append(tw.tanh(total))
    return [sum(out * out for out in outputs)]


def dead_branches(w, x):
    total = w[0]
    for k, number in enumerate(x):
        total = total + tw.where(float(k % 2), number * w[1], tw.log(number - 5.0))
    return [total]


def constants_that_vary(w, x):
    total = 0.0
    for k, number in enumerate(x):
        total = total * (0.5 if k % 3 else 0.25) + (number - NOISE[k]) * w[0]
    return [total]


def no_operations(w, x):
    return [w[0], tw.Value(3.0), w[1], w[0]]


def outputs_of_every_kind(w, x):
    total = tw.tanh(w[0] * x[0])
    return [total, w[1], x[1] + 0.0 * total, total]


def not_read(w, x):
    return [w[1] * 2.0 + 0.0 * x[0]]


def infinite(w, x):
    return [tw.exp(w[0] * 1e6) * x[0] + tw.log(w[1] - w[1]) * 1e300]


SPECIAL = [
    swapped, two_steps_back, read_long_after, triangle, shrinking, three_loops, dead_branches,
    constants_that_vary, no_operations, outputs_of_every_kind, not_read, infinite,
]  # fmt: skip
