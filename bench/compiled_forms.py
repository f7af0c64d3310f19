"""Does native code compute what the eager engine does, in every form that a program can take?

    python bench/compiled_forms.py [--programs 1000] [--first 0] [--forms 3] [--only TEXT]

Random programs (tests/support/random_programs.py) are compiled in forms that large programs, long
programs or other computers have: without unrolling, with every number of jammed iterations, as
tables of operations, with arrays in memory, with operations in place or as calls, with few passes
of LLVM and with all, without the promises that the IR makes to LLVM, for other CPUs, and as
training steps with every number of lanes and blocks. Each program takes `--forms` of the forms at
random, and a form of training; both modes are compared with the eager engine. Exact mode must agree
in every bit; default mode to 1e-12 of the largest number, where the program does not amplify a
change of its numbers. The exit code is 1 if anything differs.

Start reading at `FORMS` and `checked`.
"""

import argparse
import os
import platform
import random
import re
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from unittest import mock

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from backend_cases import case_of, close, same
from random_cases import is_well_conditioned, random_case
from random_programs import SMOOTH, WITH_KINKS, TooLongError, computed

import talweg as tw
from talweg.compiler import pipeline
from talweg.compiler.codegen import entry_points, inlining, lower, training_spec
from talweg.compiler.frontend.trace import trace
from talweg.compiler.runtime import lane_trainer, llvm, trainer
from talweg.errors import NativeError

LOOPS = [(lower, "_SMALL_PROGRAM", 0), (lower, "_SMALL_LOOP", 0)]
MEMORY = [(entry_points, "_STACK_LIMIT", 0), (training_spec, "STACK_LIMIT", 0)]
PROMISES = re.compile(
    r" inbounds\b| noalias\b| nocapture\b| nuw\b| nsw\b|(?<=\)) memory\(none\) nounwind willreturn"
)
LEVELS = {
    "x86-64": "",
    "x86-64-v2": "+sse4.2",
    "x86-64-v3": "+sse4.2,+avx,+avx2,+fma",
    "x86-64-v4": "+sse4.2,+avx,+avx2,+fma,+avx512f,+avx512vl,+avx512dq,+avx512bw",
}
"""CPUs of the x86-64 family, and their features that matter here."""


def compiled_as(change):
    """A patch of `llvm.compile`: `change` gets the IR and returns the arguments."""
    plain = llvm.compile
    return (llvm, "compile", lambda ir, **settings: plain(*change(ir), **settings))


def cpus():
    """Patches for the CPUs whose code this computer runs."""
    own = llvm.target()
    if platform.machine() not in ("x86_64", "AMD64"):
        return {}
    has = set(own.features.split(","))
    targets = {
        cpu: own._replace(cpu=cpu, features=features)
        for cpu, features in LEVELS.items()
        if set(filter(None, features.split(","))) <= has
    }
    return {f"cpu {cpu}": [(llvm, "target", lambda *_, t=t: t)] for cpu, t in targets.items()}


FORMS = {
    "as it is": [],
    "in loops": LOOPS,
    **{f"in loops, jam {k}": [*LOOPS, (lower, "_JAM", k)] for k in range(1, 9)},
    "in memory": [*LOOPS, *MEMORY],
    "table": "table",
    "operations as calls": [(inlining, "LONGEST_EXPANSION", 0)],
    "operations in place": [(inlining, "LONGEST_EXPANSION", 10**9)],
    "few passes": [(llvm, "_LONG_TEXT", 0)],
    "few passes, in loops": [*LOOPS, (llvm, "_LONG_TEXT", 0)],
    "all passes": [*LOOPS, (llvm, "_LONG_TEXT", 10**9)],
    "without promises": [compiled_as(lambda ir: (PROMISES.sub("", ir),))],
    "in loops, without promises": [*LOOPS, compiled_as(lambda ir: (PROMISES.sub("", ir),))],
    **{f"level {k}": [compiled_as(lambda ir, k=k: (ir, k))] for k in (0, 1, 3)},
    **{f"in loops, level {k}": [*LOOPS, compiled_as(lambda ir, k=k: (ir, k))] for k in (1, 3)},
    **cpus(),
}
"""The forms of `value` and `gradient`: what is replaced while they are compiled."""

TRAINING = [(lanes, blocks) for lanes in (2, 4, 8) for blocks in range(1, 9)]
"""Lanes and blocks of training steps; one model in exact mode has one of each."""


def patched(changes):
    stack = ExitStack()
    for module, name, value in changes:
        stack.enter_context(mock.patch.object(module, name, value))
    return stack


# ---- value and gradient -------------------------------------------------------------------------


def checked(case, form, exact):
    """What differs between native code in one form and the eager engine, or None."""
    agree, changes = (same if exact else close), FORMS[form]
    with patched([] if changes == "table" else changes):
        compiled = pipeline.executable(
            case.tape, exact=exact, wrt=("w", "x"), as_table=changes == "table"
        )
    w, x = case.inputs["w"], case.inputs["x"]
    for call in ("first", "second"):
        if not agree(compiled.value(w, x), case.outputs):
            return f"value, {call} call"
        found = compiled.gradient(w, x, case.cotangents)
        for name in ("w", "x"):
            if not agree(found[name], case.gradient[name]):
                return f"gradient by {name}, {call} call"
    return None


