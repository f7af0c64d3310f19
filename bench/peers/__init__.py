"""The programs that train one network, one small file each, and the list of them.

A peer is a function `prepare(problem)` that returns `train(steps)`: train from the problem's
start weights for so many steps, recording each step's loss as `tw.train` does, and return the
parameters in the lesson's order, a flat list. `problems.py` says what is trained, `measure.py`
takes the time of one peer in a process of its own, and `../peers.py` runs them all.

A peer of a sweep is a function `prepare(problem, rates, steps)` that returns `run()`: train a
network at each rate, all from the problem's start weights, and return the losses, rates by steps.
`rounds.py` takes their times, and `../sweep.py` prints them.
"""

from dataclasses import dataclass


class Skip(Exception):  # noqa: N818 (nothing went wrong)
    """A peer cannot be measured here; the message says why, in one line."""


@dataclass(frozen=True)
class Peer:
    """A row of the table.

    Attributes:
        name: what it is called on the command line.
        made_by: the module in this folder and its function, "by_numpy.prepare".
        about: what it is, in a few words.
        scalar: it runs in Python number by number: hundreds of times slower, nothing to compile.
    """

    name: str
    made_by: str
    about: str
    scalar: bool = False


TRAINERS = (
    Peer("lesson", "by_loop.lesson", "the lesson's class and loop", scalar=True),
    Peer("eager", "by_talweg.eager", 'tw.train(engine="eager")', scalar=True),
    Peer("native", "by_talweg.native", 'tw.train(engine="native")'),
    Peer("exact", "by_talweg.exact", 'tw.train(engine="native", mode="exact")'),
    Peer("numpy", "by_numpy.prepare", "NumPy by hand"),
    Peer("numba", "by_numba.prepare", "loops by hand, whole run in one call"),
    Peer("torch", "by_torch.eager", "PyTorch eager"),
    Peer("torch-compile", "by_torch.compiled", "torch.compile of a step"),
    Peer("jax", "by_jax.step_by_step", "JAX, jit of a step"),
    Peer("jax-scan", "by_jax.whole_run", "JAX, lax.scan of the whole run"),
    Peer("c", "by_c.prepare", "C by hand, gcc -O3 -march=native"),
)

LOOPS = (
    Peer("loop-eager", "by_loop.eager", "hand-written loop, Values", scalar=True),
    Peer("loop-jit", "by_loop.jit", "hand-written loop, tw.jit"),
)

SWEEPERS = (
    Peer("native", "by_talweg.native_sweep", "Sweeper.run, the native part of tw.sweep"),
    Peer("sweep", "by_talweg.sweep", 'tw.sweep(engine="native"), all of it'),
    Peer("lesson", "by_loop.sweep", "the lesson's class and loop", scalar=True),
    Peer("numpy", "by_numpy.sweep", "NumPy by hand"),
    Peer("jax", "by_jax.sweep", "JAX, jit(vmap(scan))"),
    Peer("drjit", "by_drjit.sweep", "Dr.Jit on LLVM, one kernel"),
    Peer("c", "by_c.sweep", "C by hand, gcc -O3 -march=native"),
)

WORKLOADS = {
    "lesson": TRAINERS,
    "moons": TRAINERS,
    "wide": TRAINERS,
    "hand-lesson": LOOPS,
    "hand-moons": LOOPS,
}
"""Which peers take part in which workload; `hand-` is the same problem in a loop of one's own."""

BASES = ("native", "c", "loop-jit", "loop-eager")
"""Ratios are to the first of these that was measured, or else to the fastest."""
