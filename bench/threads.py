"""How much do threads over the samples of a batch help?

    python bench/threads.py [--threads 2] [--steps 100]

Each network is trained by one thread and by several, from the same weights; their losses must
have the same bits. It prints the mean milliseconds of a step, of the best of three runs.
"""

import argparse
import random

import talweg as tw

NETWORKS = ((2, [16, 16, 1], 20_000), (64, [64, 64, 10], 4_096))


def samples(inputs, outputs, count):
    rng = random.Random(1)
    rows = [[rng.uniform(-1.0, 1.0) for _ in range(inputs)] for _ in range(count)]
    signs = [[rng.choice([-1.0, 1.0]) for _ in range(outputs)] for _ in range(count)]
    return list(zip(rows, [y[0] if outputs == 1 else y for y in signs]))


def trained(inputs, sizes, data, steps, threads):
    """The losses, and the mean seconds of a step in the second half of the run."""
    model = tw.MLP(inputs, sizes, rng=random.Random(42))
    history = tw.train(model, data, steps=steps, engine="native", reduction="mean", threads=threads)
    half = steps // 2
    return history.losses, (history.seconds[-1] - history.seconds[half]) / (steps - 1 - half)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--threads", type=int, default=2, help="beside one")
    parser.add_argument("--steps", type=int, default=100, help="of each run")
    options = parser.parse_args()
    for inputs, sizes, count in NETWORKS:
        data = samples(inputs, sizes[-1], count)
        best = {}
        for threads in (1, options.threads) * 3:
            losses, seconds = trained(inputs, sizes, data, options.steps, threads)
            assert losses == best.setdefault("losses", losses), "threads changed the result"
            best[threads] = min(seconds, best.get(threads, seconds))
        one, more = best[1] * 1e3, best[options.threads] * 1e3
        network = "-".join(map(str, [inputs, *sizes]))
        print(
            f"{network}, {count:,} samples: one thread {one:.3g} ms a step, "
            f"{options.threads} threads {more:.3g} ms, ratio {one / more:.2f}"
        )


if __name__ == "__main__":
    main()
