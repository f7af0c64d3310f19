"""Tasks spread over threads, processes, joblib and a Dask cluster whose workers die."""

import asyncio
import multiprocessing
import os
import signal
import sys
import threading
import uuid
import warnings
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import closing

import pytest
from jobs import PREPARED, Squares

from talweg.errors import ArgumentError
from talweg.explore import tasks
from talweg.explore.tasks import completed

SQUARES = [k**2 for k in range(100)]


def a_job(**settings):
    """A job with a token that no other test has."""
    return Squares(uuid.uuid4().hex, **settings)


def squares(results):
    """The squares in the order of their tasks, each of which must be there once."""
    by_number = sorted(results)
    assert [k for k, _ in by_number] == list(range(len(by_number)))
    return [square for _, (square, _, _) in by_number]


def processes(results):
    """The processes that worked, none of which has prepared twice."""
    assert {prepared for _, (_, _, prepared) in results} == {1}
    return {process for _, (_, process, _) in results}


# ---- in this process -------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_tasks_in_this_process(threads):
    results = list(completed(a_job(), range(100), threads=threads))
    assert squares(results) == SQUARES
    assert processes(results) == {os.getpid()}


def test_no_tasks():
    assert list(completed(a_job(), [])) == []
    assert list(completed(a_job(), [], threads=3)) == []


def test_one_thread_is_this_one():
    here = a_job(f=lambda _: threading.current_thread())
    assert [thread for _, (thread, _, _) in completed(here, [1])] == [threading.main_thread()]


def test_a_prepared_job_is_used():
    job = a_job()
    work = job.prepare()
    assert squares(completed(job, range(5), prepared=work)) == SQUARES[:5]
    assert squares(completed(job, range(5), prepared=work, threads=2)) == SQUARES[:5]
    assert PREPARED.count(job.token) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_tasks_are_submitted_as_results_are_read(threads):
    """A generator of tasks is never read far ahead of the results."""
    read = 0

    def tasks():
        nonlocal read
        for k in range(1000):
            read += 1
            yield k

    for taken, _ in enumerate(completed(a_job(), tasks(), threads=threads), 1):
        assert read - taken < 2 * threads
    assert taken == read == 1000


@pytest.mark.parametrize("threads", [1, 3])
def test_an_error_of_a_task_is_raised_unchanged(threads):
    with pytest.raises(ZeroDivisionError, match="the error of the task"):
        list(completed(a_job(), [1, 2, "not a number", 3], threads=threads))
    assert not named_threads()


def test_an_error_of_the_generator_of_tasks_is_raised_unchanged():
    def tasks():
        yield 1
        raise LookupError("no more")

    with pytest.raises(LookupError, match="no more"):
        list(completed(a_job(), tasks(), threads=2))
    assert not named_threads()


def named_threads():
    return [t.name for t in threading.enumerate() if t.name.startswith("talweg")]


@pytest.mark.skipif(sys.platform == "win32", reason="there, that signal ends the process")
def test_ctrl_c_stops_the_work_and_joins_the_threads():
    """The signal comes while the main thread waits for results and two others work."""
    job = a_job()
    work = job.prepare()
    # Four are submitted at once, so both threads have started before the fifth.
    tasks = iter(["wait", 1, 1, 1, "Ctrl-C", *["wait"] * 1000])
    with pytest.raises(KeyboardInterrupt):
        list(completed(job, tasks, threads=2, prepared=work))
    assert work.stopped.is_set()
    assert not named_threads()
    assert len(list(tasks)) >= 995


@pytest.mark.skipif(sys.platform == "win32", reason="there, that signal ends the process")
def test_ctrl_c_in_the_only_thread():
    job = a_job()
    work = job.prepare()
    with pytest.raises(KeyboardInterrupt):
        list(completed(job, [1, "Ctrl-C", 2], prepared=work))
    assert work.stopped.is_set()


