"""Use-def chains against the execution of the loops: what each operand reads."""

import pytest
from analysed import execution, random_program, traced_program
from hypothesis import given
from hypothesis import strategies as st

from talweg.compiler.ir.tape import RESULT
from talweg.compiler.passes.use_def import Digit, UseDefChains, own_iteration

NUMBERS = [0.1 * k + 0.5 for k in range(1, 13)]


def check(program):
    """Compare all chains with what is read; the kinds of chains that the program has."""
    chains, done, kinds = UseDefChains(program), execution(program), set()
    computed = [(node, point) for node, point, _ in done]
    assert [chains.locate(k) for k in range(len(done))] == computed
    for node, point, _ in done:
        for j, operand in enumerate(node.operands):
            if operand.space != RESULT:
                continue
            read, use = computed[operand.index.at(point)], chains.of(node, j)
            if use.definition is None:
                kinds.add("several")
            elif use.initial is not None:
                kinds.add("carried")
                before = (use.definition, (*point[:-1], point[-1] - 1))
                assert read == before if point[-1] else read[0] is use.initial
            else:
                digits = any(isinstance(x, Digit) for x in use.point)
                kinds.add("digits" if digits else "affine")
                assert read == (use.definition, tuple([at(x, point) for x in use.point]))
    return kinds


def at(index, point):
    if isinstance(index, Digit):
        return index.number.at(point) // index.divide % index.modulo
    return index.at(point)


def sum_of_squares(w, x):
    total = 0.0
    for number in [v.tanh() for v in w]:
        total = total + number * number
    return [total]


def flattened(w, x):
    """One loop reads what two nested loops compute."""
    numbers = [(w[i] * w[j]).sin() for i in range(3) for j in range(4)]
    total = 0.0
    for number in numbers:
        total = total + number * number
    return [total]


def triangle(w, x):
    """Row i has i + 1 numbers, and each number is the sum of those before it in its row."""
    total = 0.0
    for i in range(6):
        partial = w[0]
        for j in range(i + 1):
            partial = partial + (w[j] * w[i]).tanh()
        total = total + partial
    return [total]


def triangle_read_again(w, x):
    """The loop that reads has one variable; the loops that compute depend on each other."""
    numbers = [(w[j] * w[i]).sin() for i in range(6) for j in range(i + 1)]
    total = 0.0
    for number in numbers:
        total = total + number * number
    return [total]


def nested_triangle(w, x):
    total = 0.0
    for i in range(4):
        for j in range(i + 1):
            for k in range(j + 1):
                total = total + w[i] * w[j] * w[k]
    return [total]


def alternating(w, x):
    """A loop whose readers read every second number."""
    numbers = [v.exp() for v in w]
    total = 0.0
    for k in range(6):
        total = total + numbers[2 * k]
    return [total]


def transposed(w, x):
    numbers = [[(w[i] * w[j]).sin() for j in range(4)] for i in range(3)]
    total = 0.0
    for j in range(4):
        for i in range(3):
            total = total + numbers[i][j] * w[j]
    return [total]


@pytest.mark.parametrize(
    ("f", "kinds"),
    [
        (sum_of_squares, {"affine", "carried"}),
        (flattened, {"affine", "carried", "digits"}),
        (triangle, {"affine", "carried"}),
        (triangle_read_again, {"affine", "carried", "several"}),
        (nested_triangle, {"affine", "carried"}),
        (alternating, {"affine", "carried"}),
        (transposed, {"affine", "several"}),
    ],
)
def test_a_chain_names_what_is_read(f, kinds):
    assert check(traced_program(f, NUMBERS, [])) == kinds


@given(st.integers(0, 10**6))
def test_the_chains_of_random_programs(seed):
    program = random_program(seed)
    if program is not None:
        check(program)


def test_the_iteration_of_the_reader_itself():
    assert [str(x) for x in own_iteration(2)] == ["i", "j"]
