"""How long does a trainability map take, in talweg and in JAX, and is it the same map?

    python bench/trainability.py
    python bench/trainability.py --resolution 512

The published experiment's default frame (arXiv 2402.06184): a network of 8-8-1 without biases,
72 samples, the mean squared error, 100 steps, a learning rate of its own for each layer from 1e-3
to 1e6. Both programs have the same weights, data and points, float64, and both cores. JAX trains
blocks of 4,096 networks, jit(vmap(scan)), in two ways: one block at a time, with XLA's own
threads, and a block in each of two threads. What is compiled is compiled before, and timed apart.

The boundary between the runs that converge and those that do not is fractal, and around it the
outcome hangs on the last bit, so the maps of two programs are not the same. The last lines tell
where they differ, and in how many pixels talweg's map differs from its own if the last bit of one
weight does. Start reading at `main`.
"""

import argparse
import math
import os
import random
import shlex
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from peers import machine
from peers.tables import aligned, significant

STEPS, BLOCK, THREADS = 100, 4096, 2
TALWEG = "tw.trainability_map"
SEED = 42  # of the weights, as tw.trainability_map draws them


def main():
    options = arguments()
    with tempfile.TemporaryDirectory() as folder:
        machine.pin(THREADS)
        os.environ.update(machine.environment(THREADS, folder))
        found = machine.describe()
        print(shlex.join(["python", "bench/trainability.py", *sys.argv[1:]]))
        print(f"{found['date']}; {found['cpu']}, {found['simd']}; load {found['load']}")
        print(", ".join(f"{name} {version}" for name, version in found["versions"].items()))
        rows, converged = measured(options.resolution, options.rounds)
    size = f"{options.resolution} x {options.resolution}"
    print(f"\n{size} runs of {STEPS} steps; the best of {options.rounds} rounds\n")
    print("\n".join(table(rows, options.resolution**2)), "", *comparison(converged), sep="\n")


def measured(resolution, rounds):
    """A row for each program, and which runs converge, by name; the programs take turns."""
    draw, draw_nearly, begin_s = by_talweg(resolution)
    drawn = draw()
    runs = {TALWEG: lambda: draw().measure}
    rows = {TALWEG: {"begin_s": begin_s}}
    try:
        one, two, begin_s = by_jax(drawn.x, drawn.y)
    except ModuleNotFoundError as missing:
        print(f"\nJAX: skipped, {missing.name} is not installed")
    else:
        runs |= {"JAX, a block at a time": one, "JAX, a block in each of two threads": two}
        rows |= {name: {"begin_s": begin_s} for name in list(runs)[1:]}
    converged = {}
    for _ in range(rounds):
        for name, run in runs.items():
            converged[name] = timed(run, rows[name]) < 0.0
    converged["talweg, one weight with another last bit"] = draw_nearly().converged
    return rows, converged


def arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--resolution", type=int, default=128, help="a power of two; 512 published")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    n = options.resolution
    if n < 8 or n & (n - 1):
        parser.error(f"--resolution must be a power of two from 8, got {n}")
    return options


