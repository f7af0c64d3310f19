"""The collector runs rarely while a graph grows, and as the program wants it otherwise."""

import gc
import subprocess
import sys
import textwrap

import pytest

from talweg._util.gc_growth import CollectorPacing
from talweg.value import Value


@pytest.fixture
def thresholds():
    """The thresholds of a new process, and those of the test session afterwards."""
    before = gc.get_threshold()
    gc.collect()
    gc.set_threshold(700, 10, 10)
    gc.collect()
    yield
    gc.set_threshold(*before)


class Collections:
    """Counts the collections within a `with`."""

    def __enter__(self):
        self.count = 0
        gc.callbacks.append(self)
        return self

    def __call__(self, phase, info):
        self.count += phase == "start"

    def __exit__(self, *_):
        gc.callbacks.remove(self)


def graph(count):
    x = Value(1.0)
    y = x
    for _ in range(count):
        y = y + x
    return y


def garbage(count):
    """Objects that only the collector can free."""
    for _ in range(count):
        cycle = []
        cycle.append(cycle)


@pytest.mark.usefixtures("thresholds")
def test_few_collections_while_a_graph_grows_and_the_threshold_is_put_back():
    with Collections() as seen:
        y = graph(100_000)
    assert 2 <= seen.count <= 6  # 140 without pacing
    raised = gc.get_threshold()
    assert 100_000 < raised[0] <= 4 * 100_000
    assert raised[1:] == (10, 10)
    del y
    kept = [[] for _ in range(raised[0] + 700)]
    assert gc.get_threshold() == (700, 10, 10)
    assert len(kept) > 700


@pytest.mark.usefixtures("thresholds")
def test_a_program_without_graphs_keeps_its_threshold():
    kept = [[Value(1.0), [], []] for _ in range(20_000)]
    assert gc.get_threshold() == (700, 10, 10)
    assert len(kept) == 20_000


@pytest.mark.usefixtures("thresholds")
def test_garbage_among_the_nodes_keeps_the_threshold_low():
    with Collections() as seen:
        for _ in range(200):
            y = graph(200)
            garbage(100)
    assert gc.get_threshold()[0] <= 4 * 700
    assert seen.count >= 5
    assert y.data == 201.0


@pytest.mark.usefixtures("thresholds")
def test_a_threshold_of_the_program_holds():
    y = graph(20_000)
    assert gc.get_threshold()[0] > 700
    gc.set_threshold(5_000, 20, 30)
    kept = [[] for _ in range(20_000)]
    assert gc.get_threshold() == (5_000, 20, 30)
    y = graph(20_000)
    assert gc.get_threshold()[0] == 4 * 5_000
    kept += [[] for _ in range(200_000)]
    assert gc.get_threshold() == (5_000, 20, 30)
    assert len(kept) == 220_000 + y.data - 20_001


def test_a_program_without_a_collector_has_none():
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        graph(20_000)
        assert not gc.isenabled()
    finally:
        if was_enabled:
            gc.enable()


@pytest.mark.usefixtures("thresholds")
def test_the_threshold_has_an_upper_limit():
    gc.set_threshold(900_000, 10, 10)
    made = iter(range(0, 10**9, 10**8)).__next__
    pacing = CollectorPacing(made)
    pacing("stop", {"collected": 0})
    for _ in range(3):
        pacing("stop", {"collected": 0})
    assert gc.get_threshold() == (1_000_000, 10, 10)
    pacing("stop", {"collected": 500_000})
    assert gc.get_threshold() == (900_000, 10, 10)


def test_the_memory_of_dropped_graphs_does_not_grow():
    """Closures make cycles with their nodes, which only the collector frees."""
    program = """
        import gc
        from talweg import Value

        def square(x):
            out = Value(x.data * x.data, (x,), "square")
            def _backward():
                x.grad += 2.0 * x.data * out.grad
            out._backward = _backward
            return out

        x, most = Value(0.5), 0
        for step in range(300):
            y = x
            for _ in range(100):
                y = square(y) + x
            y.backward()
            x.grad = 0.0
            most = max(most, sum(isinstance(o, Value) for o in gc.get_objects()))
        print(most)
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20_000  # of 60,000 that were made
