"""A million runs in one call: the lesson's network at 1,000 rates from 1,000 seeds, 50 steps.

    python bench/million.py
    python bench/million.py --store folder    # its losses on disk instead of in memory
    python bench/million.py --rates 100000 --seeds 1 --threads 1 --rounds 5

Prints seconds, microseconds a step and model, how much of the time the threads spend in native
code, and the most memory the process had. Of several rounds it prints the fastest; the first one
also compiles, unless the program is in the cache.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

import talweg as tw
from talweg._util.cpu_count import cores
from talweg.compiler.runtime.lane_trainer import LaneTrainer

STEPS = 50


def network(rng):
    return tw.MLP(3, [4, 4, 1], rng=rng)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rates", type=int, default=1000, help="how many learning rates")
    parser.add_argument("--seeds", type=int, default=1000, help="how many seeds at each rate")
    parser.add_argument("--store", type=Path, help="a new folder for the losses")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--rounds", type=int, default=1, help="how often; the fastest counts")
    options = parser.parse_args(arguments)
    spent = native_time()
    rounds = []
    for _ in range(options.rounds):
        spent.clear()
        start = time.perf_counter()
        result = swept(options)
        rounds.append((time.perf_counter() - start, sum(spent) / options.threads))
    seconds, native = min(rounds)
    start = time.perf_counter()
    summary = result.summary
    reading = time.perf_counter() - start
    runs = len(result.runs)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{runs:,} runs of {STEPS} steps in {seconds:.2f} s: {runs / seconds:,.0f} runs a second")
    print(
        f"{seconds / runs / STEPS * 1e6:.3f} us a step and model; at most {most:.2f} GB of memory"
    )
    share = f"{native / seconds:.0%} of the time"
    print(f"native code: {native:.2f} s of each of {options.threads} threads, {share}")
    print(f"{summary} ({reading:.1f} s)")


def swept(options):
    return tw.sweep(
        network,
        tw.lesson_data(),
        np.geomspace(1e-3, 1.0, options.rates),
        seeds=range(options.seeds),
        steps=STEPS,
        engine="native",
        threads=options.threads,
        store=options.store,
    )


def native_time():
    """A list that each call of a training function, from now on, adds its seconds to."""
    spent, made = [], LaneTrainer.__init__

    def timed(self, *given, **settings):
        made(self, *given, **settings)
        function = self._native

        def call(*numbers):
            start = time.perf_counter()
            function(*numbers)
            spent.append(time.perf_counter() - start)

        self._native = call

    LaneTrainer.__init__ = timed
    return spent


if __name__ == "__main__":
    main()
