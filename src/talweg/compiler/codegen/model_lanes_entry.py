"""Many models at once: training runs of one program, with a model in each SIMD lane.

    run(table, groups)   some steps of training for some groups of models
      group              the steps of one group, until all its models have ended
        pack             the samples of a batch, each number written into every lane
        together         forward and backward on some samples, for all models of the group
        update           the optimiser's equation, each lane with its own rates and settings

The models of a group lie side by side: number k of all of them is one vector. Samples and
batches are the same for all. No lane ever meets another, so each model gets the bits that it
would get alone. A lane whose loss, derivative or moved parameter is not finite has ended: its
parameters stay those before that step, and its neighbours go on. So do they when a lane's loss
has reached the target: that step is its last one.

The order of operations is that of `codegen/sample_lanes.py`, in which one model trains.

Start reading at `many_models`; `talweg.compiler.codegen.model_lanes` is the larger part.
"""

from __future__ import annotations

from talweg.compiler.codegen.builder import Function, Module, Name
from talweg.compiler.codegen.entry_points import clear, counted, with_arrays
from talweg.compiler.codegen.lower import Body, Layout, Linear
from talweg.compiler.codegen.model_lanes import Group, weight_of
from talweg.compiler.codegen.model_lanes_plan import Plan


def many_models(plan: Plan) -> str:
    """The IR of a function `run` that trains groups of models.

    Args:
        plan: what for.

    Returns:
        The text of a module. `run(table, begin, end, first, steps, all)` takes `steps` steps
        from number `first` (0 for the first of a run of `all` steps) for the groups from
        `begin` to before `end`.
    """
    module = Module(plan.exact)
    numbers = "i64 %first, i64 %steps, i64 %all"
    run = Function(module, f"define void @run(ptr %table, i64 %begin, i64 %end, {numbers})")

    def group(i: Name) -> None:
        k = run.new(f"add i64 %begin, {i}")
        run.put(f"call void @group(ptr %table, i64 {k}, {numbers})")

    counted(run, run.new("sub i64 %end, %begin"), group)
    run.put("ret void")
    head = f"define internal void @group(ptr %table, i64 %group, {numbers}) noinline"
    Group(plan, Function(module, head)).run()
    _samples(module, plan, "together", plan.together)
    if plan.has_singles:
        _samples(module, plan, "single", 1)
    return str(module)


def _samples(module: Module, plan: Plan, name: str, count: int) -> None:
    """Forward and backward on some samples side by side, for all models of a group."""
    code, names = plan.code, ["w", "x", "c", "dw", "parts"]
    arrays = list(code.arrays) if plan.work else []
    head = ", ".join(f"ptr noalias nocapture %{x}" for x in [*names, *arrays])
    f = Function(module, f"define internal void @{name}({head}, double %weight)")
    pointers = with_arrays(f, code, {x: f"%{x}" for x in [*names, *arrays]}, plan.lanes * count)
    layout = Layout(pointers, plan.lanes, count, frozenset(["c"]), frozenset(["w", "dw"]))
    body = Body(f, layout, not plan.exact, [*code.forward, *code.backward])
    e = body.emitter
    body.statements(code.forward, body.copies)
    clear(body, code)
    for copy in body.copies:
        part = body.offset("%parts", Linear(body.size * copy.block))
        body.store(body.read(code.outputs[0], copy), part)
        if code.cotangents[0] is not None:
            body.add(code.cotangents[0], weight_of(plan, e, "%weight"), copy)
    body.statements(code.backward, body.copies)
    f.put("ret void")
