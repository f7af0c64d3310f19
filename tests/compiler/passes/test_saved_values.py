"""Saved values: the adjoint finds every number that it reads, and no array is superfluous."""

from analysed import analyses_of, execution, operands_of, random_program, traced_program
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw


@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_what_the_adjoint_reads_is_saved_or_still_in_its_register(seed):
    """The oracle lists the reads of the adjoint, and the registers at the end of the program."""
    program = random_program(seed)
    if program is None:
        return
    found = analyses_of(program)
    storage, number = found.storage, found.iterations.number
    done = [number[node] for node, _, _ in execution(program)]
    classes = [int(storage.class_of[i]) for i in done]
    last = {own: n for n, own in enumerate(classes)}  # what each register holds at the end
    reads_of_class = {}
    for n, i in enumerate(done):
        reads = [("out", n, None)] if "out" in found.flow.reads[i] else []
        for j, (space, k) in enumerate(operands_of(program.tape, n)):
            if space == "t" and "xyz"[j] in found.flow.reads[i]:
                reads.append(("operand", k, (i, j)))
        for _, k, use in reads:
            own = classes[k]
            reads_of_class.setdefault(own, set()).add(k)
            is_there = storage.in_register[own] and last[own] == k and classes.count(own) == 1
            assert own in found.saved.classes or use in found.saved.operands or is_there
    assert found.saved.classes <= set(reads_of_class)
    for i, j in found.saved.operands:
        own = int(storage.class_of[found.definitions[i, j][0]])
        assert own not in found.saved.classes
        assert storage.in_register[own]
        read = {operands_of(program.tape, n)[j][1] for n, k in enumerate(done) if k == i}
        assert len(read) < classes.count(own)


def saved_by_name(f, w, x):
    """The operations whose results are saved as a class, and those that save an operand."""
    found = analyses_of(traced_program(f, w, x))
    names = [node.op.name for node in found.iterations.instructions]
    by_reader = [names[i] for i, _ in found.saved.operands]
    return {names[own] for own in found.saved.classes}, by_reader


def test_partial_sums_are_not_saved_and_factors_are():
    def f(w, x):
        return [sum(tw.sin(a) * tw.cos(w[0] * a) for a in x)]

    classes, by_reader = saved_by_name(f, [0.5], [0.1 * k for k in range(6)])
    assert classes == {"mul", "sin"}  # the argument of cos, and the factor of w's term
    assert by_reader == []


def test_the_argument_of_a_relu_is_saved_by_its_reader():
    """Of the running sums in each row only the last is needed."""

    def f(w, x):
        rows = []
        for i in range(4):
            total = w[0]
            for j in range(5):
                total = total + w[j] * x[i + j]
            rows.append(tw.relu(total))
        return [sum(row * row for row in rows)]

    classes, by_reader = saved_by_name(f, [0.5, 0.25, -0.5, 0.75, 1.0], [0.1 * k for k in range(9)])
    assert "add" not in classes
    assert by_reader == ["relu"]
