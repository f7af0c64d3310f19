"""Do two checkouts of talweg compute the same numbers, to the last bit?

    python bench/same_bits.py OLD [NEW] [--programs 500] [--mode exact,default]

OLD and NEW are folders with a checkout each (NEW: this one). Both compute, with the same test
programs: values and gradients of the gallery and of random programs by `tw.jit`; losses and
weights of training the lesson and the moons, with several optimisers, batches, clipping and
schedules, by native code; a sweep with a grid; a trainability map; a Hessian and `minimize`.
The numbers are compared as bits. Exact mode must agree everywhere; default mode agrees where
the machine code computes in the same order. The exit code is 1 if anything differs.

Start reading at `computed_by` and `CASES`.
"""

import argparse
import json
import os
import random
import runpy
import struct
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OPTIMIZERS = {
    "SGD": lambda tw: tw.SGD(0.05),
    "momentum": lambda tw: tw.SGD(0.02, momentum=0.9, nesterov=True, weight_decay=0.01),
    "RMSprop": lambda tw: tw.RMSprop(0.01),
    "Adam": lambda tw: tw.Adam(tw.schedules.Cosine(0.02, 30, 0.001)),
    "AdamW": lambda tw: tw.AdamW(0.02),
}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--programs", type=int, default=500, help="random programs")
    parser.add_argument("--mode", default="exact,default")
    parser.add_argument("--compute", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.compute:
        json.dump(computed(options.mode.split(","), options.programs), sys.stdout)
        return 0
    old, new = (computed_by(folder, options) for folder in (options.old, options.new))
    return report(old, new, options.mode.split(","))


def computed_by(folder, options):
    """What a checkout computes: for each case, its numbers as hexadecimal text."""
    command = [sys.executable, __file__, str(folder), "--compute", "--mode", options.mode]
    command += ["--programs", str(options.programs)]
    path = os.pathsep.join([str(folder / "src"), str(ROOT / "tests" / "support")])
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def report(old, new, modes):
    """Print a line for each mode; returns the exit code."""
    code = 0
    for mode in modes:
        names = [name for name in new if name.startswith(f"{mode}: ")]
        differ = [name for name in names if old.get(name) != new[name]]
        print(f"{mode} mode: {len(names) - len(differ)} of {len(names)} cases have the same bits")
        for name in differ[:20]:
            print(f"  differs: {name}")
        code = max(code, int(bool(differ) or not names))
    return code


def computed(modes, count):
    """The numbers of all cases."""
    return {
        f"{mode}: {name}": bits(numbers)
        for mode in modes
        for case in CASES
        for name, numbers in case(mode, count)
    }


def bits(numbers):
    """Floats as hexadecimal text."""
    return struct.pack(f"<{len(numbers)}d", *numbers).hex()


def gallery(mode, count):
    """Values and gradients of the gallery."""
    programs = runpy.run_path(str(ROOT / "tests" / "support" / "gallery.py"))["GALLERY"]
    for name, program in programs.items():
        f, args = program.make()
        yield f"gallery, {name}", value_and_gradient(f, args, mode)


def value_and_gradient(f, args, mode):
    """The value of a compiled function, and the gradients of the Values among its arguments."""
    import talweg as tw

    values = list(values_in(args))
    for value in values:
        value.grad = 0.0
    outputs = list(values_in(tw.jit(f, mode=mode)(*args)))
    for output in outputs:
        output.backward()
    return [*[v.data for v in outputs], *[v.grad for v in values]]


def values_in(x):
    """The Values in lists, tuples and dictionaries, in order."""
    import talweg as tw

    if isinstance(x, tw.Value):
        yield x
    elif isinstance(x, dict):
        yield from values_in(list(x.values()))
    elif isinstance(x, (list, tuple)):
        for part in x:
            yield from values_in(part)


def random_programs(mode, count):
    """Values and gradients of random programs; those that are too long are left out."""
    from random_programs import WITH_KINKS, Author, TooLongError, computed

    import talweg as tw

    found, seed = 0, 0
    while found < count:
        seed += 1
        description, w, x = Author(seed, WITH_KINKS).program()
        parameters = [tw.Value(number) for number in w]
        try:
            numbers = value_and_gradient(
                lambda w, x, description=description: computed(description, w, x),
                [parameters, list(x)],
                mode,
            )
        except TooLongError:
            continue
        found += 1
        yield f"random program {seed}", numbers


def training(mode, count):
    """Losses and weights of networks that native code trains."""
    import talweg as tw

    rng = random.Random(7)
    moons = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.choice([-1.0, 1.0])) for _ in range(100)]
    large = [([rng.gauss(0, 1), rng.gauss(0, 1)], rng.gauss(0, 1)) for _ in range(2500)]
    runs = {
        "lesson": (3, [4, 4, 1], tw.lesson_data(), {"steps": 40}),
        "moons": (2, [16, 16, 1], moons, {"steps": 30, "reduction": "mean"}),
        "moons in batches": (2, [16, 16, 1], moons, {"steps": 30, "batch_size": 24, "seed": 3}),
        "moons, clipped": (2, [16, 16, 1], moons, {"steps": 30, "clip_norm": 0.5}),
        "2,500 samples": (2, [4, 1], large, {"steps": 3, "reduction": "mean", "threads": 2}),
    }
    if mode == "exact":
        del runs["moons, clipped"]  # exact mode has no clip_norm
    for what, (nin, nouts, data, settings) in runs.items():
        for name, make in OPTIMIZERS.items():
            model = tw.MLP(nin, nouts, rng=random.Random(42))
            history = tw.train(
                model, data, optimizer=make(tw), engine="native", mode=mode, **settings
            )
            weights = [p.data for p in model.parameters()]
            yield f"train, {what}, {name}", [*history.losses, *weights]


