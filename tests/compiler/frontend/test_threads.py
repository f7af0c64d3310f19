"""Threads that a traced function starts: traced, or refused."""

import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

import pytest

import talweg as tw
from talweg import Value
from talweg.autodiff.tracing import is_tracing
from talweg.errors import TraceError

W = Value(2.0)


@pytest.fixture
def pool():
    with ThreadPoolExecutor(2) as made:
        yield made


def test_work_for_a_pool_is_traced(pool):
    def f(xs):
        return sum(pool.map(lambda x: (x * W).tanh(), xs), 0.0)

    fast = tw.jit(f, mode="exact")
    for xs in ([1.0, 2.0], [-3.0, 2.0], [0.5, 0.1]):
        assert fast(xs).data == f(xs).data
    assert fast.traces == 1


def test_a_branch_in_a_pool_is_never_frozen(pool):
    def f(vs):
        return sum(pool.map(lambda v: v * 2.0 if v > 0 else v * 5.0, vs), 0.0)

    fast = tw.jit(f, mode="exact")
    for numbers in ([1.0, 2.0], [3.0, 2.0], [-3.0, 2.0]):
        try:
            found = fast([*map(Value, numbers)]).data
        except TraceError:
            continue
        assert found == f([*map(Value, numbers)]).data


def test_threads_that_are_joined_are_traced():
    def f(x):
        found = {}

        def work(k):
            found[k] = W * x * k

        threads = [threading.Thread(target=work, args=(float(k),)) for k in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return found[0.0] + found[1.0] + found[2.0]

    fast = tw.jit(f)
    assert [fast(x).data for x in (1.0, 2.0, 3.0)] == [6.0, 12.0, 18.0]


def test_an_exception_of_a_thread_is_raised():
    def f(x):
        def work():
            raise ValueError("in the thread")

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        return W * x

    with pytest.raises(ValueError, match="in the thread"):
        tw.jit(f)(1.0)


def test_a_thread_that_still_runs_is_an_error():
    release = threading.Event()

    def f(x):
        threading.Thread(target=release.wait, name="late").start()
        return W * x

    try:
        with pytest.raises(TraceError, match="the thread 'late' that the function has started"):
            tw.jit(f)(1.0)
    finally:
        release.set()


def test_pools_of_multiprocessing_are_refused():
    with (
        ThreadPool(1) as workers,
        pytest.raises(TraceError, match="pool of multiprocessing; compute in the function"),
    ):
        tw.jit(lambda x: sum(workers.map(lambda k: k * x * W, [1.0, 2.0]), 0.0))(1.0)


def test_a_worker_that_was_started_in_a_trace_is_not_traced_later():
    start, submit = threading.Thread.start, ThreadPoolExecutor.submit
    with ThreadPoolExecutor(1) as own:
        fast = tw.jit(lambda x: own.submit(lambda: x * W).result())
        assert fast(2.0).data == 4.0
        assert own.submit(is_tracing).result() is False
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == (start, submit)
