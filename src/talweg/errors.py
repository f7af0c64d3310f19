"""Every exception and warning of talweg.

    TalwegError
    ├── NumberError     (TypeError)       something that is not one real number was used as one
    ├── ShapeError      (ValueError)      a list has another length than expected
    ├── ArgumentError   (ValueError)      an argument has a value that is not allowed
    ├── DataError       (ValueError)      a data set or a data file cannot be used
    ├── ModelFileError  (ValueError)      a saved model cannot be read or written
    ├── OperationError  (ValueError)      an operation is unknown, or its declaration is wrong
    ├── GradcheckError  (AssertionError)  a derivative disagrees with finite differences
    ├── TraceError      (TypeError)       a program depends on the numbers it was traced with
    ├── NativeError     (ValueError)      a program cannot be compiled to native code
    └── CompilerError   (RuntimeError)    a pass of the compiler produced an invalid program: a bug

    TalwegWarning       (UserWarning)
    ├── GradientWarning                   gradients that are probably not the intended ones
    ├── DataWarning                       data that can be used, but may have an error
    └── TraceWarning                      a function that is compiled again at many calls

Each error is also the built-in exception that a Python programmer expects, so
`except ValueError` works as well as `except TalwegError`. A message is one line:
what was found, where, what was expected, how to repair it. A program reads these from the
attributes of an error, see `talweg.error_fields`.
"""

from __future__ import annotations

from talweg.error_fields import Argument, Fields


class TalwegError(Fields, Exception):
    """The base class of all errors of talweg."""


class NumberError(TalwegError, TypeError):
    """Something that is not one real number was used as one."""


class ShapeError(TalwegError, ValueError):
    """A list has another length than the model or the loss expects."""


class ArgumentError(TalwegError, ValueError):
    """An argument has a value that is not allowed."""


class DataError(TalwegError, ValueError):
    """A data set or a data file cannot be used."""


class ModelFileError(TalwegError, ValueError):
    """A saved model cannot be read or written."""


class OperationError(TalwegError, ValueError):
    """An operation is unknown, declared twice, or without a derivative of the kind asked for."""


class GradcheckError(TalwegError, AssertionError):
    """A derivative disagrees with finite differences."""


class TraceError(TalwegError, TypeError):
    """A program cannot be traced: it depends on the numbers that it was traced with."""


class NativeError(TalwegError, ValueError):
    """A program cannot be compiled to native code, or not as asked for; it can run eagerly."""

    @classmethod
    def not_possible(cls, reason: NativeError) -> NativeError:
        """The error for `engine="native"`.

        Args:
            reason: why there is no native code; with `engine="auto"` it is not an error.
        """
        return cls(
            f"native code is not possible: {reason}",
            repair="allow the eager engine with",
            suggestion=Argument("engine", "auto"),
        )


class CompilerError(TalwegError, RuntimeError):
    """A pass of the compiler produced a program that its verifier refuses: a bug of talweg."""


class TalwegWarning(Fields, UserWarning):
    """The base class of all warnings of talweg."""


class GradientWarning(TalwegWarning):
    """Gradients that are probably not the intended ones."""


class DataWarning(TalwegWarning):
    """Data that can be used, but may have an error."""


class TraceWarning(TalwegWarning):
    """A function is traced and compiled again at many calls."""
