"""From a signature to the numbers of a program, and back to results: bindings and templates."""

import struct

import numpy as np
import pytest

import talweg as tw
from talweg import Value
from talweg.compiler.frontend.parameter_binding import ParameterBinding
from talweg.compiler.frontend.result_template import ResultTemplate
from talweg.compiler.frontend.signature import SignatureCache, signature_of
from talweg.compiler.frontend.trace import trace
from talweg.errors import NumberError, TraceError

# ---- parameter bindings -----------------------------------------------------------------------


def test_parameters_come_from_the_call_or_from_outside():
    given, captured, other = Value(1.0), Value(2.0), Value(3.0)
    binding = ParameterBinding([captured, given], {given: 1})
    assert binding.sources == [captured, 1]
    assert binding.captured == (captured,)
    assert binding.unread(3) == [0, 2]
    signature = signature_of([[Value(0.0), other]], {}, SignatureCache())
    values, _ = binding.bound(signature)
    assert values == (captured, other)
    assert binding.data(values) == struct.pack("=2d", 2.0, 3.0)
    other.grad = 0.5
    assert binding.gradient(values) == struct.pack("=2d", 0.0, 0.5)


def test_the_values_of_an_object_are_bound_once():
    model, cache = tw.MLP(2, [3, 1]), SignatureCache()
    first, second = (signature_of([model], {}, cache) for _ in range(2))
    binding = ParameterBinding(model.parameters(), first.positions)
    assert binding.bound(first) is binding.bound(second)
    assert binding.bound(first)[0] == tuple(model.parameters())


def test_operands_are_three_leaves_and_every_inner_node():
    leaves = [Value(float(k)) for k in range(10)]
    inner = leaves[0] * 2.0
    binding = ParameterBinding([*leaves, inner], {})
    _, operands = binding.bound(signature_of([], {}, SignatureCache()))
    assert operands == (leaves[0], leaves[5], leaves[9], inner)


def test_a_gradient_that_is_no_number_is_an_error():
    value = Value(1.0)
    value.grad = "2"
    binding = ParameterBinding([value], {})
    with pytest.raises(NumberError, match="a Value holds str '2', which is not a number; assign"):
        binding.gradient([value])


# ---- result templates -------------------------------------------------------------------------


def test_a_template_is_filled_with_one_leaf_for_each_value():
    traced = trace(lambda x: {"a": (x * 2.0, 3.0), "b": [x, np.array([1.0]), "text"]}, 1.0)
    template = ResultTemplate(traced)
    assert template.outputs == [("t", 0), ("x", 0)]
    assert len(template.computed) == 1
    assert not template.is_single
    filled = template.filled(["first", "second"])
    assert filled["a"] == ("first", 3.0)
    assert filled["b"][0] == "second"
    assert filled["b"][1].tolist() == [1.0]
    assert filled["b"][2] == "text"


def test_a_result_that_occurs_twice_is_computed_once():
    def f(x):
        y = x * x
        return [y, y]

    template = ResultTemplate(trace(f, 2.0))
    assert template.outputs == [("t", 0), ("t", 0)]
    assert len(template.computed) == 1
    assert not template.is_single


def test_a_single_result_is_one_computed_value():
    w = Value(2.0)
    assert ResultTemplate(trace(lambda x: w * x, 2.0)).is_single
    assert not ResultTemplate(trace(lambda x: x * x, 2.0)).is_single  # a float
    assert not ResultTemplate(trace(lambda x: x, 2.0)).is_single
    assert not ResultTemplate(trace(lambda x: [x * x], 2.0)).is_single


def test_objects_that_may_hold_values_are_refused():
    with pytest.raises(TraceError, match="a compiled function returns numbers, and lists"):
        ResultTemplate(trace(lambda x: (x * x, tw.MLP(1, [1])), 2.0))
