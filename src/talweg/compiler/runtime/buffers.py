"""The memory that native code works in: NumPy arrays, and the table of their addresses.

A `Memory` allocates the arrays that a `MemoryLayout` declares, in one piece, each at the start of a
cache line. Native functions are given the address of its table. For training functions,
`training_memory` fills in what does not change from call to call.

Start reading at `Memory`.
"""

from __future__ import annotations

import ctypes
import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import accumulate

import numpy as np

from talweg.compiler.codegen.memory_layout import MemoryLayout
from talweg.compiler.codegen.training_spec import TrainingSpec
from talweg.compiler.codegen.types import CACHE_LINE, DOUBLE, I64, PTR
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.llvm import Library
from talweg.errors import CompilerError

_NUMPY = {DOUBLE: np.float64, I64: np.int64}


class Memory:
    """Arrays, all zero at first, and a table of their addresses.

    Args:
        layout: the arrays, in the order of the table.
        dimensions: the sizes of the named dimensions.

    Attributes:
        address: of the table.
        arrays: the arrays by name, in their declared shapes; they share the memory.
        bytes: all of the memory.
        slices: the bytes of each array.
    """

    def __init__(self, layout: MemoryLayout, dimensions: Mapping[str, int]) -> None:
        shapes = [field.sizes(dimensions) for field in layout.fields]
        sizes = [
            field.type.size * math.prod(shape)
            for field, shape in zip(layout.fields, shapes, strict=True)
        ]
        ends = accumulate(map(_whole_lines, sizes), initial=_whole_lines(PTR.size * len(sizes)))
        *starts, end = ends
        owner = np.zeros(end + CACHE_LINE, dtype=np.uint8)
        allocated = int(owner.ctypes.data)
        skip = -allocated % CACHE_LINE
        self.bytes = owner.data[skip : skip + end]
        self.address = allocated + skip
        self.slices: dict[str, slice] = {}
        self.arrays: dict[str, Array] = {}
        for field, shape, start, size in zip(layout.fields, shapes, starts, sizes, strict=True):
            self.slices[field.name] = slice(start, start + size)
            kind = _NUMPY[field.type]
            self.arrays[field.name] = np.ndarray(shape, kind, owner, skip + start)
        pointers = [self.address + start for start in starts]
        struct.pack_into(f"={len(pointers)}Q", self.bytes, 0, *pointers)

    def __getitem__(self, name: str) -> Array:
        """An array."""
        return self.arrays[name]

    def share(self, name: str, owner: Memory) -> None:
        """Use the array of another memory in place of the own one.

        Raises:
            CompilerError: if the two arrays have different shapes.
        """
        array = owner.arrays[name]
        if array.shape != self.arrays[name].shape:
            raise CompilerError(
                f"memory: the array {name!r} of shape {array.shape} is shared with one of shape "
                f"{self.arrays[name].shape}"
            )
        self.arrays[name] = array  # keeps the other memory alive
        del self.slices[name]
        number = [*self.arrays].index(name)
        struct.pack_into("=Q", self.bytes, PTR.size * number, int(array.ctypes.data))


def _whole_lines(size: int) -> int:
    return -(-size // CACHE_LINE) * CACHE_LINE


# ---- training -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Batches:
    """Which samples each step takes.

    Attributes:
        order: the numbers of samples, batch after batch.
        counts: how many of them each step takes, shape (steps,).
    """

    order: Array
    counts: Array


def training_memory(
    spec: TrainingSpec, samples: Array, *, lane_batches: int, steps: int, order: int = 0
) -> Memory:
    """The memory of a training function, with the samples and the constants of the program.

    Args:
        spec: the specification.
        samples: the numbers of all samples, shape (n, inputs).
        lane_batches: how many lane batches are trained.
        steps: how many steps are recorded.
        order: how many samples the batches of these steps have together, if batches vary.
    """
    dimensions = {"lane_batches": lane_batches, "steps": steps}
    memory = Memory(spec.layout, {**dimensions, "samples": len(samples), "order": order})
    memory["constants"][:] = spec.code.constants
    if spec.fixed_batch:
        memory["packed"][:] = packed_samples(spec, samples)[:, None]
    else:
        memory["data"][:] = samples
    return memory


def packed_samples(spec: TrainingSpec, batch: Array) -> Array:
    """The numbers of a batch in the order in which blocks of samples read them.

    Number 0 of all samples of the first block, number 1 of these samples, and so on; then those of
    the next block. Where a batch does not fill its last block, it is filled up with the last sample
    or these samples follow one by one, see `TrainingSpec.pads_batches`. `TrainStep.position` is
    the same for native code.

    Args:
        spec: the specification.
        batch: the numbers of the samples, shape (n, inputs).

    Returns:
        An array of one axis.
    """
    size = spec.samples_in_block
    if spec.pads_batches:
        batch = np.pad(batch, ((0, -len(batch) % size), (0, 0)), mode="edge")
    whole = len(batch) // size * size
    blocks = batch[:whole].reshape(-1, size, spec.inputs).transpose(0, 2, 1)
    return np.concatenate([blocks.reshape(-1), batch[whole:].reshape(-1)])


def native_function(library: Library, name: str, integers: int) -> Callable[..., None]:
    """A function that is given the address of a table and some integers, and returns nothing."""
    kinds = [ctypes.c_void_p, *[ctypes.c_int64] * integers]
    return ctypes.CFUNCTYPE(None, *kinds)(library.address(name))


def write_batches(memory: Memory, batches: Batches) -> None:
    """Tell native code which samples the first steps take."""
    steps, counts = len(batches.counts), batches.counts
    memory["order"][: len(batches.order)] = batches.order
    memory["counts"][:steps] = counts
    memory["offsets"][:steps] = np.cumsum(counts) - counts
