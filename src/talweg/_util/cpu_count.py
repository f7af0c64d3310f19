"""How many processors there are for us."""

import os


def cores() -> int:
    """How many processors this process may use: those of the machine, or those it is held to.

    >>> cores() >= 1
    True
    """
    if hasattr(os, "sched_getaffinity"):  # taskset, containers and batch systems set it
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
