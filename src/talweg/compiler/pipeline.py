"""The one driver of the compiler: it takes a traced program through all stages.

    frontend/trace          f(*args)          -> Trace, with its Tape
    ir/tape.verify          Tape
    passes/find_loops       Tape              -> LoopProgram         verified against the tape
    passes/scheduling       LoopProgram       -> ScheduledProgram    verified
    codegen                 ScheduledProgram  -> LLVM IR
    runtime/llvm            LLVM IR           -> Library             LLVM verifies the IR
    runtime                 Library           -> Executable, Trainer, LaneTrainer

This file alone calls one stage after the other; other files import passes from it. Two kinds of
programs have no scheduled form: those that are longer than `LONGEST_TEXT` after loop recovery, and
those that the scheduler cannot schedule. `executable` and `trainer` then write the operations into
a table that native code interprets (`codegen/op_table.py`); `lane_trainer` raises NativeError.

Every stage can be printed. The environment variable TALWEG_DUMP names stages, separated by
commas; each program that is compiled is then written to standard error as it leaves these stages:

    TALWEG_DUMP=tape         the flat list of operations
    TALWEG_DUMP=loops        the loop program
    TALWEG_DUMP=scheduled    the scheduled program, forward and backward
    TALWEG_DUMP=llvm         the LLVM IR, before LLVM optimises it

Start reading at `executable`.
"""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from talweg.compiler.codegen import entry_points, op_table
from talweg.compiler.ir.loop_program import LoopProgram
from talweg.compiler.ir.scheduled_program import ScheduledProgram
from talweg.compiler.ir.tape import Array, Tape, rearranged, verify
from talweg.compiler.passes.colouring import column_colours as column_colours  # noqa: PLC0414
from talweg.compiler.passes.colouring import star_colours as star_colours  # noqa: PLC0414
from talweg.compiler.passes.dead_code import without_dead_code
from talweg.compiler.passes.find_loops import find_loops, find_loops_within
from talweg.compiler.passes.folding import folded as folded  # noqa: PLC0414
from talweg.compiler.passes.guarded_adjoints import guarded_results
from talweg.compiler.passes.hoisting import hoisted
from talweg.compiler.passes.scheduling import schedule
from talweg.compiler.passes.sparsity import dependence as dependence  # noqa: PLC0414
from talweg.compiler.runtime import llvm
from talweg.compiler.runtime.executable import Executable
from talweg.errors import ArgumentError, NativeError, TalwegWarning

if TYPE_CHECKING:  # the trainers are imported where they are made: tw.jit needs none of them
    from talweg.compiler.runtime.direction_map import DirectionMap
    from talweg.compiler.runtime.lane_trainer import LaneTrainer
    from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
    from talweg.compiler.runtime.trainer import Trainer

LONGEST_TEXT = 2_000
"""How many instructions and loops a loop program may have; for more LLVM takes seconds."""

STAGES = ("tape", "loops", "scheduled", "llvm")
"""The stages that TALWEG_DUMP may name."""

Mode: TypeAlias = Literal["default", "exact"]
"""Whether results agree with the eager engine to rounding errors, or in every bit."""


def is_exact(mode: Mode) -> bool:
    """Whether a mode asks for the bits of the eager engine.

    Raises:
        ArgumentError: if there is no such mode.
    """
    if mode not in ("default", "exact"):
        raise ArgumentError(f'mode must be "default" or "exact", got {mode!r}')
    return mode == "exact"


# ---- what a program is compiled to ----------------------------------------------------------


def executable(
    tape: Tape,
    *,
    outputs: Sequence[tuple[int, int]] | None = None,
    exact: bool = False,
    wrt: Sequence[str] = ("w",),
    as_table: bool = False,
) -> Executable:
    """The native functions of a program: its outputs, and their derivatives.

    Args:
        tape: the program.
        outputs: some of its outputs, to compile only what these depend on; None for all.
        exact: whether every bit must be that of the eager engine.
        wrt: the spaces by whose numbers derivatives are computed: "w", "x" or both.
        as_table: do not search for loops, compile a table of operations in any case.

    Example:
        >>> from talweg.compiler.frontend.trace import trace
        >>> square = executable(trace(lambda x: x * x, 3.0).tape, wrt=["x"])
        >>> square.value([], [3.0]), square.gradient([], [3.0], [1.0])
        ((9.0,), {'x': (6.0,)})
    """
    if outputs is not None:
        tape = without_dead_code(tape, outputs)
    _checked(tape)
    if as_table:
        return _table(tape, exact, wrt)
    try:
        scheduled = _scheduled(tape, wrt)
    except NativeError:
        return _table(tape, exact, wrt)
    # LLVM makes vectors of parallel loops and sums: this IR has single numbers only.
    tuning = None if exact else llvm.VECTORS
    library = _library(entry_points.kernels(scheduled, exact), tuning)
    work = entry_points.work_size(scheduled)
    return Executable(tape, scheduled, library, constants=tape.constants, work=work, wrt=wrt)


def _table(tape: Tape, exact: bool, wrt: Sequence[str] = ("w",)) -> Executable:
    """The native functions of a program without a scheduled form."""
    is_guarded = bool(guarded_results(tape, wrt).any())
    library = _library(op_table.kernels(tape, exact, is_guarded))
    constants, work = op_table.contents(tape), op_table.work_size(tape)
    return Executable(tape, None, library, constants=constants, work=work, wrt=wrt)


