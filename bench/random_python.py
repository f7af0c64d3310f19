"""Do compiled programs ever give another answer than Python? Random programs are compared.

    python bench/random_python.py [--count 1000] [--seed 0] [--jobs 2] [--minutes M] [--show 5]

Each program is Python text (`tests/support/python_programs.py`): it reads `.data`, branches on
numbers, keeps state, sorts, uses numbers as keys, wraps them, calls NumPy; between its calls flags,
captured numbers and parameters change. It is run by the eager engine and compiled, in exact mode
(every bit of results, derivatives and state), in default mode (1e-9) and by `tw.value_and_grad`.
A program that compiled code refuses with an error is counted apart. The exit code is 1 if one
differs; those are printed after as many parts as possible were left out.

Start reading at `main`.
"""

import argparse
import collections
import concurrent.futures
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests" / "support"))


def verdicts_of(seed):
    """The verdicts on the program of a seed."""
    from python_runs import judged, written

    return seed, judged(written(seed))


def differing(seed, mode):
    """The program of a seed with parts left out, as text."""
    from python_runs import described, judged, minimised, written

    small = minimised(written(seed), mode)
    return f"{judged(small, [mode])[mode].detail}\n{described(small)}"


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--minutes", type=float, default=60.0, help="stop after that time")
    parser.add_argument("--show", type=int, default=5, help="differing programs to print")
    parser.add_argument("--refused", action="store_true", help="print why programs are refused")
    options = parser.parse_args()
    counts = {mode: collections.Counter() for mode in ("exact", "default", "derivatives")}
    reasons, differ = collections.Counter(), []
    start, done = time.monotonic(), 0
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for first in range(options.seed, options.seed + options.count, 100):
            last = min(first + 100, options.seed + options.count)
            for seed, verdicts in pool.map(verdicts_of, range(first, last), chunksize=5):
                done += 1
                for mode, verdict in verdicts.items():
                    counts[mode][verdict.kind] += 1
                    if verdict.kind == "refused":
                        reasons[verdict.detail.split(": ", 1)[1][:150]] += 1
                    if verdict.kind == "different":
                        differ.append((seed, mode))
                        print(f"program {seed}, {mode}: {verdict.detail[:300]}", flush=True)
            if time.monotonic() - start > 60 * options.minutes:
                break
    for seed, mode in differ[: options.show]:
        print(f"\n---- program {seed}, {mode}\n{differing(seed, mode)}")
    print(f"\n{done:,} programs in {time.monotonic() - start:.0f} s")
    for mode, count in counts.items():
        print(f"  {mode}: " + ", ".join(f"{n:,} {kind}" for kind, n in count.most_common()))
    if options.refused:
        for reason, n in reasons.most_common(40):
            print(f"  refused {n}: {reason}")
    return int(bool(differ))


if __name__ == "__main__":
    sys.exit(main())
