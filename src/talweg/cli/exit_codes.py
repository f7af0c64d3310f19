"""The exit codes of the command line."""

from __future__ import annotations

FINE, FAILED, WRONG_USAGE, DIVERGED, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 3, 130, 141

MEANING = """Exit codes:
    0  fine
    1  failed: a file could not be written, or a bug
    2  wrong usage, or data or a model that cannot be used
    3  the training diverged
  130  interrupted by Ctrl-C; the results so far are reported and saved
  141  the program that reads the output has ended"""
