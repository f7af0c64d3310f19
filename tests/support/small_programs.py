"""What the tests of machine code share: small programs in LLVM IR, and calls of their functions."""

import ctypes

DOUBLE = "define double @f(double %x) {\n  %y = fadd double %x, %x\n  ret double %y\n}\n"
"""f(x) = 2 x."""


def times(k):
    """A program of its own for each k: f(x) = k x."""
    return f"define double @f(double %x) {{ %y = fmul double %x, {k}.0 ret double %y }}"


def scalar(library, name="f", arity=1):
    """A function of numbers in a library; the caller must keep the library."""
    return ctypes.CFUNCTYPE(ctypes.c_double, *[ctypes.c_double] * arity)(library.address(name))