def timed(run, row):
    """The result of a run; the row keeps the shortest time, and the share of the cores then."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    seconds = time.perf_counter() - wall
    if seconds < row.get("seconds", math.inf):
        row["seconds"] = seconds
        row["share"] = (time.process_time() - cpu) / seconds / THREADS
    return result


def compiling(f):
    """The seconds of a first call."""
    begin = time.perf_counter()
    f()
    return time.perf_counter() - begin


# ---- the two programs ------------------------------------------------------------------------


def by_talweg(resolution):
    """What draws the map, what does so with another last bit of a weight, seconds to compile."""
    from talweg.explore.trainability.mean_field import default_problem
    from talweg.explore.trainability.trainability import trainability_map

    make_model, data = default_problem()

    def nearly(rng):
        model = make_model(rng)
        first = model.parameters()[0]
        first.data = math.nextafter(first.data, math.inf)
        return model

    def drawn(make_model, resolution):
        return trainability_map(
            make_model,
            data,
            resolution=resolution,
            steps=STEPS,
            seed=SEED,
            engine="native",
            threads=THREADS,
        )

    begin_s = compiling(lambda: drawn(make_model, 8))  # a map of any resolution has this code
    return lambda: drawn(make_model, resolution), lambda: drawn(nearly, resolution), begin_s


def by_jax(x, y):
    """What draws the same map, in each of two ways, and the seconds of the first call."""
    import numpy as np

    measures = jax_program()
    columns, rows = np.meshgrid(x, y)
    rates = np.stack([columns.ravel(), rows.ravel()], axis=1)
    blocks = np.split(rates, range(BLOCK, len(rates), BLOCK))
    begin_s = compiling(lambda: measures(blocks[0]))

    def one_at_a_time():
        return np.concatenate([measures(block) for block in blocks]).reshape(columns.shape)

    def two_at_a_time():
        with ThreadPoolExecutor(THREADS) as pool:
            return np.concatenate(list(pool.map(measures, blocks))).reshape(columns.shape)

    return one_at_a_time, two_at_a_time, begin_s


def jax_program():
    """A function from learning rates, networks by 2, to the published measure of each run."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from talweg.explore.trainability.mean_field import default_problem

    jax.config.update("jax_enable_x64", True)
    make_model, data = default_problem()
    layers = make_model(random.Random(SEED)).layers
    start = tuple(jnp.array([[p.data for p in row] for row in layer]) for layer in layers)
    inputs, targets = (jnp.array(column) for column in zip(*data))
    gain = np.sqrt(2.0 / inputs.shape[1])

    def loss(weights):
        hidden, output = weights
        out = jnp.tanh(inputs @ hidden.T * gain) @ output[0] / hidden.shape[0]
        return jnp.square(out - targets).mean()

    def measure(rates):
        def step(weights, _):
            value, slopes = jax.value_and_grad(loss)(weights)
            return tuple(w - rate * d for w, d, rate in zip(weights, slopes, rates)), value

        _, losses = jax.lax.scan(step, start, None, length=STEPS)
        v = jnp.where(jnp.isfinite(losses), losses, 1e6)
        v = jnp.minimum(v / v[0], 1e6)
        return jnp.where(v[-20:].mean() < 1.0, -v.sum(), (1.0 / v).sum())

    many = jax.jit(jax.vmap(measure))
    return lambda rates: np.asarray(many(rates))


# ---- what is printed -------------------------------------------------------------------------


def table(rows, runs):
    """A row for each program; ratios are to talweg."""
    numbers = ["seconds", "us a step and model", "x talweg", "compiling s", "of the cores"]
    body = [
        [
            name,
            f"{row['seconds']:.2f}",
            significant(row["seconds"] / (runs * STEPS) * 1e6),
            significant(row["seconds"] / rows[TALWEG]["seconds"]),
            f"{row['begin_s']:.2f}",
            f"{row['share']:.0%}",
        ]
        for name, row in rows.items()
    ]
    return aligned([["program", *numbers], *body], words=1)


def comparison(maps):
    """How far the maps of the others are that of talweg, a line each."""
    own = maps[TALWEG]
    edge = next_to_another(own)
    yield f"talweg: {own.mean():.2%} converged; {edge.mean():.2%} lie next to another outcome"
    for name, other in list(maps.items())[1:]:
        differ = own != other
        count = int(differ.sum())
        near = (
            f", {(differ & edge).sum() / count:.1%} of them next to the boundary" if count else ""
        )
        yield (
            f"{name}: {other.mean():.2%} converged; {differ.size - count:,} of {differ.size:,} "
            f"pixels agree ({1.0 - count / differ.size:.3%}), {count:,} differ{near}"
        )


def next_to_another(converged):
    """The pixels of which one of the eight neighbours has another outcome."""
    import numpy as np

    rows, columns = converged.shape
    around = np.pad(converged, 1, mode="edge")
    shifted = [
        around[i : i + rows, j : j + columns] != converged for i in range(3) for j in range(3)
    ]
    return np.logical_or.reduce(shifted)


if __name__ == "__main__":
    main()
