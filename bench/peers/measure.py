"""Take the time of one peer on one workload, in a process that does nothing else.

    python -m peers.measure lesson numpy        (in bench/; `peers.py` calls it so)

prints one line of JSON. A run of n steps takes (time to begin) + n (time of a step): a compiled
peer may look up its code, pack its data. Both are printed; the time of a step is
(time of n steps - time of 1 step) / (n - 1) with n so large that it hardly matters.
"""

import argparse
import gc
import importlib
import json
import statistics
import time
import traceback

from peers import WORKLOADS, Skip, by_numpy
from peers.problems import problem

MOST_STEPS = 200_000
SECONDS_A_ROW = 4.0
TOLERANCE = 1e-6


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("peer")
    parser.add_argument("--seconds", type=float, default=0.2)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    peer = next(peer for peer in WORKLOADS[options.workload] if peer.name == options.peer)
    try:
        result = row(peer, problem(options.workload), options.seconds, options.repeats)
    except Skip as why:
        result = {"skipped": str(why)}
    except ModuleNotFoundError as missing:
        result = {"skipped": f"{missing.name} is not installed"}
    except Exception as error:  # a peer's: the others go on, and the exit status tells
        traceback.print_exc()
        result = {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}
    print("\n" + json.dumps(result), flush=True)


def row(peer, full, seconds, repeats):
    """The measured times and the loss reached, by name."""
    task = full.small_enough() if peer.scalar else full
    module, function = peer.made_by.split(".")
    train = getattr(importlib.import_module(f"peers.{module}"), function)(task)
    gc.collect()
    gc.freeze()  # what was imported is no garbage of the peer's
    first = timed(train, 1)
    once = first if peer.scalar else timed(train, 1)
    checked = max(1, min(task.steps, int(SECONDS_A_ROW / 2 / once))) if peer.scalar else task.steps
    reached = agreement(task, train(checked), checked)
    steps = enough(train, once, task.steps, seconds, peer.scalar)
    wall, cpu = time.perf_counter(), time.process_time()
    runs = [timed(train, steps)]
    while len(runs) < repeats and sum(runs) < SECONDS_A_ROW:
        runs.append(timed(train, steps))
    share = (time.process_time() - cpu) / (time.perf_counter() - wall)
    begin, begun = (0.0, 0) if peer.scalar else (once, 1)
    size = len(full.inputs) / len(task.inputs)
    each = [(run - begin) / (steps - begun) * 1e6 * size for run in runs]
    return {
        "best_us": min(each),
        "median_us": statistics.median(each),
        "first_s": first,
        "begin_ms": begin * 1e3,
        "core_share": share,
        "runs": len(runs),
        "steps": steps,
        "samples": len(task.inputs),
        "samples_of": len(full.inputs),
        **reached,
    }


def timed(train, steps):
    start = time.perf_counter()
    train(steps)
    return time.perf_counter() - start


def enough(train, once, steps, seconds, scalar):
    """How many steps take so many seconds more than the first one."""
    if scalar:
        return max(1, int(seconds / once))
    while steps < MOST_STEPS:
        train(steps)  # a new length may be compiled anew
        more = timed(train, steps) - once
        if more >= seconds:
            break
        growth = min(10.0, max(1.2 * seconds / max(more, 1e-9), 1.5))
        steps = min(MOST_STEPS, int(steps * growth))
    return steps


def agreement(task, parameters, steps):
    """The loss after these steps, and that of the same steps in NumPy."""
    loss = by_numpy.loss_after(task, parameters)
    expected = by_numpy.loss_after(task, by_numpy.prepare(task)(steps))
    return {
        "loss": loss,
        "loss_expected": expected,
        "loss_steps": steps,
        "agrees": abs(loss - expected) <= TOLERANCE * abs(expected),
    }


if __name__ == "__main__":
    main()