def exploration(mode, count):
    """Losses of sweeps, and the points of a trainability map."""
    import talweg as tw

    def lesson(rng):
        return tw.MLP(3, [4, 4, 1], rng=rng)

    rates = [10 ** (-3 + k / 8) for k in range(33)]
    settings = {"seeds": [1, 2], "steps": 30, "engine": "native", "mode": mode}
    for name, grid in {
        "rates": {},
        "momentum": {"momentum": [0.0, 0.9]},
        "initial scale": {"initial_scale": [0.5, 2.0]},
        "batches": {"batch_size": [2, None]},
    }.items():
        result = tw.sweep(lesson, tw.lesson_data(), rates, grid=grid, **settings)
        yield f"sweep, {name}", result.losses.reshape(-1).tolist()
    image = tw.trainability_map(
        lesson,
        tw.lesson_data(),
        x=("learning_rate[0]", 0.01, 10.0),
        y=("learning_rate[1]", 0.01, 10.0),
        resolution=32,
        steps=20,
        mode=mode,
    )
    yield "map", image.measure.reshape(-1).tolist()


def derivatives(mode, count):
    """Hessians and `minimize`; both have one mode where they take none."""
    import talweg as tw

    def rosenbrock(v):
        return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in pairwise(v))

    start = [0.1 * k for k in range(12)]
    yield "hessian", [x for row in tw.hessian(rosenbrock)(start) for x in row]
    w = [tw.Value(x) for x in start]
    history = tw.minimize(
        lambda w, x: (sum(a * b for a, b in zip(w, x, strict=True)) - 1.0) ** 2,
        w,
        [[random.Random(k * 12 + j).gauss(0, 1) for j in range(12)] for k in range(20)],
        optimizer=tw.SGD(0.01),
        steps=20,
        engine="native",
        mode=mode,
    )
    yield "minimize", [*history.losses, *[v.data for v in w]]


CASES = (gallery, random_programs, training, exploration, derivatives)


if __name__ == "__main__":
    sys.exit(main())
