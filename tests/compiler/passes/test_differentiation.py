"""Differentiation flow: an operation has an adjoint if its result depends on a parameter."""

import pytest
from analysed import analyses_of, execution, operands_of, random_program, traced_program
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir import scheduled_program
from talweg.compiler.passes.differentiation import mentioned
from talweg.compiler.passes.find_loops import find_loops
from talweg.compiler.passes.scheduling import schedule


@settings(max_examples=100)
@given(st.integers(0, 10**6), st.sampled_from([("w",), ("x",), ("w", "x")]))
def test_an_instruction_has_an_adjoint_if_its_class_depends_on_what_is_asked_for(seed, wrt):
    """The oracle follows single operations; an instruction and a class are marked as a whole."""
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program, wrt)
    done = [found.iterations.number[node] for node, _, _ in execution(program)]
    classes = found.storage.class_of.tolist()
    marked = set()  # classes
    while True:
        before = len(marked)
        for n, number in enumerate(done):
            op = program.tape.operations[program.tape.code[n]]
            for j, (space, k) in enumerate(operands_of(program.tape, n)):
                if op.equations[j] == "0.0":
                    continue  # a condition: no derivative passes to it
                if space in wrt or (space == "t" and classes[done[k]] in marked):
                    marked.add(classes[number])
        if len(marked) == before:
            break
    assert list(found.flow.has_adjoint) == [own in marked for own in classes]


def names_with_adjoint(f, w, x, wrt):
    found = analyses_of(traced_program(f, w, x), wrt)
    pairs = zip(found.iterations.instructions, found.flow.has_adjoint, strict=True)
    return [node.op.name for node, has_adjoint in pairs if has_adjoint]


def test_what_depends_on_inputs_alone_has_no_adjoint_by_the_parameters():
    def f(w, x):
        return [w[0] * tw.tanh(x[0] + 1.0)]

    assert names_with_adjoint(f, [0.5], [0.25], ("w",)) == ["mul"]
    assert names_with_adjoint(f, [0.5], [0.25], ("x",)) == ["add", "tanh", "mul"]


def test_active_operands_and_what_their_equations_read():
    def f(w, x):
        return [tw.tanh(w[0] * x[0]) + x[1]]

    found = analyses_of(traced_program(f, [0.5], [0.25, 1.0]))
    names = [node.op.name for node in found.iterations.instructions]
    assert names == ["mul", "tanh", "add"]
    assert found.flow.active == {(0, 0), (1, 0), (2, 0)}
    assert [sorted(reads) for reads in found.flow.reads] == [["y"], ["out"], []]


@pytest.mark.parametrize(
    ("op", "operand", "expected"),
    [
        (tw.ops.sub, 1, ""),
        (tw.ops.mul, 1, "x"),
        (tw.ops.exp, 0, "out"),
        (tw.ops.sin, 0, "x"),
    ],
)
def test_the_names_in_an_equation(op, operand, expected):
    assert "".join(sorted(mentioned(op, operand))) == expected


def test_the_row_of_a_gathered_number_is_not_differentiated():
    table = tw.Embedding(4, 2)
    traced = trace(lambda table, i, x: table[i][1] * x, table, 2, 0.5, integers=True)
    scheduled = schedule(find_loops(traced.tape), ("x",))
    inputs = {"w": [p.data for p in traced.parameters], "x": traced.inputs}
    outputs, found = scheduled_program.run(scheduled, inputs, [1.0])
    number = table.rows[2][1].data
    assert outputs == [number * 0.5]
    assert found == {"x": [0.0, number]}
