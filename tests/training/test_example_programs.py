"""The traced programs of examples, and the guards of an optimiser's update."""

import dataclasses
import itertools
from queue import SimpleQueue

import pytest

import talweg as tw
from talweg import SGD, Embedding, Value
from talweg.errors import NativeError
from talweg.optim import Optimizer
from talweg.training.example_programs import ExamplePrograms
from talweg.training.objective import Objective
from talweg.training.update_guard import refuse_hidden_state, refuse_own_rate

W = Value(0.5)


def programs(loss, examples, *, as_floats=False, model=None):
    objective = Objective(model or [W], loss, examples, mean=False)
    return ExamplePrograms(objective, as_floats=as_floats)


def total(xs):
    return sum(W * x for x in xs)


def test_examples_of_one_shape_have_one_program():
    found = programs(total, [[1.0, 2.0], [3.0], [4.0, 5.0]])
    first, second = found.program_of(0), found.program_of(1)
    assert found.program_of(2) is first is not second
    assert found.examples_of(first) == [0, 2]
    assert found.examples_of(second) == [1]
    assert found.numbers_of(2) == [4.0, 5.0]
    with pytest.raises(NativeError, match=r"^example 1 has another shape .* index; use pairs$"):
        found.require_one_program("; use pairs")


def test_integers_used_as_counts_make_another_program():
    def power(example):
        return W ** example[0] * example[1]

    found = programs(lambda e: sum(W * e[1] for _ in range(e[0])), [[2, 1.0], [3, 1.0], [2, 0.5]])
    assert found.program_of(2) is found.program_of(0) is not found.program_of(1)
    one = programs(power, [[2, 1.0], [3, 1.0]], as_floats=True)
    one.require_one_program()


def test_rows_of_an_embedding_share_a_program():
    embedding = Embedding(4, 2)
    loss = lambda k: sum(embedding[k])  # noqa: E731
    found = programs(loss, [0, 3, 1], model=embedding)
    found.require_one_program()
    outside = programs(loss, [0, 4], model=embedding)
    with pytest.raises(NativeError, match="example 1 gathers row 4 of 4; expected 0 to 3"):
        outside.require_one_program()


def test_values_from_outside_are_those_that_the_first_example_reads():
    scale, shift = Value(2.0), Value(1.0)

    def loss(example):
        return W * example[1] * (scale if example[0] == 1 else shift)

    found = programs(loss, [[1, 1.0], [1, 2.0], [2, 1.0]])
    found.program_of(0)
    assert found.outside == [scale]
    assert found.weights() == [0.5, 2.0]
    assert found.program_of(1) is found.program_of(0)
    with pytest.raises(NativeError, match="example 2 reads Values from outside of the model that"):
        found.program_of(2)


def test_an_outside_value_of_a_later_example_stops_native_training_with_a_reason():
    scale, shift = Value(2.0), Value(1.0)

    def loss(model, e):
        return (model[0] * e["x"] * (scale if e["n"] == 1 else shift) - 1.0) ** 2

    examples = [{"n": 1, "x": 1.0}, {"n": 2, "x": 0.5}]
    with pytest.raises(NativeError, match="example 1 reads Values from outside"):
        tw.minimize(loss, [Value(0.9)], examples, batch_size=1, steps=5, engine="native")


def test_other_examples_have_inputs_if_they_have_the_program():
    found = programs(total, [[1.0, 2.0]])
    program = found.program_of(0)
    assert found.inputs_of([[3.0, 4.0], [5.0, 6.0]]) == [
        (program, [3.0, 4.0]),
        (program, [5.0, 6.0]),
    ]
    assert found.inputs_of([[3.0, 4.0], [5.0]]) is None
    assert found.inputs_of([[3.0, Value(4.0)]]) is None


def test_a_loss_that_a_trace_does_not_capture_is_refused_and_weights_are_restored():
    calls = SimpleQueue()  # a queue is not looked into
    found = programs(lambda x: (calls.put(x), W * x * calls.qsize())[1], [1.0])
    with pytest.raises(NativeError, match="the loss of sample 0 depends on numbers in a way"):
        found.program_of(0)
    assert W.data == 0.5


def test_a_loss_that_counts_its_calls_is_refused():
    calls = itertools.count()
    found = programs(lambda x: W * x * next(calls), [1.0])
    with pytest.raises(NativeError, match="changes the contents of `calls`, which is a count"):
        found.program_of(0)


def test_a_value_listed_twice_is_refused():
    with pytest.raises(NativeError, match="the same Value twice"):
        programs(total, [[1.0]], model=[W, W])


def test_an_example_with_a_value_in_it_is_refused():
    found = programs(total, [[1.0], [Value(2.0)]])
    with pytest.raises(NativeError, match=r"^example 1 has a Value in it; expected numbers$"):
        found.program_of(0)


def test_a_loss_that_is_no_value_is_refused():
    found = programs(lambda xs: [W * xs[0]], [[1.0]])
    with pytest.raises(NativeError, match=r"example 0 was not computed .*; expected a Value"):
        found.program_of(0)


# ---- the update ------------------------------------------------------------------------------


@dataclasses.dataclass
class Counting(Optimizer):
    count: int = 0

    def update(self, p, g, state, lr, step):
        self.count += 1
        return p - lr * g / self.count, ()


@dataclasses.dataclass
class OwnRate(Optimizer):
    def update(self, p, g, state, lr, step):
        return p - self.lr * g, ()


@dataclasses.dataclass
class Failing(Optimizer):
    def update(self, p, g, state, lr, step):
        raise ZeroDivisionError("no update")


def test_an_update_with_hidden_state_is_refused():
    optimizer = Counting(0.1)
    with pytest.raises(NativeError, match="Counting gives another result when update"):
        refuse_hidden_state(optimizer)
    assert optimizer.count == 0
    refuse_hidden_state(SGD(0.1, momentum=0.9))
    with pytest.raises(
        NativeError, match=r"^update\(\) of the optimiser failed: ZeroDivisionError: no update"
    ):
        refuse_hidden_state(Failing(0.1))


def test_an_update_that_reads_its_own_rate_is_refused():
    with pytest.raises(NativeError, match=r"reads self\.lr"):
        refuse_own_rate(OwnRate(0.1))
    refuse_own_rate(SGD(0.1))
