"""How much faster is native code than the eager engine, on programs that people write?

    python bench/gallery.py [--only TEXT] [--seconds 0.2]

The programs are those of tests/support/gallery.py. For each it prints how many operations it takes,
to how many instructions and loops it rolls (* if it runs as a table), the time to trace and
compile it, and the best times of a value with its gradient: eager, exact, default; last, how
many times faster the default mode is than the eager engine.
"""

import argparse
import os
import runpy
import tempfile
import time
from functools import partial
from pathlib import Path

from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.find_loops import find_loops

PATH = Path(__file__).parent.parent / "tests" / "support" / "gallery.py"


def seconds_of(function, *args):
    start = time.perf_counter()
    result = function(*args)
    return time.perf_counter() - start, result


def best(function, at_least):
    """The shortest of many calls, in microseconds."""
    shortest, end = float("inf"), time.perf_counter() + at_least
    while time.perf_counter() < end:
        shortest = min(shortest, seconds_of(function)[0])
    return shortest * 1e6


def measure(name, program, at_least):
    f, args = program.make()
    time_to_trace, traced = seconds_of(trace, f, *args)
    tape, w, x = traced.tape, [p.data for p in traced.parameters], traced.inputs
    times, compiled = [], []
    for exact in (True, False):
        seconds, found = seconds_of(partial(pipeline.executable, tape, exact=exact))
        compiled.append(found)
        times.append(seconds)

    def eagerly():
        for p in traced.parameters:
            p.grad = 0.0
        f(*args).backward()

    eager = best(eagerly, at_least)
    exact, default = [best(partial(c.gradient, w, x, [1.0]), at_least) for c in compiled]
    table = "*" if compiled[1].scheduled is None else ""
    size = f"{find_loops(tape).size}{table}"
    print(
        f"{name:22}{len(tape):8,}{size:>8}{time_to_trace * 1e3:8.0f}{times[1] * 1e3:9.0f}"
        f"{eager:11,.0f}{exact:9.1f}{default:9.1f}{eager / default:9,.0f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default="", help="programs with this in their names")
    parser.add_argument("--seconds", type=float, default=0.2, help="for each measurement")
    options = parser.parse_args()
    print(f"{'':22}{'':8}{'':8}{'milliseconds':>17}{'microseconds':>29}")
    print(
        f"{'':22}{'ops':>8}{'rolled':>8}{'trace':>8}{'compile':>9}{'eager':>11}{'exact':>9}"
        f"{'default':>9}{'ratio':>9}"
    )
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TALWEG_CACHE_DIR"] = folder  # an empty one, so that everything is compiled
        for name, program in runpy.run_path(str(PATH))["GALLERY"].items():
            if options.only in name:
                measure(name, program, options.seconds)


if __name__ == "__main__":
    main()
