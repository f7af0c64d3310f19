"""The native update of all parameters, for both lane strategies, against `talweg.optim`."""

import ast
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from native_functions import NativeFunction
from tiny_training import MODEL_LANES, SAMPLE_LANES

import talweg as tw
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.memory_layout import open_arrays
from talweg.compiler.codegen.model_lanes import ModelLanes
from talweg.compiler.codegen.parameter_update import ParameterUpdate
from talweg.compiler.codegen.sample_lanes import SampleLanes
from talweg.compiler.codegen.types import DOUBLE, I64, PTR, Parameter
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import OperationError
from talweg.optimizer_step import apply_update

SPECS = {
    "sample lanes": (replace(SAMPLE_LANES, exact=True), SampleLanes),
    "model lanes": (replace(MODEL_LANES, exact=True), ModelLanes),
}


@pytest.fixture(params=SPECS)
def updated(request):
    """The update alone as a function of memory: `updated(fill)` is the memory after it."""
    spec, strategy = SPECS[request.param]
    table, first, factor = Parameter("table", PTR), Parameter("first", I64), Parameter("x", DOUBLE)
    f = Module(exact=True).function("update", [table, Parameter("steps", I64), first, factor])
    known = {"steps": f.parameters["steps"]}
    arrays = open_arrays(f, spec.layout, f.parameters["table"], known)
    lanes = strategy(spec, f, arrays, 0, [])
    lanes.start()
    made = ParameterUpdate(lanes, f.i64(1), f.parameters["first"])
    made.scale = lanes.spread(lanes.values.broadcast(f.parameters["x"]))
    failed, b = made.append(), lanes.values
    b.store(b.select(failed, b.constant(1.0), b.constant(0.0)), arrays["alive"].pointer)
    f.ret()
    native = NativeFunction(f)

    def run(fill, first, factor):
        memory = Memory(spec.layout, {"lane_batches": 1, "steps": 2})
        fill(spec, memory)
        native(memory.address, 2, first, factor)
        return spec, memory

    return run


def numbers(spec, array):
    """The rows of an array as (parameters, models)."""
    return array.reshape(-1, spec.models)


def fill(spec, memory):
    rng = np.random.default_rng(5)
    for name in ("parameters", "gradient"):
        memory[name][:] = rng.uniform(0.5, 2.0, memory[name].shape)
    memory["rates"][:, 1] = rng.uniform(0.1, 0.2, memory["rates"][:, 1].shape)


def test_the_update_is_that_of_optim_for_every_strategy(updated):
    spec, memory = updated(fill, 4, 0.5)
    p, m, v = (numbers(spec, memory["parameters"][0, n])[:3] for n in range(3))
    g = numbers(spec, memory["gradient"])[:3] * 0.5
    after = [numbers(spec, memory["next_parameters"][n])[:3] for n in range(3)]
    rates = np.repeat(memory["rates"][0, 1], [1, 2] if len(spec.range_ends) == 2 else [3], axis=0)
    for k in range(spec.models):
        states = list(zip(m[:, k].tolist(), v[:, k].tolist(), strict=True))
        given = (p[:, k].tolist(), g[:, k].tolist(), states, rates[:, k].tolist())
        expected = apply_update(tw.Adam(0.1).update, *given, 5.0)
        found = [(x[k], (y[k], z[k])) for x, y, z in zip(*after, strict=True)]
        assert found == list(expected)
    assert not memory["alive"].any()


def test_parameters_that_are_not_trained_stay(updated):
    spec, memory = updated(fill, 4, 1.0)
    before = numbers(spec, memory["parameters"][0, 0])[3]
    assert numbers(spec, memory["next_parameters"][0])[3].tolist() == before.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", ["gradient", "parameters"])
def test_a_number_that_is_not_finite_fails_the_update_of_its_model(updated, name, bad):
    def spoil(spec, memory, parameter=1):
        fill(spec, memory)
        array = memory["gradient"] if name == "gradient" else memory["parameters"][0, 0]
        numbers(spec, array)[parameter, -1] = bad

    spec, memory = updated(spoil, 4, 1.0)
    assert memory["alive"][0].tolist() == [0.0] * (spec.models - 1) + [1.0]
    _, memory = updated(lambda *given: spoil(*given, parameter=3), 4, 1.0)
    assert not memory["alive"].any()  # that parameter is not trained


def test_an_optimisers_equation_is_applied_in_two_places():
    package, places = Path(tw.__file__).parent, []
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and len(node.args) == 5 and not node.keywords:
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                if name in ("update", "equation"):
                    places.append(str(path.relative_to(package)))
    # The guard calls it twice with fixed numbers, to see whether it gives the same result.
    assert places == [
        "compiler/codegen/parameter_update.py",
        "optimizer_step.py",
        "training/update_guard.py",
    ]


def test_a_state_of_another_length_is_refused():
    spec, strategy = SPECS["model lanes"]
    spec = replace(spec, update=lambda _: tw.SGD(0.1).update)
    f = Module().function("update", [Parameter("table", PTR), Parameter("steps", I64)])
    known = {"steps": f.parameters["steps"]}
    lanes = strategy(spec, f, open_arrays(f, spec.layout, f.parameters["table"], known), 0, [])
    with pytest.raises(OperationError, match=r"state of 0 numbers, but initial_state\(\) has 2"):
        ParameterUpdate(lanes, f.i64(1), 1).append()
