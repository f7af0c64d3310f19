"""Deprecated public names, which work for one release with a `DeprecationWarning`.

Start reading at `warn_renamed`.
"""

from __future__ import annotations

import warnings
from typing import Any


def warn_renamed(old: str, new: str, stacklevel: int = 3) -> None:
    """Warn that a name is deprecated.

    Args:
        old: the deprecated name.
        new: the name to write instead.
        stacklevel: the number of frames between this function and the user's line.
    """
    warnings.warn(
        f"{old} is deprecated and will be removed in the next release; write {new}",
        DeprecationWarning,
        stacklevel=stacklevel,
    )


class RenamedAttribute:
    """A class attribute that reads another attribute under its old name, with a warning.

    Args:
        new: the name of the attribute that is read.

    Example:
        >>> class Result:
        ...     summary = "all runs converged"
        ...     in_words = RenamedAttribute("summary")
        >>> import warnings
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     Result().in_words
        'all runs converged'
        >>> print(caught[0].message)
        Result.in_words is deprecated and will be removed in the next release; write Result.summary
    """

    def __init__(self, new: str) -> None:
        self.new = new

    def __set_name__(self, owner: type, name: str) -> None:
        self.old = name

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None and not hasattr(owner, self.new):
            return self  # documentation tools read the attributes of the class
        warn_renamed(f"{owner.__name__}.{self.old}", f"{owner.__name__}.{self.new}")
        return getattr(owner if instance is None else instance, self.new)
