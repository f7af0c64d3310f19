"""Take the times of the peers of a sweep, turn by turn in one process.

A machine that others use is fast in one second and slow in the next. Turn by turn all peers see
the same of it, and the best of some rounds is the least disturbed one. Start reading at `rows`.
"""

import gc
import importlib
import time
import traceback

import numpy as np

from peers import Skip, by_numpy

TOLERANCE = 1e-9
CALM = 0.25  # at larger rates runs leap about, and any difference grows from step to step
CERTAIN_STEPS = 5  # are compared there
PAUSE = 0.02  # seconds before a run, in which threads of the peer before it go to sleep


def rows(peers, problem, rates, steps, few, rounds):
    """What there is to say of each peer, by name.

    Args:
        peers: a `Peer` each, whose first call may compile something.
        problem: what is trained.
        rates: the learning rates, an array.
        steps: how many steps each run makes.
        few: how many of the rates are enough for a peer that is scalar.
        rounds: how often each is timed.
    """
    expected = by_numpy.sweep(problem, rates, steps)()
    found, runs = {}, {}
    for peer in peers:
        some = slice(None, None, len(rates) // few if peer.scalar else None)
        row, run = begun(peer, problem, rates[some], steps)
        if run:
            row |= agreement(np.asarray(run()), expected[some], rates[some])
            runs[peer.name] = run
        found[peer.name] = row
    gc.collect()
    gc.freeze()  # what was imported is no garbage of the peers'
    for name, (wall, cpu) in interleaved(runs, rounds).items():
        found[name] |= {"best_s": min(wall), "core_share": sum(cpu) / sum(wall)}
    return found


def begun(peer, problem, rates, steps):
    """The row so far, and what runs the peer; None with the reason where it cannot be run."""
    module, function = peer.made_by.split(".")
    start = time.perf_counter()
    try:
        run = getattr(importlib.import_module(f"peers.{module}"), function)(problem, rates, steps)
        run()
    except Skip as why:
        return {"skipped": str(why)}, None
    except ModuleNotFoundError as missing:
        return {"skipped": f"{missing.name} is not installed"}, None
    except Exception as error:  # a peer's: the others go on, and the exit status tells
        traceback.print_exc()
        return {"failed": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}, None
    return {"models": len(rates), "first_s": time.perf_counter() - start}, run


def agreement(losses, expected, rates):
    """Relative differences to NumPy's losses.

    `off` is the largest of those that must be small, `leapt` in how many runs that of the last
    loss is larger than that.
    """
    apart = np.abs(losses - expected) / np.abs(expected)
    off = max(apart[rates < CALM].max(initial=0.0), apart[:, :CERTAIN_STEPS].max())
    leapt = int((apart[:, -1] > TOLERANCE).sum())
    return {"off": float(off), "leapt": leapt, "agrees": bool(off <= TOLERANCE)}


def interleaved(runs, rounds):
    """The wall and the CPU seconds of each round, by name."""
    found = {name: ([], []) for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            time.sleep(PAUSE)
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            found[name][0].append(time.perf_counter() - wall)
            found[name][1].append(time.process_time() - cpu)
    return found
