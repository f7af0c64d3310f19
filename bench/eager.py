"""How much faster is talweg's eager engine than the lesson's own class?

    python bench/eager.py [--runs 40]

Both train the lesson's network (3-4-4-1, 4 samples, 50 steps) with the same hand-written
loop, in one process, turn by turn, so that both meet the same noise. Two ratios are printed:

* total: all the time of all runs, garbage collection included, which is what a user waits
  for. The lesson's closures make reference cycles, so collecting them is part of its cost.
* best: the fastest run of each, which leaves noise and most of the collecting out.
"""

import argparse
import random
import statistics
import time

import lesson_class
import talweg as tw

XS = [[2.0, 3.0, -1.0], [3.0, -1.0, 0.5], [0.5, 1.0, 1.0], [1.0, 1.0, -1.0]]
YS = [1.0, -1.0, -1.0, 1.0]
STEPS = 50


def train(make_model):
    random.seed(42)
    model = make_model(3, [4, 4, 1])
    for _ in range(STEPS):
        predictions = [model(x) for x in XS]
        loss = sum((p - y) ** 2 for p, y in zip(predictions, YS, strict=True))
        for p in model.parameters():
            p.grad = 0.0
        loss.backward()
        for p in model.parameters():
            p.data -= 0.05 * p.grad
    return loss.data


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", type=int, default=40, help="training runs of each engine")
    runs = parser.parse_args().runs
    engines = {"lesson's class": lesson_class.MLP, "talweg": tw.MLP}
    times = {name: [] for name in engines}
    losses = {}
    for name, make_model in engines.items():
        losses[name] = train(make_model)  # warm up, and check that both learn the same
    assert max(losses.values()) - min(losses.values()) < 1e-12, losses
    for _ in range(runs):
        for name, make_model in engines.items():
            start = time.perf_counter()
            train(make_model)
            times[name].append((time.perf_counter() - start) / STEPS * 1e6)
    print(f"{'microseconds a step':24}{'mean':>9}{'median':>9}{'best':>9}")
    for name, sample in times.items():
        mean, median, best = statistics.fmean(sample), statistics.median(sample), min(sample)
        print(f"{name:24}{mean:9.0f}{median:9.0f}{best:9.0f}")
    slow, fast = times.values()
    print(f"{'ratio':24}{sum(slow) / sum(fast):9.2f}", end="")
    print(f"{statistics.median(slow) / statistics.median(fast):9.2f}{min(slow) / min(fast):9.2f}")


if __name__ == "__main__":
    main()
