"""Spreading the tasks of an exploration over threads, processes or a cluster.

A `Job` says what is to be done to every task, as plain data and functions, so that it can be
sent to another process. Wherever it arrives it is prepared once (compiled), and the `Work`
that this gives is called with one task after the other. `completed` hands the tasks out, a few
at a time, and gives back each result with the number of its task, in the order in which they
come in. So neither tasks nor results pile up, however many there are.

Five ways lead there, one function each: `_inline` and `_in_threads` in this process,
`_by_executor` for whatever has the interface of `concurrent.futures`, `_by_joblib` and
`_on_dask`. joblib and Dask are not imported here: who gives an executor has loaded its library.

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
"""Results, each with the number of its task, in the order in which they come in."""


class Work(Protocol):
    """A job made ready in this process."""

    def __call__(self, task: Any, /) -> Any:
        """Do one task.

        Several threads call it at once, so it changes nothing that they share; native code
        releases the GIL meanwhile. On another machine nothing can interrupt it: a task should
        take seconds, not hours. The same task gives the same result, because a task whose
        worker died is done again.

        Args:
            task: what to do, as plain data.

        Returns:
            The result, as plain data.
        """

    def stop(self) -> None:
        """Let all calls come back soon, whatever they return; called from another thread.

        It is for good: a call that begins afterwards comes back at once, because it may have
        been about to begin.
        """


class Job(Protocol):
    """What is sent to a worker: plain data and functions, no Values and no native pointers.

    Attributes:
        token: names what this is: the same for the same job, another for any other. A process
            prepares once for each token.
    """

    @property
    def token(self) -> str:
        """See above."""

    def prepare(self) -> Work:
        """Compile, or whatever else is to be done once in each process."""


def completed(
    job: Job,
    tasks: Iterable[Any],
    *,
    executor: Any = None,
    threads: int = 1,
    prepared: Work | None = None,
) -> Results:
    """Do tasks, and give each result with the number of its task as soon as it is there.

    Ctrl-C, an error of a task, or closing the generator ends it: nothing more is handed out,
    what has not begun is cancelled, and the exception goes on as it was. Without an executor the
    work is told to stop, and its threads are waited for. A consumer that may fail between two
    results holds the generator in `contextlib.closing`.

    Args:
        job: what to do to each task.
        tasks: the tasks; a generator is read only as far as tasks are handed out.
        executor: who does it. None for this process; a Dask `distributed.Client`, a
            `joblib.Parallel`, or an executor of `concurrent.futures` or with its interface.
            The job travels to the workers of a Dask cluster once each, and to others with every
            task. Dask does the tasks of a worker that dies again; with the others its death is
            an error.
        threads: without an executor, how many threads share the tasks; 1 for none but this one.
        prepared: the job made ready, if it is already; used without an executor.

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


def _is_a(thing: object, module: str, name: str) -> bool:
    """Whether a thing is of a class of a library, which then is loaded already."""
    cls = getattr(sys.modules.get(module), name, None)
    return isinstance(cls, type) and isinstance(thing, cls)


# ---- in this process -----------------------------------------------------------------------


def _inline(work: Work, tasks: Iterable[Any]) -> Results:
    """One task after the other, by the thread that asks for the results."""
    try:
        for k, task in enumerate(tasks):
            yield k, work(task)
    except BaseException:  # the work may have threads of its own
        work.stop()
        raise


def _in_threads(work: Work, tasks: Iterable[Any], threads: int) -> Results:
    """By threads of our own."""
    pool = Threads(threads, thread_name_prefix="talweg")
    try:
        yield from _by_futures(lambda task: pool.submit(work, task), tasks, 2 * threads)
    except BaseException:  # Ctrl-C and the closing of this generator above all
        work.stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


# ---- anything with the interface of concurrent.futures -------------------------------------

_OF_UNKNOWN_SIZE = 64
"""For how many workers tasks are handed out where an executor does not say how many it has."""