# ---- training -----------------------------------------------------------------------------------


def loss_of(description):
    return lambda w, x: computed(description, w, x)[:1]


def trained(description, w, x, lanes, blocks, exact, many):
    """What differs between a training step and the eager engine, or None.

    Args:
        description: of the program; its first output is the loss.
        w: the parameters.
        x: the inputs of the first sample; others are near them.
        lanes: how many lanes a vector has.
        blocks: how many vectors of samples, or samples, are computed together.
        exact: whether the bits must be those of the eager engine.
        many: whether lanes hold models, as in a sweep.
    """
    f, count = loss_of(description), 1 + (7 * lanes + 3 * blocks) % 19
    samples = [[a * (1.0 + 0.03125 * k) for a in x] for k in range(count)]
    case = case_of(f, w, x)
    kept = case.inputs["w"]
    parameters = [tw.Value(a) for a in w]
    losses = [f(parameters, [float(a) for a in sample])[0] for sample in samples]
    for loss in reversed(losses):
        loss.backward()
    total = losses[0].data
    for loss in losses[1:]:
        total = total + loss.data
    traced = trace(f, parameters, x)
    gradient = [p.grad for p in traced.parameters]
    agree = same if exact else close
    if not kept or not np.isfinite([total, *gradient]).all():
        return None
    changes = [
        (llvm, "lanes", lambda: lanes),
        (trainer, "lanes_and_blocks", lambda *_: (lanes, blocks)),
        (lane_trainer, "fitting_blocks", lambda *_: blocks),
    ]
    data = np.array(samples, float).reshape(count, len(x))
    with patched(changes):
        if many:
            return _trained_in_lanes(traced.tape, data, kept, total, agree, exact, blocks)
        native = pipeline.trainer(
            traced.tape,
            data,
            update=tw.SGD(0.0).update,
            state_size=0,
            trained=len(kept),
            mean=False,
            exact=exact,
        )
    native.parameters[:] = kept
    taken = native.take([None, None], 0.0, 1)
    if not agree(taken.losses, [total, total]):
        return "loss"
    return None if agree(native.gradient, gradient) else "gradient"


def _trained_in_lanes(tape, data, kept, total, agree, exact, blocks):
    native = pipeline.lane_trainer(
        tape, data, update=lambda _: tw.SGD(0.0).update, exact=exact, blocks=blocks
    )
    models = np.array([kept] * 11)
    runs = native.run(models, np.zeros(11), 2)
    if not all(agree(row, [total, total]) for row in runs.losses):
        return "losses of the models"
    return None if same(runs.weights, models) else "weights of the models"


# ---- all programs -------------------------------------------------------------------------------


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--programs", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--forms", type=int, default=3, help="how many forms a program takes")
    parser.add_argument("--only", default="", help="forms with this in their names")
    options = parser.parse_args()
    names = [name for name in FORMS if options.only in name]
    if not names:
        parser.error(f"--only: no form has {options.only!r} in its name: {', '.join(FORMS)}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TALWEG_CACHE_DIR"] = folder
        return report(*run(options, names))


def run(options, names):
    """Check all programs; counts the comparisons and the differences by form, and the seconds."""
    done, differ, start = Counter(), Counter(), time.monotonic()
    programs, seed = 0, options.first
    while programs < options.programs:
        seed += 1
        rng = random.Random(seed)
        description, w, x, case = random_case(
            seed, rng.choice([SMOOTH, WITH_KINKS]), products=rng.random() < 0.3
        )
        if case is None:
            continue
        programs += 1
        if programs % 100 == 0:
            counts = f"{sum(done.values()):,} comparisons, {sum(differ.values())} differ"
            print(f"{programs:,} programs: {counts}", file=sys.stderr, flush=True)
        is_default_too = is_well_conditioned(description, w, x, case)
        forms = rng.sample(names, min(options.forms, len(names)))
        for exact in (True, False) if is_default_too else (True,):
            mode = "exact" if exact else "default"
            for form in forms:
                note(done, differ, f"{mode}, {form}", seed, checked(case, form, exact))
            if options.only:
                continue
            lanes, blocks = rng.choice(TRAINING)
            many = rng.random() < 0.5
            what = f"{mode}, training {'of many, ' if many else ''}{lanes} x {blocks}"
            try:
                found = trained(description, w, x, lanes, blocks, exact, many)
            except (NativeError, TooLongError):  # lane trainers need a scheduled form
                continue
            note(done, differ, what, seed, found)
    return programs, done, differ, time.monotonic() - start


def note(done, differ, what, seed, found):
    done[what] += 1
    if found is not None:
        differ[what] += 1
        print(f"differs: program {seed}, {what}: {found}", flush=True)


def report(programs, done, differ, seconds):
    """Print the totals; returns the exit code."""
    for mode in ("exact", "default"):
        count, wrong = (
            sum(n for what, n in c.items() if what.startswith(mode)) for c in (done, differ)
        )
        print(f"{mode} mode: {wrong} of {count:,} comparisons differ")
    forms = {what.split(", ", 1)[1] for what in done}
    print(f"{programs:,} programs in {len(forms)} forms, {seconds:.0f} s")
    return int(bool(differ) or not done)


if __name__ == "__main__":
    sys.exit(main())
