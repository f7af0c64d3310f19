"""Array addresses: every number has one of its own, and indices are affine functions of them."""

import pytest
from analysed import analyses_of, execution, random_program, traced_program, with_addresses
from hypothesis import given, settings
from hypothesis import strategies as st

import talweg as tw
from talweg.compiler.frontend.trace import trace
from talweg.compiler.passes.addresses import index_of
from talweg.compiler.passes.find_loops import find_loops
from talweg.errors import NativeError


@pytest.mark.slow
@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_the_numbers_of_an_array_have_addresses_of_their_own(seed):
    program = random_program(seed)
    if program is None:
        return
    found = with_addresses(analyses_of(program))
    addresses, storage = found.addresses, found.storage
    classes = storage.class_of_result.tolist()
    for own in sorted(set(classes)):
        at = [n for n, other in enumerate(classes) if other == own]
        own_addresses = addresses.of_result[at].tolist()
        if own in addresses.classes:
            assert len(set(own_addresses)) == len(at)
            assert 0 <= min(own_addresses) <= max(own_addresses) < addresses.sizes[f"a{own}"]
        else:
            assert storage.in_register[own]
            assert set(own_addresses) == {-1}
        has_derivatives = not storage.in_register[own] and found.flow.has_adjoint[own]
        size = addresses.sizes[f"a{own}"] if has_derivatives else None
        assert addresses.sizes.get(f"da{own}") == size


@pytest.mark.slow
@settings(max_examples=100)
@given(st.integers(0, 10**6))
def test_an_index_is_the_address_in_every_iteration(seed):
    program = random_program(seed)
    if program is None:
        return
    found = with_addresses(analyses_of(program))
    done = execution(program)
    for number, own in enumerate(found.storage.class_of.tolist()):
        if own not in found.addresses.classes:
            continue
        positions = found.iterations.positions[number]
        try:
            index = index_of(number, positions, found.iterations, found.addresses)
        except NativeError:
            continue
        for n in positions.tolist():
            assert index.at(done[n][1]) == found.addresses.of_result[n]
    for (number, _), element in found.addresses.saved.items():
        used = [element.index.at(done[n][1]) for n in found.iterations.positions[number].tolist()]
        assert len(set(used)) == len(used)
        assert 0 <= min(used) <= max(used) < found.addresses.sizes[element.array]


def test_a_triangle_is_stored_in_its_bounding_box():
    def triangle(w, x):
        return [w[j] * x[i] for i in range(6) for j in range(i + 3)]

    weights = [tw.Value(0.1 * k) for k in range(8)]
    program = find_loops(trace(triangle, weights, [0.1 * k for k in range(6)]).tape)
    found = with_addresses(analyses_of(program))
    assert len(found.iterations.instructions) == 1
    points = found.iterations.points_of(0)
    height, width = points.max(axis=0) + 1
    assert (height, width, len(points)) == (6, 8, 33)
    assert found.addresses.sizes["a0"] == height * width
    assert found.addresses.of_result.tolist() == [width * i + j for i, j in points.tolist()]


def test_an_index_that_is_not_affine_is_refused():
    program = traced_program(
        lambda w, x: [sum(tw.tanh(w[0] * a) for a in x)], [0.5], [0.1 * k for k in range(6)]
    )
    found = with_addresses(analyses_of(program, ("w", "x")))
    number = next(k for k, around in enumerate(found.iterations.around) if around)
    read = next(
        found.iterations.positions[k]
        for k, own in enumerate(found.storage.class_of.tolist())
        if own in found.addresses.classes and found.iterations.around[k]
    )
    assert index_of(number, read, found.iterations, found.addresses).strides == (1,)
    swapped = read[[1, 0, *range(2, len(read))]]
    with pytest.raises(NativeError, match="no affine index into an array"):
        index_of(number, swapped, found.iterations, found.addresses)
