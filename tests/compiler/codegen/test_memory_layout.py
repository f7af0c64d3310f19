"""The memory of native functions: both sides compute the same address of element (i, j)."""

import ctypes
import itertools

import numpy as np
import pytest
from native_functions import NativeFunction

from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.memory_layout import (
    ArrayView,
    Field,
    MemoryLayout,
    open_arrays,
)
from talweg.compiler.codegen.types import CACHE_LINE, DOUBLE, I64, PTR, Parameter
from talweg.compiler.runtime.buffers import Memory
from talweg.errors import CompilerError

LAYOUT = MemoryLayout(
    (
        Field("a", (3, "steps", 4)),
        Field("b", ("steps",), I64),
        Field("empty", (0, 5)),
        Field("c", (2, 3, "steps", 2)),
    )
)
STEPS = 5


def a_function(*parameters):
    given = [Parameter("table", PTR), Parameter("steps", I64), *parameters]
    return Module().function("f", given)


def opened(function):
    given = function.parameters
    return open_arrays(function, LAYOUT, given["table"], {"steps": given["steps"]})


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_offsets_agree_on_both_sides(name):
    axes = len(next(f for f in LAYOUT.fields if f.name == name).shape)
    f = a_function(*[Parameter(f"i{k}", I64) for k in range(axes)], Parameter("x", DOUBLE))
    view = opened(f)[name].at(*[f.parameters[f"i{k}"] for k in range(axes)])
    is_integer = view.type is I64
    view.store(f.i64_from_double(f.parameters["x"]) if is_integer else f.parameters["x"])
    f.ret()
    native = NativeFunction(f)
    memory = Memory(LAYOUT, {"steps": STEPS})
    places = list(itertools.product(*map(range, memory[name].shape)))
    for number, place in enumerate(places, start=1):
        native(memory.address, STEPS, *place, float(number))
        assert memory[name][place] == number
    for other in memory.arrays.keys() - {name}:
        assert not memory[other].any()


@pytest.mark.parametrize("place", [(2, 3, 1), (0, 4, 3), (1, 0, 0)])
def test_constant_indices_and_parts_of_an_array(place):
    f = a_function()
    i, j, k = place
    array = opened(f)["a"]
    array.at(i, j, k).store(f.double_from_i64(1))
    part = array.at(0 if i == 0 else f.i64(i)).at(j).at(k)
    part.store(f.double_from_i64(7))
    assert part.shape == ()
    f.ret()
    memory = Memory(LAYOUT, {"steps": STEPS})
    NativeFunction(f)(memory.address, STEPS)
    assert memory["a"][place] == 7.0
    assert np.count_nonzero(memory["a"]) == 1


def test_zero_and_copy():
    f = a_function()
    a, c = opened(f)["a"], opened(f)["c"]
    a.at(1).zero()
    c.at(1, 2).copy_from(c.at(0, 0))
    f.ret()
    memory = Memory(LAYOUT, {"steps": STEPS})
    memory["a"][:] = np.arange(60.0).reshape(3, STEPS, 4) + 1.0
    memory["c"][:] = np.arange(60.0).reshape(2, 3, STEPS, 2) + 100.0
    a, c = memory["a"].copy(), memory["c"].copy()
    NativeFunction(f)(memory.address, STEPS)
    a[1] = 0.0
    c[1, 2] = c[0, 0]
    np.testing.assert_array_equal(memory["a"], a)
    np.testing.assert_array_equal(memory["c"], c)


def test_vectors_of_an_array():
    f = a_function(Parameter("k", I64))
    view = opened(f)["c"].vectors()
    view.at(f.parameters["k"], 1).store(f.double_from_i64(9))
    f.ret()
    memory = Memory(LAYOUT, {"steps": STEPS})
    NativeFunction(f)(memory.address, STEPS, 17)
    assert memory["c"].reshape(-1, 2)[17].tolist() == [0.0, 9.0]


def test_a_size_that_the_function_does_not_know_is_needed_only_for_its_stride():
    f = Module().function("f", [Parameter("table", PTR)])
    arrays = open_arrays(f, LAYOUT, f.parameters["table"], {})
    assert arrays["a"].shape == (3, None, 4)
    arrays["a"].at(0, 2, 3).store(f.double_from_i64(5))
    with pytest.raises(CompilerError, match=r"does not know all sizes of \(3, None, 4\)"):
        arrays["a"].at(1)
    f.ret()
    memory = Memory(LAYOUT, {"steps": STEPS})
    NativeFunction(f)(memory.address)
    assert memory["a"][0, 2, 3] == 5.0


def test_indices_that_are_known_need_no_instructions():
    f = a_function()
    view = ArrayView(f, f.parameters["table"], (4, 3))
    before = len(f)
    assert view.at(0).at(0).pointer == view.pointer
    assert len(f) == before
    view.at(2, 1)
    assert len(f) == before + 1


def test_arrays_start_at_cache_lines_and_in_the_order_of_the_table():
    memory = Memory(LAYOUT, {"steps": STEPS})
    table = (ctypes.c_uint64 * 4).from_address(memory.address)
    arrays = [memory[name] for name in ("a", "b", "empty", "c")]
    assert [a.ctypes.data for a in arrays if a.size] == [table[0], table[1], table[3]]
    assert all(address % CACHE_LINE == 0 for address in table)
    assert [a.shape for a in arrays] == [(3, 5, 4), (5,), (0, 5), (2, 3, 5, 2)]
    assert [str(a.dtype) for a in arrays] == ["float64", "int64", "float64", "float64"]
    raw = memory.bytes[memory.slices["b"]]
    memory["b"][:] = [1, 2, 3, 4, 5]
    assert np.frombuffer(raw, dtype=np.int64).tolist() == [1, 2, 3, 4, 5]
    assert not any(a.any() for a in arrays if a is not arrays[1])


def test_vectors_named_by_their_dimension():
    memory = Memory(MemoryLayout.vectors(["w", "x"]), {"w": 3, "x": 0})
    assert (memory["w"].shape, memory["x"].shape) == ((3,), (0,))
