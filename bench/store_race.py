"""Do processes that create one new store at the same time keep their runs apart?

    python bench/store_race.py [--races 200] [--processes 4]

In each race the processes create one new store together: sweeps in every second race, else maps.
Half of them ask for seed 1, half for seed 2. Then both seeds are asked for once more, one after the
other. A race is right if each process either gets its own numbers or a `TalwegError`, and the store
holds the numbers of one seed and refuses the other. It prints how many races were wrong, and exits
with 1 if any was.

Where the system can fork, the processes are forked from one that has imported everything, and the
expected numbers are computed once: so the races themselves take most of the time.
"""

import argparse
import multiprocessing
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import talweg as tw
from talweg.explore.trainability.mean_field import default_problem

RATES = [0.01 * 1.2**k for k in range(20)]
SEEDS = (1, 2)
HEAVY = (
    "zarr",
    "zarr.codecs",
    "talweg.explore.sweep.lane_batch",
    "talweg.explore.sweep.store",
    "talweg.explore.trainability.point_lanes",
    "talweg.explore.trainability.tile_store",
)
"""Modules that are imported only when they are used."""


def network(rng):
    return tw.MLP(3, [1], rng=rng)  # a small one: the races are about stores


def swept(seed, store):
    data = tw.lesson_data()
    result = tw.sweep(network, data, RATES, seeds=[seed], steps=20, engine="native", store=store)
    return result.losses.tolist()


def mapped(seed, store):
    problem = default_problem(width=2)
    return tw.trainability_map(
        *problem, resolution=16, steps=5, seed=seed, store=store
    ).measure.tolist()


KINDS = (swept, mapped)


def outcome(kind, seed, store, expected):
    """What a process got: "right", "refused", "wrong numbers", or the name of an exception."""
    try:
        return "right" if kind(seed, store) == expected[kind, seed] else "wrong numbers"
    except tw.errors.TalwegError:
        return "refused"
    except Exception as error:
        return type(error).__name__


def race(me, races, folder, gate, outcomes, expected):
    """Take part in all races; the first process also asks again after each."""
    seed = SEEDS[me % 2]
    for number in range(races):
        kind, store = KINDS[number % 2], Path(folder) / str(number)
        gate.wait(60)
        got = outcome(kind, seed, store, expected)
        outcomes.put((number, seed, got, False))
        gate.wait(60)
        if not me:
            for again in SEEDS:
                outcomes.put((number, again, outcome(kind, again, store, expected), True))
            shutil.rmtree(store, ignore_errors=True)


def is_right(found):
    """Whether one race is right, from (seed, what it got, whether that was later)."""
    if any(got not in ("right", "refused") for _, got, _ in found):
        return False
    later = [seed for seed, got, after in found if after and got == "right"]
    return len(later) == 1 and {seed for seed, got, _ in found if got == "right"} == set(later)


def process_context():
    """Start processes by a fork of one that has imported everything, or by spawning them."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["talweg", *HEAVY])
    return context


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--races", type=int, default=200)
    parser.add_argument("--processes", type=int, default=4)
    options = parser.parse_args()
    context = process_context()
    gate, outcomes = context.Barrier(options.processes), context.Queue()
    start = time.perf_counter()
    expected = {(kind, seed): kind(seed, None) for kind in KINDS for seed in SEEDS}
    with tempfile.TemporaryDirectory() as folder:
        each = [
            context.Process(target=race, args=(k, options.races, folder, gate, outcomes, expected))
            for k in range(options.processes)
        ]
        for process in each:
            process.start()
        count = options.races * (options.processes + len(SEEDS))
        found = [outcomes.get(timeout=120) for _ in range(count)]
        for process in each:
            process.join()
    seconds = time.perf_counter() - start
    wrong = 0
    for first, kind in enumerate(KINDS):
        races = [
            [row[1:] for row in found if row[0] == k]
            for k in range(first, options.races, len(KINDS))
        ]
        bad = sum(not is_right(rows) for rows in races)
        wrong += bad
        print(f"{kind.__name__}: {bad} of {len(races)} races wrong")
        for after, when in ((False, "in the race"), (True, "asked again")):
            counted = Counter(got for rows in races for _, got, later in rows if later is after)
            words = ", ".join(f"{count} {got}" for got, count in counted.most_common())
            print(f"  {when}: {words}")
    print(
        f"{wrong} of {options.races} races of {options.processes} processes wrong ({seconds:.0f} s)"
    )
    sys.exit(wrong > 0)


if __name__ == "__main__":
    main()