def test_closing_stops_the_work_and_joins_the_threads():
    job = a_job()
    work = job.prepare()
    tasks = iter([1, *["wait"] * 1000])
    with closing(completed(job, tasks, threads=2, prepared=work)) as results:
        assert next(results)[1][0] == 1
    assert work.stopped.is_set()
    assert not named_threads()
    assert len(list(tasks)) >= 995


# ---- executors -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "executor", ["dask", 4, object(), ThreadPoolExecutor], ids=["text", "number", "object", "class"]
)
def test_an_object_that_is_no_executor_is_refused(executor):
    with pytest.raises(ArgumentError, match=r"^executor must be None, a dask.*, got "):
        completed(a_job(), [1], executor=executor)


def test_a_thread_pool():
    job = a_job(slow=0.05, f=lambda x: x)
    with ThreadPoolExecutor(4) as pool:
        results = list(completed(job, range(100), executor=pool))
    assert squares(results) == SQUARES
    assert processes(results) == {os.getpid()}  # four threads asked for it at once


def test_the_last_four_jobs_stay_prepared():
    jobs = [a_job() for _ in range(6)]
    with ThreadPoolExecutor(1) as pool:
        for job in [*jobs, jobs[-1], jobs[0]]:
            assert squares(completed(job, range(3), executor=pool)) == [0, 1, 4]
    assert [PREPARED.count(job.token) for job in jobs] == [2, 1, 1, 1, 1, 1]


class OfUnknownSize:
    """An executor that does nothing until it is asked for the results."""

    def __init__(self):
        self.futures = []

    def submit(self, f, *arguments):
        future = Future()
        self.futures.append((future, f, arguments))
        if len(self.futures) > 20:
            future.set_result(f(*arguments))
        return future


def test_submitted_tasks_are_cancelled():
    executor = OfUnknownSize()
    with closing(completed(a_job(), range(10**9), executor=executor)) as results:
        assert next(results)[0] >= 20
    assert 20 < len(executor.futures) <= 200
    assert all(future.cancelled() for future, _, _ in executor.futures[:20])


@pytest.fixture(scope="module")
def pool():
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        yield pool


def test_a_process_pool(pool):
    results = list(completed(a_job(), range(100), executor=pool))
    assert squares(results) == SQUARES
    assert os.getpid() not in processes(results)


def test_a_process_pool_raises_errors_unchanged(pool):
    with pytest.raises(ZeroDivisionError, match="the error of the task"):
        list(completed(a_job(), ["not a number"], executor=pool))


def test_a_process_pool_refuses_a_lambda_immediately(pool):
    line = r"^the work cannot be sent to another process: .*lambda.*; define its functions with def"
    with pytest.raises(ArgumentError, match=line):
        completed(a_job(f=lambda x: x), [1], executor=pool)


def test_a_function_that_a_worker_cannot_import(pool, monkeypatch):
    """As those of a notebook are: they are here, but not there."""
    import jobs

    def only_here(x):
        return x

    only_here.__qualname__ = "only_here"
    only_here.__module__ = "jobs"
    monkeypatch.setattr(jobs, "only_here", only_here, raising=False)
    with pytest.raises(ArgumentError, match=r"cannot be sent to another process: .*only_here.*def"):
        list(completed(a_job(f=only_here), [1], executor=pool))


# ---- joblib ----------------------------------------------------------------------------------


@pytest.mark.parametrize("returning", ["list", "generator", "generator_unordered"])
@pytest.mark.parametrize("backend", ["threading", "loky"])
def test_joblib(backend, returning):
    joblib = pytest.importorskip("joblib")
    with joblib.Parallel(2, backend=backend, return_as=returning) as parallel:
        results = list(completed(a_job(f=lambda x: x), iter(range(100)), executor=parallel))
    assert squares(results) == SQUARES
    assert (os.getpid() in processes(results)) == (backend == "threading")


def test_joblib_by_processes_that_cannot_take_a_lock():
    joblib = pytest.importorskip("joblib")
    with pytest.raises(ArgumentError, match=r"^the work cannot be sent to another process: .*lock"):
        list(completed(a_job(f=threading.Lock()), [1], executor=joblib.Parallel(2)))


