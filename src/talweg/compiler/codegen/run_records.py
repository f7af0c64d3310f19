"""What a training function records of each model: its losses, and whether its run has ended.

The records are model values in memory (see `LaneStrategy`): `recorded` is how many losses there
are, `alive` is 1.0 until the run has ended, `reached` is 1.0 if its loss has reached the target. A
function that takes several steps keeps them in registers for that time.

Start reading at `RunRecords`.
"""

from __future__ import annotations

import math

from talweg.compiler.codegen.builder import Index
from talweg.compiler.codegen.lane_strategy import LaneStrategy
from talweg.compiler.intrinsics.builder_protocol import Name


class RunRecords:
    """Appends the instructions that read and write the records of the models of a lane batch.

    Args:
        lanes: what lanes hold; it knows the specification, the function and the memory.
    """

    def __init__(self, lanes: LaneStrategy) -> None:
        self.lanes = lanes
        self.values = lanes.values
        self._registers: dict[str, Name] = {}

    def load(self) -> None:
        """Copy the records to registers, which `alive`, `add_loss` and `finish` then use."""
        b = self.values
        for name in ("alive", "recorded", *(["reached"] if self.lanes.spec.has_target else [])):
            # A variable on the stack; LLVM's first pass turns it into a register.
            variable = self.lanes.function.alloca(b.number_type)
            b.store(b.load(self._memory(name)), variable)
            self._registers[name] = variable

    def store(self) -> None:
        """Copy the registers to memory, if there are any."""
        for name, variable in self._registers.items():
            self.values.store(self.values.load(variable), self._memory(name))

    def alive(self) -> Name:
        """The mask of the models whose run has not ended."""
        b = self.values
        return b.ne(b.load(self._address("alive")), b.constant(0.0))

    def add_loss(self, step: Index, loss: Name) -> None:
        """Write the losses of a step; nan for runs that have ended."""
        b, alive = self.values, self.alive()
        entry = self.lanes.arrays["losses"].at(self.lanes.lane_batch, step)
        b.store(b.select(alive, loss, b.constant(math.nan)), entry.pointer)
        self._count("recorded", alive)

    def finish(self, moved: Name, loss: Name) -> None:
        """End the runs of the models that did not move, or whose loss has reached the target."""
        b, goes_on = self.values, moved
        if self.lanes.spec.has_target:
            above = b.lt(b.broadcast(self.lanes.arrays["target"].load()), loss)
            self._count("reached", b.mask_and(moved, b.mask_not(above)))
            goes_on = b.mask_and(moved, above)
        b.store(b.select(goes_on, b.constant(1.0), b.constant(0.0)), self._address("alive"))

    def _count(self, name: str, mask: Name) -> None:
        """Add 1 for the models of a mask."""
        b, address = self.values, self._address(name)
        one = b.select(mask, b.constant(1.0), b.constant(0.0))
        b.store(b.add(b.load(address), one), address)

    def _address(self, name: str) -> Name:
        """The address of a record: that of its register if it has one."""
        return self._registers.get(name) or self._memory(name)

    def _memory(self, name: str) -> Name:
        return self.lanes.arrays[name].at(self.lanes.lane_batch).pointer
