"""Tasks of an exploration, executed by threads, processes or a cluster.

A `Job` describes what is done to every task, as plain data and functions, so that it can be sent
to another process. Each process prepares it once (compiles), which gives the `Work`, a function of
one task. `completed` submits the tasks, a few at a time, and yields each result with the number of
its task, in the order in which they arrive. So neither tasks nor results accumulate, however many
there are.

There is one function for each kind of executor: `_inline` and `_in_threads` in this process,
`_by_executor` for the interface of `concurrent.futures`, `_by_joblib` and `_on_dask`. joblib and
Dask are not imported here: a caller with such an executor has imported its library.

Start reading at `completed`.
"""

from __future__ import annotations

import os
import pickle
import sys
import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures import ThreadPoolExecutor as Threads
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

from talweg.errors import ArgumentError

Results = Generator[tuple[int, Any], None, None]
"""Results, each with the number of its task, in the order in which they arrive."""


class Work(Protocol):
    """A job prepared in this process: a function of one task."""

    def __call__(self, task: Any, /) -> Any:
        """Do one task.

        Several threads call it at the same time, so it must not change data that they share;
        native code releases the GIL. On another machine it cannot be interrupted: a task should
        take seconds, not hours. The same task must give the same result, because a task whose
        worker died is done again.

        Args:
            task: the task, as plain data.

        Returns:
            The result, as plain data.
        """

    def stop(self) -> None:
        """Make all calls return soon, with any result; called from another thread.

        It is final: a call that starts afterwards returns at once too, because its task may have
        been submitted before.
        """


class Job(Protocol):
    """What is sent to a worker: plain data and functions, no Values and no native pointers.

    Attributes:
        token: identifies the job: the same for the same job, another for any other. A process
            prepares a job once for each token.
    """

    @property
    def token(self) -> str:
        """See above."""

    def prepare(self) -> Work:
        """Compile, or do what else is needed once in each process."""


def completed(
    job: Job,
    tasks: Iterable[Any],
    *,
    executor: Any = None,
    threads: int = 1,
    prepared: Work | None = None,
) -> Results:
    """Execute tasks, and yield each result with the number of its task as soon as it is available.

    Ctrl-C, an error of a task, or closing the generator stops it: no further task is submitted,
    tasks that have not started are cancelled, and the exception is raised as it is. Without an
    executor the work is stopped, and its threads are joined. A consumer that may fail between two
    results holds the generator in `contextlib.closing`.

    Args:
        job: what is done to each task.
        tasks: the tasks; a generator is read only as far as tasks are submitted.
        executor: what executes the tasks. None for this process; a Dask `distributed.Client`, a
            `joblib.Parallel`, or an executor of `concurrent.futures` or with its interface.
            The job is sent to each worker of a Dask cluster once, to others with every task. Dask
            repeats the tasks of a worker that dies; with the others its death is an error.
        threads: without an executor, how many threads share the tasks; 1 for this thread alone.
        prepared: the prepared job, if there is one; used without an executor.

    Returns:
        A generator of pairs (number of the task, its result).

    Raises:
        ArgumentError: if the executor is none of these, or the job cannot be sent to it.

    Example:
        >>> class Squares:
        ...     token = "squares"
        ...     def prepare(self):
        ...         return self
        ...     def __call__(self, task):
        ...         return task**2
        ...     def stop(self):
        ...         pass
        >>> sorted(completed(Squares(), [5, 6, 7], threads=2))
        [(0, 25), (1, 36), (2, 49)]
    """
    if executor is None:
        work = job.prepare() if prepared is None else prepared
        return _inline(work, tasks) if threads == 1 else _in_threads(work, tasks, threads)
    if _is_a(executor, "distributed", "Client"):
        if executor.asynchronous:
            raise ArgumentError(
                "executor is a Dask client with asynchronous=True; "
                "give one made without it, as in Client(address)"
            )
        import cloudpickle  # type: ignore[import-untyped]  # comes with Dask

        return _on_dask(executor, _pickled(job, cloudpickle.dumps), tasks)
    if _is_a(executor, "joblib", "Parallel"):
        return _by_joblib(executor, job, tasks)
    if isinstance(executor, type) or not callable(getattr(executor, "submit", None)):
        raise ArgumentError(
            "executor must be None, a dask.distributed.Client, a joblib.Parallel, or an executor "
            f"with submit() such as concurrent.futures.ProcessPoolExecutor(), got {executor!r}"
        )
    if isinstance(executor, ProcessPoolExecutor):
        job = _pickled(job, pickle.dumps)
    return _by_executor(executor, job, tasks)


