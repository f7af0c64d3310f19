"""micrograd's module `engine`: `Value` is talweg's own."""

from talweg.value import Value

__all__ = ["Value"]
