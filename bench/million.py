"""A million runs in one call: the lesson's network at 1,000 rates from 1,000 seeds, 50 steps.

    .venv/bin/python bench/million.py
    .venv/bin/python bench/million.py --store folder    # its losses on disk instead of in memory

Prints seconds, microseconds a step and model, and the most memory the process had.
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np

import talweg as tw

STEPS = 50


def network(rng):
    return tw.MLP(3, [4, 4, 1], rng=rng)


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=1000, help="how many rates, and how many seeds")
    parser.add_argument("--store", type=Path, help="a new folder for the losses")
    parser.add_argument("--threads", type=int, help="all cores unless given")
    options = parser.parse_args(arguments)
    rates = np.geomspace(1e-3, 1.0, options.side)
    asked = {"steps": STEPS, "engine": "native", "threads": options.threads}
    begin = time.perf_counter()
    result = tw.sweep(
        network, tw.lesson_data(), rates, seeds=range(options.side), store=options.store, **asked
    )
    seconds = time.perf_counter() - begin
    begin = time.perf_counter()
    words = result.summary
    reading = time.perf_counter() - begin
    runs = len(result.runs)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(f"{runs:,} runs of {STEPS} steps in {seconds:.1f} s: {runs / seconds:,.0f} runs a second")
    print(
        f"{seconds / runs / STEPS * 1e6:.3f} us a step and model; at most {most:.2f} GB of memory"
    )
    print(f"{words} ({reading:.1f} s)")


if __name__ == "__main__":
    main()