def _is_a(x: object, module: str, name: str) -> bool:
    """Whether an object is of a class of a library, which then is imported already."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(x, cls)


# ---- in this process -----------------------------------------------------------------------


def _inline(work: Work, tasks: Iterable[Any]) -> Results:
    """One task after the other, by the thread that iterates over the results."""
    try:
        for k, task in enumerate(tasks):
            yield k, work(task)
    except BaseException:  # the work may have threads of its own
        work.stop()
        raise


def _in_threads(work: Work, tasks: Iterable[Any], threads: int) -> Results:
    """By a pool of threads, which ends with the generator."""
    pool = Threads(threads, thread_name_prefix="talweg")
    try:
        yield from _by_futures(lambda task: pool.submit(work, task), tasks, 2 * threads)
    except BaseException:  # also Ctrl-C, and the closing of this generator
        work.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


# ---- anything with the interface of concurrent.futures -------------------------------------

_ASSUMED_WORKERS = 64
"""How many workers are assumed where an executor does not tell how many it has."""


def _by_executor(executor: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """By the workers of an executor; two tasks for each, so that none is idle."""
    workers = getattr(executor, "_max_workers", None) or _ASSUMED_WORKERS
    return _by_futures(lambda task: executor.submit(_do, job, task), tasks, 2 * workers)


def _by_futures(
    submit: Callable[[Any], Future[Any]], tasks: Iterable[Any], pending: int
) -> Results:
    """Keep a number of tasks submitted."""
    numbered = enumerate(tasks)
    numbers: dict[Future[Any], int] = {}
    try:
        while True:
            for k, task in islice(numbered, pending - len(numbers)):
                numbers[submit(task)] = k
            if not numbers:
                return
            wait(numbers, return_when=FIRST_COMPLETED)
            for future in [future for future in numbers if future.done()]:
                yield numbers.pop(future), future.result()
    finally:
        for future in numbers:
            future.cancel()


@dataclass(frozen=True)
class _Pickled:
    """A job as bytes, pickled once and unpickled once in each process, however often it is sent."""

    token: str
    raw: bytes

    def prepare(self) -> Work:
        """Unpickle the job, and prepare it."""
        try:
            job: Job = pickle.loads(self.raw)
        except (AttributeError, ImportError) as error:  # a function of a script or a notebook
            raise ArgumentError(_cannot_be_sent(error)) from None
        return job.prepare()


def _pickled(job: Job, dumps: Callable[[Job], bytes]) -> _Pickled:
    """A job as bytes; it is refused here if it cannot be pickled."""
    try:
        return _Pickled(job.token, dumps(job))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(_cannot_be_sent(error)) from None


def _cannot_be_sent(error: Exception) -> str:
    """The message if pickle fails; joblib gives the reason as the last line of a traceback."""
    reason = str(error.__cause__ or error).strip('\n"').rpartition("\n")[2]
    return (
        f"the work cannot be sent to another process: {reason}; define its functions with def in "
        "a module that the workers can import, or take Dask or joblib's loky, which send lambdas"
    )


# ---- joblib --------------------------------------------------------------------------------


def _by_joblib(parallel: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """By joblib, one block of tasks after the other.

    joblib goes on while its results are not read, so blocks limit how many accumulate. The
    workers wait for the last task of a block. If results arrive one by one, blocks are so long
    that this does not matter.
    """
    streams = str(getattr(parallel, "return_as", "list")).startswith("generator")
    workers = sys.modules["joblib"].effective_n_jobs(parallel.n_jobs)
    numbered = enumerate(tasks)
    while block := list(islice(numbered, workers * (64 if streams else 8))):
        # The same as joblib.delayed(_do_numbered)(job, k, task).
        calls: list[Any] = [(_do_numbered, (job, k, task), {}) for k, task in block]
        try:
            yield from parallel(calls)
        except pickle.PicklingError as error:
            raise ArgumentError(_cannot_be_sent(error)) from None


# ---- Dask ----------------------------------------------------------------------------------


def _on_dask(client: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """On a Dask cluster.

    The job is the result of a task that all others depend on: it is sent to each worker once, and
    the scheduler can recompute it. Data that a client scatters are lost with their workers
    (https://github.com/dask/distributed/issues/3149), and so is all that depends on them.
    """
    as_completed = sys.modules["distributed"].as_completed
    name = f"talweg-{uuid.uuid4().hex}"  # two sweeps never share a task, even equal ones
    carried = client.submit(_carry, job, key=f"talweg-job-{name}", pure=False)
    arriving = as_completed(loop=client.loop, with_results=True)
    numbered = enumerate(tasks)
    numbers: dict[Any, int] = {}

    def submit(count: int) -> None:
        for k, task in islice(numbered, max(0, count)):  # below 0 if the cluster has shrunk
            future = client.submit(_do, carried, task, key=(name, k), pure=False)
            numbers[future] = k
            arriving.add(future)

    pending = _pending(client)
    until_checked = pending
    try:
        submit(pending)
        for future, result in arriving:
            if future.status == "cancelled":  # by the scheduler, which lost it
                future.result()
            until_checked -= 1
            if not until_checked:  # the cluster may have grown or shrunk
                pending = until_checked = _pending(client)
            k = numbers.pop(future)
            submit(pending - len(numbers))
            yield k, result
    finally:
        with suppress(Exception):  # the cluster may be gone; the first error is the one to raise
            client.cancel([*numbers, carried])


def _pending(client: Any) -> int:
    """How many tasks are submitted: four for each thread of the cluster, four while it has none."""
    threads: int = sum(client.ncores().values())
    return 4 * max(1, threads)


# ---- on the worker -------------------------------------------------------------------------


class _PreparedJobs:
    """The jobs that this process has prepared; the least recently used are dropped.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.clear()

    def clear(self) -> None:
        """Drop all."""
        self._lock = threading.Lock()
        self._works: OrderedDict[str, Work] = OrderedDict()

    def work(self, job: Job) -> Work:
        """The work of a job; the first thread that needs it prepares it, others wait."""
        with self._lock:
            if job.token not in self._works:
                self._works[job.token] = job.prepare()
            self._works.move_to_end(job.token)
            while len(self._works) > self._most:
                self._works.popitem(last=False)
            return self._works[job.token]


_PREPARED = _PreparedJobs(4)
"""The prepared jobs of this worker process."""

if hasattr(os, "register_at_fork"):
    # A child that is forked while a thread of its parent prepares a job would wait forever.
    os.register_at_fork(after_in_child=_PREPARED.clear)


def _do(job: Job, task: Any) -> Any:
    """One task, on a worker."""
    return _PREPARED.work(job)(task)


def _do_numbered(job: Job, k: int, task: Any) -> tuple[int, Any]:
    """One task with its number, where results arrive in another order."""
    return k, _do(job, task)


def _carry(job: Job) -> Job:
    """The task of a cluster whose result is the job; the other tasks depend on it."""
    return job
