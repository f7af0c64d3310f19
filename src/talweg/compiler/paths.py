"""Paths: a function that branches on numbers is several programs; guards tell which serves a call.

A *path* is one way that the branches of a function can go, and one choice of the numbers that it
uses as plain numbers. Each path is a program, with the guards that were noted when it was traced
(`frontend/recorder.py`). A `PathGuard` evaluates them at a call: native code computes the numbers
of the guards in exact mode, so a branch goes as it does when Python runs the function.

The callers take the first program whose guards hold: `Jitted._call` in `compiler/jit.py`,
`Differentiator.programs` in `compiler/differentiation.py`, `ExamplePrograms.program_of` in
`training/example_programs.py`.

Start reading at `PathGuard.holds`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import Trace
from talweg.compiler.ir.tape import RESULT, Array, Tape
from talweg.compiler.runtime.executable import Executable, Numbers
from talweg.errors import TraceError

MOST_PATHS = 16
"""How many programs a function may have for the calls of one signature."""


class PathGuard:
    """The conditions under which a traced program serves a call.

    Args:
        traced: the trace.
        which: the numbers of the conditions among its guards; None for all of them.

    Attributes:
        places: the lines that asked for a number.
    """

    def __init__(self, traced: Trace, which: Sequence[int] | None = None) -> None:
        chosen = range(len(traced.guards)) if which is None else which
        # The Values of a trace have its whole graph behind them: only numbers and lines are kept.
        guards = [traced.guards[k] for k in chosen]
        self.places = list(dict.fromkeys(guard.place for guard in guards))
        self._expected = struct.pack(f"={len(guards)}d", *[guard.node._data for guard in guards])
        self._tape = traced.guard_tape
        self._outputs = [traced.guard_tape.outputs[k] for k in chosen]

    def holds(self, w: Numbers, x: Numbers) -> bool:
        """Whether the program serves a call with these parameters and inputs."""
        return self._executable.value_bytes(w, x) == self._expected

    @cached_property
    def _executable(self) -> Executable:
        return pipeline.executable(self._tape, outputs=self._outputs, exact=True)


def guards_by_source(traced: Trace) -> tuple[PathGuard | None, PathGuard | None]:
    """The conditions of a trace on its inputs alone, and those on its parameters too."""
    tape = traced.guard_tape
    of_parameters = set(np.flatnonzero(_depends_on(tape, "w")).tolist())
    inner = [k for k, (_, t) in enumerate(tape.outputs) if t in of_parameters]
    outer = [k for k in range(len(tape.outputs)) if k not in set(inner)]
    on_inputs = PathGuard(traced, outer) if outer else None
    return on_inputs, PathGuard(traced, inner) if inner else None


def refuse_lost_derivatives(traced: Trace, sources: Sequence[tuple[str, int]]) -> None:
    """Raise an error if a function of `math` is given a number that is differentiated by.

    Args:
        traced: the trace.
        sources: the numbers to differentiate by, as (space, index).

    Raises:
        NumberError: with the operation of talweg that is to be used instead.
    """
    if any(guard.refusal for guard in traced.guards):
        tape = traced.guard_tape
        # A guard reads its number by `detach`, through which no derivative passes.
        pinned = [(int(tape.space[k, 0]), int(tape.index[k, 0])) for _, k in tape.outputs]
        depends = pipeline.dependence(replace(tape, outputs=tuple(pinned)), sources)
        for guard, found in zip(traced.guards, depends, strict=True):
            if guard.refusal is not None and len(found):
                raise guard.refusal


def _depends_on(tape: Tape, name: str) -> Array:
    """For each instruction whether its result depends on a number of a space."""
    found: Array = np.asarray((tape.space == tape.spaces.index(name)).any(axis=1))
    reads = tape.space == tape.spaces.index(RESULT)
    for i in np.flatnonzero(reads.any(axis=1) & ~found).tolist():
        found[i] = found[tape.index[i][reads[i]]].any()
    return found


def refuse_another_path(guards: Sequence[PathGuard], name: str) -> None:
    """Raise an error if a function has as many programs as it may have.

    Args:
        guards: the guards of its programs, those of the last one first.
        name: the function's name.

    Raises:
        TraceError: with the lines that ask for the numbers, and what to write instead.
    """
    if len(guards) >= MOST_PATHS:
        raise TraceError(too_many_paths(guards[0].places, f"{name} has"))


def too_many_paths(places: Sequence[str], subject: str) -> str:
    """The message of a function that has too many paths.

    >>> too_many_paths(["net.py, line 3 (if x > 0.0:)"], "loss has")
    'loss has more than 16 paths that depend on its numbers: a number decides a branch, or is used \
as a plain number, in net.py, line 3 (if x > 0.0:); choose with tw.where(condition, a, b), tw.max \
or tw.leaky_relu, and compute with the Value itself, or do not compile the function'
    """
    shown = ", ".join(places[:3]) + (" and further lines" if len(places) > 3 else "")
    return (
        f"{subject} more than {MOST_PATHS} paths that depend on its numbers: a number decides a "
        f"branch, or is used as a plain number, in {shown}; choose with tw.where(condition, a, b), "
        "tw.max or tw.leaky_relu, and compute with the Value itself, or do not compile the function"
    )
