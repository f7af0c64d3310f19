"""The number of processors of this process."""

import os


def cores() -> int:
    """The number of processors that this process may use: all, or those of its CPU affinity.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):  # taskset, containers and batch systems set it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
