"""A job for tests of the workers: in a module of its own, because they import it by name."""

import os
import signal
import threading
import time
from dataclasses import dataclass
from typing import Any

from talweg import MLP

PREPARED: list[str] = []
"""The tokens prepared in this process, in order."""


@dataclass(frozen=True)
class Squares:
    """Gives the square of the task, the process, and how often that has prepared the token.

    Args:
        token: the token.
        die: a file; the process that finds it absent makes it, and is killed.
        f: a function to be sent along, applied to the square.
        slow: seconds that preparing takes.
    """

    token: str
    die: str = ""
    f: Any = abs
    slow: float = 0.0

    def prepare(self):
        time.sleep(self.slow)
        PREPARED.append(self.token)
        return _Squaring(self)


class _Squaring:
    def __init__(self, job):
        self.job = job
        self.stopped = threading.Event()

    def __call__(self, task):
        if task == "not a number":
            raise ZeroDivisionError("the error of the task")
        if task == "Ctrl-C":
            os.kill(os.getpid(), signal.SIGINT)
        if task in (
            "wait",
            "Ctrl-C",
        ):  # as long as native code would go on if it were not told to stop
            assert self.stopped.wait(60)
        if self.job.die and made(self.job.die):
            os.kill(os.getpid(), signal.SIGKILL)
        return self.job.f(task**2), os.getpid(), PREPARED.count(self.job.token)

    def stop(self):
        self.stopped.set()


@dataclass(frozen=True)
class Network:
    """Makes the lesson's network; a process other than `main` that finds `die` absent is killed.

    Args:
        main: the process that lives.
        die: a file, which is made before.
    """

    main: int = 0
    die: str = ""

    def __call__(self, rng):
        if self.die and os.getpid() != self.main and made(self.die):
            os.kill(os.getpid(), signal.SIGKILL)
        return MLP(3, [4, 4, 1], rng=rng)


def made(path):
    """Whether a file was made just now, and not by another process before."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
