"""What is recorded of each model: losses, how many there are, and whether its run has ended."""

import numpy as np
import pytest
from native_functions import NativeFunction
from tiny_training import MODEL_LANES

from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.memory_layout import open_arrays
from talweg.compiler.codegen.model_lanes import ModelLanes
from talweg.compiler.codegen.run_records import RunRecords
from talweg.compiler.codegen.types import I64, PTR, Parameter
from talweg.compiler.runtime.buffers import Memory

LANES = MODEL_LANES.lanes
NAN = float("nan")


@pytest.mark.parametrize("in_registers", [False, True])
def test_records_of_a_step(in_registers):
    parameters = [Parameter("table", PTR), Parameter("losses", PTR), Parameter("moved", PTR)]
    f = Module().function("record", [*parameters, Parameter("steps", I64), Parameter("s", I64)])
    known = {"steps": f.parameters["steps"]}
    arrays = open_arrays(f, MODEL_LANES.layout, f.parameters["table"], known)
    records = RunRecords(ModelLanes(MODEL_LANES, f, arrays, 1, []))
    if in_registers:
        records.load()
    b = records.values
    loss = b.load(f.parameters["losses"], align=8)
    moved = b.ne(b.load(f.parameters["moved"], align=8), b.constant(0.0))
    records.add_loss(f.parameters["s"], loss)
    records.finish(b.mask_and(moved, records.alive()), loss)
    records.store()
    f.ret()
    native = NativeFunction(f)

    memory = Memory(MODEL_LANES.layout, {"lane_batches": 2, "steps": 3})
    memory["alive"][1] = 1.0
    memory["target"][:] = 0.5
    losses = np.full(LANES, 2.0)
    losses[1] = 0.5  # has reached the target
    moved = np.ones(LANES)
    moved[0] = 0.0  # has diverged
    ended = np.array([True, True] + [False] * (LANES - 2))
    for s in (1, 2):
        native(memory.address, losses, moved, 3, s)
        assert memory["alive"][1].tolist() == np.where(ended, 0.0, 1.0).tolist()
    assert memory["recorded"][1].tolist() == np.where(ended, 1.0, 2.0).tolist()
    assert memory["reached"][1].tolist() == [0.0, 1.0] + [0.0] * (LANES - 2)
    np.testing.assert_array_equal(memory["losses"][1, 1], losses)
    np.testing.assert_array_equal(memory["losses"][1, 2], np.where(ended, NAN, losses))
    for name in ("alive", "recorded", "reached", "losses"):  # those of the other lane batch
        assert not memory[name][0].any()