def direction_map(tape: Tape, directions: Array) -> DirectionMap:
    """Native derivatives along several directions.

    Args:
        tape: the program, with the spaces "w", "x" and "d", the direction; its outputs are linear
            in "d".
        directions: the directions, shape (directions, size of "d").
    """
    from talweg.compiler.codegen import directions as entry
    from talweg.compiler.runtime.direction_map import NativeDirections, TableDirections

    tape = hoisted(folded(tape), entry.DIRECTION)
    _checked(tape)
    try:
        scheduled = _scheduled(tape, ())
    except NativeError:
        table = _table(with_direction_in_x(tape), False, ())
        return TableDirections(table, len(tape.outputs), directions)
    lanes = min(llvm.lanes(), 1 << (len(directions) - 1).bit_length())
    rounds = -(-len(directions) // lanes)
    kernel = entry.DirectionKernel(scheduled, directions.shape[1], lanes, rounds)
    return NativeDirections(
        kernel,
        _library(entry.kernels(kernel)),
        sizes={name: tape.sizes[name] for name in ("w", "x")},
        constants=tape.constants,
        directions=directions,
    )


def with_direction_in_x(tape: Tape) -> Tape:
    """A program of derivatives along a direction, which follows the other inputs in "x"."""
    w, x, d = ([(name, k) for k in range(tape.sizes[name])] for name in ("w", "x", "d"))
    return rearranged(tape, {"w": w, "x": [*x, *d]})


def trainer(
    tape: Tape,
    samples: Array,
    *,
    batch: int | None = None,
    threads: int = 1,
    exact: bool = False,
    **settings: Any,
) -> Trainer | PerSampleTrainer:
    """Native training steps of a program on a set of samples.

    Args:
        tape: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        batch: how many samples a batch has; None for all of them.
        threads: how many threads may share the samples of a large batch.
        exact: whether every bit must be that of the eager engine.
        **settings: the optimiser and the reduction, see `runtime.trainer.spec_for`.

    Returns:
        A `Trainer`; a `PerSampleTrainer`, which has the same methods, if the program has no
        scheduled form.
    """
    from talweg.compiler.codegen.train_step import training_functions
    from talweg.compiler.runtime.per_sample_trainer import PerSampleTrainer
    from talweg.compiler.runtime.trainer import Trainer, spec_for

    _checked(tape)
    try:
        scheduled = _scheduled(tape)
    except NativeError:
        program = _table(tape, exact)
        return PerSampleTrainer(
            lambda _, __: program, samples, parameters=tape.sizes["w"], **settings
        )
    spec = spec_for(
        scheduled,
        samples,
        parameters=tape.sizes["w"],
        batch=batch,
        exact=exact,
        **settings,
    )
    return Trainer(spec, _library(training_functions(spec)), samples, threads=threads)


def lane_trainer(
    tape: Tape, samples: Array, *, start: Sequence[float] = (), **settings: Any
) -> LaneTrainer:
    """Native training of many models, each in one lane of the vector registers.

    Args:
        tape: the loss of one sample: parameters `w`, the sample's numbers `x`.
        samples: the numbers of all samples, shape (n, inputs).
        start: the optimiser's state of a parameter before the first step.
        **settings: the optimisers and the reduction, see `runtime.lane_trainer.spec_for`.

    Raises:
        NativeError: if the program has no scheduled form.
    """
    from talweg.compiler.codegen.train_step import training_functions
    from talweg.compiler.runtime.lane_trainer import LaneTrainer, spec_for

    _checked(tape)
    spec = spec_for(
        _scheduled(tape),
        samples,
        parameters=tape.sizes["w"],
        state_size=len(start),
        **settings,
    )
    return LaneTrainer(spec, _library(training_functions(spec)), samples, start=start)


def loop_program(tape: Tape) -> LoopProgram:
    """All loops of a program, however long it is; for `explain`, not to be compiled."""
    _checked(tape)
    program = find_loops(tape)
    _dump("loops", program)
    return program


# ---- the stages -----------------------------------------------------------------------------


def _checked(tape: Tape) -> None:
    verify(tape)
    _dump("tape", tape)


def _scheduled(tape: Tape, wrt: Sequence[str] = ("w",)) -> ScheduledProgram:
    """The scheduled loops of a verified tape.

    Raises:
        NativeError: if the program is too long when its loops are found, or cannot be scheduled.
    """
    program = find_loops_within(tape, LONGEST_TEXT)
    if program is None:
        raise NativeError(
            f"the program has more than {LONGEST_TEXT:,} instructions after its loops are found, "
            "too many to compile"
        )
    _dump("loops", program)
    scheduled = schedule(program, wrt)
    _dump("scheduled", scheduled)
    return scheduled


def _library(ir: str, tuning: llvm.Tuning | None = None) -> llvm.Library:
    _dump("llvm", ir)
    return llvm.compile(ir, tuning=tuning) if tuning else llvm.compile(ir)


def _dump(stage: str, program: object) -> None:
    """Write a program to standard error if TALWEG_DUMP names the stage that it leaves."""
    text = os.environ.get("TALWEG_DUMP")
    if text and stage in _stages(text):
        print(f"==== {stage}\n{program}", file=sys.stderr, flush=True)  # noqa: T201


@functools.cache  # one warning for each text
def _stages(text: str) -> frozenset[str]:
    named = {name.strip() for name in text.split(",") if name.strip()}
    unknown = sorted(named.difference(STAGES))
    if unknown:
        message = (
            f"TALWEG_DUMP names no stage {unknown[0]!r}; expected some of {', '.join(STAGES)}, "
            "separated by commas"
        )
        warnings.warn(TalwegWarning(message), stacklevel=2)
    return frozenset(named)
