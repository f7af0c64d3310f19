"""Dead-code elimination: the remaining outputs have the same bits, and every result is read."""

from backend_cases import case_of, same
from hypothesis import given, settings
from hypothesis import strategies as st
from random_programs import SMOOTH, Author, TooLongError, computed

from talweg.compiler.ir import tape
from talweg.compiler.passes.dead_code import without_dead_code


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.data())
def test_the_outputs_that_are_left_have_the_same_bits(seed, data):
    description, w, x = Author(seed, SMOOTH).program()
    try:
        case = case_of(lambda w, x: computed(description, w, x), w, x)
    except TooLongError:
        return
    every = list(range(len(case.tape.outputs)))
    left = data.draw(st.lists(st.sampled_from(every), min_size=1, unique=True))
    found = without_dead_code(case.tape, [case.tape.outputs[k] for k in left])
    tape.verify(found)
    assert same(tape.run(found, case.inputs), [case.outputs[k] for k in left])
    result = found.spaces.index("t")
    read = {k for s, k in found.outputs if s == result}
    for n in range(len(found)):
        row = zip(found.space[n].tolist(), found.index[n].tolist(), strict=True)
        read |= {k for s, k in row if s == result}
    assert read == set(range(len(found)))