def _by_executor(executor: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """By the workers of an executor; two tasks for each, so that none waits for us."""
    workers = getattr(executor, "_max_workers", None) or _OF_UNKNOWN_SIZE
    return _by_futures(lambda task: executor.submit(_do, job, task), tasks, 2 * workers)


def _by_futures(
    submit: Callable[[Any], Future[Any]], tasks: Iterable[Any], at_once: int
) -> Results:
    """Keep a number of tasks handed out."""
    numbered = enumerate(tasks)
    numbers: dict[Future[Any], int] = {}
    try:
        while True:
            for k, task in islice(numbered, at_once - len(numbers)):
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
    """A job as bytes, made once and read once in each process, however often it is sent."""

    token: str
    raw: bytes

    def prepare(self) -> Work:
        """Make ready what was sent."""
        try:
            job: Job = pickle.loads(self.raw)
        except (AttributeError, ImportError) as error:  # a function of a script or a notebook
            raise ArgumentError(_cannot_be_sent(error)) from None
        return job.prepare()


def _pickled(job: Job, dumps: Callable[[Job], bytes]) -> _Pickled:
    """A job as bytes, refused here and now if it cannot be sent."""
    try:
        return _Pickled(job.token, dumps(job))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ArgumentError(_cannot_be_sent(error)) from None


def _cannot_be_sent(error: Exception) -> str:
    """What to say if pickle refuses; joblib gives the reason as the last line of a traceback."""
    reason = str(error.__cause__ or error).strip('\n"').rpartition("\n")[2]
    return (
        f"the work cannot be sent to another process: {reason}; define its functions with def in "
        "a module that the workers can import, or take Dask or joblib's loky, which send lambdas"
    )


# ---- joblib --------------------------------------------------------------------------------


def _by_joblib(parallel: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """By joblib, a block of tasks after the other.

    joblib goes on while nobody takes its results, so blocks bound what piles up. The workers
    wait for the last of a block; where results come one by one, blocks can be long enough for
    that not to matter.
    """
    streams = str(getattr(parallel, "return_as", "list")).startswith("generator")
    workers = sys.modules["joblib"].effective_n_jobs(parallel.n_jobs)
    numbered = enumerate(tasks)
    while block := list(islice(numbered, workers * (64 if streams else 8))):
        # What joblib.delayed(_do_numbered)(job, k, task) would give.
        calls: list[Any] = [(_do_numbered, (job, k, task), {}) for k, task in block]
        try:
            yield from parallel(calls)
        except pickle.PicklingError as error:
            raise ArgumentError(_cannot_be_sent(error)) from None


# ---- Dask ----------------------------------------------------------------------------------


def _on_dask(client: Any, job: Job, tasks: Iterable[Any]) -> Results:
    """On a Dask cluster.

    The job is the result of a task that all others depend on: it goes to each worker once, and
    the scheduler can make it again. Data that a client scatters are lost with their workers
    (https://github.com/dask/distributed/issues/3149), and all that depends on them.
    """
    as_completed = sys.modules["distributed"].as_completed
    name = f"talweg-{uuid.uuid4().hex}"  # two sweeps never share a task, though they be equal
    carried = client.submit(_carry, job, key=f"talweg-job-{name}", pure=False)
    arriving = as_completed(loop=client.loop, with_results=True)
    numbered = enumerate(tasks)
    numbers: dict[Any, int] = {}

    def hand_out(count: int) -> None:
        for k, task in islice(numbered, max(0, count)):  # below 0 if the cluster shrank
            future = client.submit(_do, carried, task, key=(name, k), pure=False)
            numbers[future] = k
            arriving.add(future)

    at_once = _at_once(client)
    until_asked = at_once
    try:
        hand_out(at_once)
        for future, result in arriving:
            if future.status == "cancelled":  # by the scheduler, which lost or forgot it
                future.result()
            until_asked -= 1
            if not until_asked:  # the cluster may have grown or shrunk
                at_once = until_asked = _at_once(client)
            k = numbers.pop(future)
            hand_out(at_once - len(numbers))
            yield k, result
    finally:
        with suppress(Exception):  # the cluster may be gone; that is not what is to be told
            client.cancel([*numbers, carried])


def _at_once(client: Any) -> int:
    """Four tasks for each thread of the cluster, and for the first one while there is none."""
    threads: int = sum(client.ncores().values())
    return 4 * max(1, threads)


# ---- on the worker -------------------------------------------------------------------------


class _Ready:
    """Jobs that this process has prepared: those used last.

    Args:
        most: how many are kept.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.forget()

    def forget(self) -> None:
        """Begin with none."""
        self._lock = threading.Lock()
        self._works: OrderedDict[str, Work] = OrderedDict()

    def work(self, job: Job) -> Work:
        """The work of a job, prepared by the first thread that asks while others wait."""
        with self._lock:
            if job.token not in self._works:
                self._works[job.token] = job.prepare()
            self._works.move_to_end(job.token)
            while len(self._works) > self._most:
                self._works.popitem(last=False)
            return self._works[job.token]


_READY = _Ready(4)
"""Where a worker process finds what it has prepared before."""

if hasattr(os, "register_at_fork"):
    # A child that was forked while a thread of its parent was preparing would wait forever.
    os.register_at_fork(after_in_child=_READY.forget)


def _do(job: Job, task: Any) -> Any:
    """One task, on a worker."""
    return _READY.work(job)(task)


def _do_numbered(job: Job, k: int, task: Any) -> tuple[int, Any]:
    """One task, where the order of results does not tell which it was."""
    return k, _do(job, task)


def _carry(job: Job) -> Job:
    """The task of a cluster whose result is the job."""
    return job
