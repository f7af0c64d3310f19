"""How long does it take to find the loops of a long scalar program?

    python bench/roll.py [--samples 800]

A 2-16-16-1 network on so many samples (644 operations each) is traced, checked, rolled, and
the loops are written out again and compared with the tape; then a program without any
pattern. Rolling should stay near one microsecond an operation.
"""

import argparse
import random
import time

import talweg as tw
from talweg.compiler import explain, loops, tape
from talweg.compiler.roll import roll
from talweg.compiler.trace import trace


def loss(model, xs, ys):
    predictions = [model(x) for x in xs]
    return sum((p - y) ** 2 for p, y in zip(predictions, ys))


def irregular(count):
    def program(xs):
        rng = random.Random(1)
        pool = list(xs)
        for _ in range(count // 2):
            function = rng.choice([tw.sin, tw.cos, tw.tanh])
            pool.append(function(rng.choice(pool[-50:])) * rng.choice(pool[-30:]))
        return sum(pool[-50:])

    return program


def measure(name, f, *args):
    times = []

    def timed(function, *operands):
        start = time.perf_counter()
        result = function(*operands)
        times.append(time.perf_counter() - start)
        return result

    traced = timed(trace, f, *args)
    timed(tape.verify, traced.tape)
    timed(roll, traced.tape)
    program = timed(loops.program, traced.tape)
    timed(explain.text, program)
    count = len(traced.tape)
    each = "".join(f"{t / count * 1e6:9.2f}" for t in times)
    print(f"{name:12}{count:10,}{program.size:9,}{each}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--samples", type=int, default=800)
    samples = parser.parse_args().samples
    rng = random.Random(0)
    xs = [[rng.random(), rng.random()] for _ in range(samples)]
    print(f"{'':12}{'operations':>10}{'written':>9}   microseconds an operation:")
    print(f"{'':31}{'trace':>9}{'verify':>9}{'roll':>9}{'+verify':>9}{'text':>9}")
    measure("network", loss, tw.MLP(2, [16, 16, 1], rng=rng), xs, [1.0] * samples)
    measure("no pattern", irregular(30_000), [0.1, 0.2, 0.3])


if __name__ == "__main__":
    main()
