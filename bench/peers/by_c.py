"""C: `mlp.c` and `sweep.c`, compiled for the problem into a temporary folder, all in one call."""

import ctypes
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np

from peers import Skip
from peers.by_numpy import rates_of
from peers.machine import cpu_flags

SAMPLES_IN_A_PANEL = 256  # of `wide`: their activations take some 600 KB, within the L2 cache


def prepare(problem):
    library = compiled("mlp.c", constants_of(problem))
    x, y = np.array(problem.inputs), np.array(problem.targets)
    library.set_data(pointer(x), pointer(y))

    def train(steps):
        parameters, losses = np.array(problem.start), np.empty(steps)
        rates = rates_of(problem, steps)
        library.train(pointer(parameters), pointer(rates), ctypes.c_int64(steps), pointer(losses))
        return parameters.tolist()

    return train


def sweep(problem, rates, steps):
    lanes = 8 if "avx512f" in cpu_flags() else 4
    library = compiled("sweep.c", {**constants_of(problem), "LANES": lanes})
    x, y, start = (np.array(each) for each in (problem.inputs, problem.targets, problem.start))
    library.set_data(pointer(x), pointer(y))
    padded = np.resize(rates, -(-len(rates) // lanes) * lanes)

    def run():
        losses = np.empty((len(padded), steps))
        networks = ctypes.c_int64(len(padded))
        library.sweep(
            pointer(start), pointer(padded), networks, ctypes.c_int64(steps), pointer(losses)
        )
        return losses[: len(rates)]

    return run


def pointer(array):
    return array.ctypes.data_as(ctypes.POINTER(ctypes.c_double))


def compiled(name, constants):
    if not shutil.which("gcc"):
        raise Skip("there is no gcc on this machine")
    source = str(Path(__file__).with_name(name))
    options = ["-O3", "-march=native", "-shared", "-fPIC"]
    defined = [f"-D{constant}={text}" for constant, text in constants.items()]
    with tempfile.TemporaryDirectory() as folder:
        library = str(Path(folder) / "peer.so")
        subprocess.run(["gcc", *options, *defined, source, "-o", library], check=True)
        return ctypes.CDLL(library)


def constants_of(problem):
    """What the head of mlp.c lists."""
    samples = len(problem.inputs)
    lanes = 8 if "avx512f" in cpu_flags() and samples > 4 else 4
    layers = [
        f"LAYER({i},{nin},{nout},{int(problem.squashes[i])},{first})"
        for i, (nin, nout, first) in enumerate(problem.layers)
    ]
    return {
        "LANES": lanes,
        "PANEL": -(-min(samples, SAMPLES_IN_A_PANEL) // lanes),
        "SAMPLES": samples,
        "INPUTS": problem.sizes[0],
        "OUTPUTS": problem.sizes[-1],
        "WIDEST": max(problem.sizes),
        "DEPTH": len(layers),
        "PARAMETERS": len(problem.start),
        "HINGE": int(problem.hinge),
        "SCALE": repr(problem.scale),
        "DECAY": repr(problem.decay),
        "LAYERS": " ".join(layers),
        "LAYERS_BACK": " ".join(reversed(layers)),
    }
