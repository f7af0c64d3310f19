"""How long does it take to find the loops of a long scalar program, and to compile it?

    python bench/roll.py [--operations 1000000] [--case NAME]

Each case runs in a process of its own. First each stage by itself, in microseconds an operation:
the program is traced, its tape checked, rolled, and the loops are written down and compared
with the tape, to the end, whatever the program is like. Then from the function to native code,
in seconds, and the most memory that the process took. A million operations are to stay
under 10 seconds and 2 GB, with a pattern or without. Times are of the processor, so that a busy
machine counts less.
"""

import argparse
import math
import random
import resource
import subprocess
import sys
import time

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import tape
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.roll import roll

# ---- programs with a pattern ---------------------------------------------------------------


def loss(model, xs, ys):
    predictions = [model(x) for x in xs]
    return sum((p - y) ** 2 for p, y in zip(predictions, ys))


def network(operations):
    """A 2-16-16-1 network on many samples, 644 operations each."""
    rng = random.Random(0)
    xs = [[rng.random(), rng.random()] for _ in range(operations // 644)]
    return loss, tw.MLP(2, [16, 16, 1], rng=rng), xs, [1.0] * len(xs)


def kinetics(operations):
    """Euler steps of 40 reactions among 12 species: a loop over a body without pattern."""
    rng = random.Random(1)
    reactions = [[rng.randrange(12) for _ in range(3)] for _ in range(40)]

    def program(amounts, rates):
        amounts = list(amounts)
        for _ in range(operations // 228):
            change = [0.0] * 12
            for rate, (a, b, c) in zip(rates, reactions):
                speed = rate * amounts[a] * amounts[b]
                change[a] = change[a] - speed
                change[b] = change[b] - speed
                change[c] = change[c] + speed
            amounts = [x + 0.001 * d for x, d in zip(amounts, change)]
        return sum(amounts)

    return program, [0.1 * i for i in range(12)], [0.01 * i for i in range(40)]


def attention(operations):
    """A layer of attention, 4 heads of 4 numbers, position by position over a growing past."""
    width, heads = 16, 4
    rng = random.Random(0)
    weights = [
        [[tw.Value(rng.gauss(0.0, 0.1)) for _ in range(width)] for _ in range(width)]
        for _ in range(4)
    ]

    def linear(matrix, x):
        return [sum(w * v for w, v in zip(row, x)) for row in matrix]

    def head(query, keys, values):
        logits = [sum(a * b for a, b in zip(query, key)) * 0.5 for key in keys]
        powers = [tw.exp(z) for z in logits]
        total = sum(powers)
        shares = [p / total for p in powers]
        return [sum(s * v for s, v in zip(shares, column)) for column in zip(*values)]

    def program(rows):
        keys, values, wrong = [], [], 0.0
        for x in rows:
            query, key, value = (linear(matrix, x) for matrix in weights[:3])
            keys.append(key)
            values.append(value)
            mixed = []
            for k in range(0, width, heads):
                part = slice(k, k + heads)
                past = ([v[part] for v in vs] for vs in (keys, values))
                mixed += head(query[part], *past)
            wrong = wrong + sum(v * v for v in linear(weights[3], mixed))
        return wrong

    positions = round((math.sqrt(2080**2 + 4 * 38 * operations) - 2080) / (2 * 38))
    return program, [[rng.random() for _ in range(width)] for _ in range(positions)]


def butterflies(operations):
    """The fast Fourier transform, by recursion: every level has loops of its own length."""

    def transform(re, im):
        if len(re) == 1:
            return re, im
        (a, b), (c, d) = (transform(re[k::2], im[k::2]) for k in range(2))
        half = len(a)
        turned = []
        for k in range(half):
            cos, sin = math.cos(-math.pi * k / half), math.sin(-math.pi * k / half)
            turned.append((c[k] * cos - d[k] * sin, c[k] * sin + d[k] * cos))
        re = [a[k] + s * turned[k][0] for s in (1.0, -1.0) for k in range(half)]
        im = [b[k] + s * turned[k][1] for s in (1.0, -1.0) for k in range(half)]
        return re, im

    def program(re, im):
        return sum(x * x + y * y for x, y in zip(*transform(re, im)))

    size = 2
    while 7 * 2 * size * math.log2(2 * size) + 8 * size <= operations:
        size *= 2
    return program, [0.1 * i for i in range(size)], [0.2 * i for i in range(size)]


# ---- programs with little or none ----------------------------------------------------------


def no_pattern(operations):
    """Operations drawn at random on results drawn from the last ones."""

    def program(xs):
        rng = random.Random(1)
        pool = list(xs)
        for _ in range(operations * 5 // 8):  # a fifth is read by nobody and dropped
            function = rng.choice([tw.sin, tw.cos, tw.tanh])
            pool.append(function(rng.choice(pool[-50:])) * rng.choice(pool[-30:]))
        return sum(pool[-50:])

    return program, [0.1, 0.2, 0.3]


def small_pool(operations):
    """The same with so few operands that short loops come about by accident."""

    def program(xs):
        rng = random.Random(2)
        pool = list(xs)
        choice = [tw.ops.add, tw.ops.sub, tw.ops.mul, tw.ops.max, tw.ops.tanh, tw.ops.sin]
        for _ in range(operations * 4 // 3):
            op = rng.choice(choice)
            pool.append(op(*[rng.choice(pool[-5:]) for _ in range(op.arity)]))
        return sum(pool[-8:])

    return program, [0.1, 0.2, 0.3]


def two_of_three(operations):
    """Of three groups of instructions the last differs in its middle, over and over."""
    length = max(20, operations // 30)
    functions = [tw.sin, tw.cos, tw.tanh, tw.exp]

    def program(xs):
        rng = random.Random(3)
        total = xs[0]
        for _ in range(5):
            picks = [(rng.randrange(4), rng.choice(xs)) for _ in range(length)]
            for group in range(3):
                for j, (k, x) in enumerate(picks):
                    differs = group == 2 and j == length // 2
                    total = functions[(k + differs) % 4](total) * x
        return total

    return program, [0.1 * i for i in range(30)]


def short_loops(operations):
    """Some twenty operations without pattern, then a short loop of loops, over and over."""

    def program(xs):
        rng = random.Random(4)
        pool = list(xs)
        for _ in range(operations // 57):
            for _ in range(rng.randrange(1, 40)):
                function = rng.choice([tw.sin, tw.cos, tw.tanh])
                pool.append(function(rng.choice(pool[-20:])) * rng.choice(pool[-20:]))
            rows, columns, factor = rng.randrange(1, 9), rng.randrange(1, 6), rng.choice(pool[-9:])
            for i in range(rows):
                row = 0.0
                for j in range(columns):
                    row = row + xs[i] * xs[j + i] * factor
                pool.append(tw.tanh(row))
        return sum(pool[-50:])

    return program, [0.1 * i for i in range(30)]


def pattern_last(operations):
    """A tenth without any pattern, then the network."""
    return mixed(no_pattern(operations // 10), network(operations * 9 // 10))


def pattern_first(operations):
    """The network, then a tenth without any pattern."""
    return mixed(network(operations * 9 // 10), no_pattern(operations // 10))


def mixed(first, second):
    (f, *args), (g, *others) = first, second
    return lambda xs, ys: f(*xs) + g(*ys), args, others


CASES = {
    "network": network,
    "kinetics": kinetics,
    "attention": attention,
    "butterflies": butterflies,
    "no pattern": no_pattern,
    "small pool": small_pool,
    "two of three": two_of_three,
    "short loops": short_loops,
    "pattern last": pattern_last,
    "pattern first": pattern_first,
}

# ---- measuring -----------------------------------------------------------------------------


def measure(name, operations):
    """Print the line of one case."""
    f, *args = CASES[name](operations)
    times = []

    def timed(function, *operands):
        start = time.process_time()
        result = function(*operands)
        times.append(time.process_time() - start)
        return result

    flat = timed(trace, f, *args).tape
    timed(tape.verify, flat)
    timed(roll, flat)
    program = timed(find_loops, flat)
    compiled = timed(pipeline.executable, flat)
    each = "".join(f"{t / len(flat) * 1e6:8.2f}" for t in times[:4])
    form = "table" if compiled.scheduled is None else "loops"
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{name:14}{len(flat):10,}{program.size:9,}{program.loops:8,}{each}{form:>8}"
        f"{times[4]:9.2f}{times[0] + times[4]:9.2f}{memory:7.2f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--operations", type=int, default=1_000_000)
    parser.add_argument("--case", choices=CASES, help="only this one, in this process")
    given = parser.parse_args()
    if given.case:
        measure(given.case, given.operations)
        return
    print(f"{'':41}microseconds an operation:{'':14}seconds:{'':13}GiB")
    print(f"{'':14}{'operations':>10}{'written':>9}{'loops':>8}", end="")
    print(f"{'trace':>8}{'check':>8}{'roll':>8}{'+verify':>8}", end="")
    print(f"{'runs as':>8}{'compile':>9}{'+trace':>9}{'memory':>7}", flush=True)
    for operations in (given.operations // 10, given.operations):
        for name in CASES:  # before anything large is made here: a child starts with our peak
            command = [sys.executable, __file__, "--case", name, "--operations", str(operations)]
            subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
