"""Affine functions: composition and fitting, compared with the values at every point."""

import itertools

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from talweg.compiler.ir.affine import Affine, compose, fit_affine

small = st.integers(-5, 5)


def affine_functions(depth):
    return st.builds(Affine, small, st.tuples(*[small] * depth))


@given(affine_functions(2), st.tuples(affine_functions(3), affine_functions(3)))
def test_a_composition_has_the_value_of_the_outer_function_at_the_inner_ones(outer, inner):
    for point in itertools.product((-1, 0, 2), repeat=3):
        expected = outer.at([f.at(point) for f in inner])
        assert compose(outer, inner).at(point) == expected


@st.composite
def iteration_spaces(draw):
    """All iterations of nested loops, in order; the trip counts may depend on the outer loop."""
    n, m, slope = draw(st.integers(1, 4)), draw(st.integers(2, 4)), draw(st.integers(0, 2))
    return np.array([(i, j) for i in range(n) for j in range(m + slope * i)])


@settings(max_examples=100)
@given(iteration_spaces(), affine_functions(2))
def test_a_fit_has_the_values_at_all_points(points, f):
    values = np.array([f.at(point) for point in points.tolist()])
    found = fit_affine(points, values)
    assert [found.at(point) for point in points.tolist()] == values.tolist()


@settings(max_examples=100)
@given(iteration_spaces(), affine_functions(2), st.data())
def test_values_that_no_affine_function_has_are_not_fitted(points, f, data):
    values = np.array([f.at(point) for point in points.tolist()])
    k = data.draw(st.integers(0, len(values) - 1))
    values[k] += data.draw(st.sampled_from([-1, 1, 7]))
    found = fit_affine(points, values)
    # The oracle: the best fit in the sense of least squares, which is exact if any fit is.
    system = np.column_stack([np.ones(len(points)), points])
    best = np.linalg.lstsq(system, values, rcond=None)[0]
    is_affine = np.allclose(system @ best, values, atol=1e-6)
    assert (found is not None) == is_affine
    if found is not None:
        assert [found.at(point) for point in points.tolist()] == values.tolist()


def test_a_function_is_not_fitted_without_a_neighbour_of_the_first_point_along_each_loop():
    """A triangle that starts with one iteration: nothing differs from (0, 0) in j only."""
    points = np.array([(i, j) for i in range(3) for j in range(i + 1)])
    assert fit_affine(points, points @ [3, 0]) == Affine(0, (3, 0))
    assert fit_affine(points, points @ [3, 1]) is None
