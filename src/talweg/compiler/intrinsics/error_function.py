"""The error function, the normal distribution function, and gelu.

Start reading at `erf`.
"""

from __future__ import annotations

from talweg.compiler.intrinsics import libm
from talweg.compiler.intrinsics.builder_protocol import Builder, Name
from talweg.compiler.intrinsics.common import at_least


def erf(b: Builder, x: Name) -> Name:
    """The error function."""
    return b.libm("erf", x)


def normal_cdf(b: Builder, x: Name) -> Name:
    """The distribution function of the standard normal distribution."""
    return libm.normal_cdf(b, x)


def gelu(b: Builder, x: Name) -> Name:
    """X * normal_cdf(x), where x is at least -1000, so that the result is -0.0 at -inf."""
    return b.mul(at_least(b, x, -1000.0), normal_cdf(b, x))
