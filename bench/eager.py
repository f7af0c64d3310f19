"""How much faster is talweg's eager engine than the classes that programs bring with them?

    python bench/eager.py [--runs 40]

Three programs are trained by the same hand-written loop with both classes, in one process, turn
by turn, so that both meet the same noise:

* the lesson's network (304 nodes a step), against the lesson's class: closures and sets;
* a transformer after microgpt (some 51,000 nodes a step), against a class with slots and slopes;
* an LSTM after no-magic's microlstm (some 105,000 nodes a step), against the same.

Two ratios are printed for each:

* total: all the time of all runs, garbage collection included, which is what a user waits
  for. The lesson's closures make reference cycles, so collecting them is part of its cost.
* best: the fastest run of each, which leaves noise and most of the collecting out.

Times are those of the processor, so that other programs on the machine disturb little.
"""

import argparse
import gc
import statistics
import time
from functools import partial

import eager_programs as programs
import lesson_class
import local_gradients_class
import talweg as tw

THRESHOLDS = gc.get_threshold()

ROWS = {
    "lesson": (50, partial(programs.lesson, lesson_class.MLP), partial(programs.lesson, tw.MLP)),
    "transformer": (
        8,
        partial(programs.transformer, local_gradients_class.Value),
        partial(programs.transformer, tw.Value),
    ),
    "LSTM": (
        2,
        partial(programs.lstm, local_gradients_class.Value),
        partial(programs.lstm, tw.Value),
    ),
}
"""For each program the steps of a run, and how it is made with either class."""


def measure(steps, makers, runs):
    """The times of all steps of all runs of each maker, in seconds, turn by turn."""
    models = [make() for make in makers]
    for number in range(steps):  # warm up, and check that both learn the same
        ours, theirs = (model.step(number) for model in models)
        assert abs(ours - theirs) < 1e-9, (ours, theirs)
    times = [[], []]
    for _ in range(runs):
        for model, sample in zip(models, times, strict=True):
            gc.collect()
            gc.set_threshold(*THRESHOLDS)  # each class starts with the collector of a new process
            start = time.process_time()
            for number in range(steps):
                model.step(number)
            sample.append((time.process_time() - start) / steps)
    return times


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="training runs of the lesson")
    parser.add_argument("--only", choices=ROWS, help="one program instead of all")
    arguments = parser.parse_args()
    print(f"{'microseconds a step':22}{'own class':>11}{'talweg':>11}{'total':>8}{'best':>8}")
    for name, (steps, *makers) in ROWS.items():
        if arguments.only in (None, name):
            runs = arguments.runs if name == "lesson" else max(2, arguments.runs // 8)
            slow, fast = measure(steps, makers, runs)
            row = [1e6 * statistics.median(slow), 1e6 * statistics.median(fast)]
            ratios = [sum(slow) / sum(fast), min(slow) / min(fast)]
            print(f"{name:22}{row[0]:11.0f}{row[1]:11.0f}{ratios[0]:8.2f}{ratios[1]:8.2f}")


if __name__ == "__main__":
    main()
