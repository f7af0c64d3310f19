"""The number of CPUs of this process, and of the machine where a process has no share."""

import os

import pytest

from talweg._util import cpu_count


@pytest.mark.parametrize(("found", "expected"), [(6, 6), (None, 1)])
def test_without_an_affinity_it_is_the_count_of_the_machine(monkeypatch, found, expected):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: found)
    assert cpu_count.cores() == expected


def test_with_an_affinity_it_is_its_size(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {2, 5, 7}, raising=False)
    assert cpu_count.cores() == 3
