"""How long does tw.jit take to read and write parameters, and what is the least that Python takes?

    python bench/parameters.py
    python bench/parameters.py --parameters 1000 --repeats 200

The function is a sum of products. Its parameters are a list of Values, rows of them, or the
attribute of a model. The last row has the parts of a call that any implementation in Python has:
reading `data` and `grad` of every Value into an array, and making and assigning a float for every
`grad`. Microseconds a call, the best of all repetitions. Start reading at `main`.
"""

import argparse
import operator
import random
import struct
import sys
import time

import talweg as tw
from peers.tables import aligned, significant


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--parameters", type=int, default=10_000, help="a multiple of 100")
    parser.add_argument("--repeats", type=int, default=500)
    options = parser.parse_args()
    if options.parameters < 100 or options.parameters % 100 or options.repeats < 1:
        parser.error("--parameters must be a multiple of 100, --repeats at least 1")
    rng = random.Random(0)
    weights = [tw.Value(rng.gauss(0.0, 0.1)) for _ in range(options.parameters)]
    rows = [
        [name, *map(significant, pair), significant(1e3 * sum(pair) / options.parameters)]
        for name, pair in {
            **calls(weights, options.repeats),
            "least: data, grad": floor(weights, options.repeats),
        }.items()
    ]
    head = ["parameters in", "forward", "backward", "both, ns a parameter"]
    print("\n".join(aligned([head, *rows], words=1)))


class Model:
    """Has its parameters in a list."""

    def __init__(self, weights):
        self.weights = weights

    def parameters(self):
        return self.weights


def calls(weights, repeats):
    """For each way to give parameters the time of a call and of `backward()` on its result."""
    inputs = tuple(0.001 * k for k in range(len(weights)))

    def total(weights):
        return sum(w * x for w, x in zip(weights, inputs, strict=True))

    ways = {
        "a list": (total, weights),
        "rows of 100": (
            lambda rows: total([w for row in rows for w in row]),
            [weights[k : k + 100] for k in range(0, len(weights), 100)],
        ),
        "a model": (lambda model: total(model.weights), Model(weights)),
    }
    return {name: timed(tw.jit(f), given, weights, repeats) for name, (f, given) in ways.items()}


def timed(f, given, weights, repeats):
    forward = backward = float("inf")
    for _ in range(repeats + 3):
        for w in weights:
            w.grad = 0.0
        begin = time.perf_counter()
        result = f(given)
        middle = time.perf_counter()
        result.backward()
        end = time.perf_counter()
        forward, backward = min(forward, middle - begin), min(backward, end - middle)
    return forward * 1e6, backward * 1e6


def floor(weights, repeats):
    """Reading the numbers of all Values, and reading and writing their derivatives."""
    values, count = tuple(weights), len(weights)
    numbers = struct.Struct(f"={count}d")
    data, grad = operator.attrgetter("_data"), operator.attrgetter("grad")
    array = bytearray(8 * count)

    def read():
        numbers.pack(*map(data, values))

    def write():
        numbers.pack(*map(grad, values))
        for value, value.grad in zip(values, numbers.unpack_from(array), strict=True):  # noqa: B007
            pass

    found = []
    for part in (read, write):
        best = float("inf")
        for _ in range(repeats):
            begin = time.perf_counter()
            part()
            best = min(best, time.perf_counter() - begin)
        found.append(best * 1e6)
    return tuple(found)


if __name__ == "__main__":
    sys.exit(main())