def test_joblib_raises_errors_unchanged():
    joblib = pytest.importorskip("joblib")
    parallel = joblib.Parallel(2, backend="threading")
    with pytest.raises(ZeroDivisionError, match="the error of the task"):
        list(completed(a_job(), [1, "not a number"], executor=parallel))


def test_joblib_gets_blocks_of_tasks():
    joblib = pytest.importorskip("joblib")
    tasks = iter(range(10**9))
    parallel = joblib.Parallel(2, backend="threading")
    with closing(completed(a_job(), tasks, executor=parallel)) as results:
        next(results)
    assert next(tasks) == 16


# ---- a Dask cluster --------------------------------------------------------------------------


def test_dask(client):
    results = list(completed(a_job(f=lambda x: x), range(100), executor=client))
    assert squares(results) == SQUARES
    assert os.getpid() not in processes(results)
    assert list(completed(a_job(), [], executor=client)) == []


def test_dask_repeats_the_tasks_of_a_worker_that_was_killed(client, tmp_path):
    job = a_job(die=str(tmp_path / "a worker was killed"))
    results = list(completed(job, range(300), executor=client))
    assert squares(results) == [k**2 for k in range(300)]
    assert (tmp_path / "a worker was killed").exists()
    assert os.getpid() not in processes(results)


def test_dask_survives_the_death_of_every_worker_that_has_the_job(client):
    """The job is a task, so that the scheduler makes it again; scattered data would be lost."""
    job = a_job()
    with closing(completed(job, range(300), executor=client)) as results:
        seen = [next(results)]
        workers = client.run(os.getpid).values()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        seen += results
    assert squares(seen) == [k**2 for k in range(300)]
    assert processes(seen) - set(workers)  # the new ones


def test_dask_raises_errors_unchanged(client):
    with pytest.raises(ZeroDivisionError, match="the error of the task"):
        list(completed(a_job(), [1, "not a number", 2], executor=client))


def test_dask_refuses_a_job_that_cannot_be_sent(client):
    with pytest.raises(ArgumentError, match=r"^the work cannot be sent to another process: .*lock"):
        completed(a_job(f=threading.Lock()), [1], executor=client)


def test_an_asynchronous_dask_client_is_refused(client):
    import distributed

    async def use():
        address = client.scheduler.address
        async with distributed.Client(address, asynchronous=True) as another:
            completed(a_job(), [1], executor=another)

    with pytest.raises(ArgumentError, match="asynchronous=True; give one made without it"):
        asyncio.run(use())


def test_dask_is_given_few_tasks_and_cancels_them(client):
    tasks = iter(range(10**9))
    before = list(client.futures)  # of tests that failed on purpose, and still being let go
    with closing(completed(a_job(), tasks, executor=client)) as results:
        taken, _ = next(results)
        handed_out = [key for key in client.futures if key not in before]
        assert len(handed_out) > 1
    assert next(tasks) <= 2 * 4 * 3
    left = [key[1] for key in handed_out if key in client.futures]
    assert left in ([], [taken])


def test_dask_as_an_executor(client):
    results = list(completed(a_job(), range(100), executor=client.get_executor()))
    assert squares(results) == SQUARES
    assert os.getpid() not in processes(results)


def test_joblib_on_dask(client):
    joblib = pytest.importorskip("joblib")
    with joblib.parallel_config(backend="dask"):
        results = list(completed(a_job(), range(100), executor=joblib.Parallel()))
    assert squares(results) == SQUARES
    assert os.getpid() not in processes(results)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked here")
def test_a_child_that_is_forked_during_preparation_does_not_wait():
    """It has a copy of the lock that a thread of its parent holds, and no such thread."""
    held, free = threading.Event(), threading.Event()

    def preparing():
        with tasks._PREPARED._lock:
            held.set()
            free.wait()

    thread = threading.Thread(target=preparing)
    thread.start()
    held.wait()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from 3.12 on, about the thread
        child = os.fork()
    if not child:
        signal.alarm(20)  # ends a child that waits
        os._exit(tasks._do(a_job(), 3)[0])
    free.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
