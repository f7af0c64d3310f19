"""How long does one training step of a scalar GPT take, eager and native, and the first one?

    python bench/gpt.py [--letters 3,6,9] [--steps 300]

The program is examples/gpt.py: one layer, 16 wide, 4 heads, a document a step, Adam. For a name of
so many letters it prints how many operations its loss takes, the time of the first native step
(tracing, rolling and compiling included, without the cache on disk), the time of a later one, that
of an eager step with its Adam in Python, and how many times faster native code is. Both engines
start from the same weights; their losses must agree.
"""

import argparse
import os
import random
import runpy
from itertools import pairwise
from pathlib import Path

import talweg as tw
from talweg.autodiff.backward import inner_nodes

GPT = runpy.run_path(str(Path(__file__).parent.parent / "examples" / "gpt.py"))
EAGER_STEPS = 6


def trained(letters, engine, steps):
    """The record of some steps on one name."""
    name = [0, *range(1, letters + 1), 0]
    model = GPT["make_model"](random.Random(42))
    return tw.minimize(
        GPT["loss"], model, [name], optimizer=tw.Adam(lr=0.01), steps=steps, batch_size=1,
        seed=1, engine=engine,
    )  # fmt: skip


def seconds_of_later_steps(history):
    """The median time of a step, without the first half of the steps."""
    times = history.seconds[len(history.seconds) // 2 - 1 :]
    each = sorted(after - before for before, after in pairwise(times))
    return each[len(each) // 2]


def measure(letters, steps):
    name = [0, *range(1, letters + 1), 0]
    operations = len(inner_nodes(GPT["loss"](GPT["make_model"](random.Random(42)), name)))
    first = trained(letters, "native", 1).seconds[-1]
    native, eager = trained(letters, "native", steps), trained(letters, "eager", EAGER_STEPS)
    for k, (a, b) in enumerate(zip(native.losses, eager.losses)):
        assert abs(a - b) <= 1e-9 * abs(b), f"step {k + 1}: native {a!r}, eager {b!r}"
    slow, fast = seconds_of_later_steps(eager), seconds_of_later_steps(native)
    print(
        f"{letters:7}{operations:12,}{first:9.1f}{slow * 1e3:10.0f}{fast * 1e6:12.0f}"
        f"{slow / fast:9,.0f}",
        flush=True,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--letters", default="3,6,9", help="lengths of names, with commas")
    parser.add_argument("--steps", type=int, default=300, help="native steps that are timed")
    options = parser.parse_args()
    os.environ["TALWEG_CACHE_DIR"] = ""  # so that everything is compiled
    heads = {
        "letters": 7,
        "operations": 12,
        "first s": 9,
        "eager ms": 10,
        "native us": 12,
        "ratio": 9,
    }
    print("".join(f"{head:>{width}}" for head, width in heads.items()))
    for letters in map(int, options.letters.split(",")):
        measure(letters, options.steps)


if __name__ == "__main__":
    main()
