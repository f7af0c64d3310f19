"""Floating-point functions that follow IEEE-754 and raise no exceptions.

Python's own `/`, `**` and `math` functions raise exceptions where IEEE-754 defines a
result (`1/0`, `1e200**2`, `math.log(0)`), and `(-8.0)**0.5` is complex. A training run that
overflows must reach `inf` and `nan` as machine code does, so the operations of `talweg.ops`
use these functions.

Every function takes floats and returns a float. `+`, `-` and `*` on floats follow IEEE-754 in
Python and are not defined here. Start reading at `div`.
"""

import math

INF = math.inf
NAN = math.nan


def div(x: float, y: float) -> float:
    """x / y, where a zero divisor gives inf, -inf or nan.

    >>> div(1.0, 0.0), div(1.0, -0.0), div(0.0, 0.0)
    (inf, -inf, nan)
    """
    try:
        return x / y
    except ZeroDivisionError:
        if x == 0.0 or math.isnan(x):
            return NAN
        return math.copysign(INF, x) * math.copysign(1.0, y)


def pow(x: float, y: float) -> float:  # noqa: A001 - the operation's name
    """x ** y as C's `pow`: overflow gives inf, a negative base with a fractional exponent nan.

    >>> pow(1e200, 2.0), pow(-8.0, 0.5), pow(0.0, -1.0), pow(-0.0, -1.0), pow(0.0, 0.0)
    (inf, nan, inf, -inf, 1.0)
    """
    try:
        return math.pow(x, y)
    except OverflowError:
        negative = x < 0.0 and math.fmod(y, 2.0) != 0.0
    except ValueError:
        if x != 0.0:
            return NAN
        negative = math.copysign(1.0, x) < 0.0 and abs(math.fmod(y, 2.0)) == 1.0
    return -INF if negative else INF


def exp(x: float) -> float:
    """e**x, inf on overflow.

    >>> exp(1000.0), exp(-1000.0)
    (inf, 0.0)
    """
    try:
        return math.exp(x)
    except OverflowError:
        return INF


def log(x: float) -> float:
    """The natural logarithm: -inf at zero, nan below.

    >>> log(1.0), log(0.0), log(-1.0)
    (0.0, -inf, nan)
    """
    try:
        return math.log(x)
    except ValueError:
        return -INF if x == 0.0 else NAN


def sqrt(x: float) -> float:
    """The square root, nan below zero.

    >>> sqrt(9.0), sqrt(-1.0)
    (3.0, nan)
    """
    try:
        return math.sqrt(x)
    except ValueError:
        return NAN


def sin(x: float) -> float:
    """The sine of x radians, nan at the infinities.

    >>> sin(0.0), sin(INF)
    (0.0, nan)
    """
    return NAN if math.isinf(x) else math.sin(x)


def cos(x: float) -> float:
    """The cosine of x radians, nan at the infinities.

    >>> cos(0.0), cos(-INF)
    (1.0, nan)
    """
    return NAN if math.isinf(x) else math.cos(x)


def sigmoid(x: float) -> float:
    """1 / (1 + e**-x), in a form without overflow or cancellation for either sign of x.

    >>> sigmoid(0.0), sigmoid(1000.0), sigmoid(-1000.0)
    (0.5, 1.0, 0.0)
    """
    if x >= 0.0:
        return 1.0 / (1.0 + math.exp(-x))
    e = math.exp(x)
    return e / (1.0 + e)


def softplus(x: float) -> float:
    """log(1 + e**x), in a form without overflow or cancellation for either sign of x.

    >>> softplus(1000.0), softplus(-1000.0)
    (1000.0, 0.0)
    """
    return relu(x) + math.log1p(math.exp(-abs(x)))


def relu(x: float) -> float:
    """x if it is positive, else 0.0; nan for nan.

    >>> relu(2.0), relu(-2.0), relu(NAN)
    (2.0, 0.0, nan)
    """
    return 0.0 if x <= 0.0 else x


def max(x: float, y: float) -> float:  # noqa: A001 - the operation's name
    """The larger of two numbers, the first of equal ones; nan if either is nan.

    >>> max(1.0, 2.0), max(1.0, NAN), max(NAN, 1.0)
    (2.0, nan, nan)
    """
    return y if x < y or math.isnan(y) else x


def min(x: float, y: float) -> float:  # noqa: A001 - the operation's name
    """The smaller of two numbers, the first of equal ones; nan if either is nan.

    >>> min(1.0, 2.0), min(1.0, NAN), min(NAN, 1.0)
    (1.0, nan, nan)
    """
    return y if y < x or math.isnan(y) else x


def where(condition: float, x: float, y: float) -> float:
    """x if the condition is not zero, else y.

    >>> where(1.0, 2.0, 3.0), where(0.0, 2.0, 3.0)
    (2.0, 3.0)
    """
    return x if condition != 0.0 else y


def lt(x: float, y: float) -> float:
    """1.0 if x < y, else 0.0.

    >>> lt(1.0, 2.0), lt(2.0, 2.0)
    (1.0, 0.0)
    """
    return 1.0 if x < y else 0.0


def le(x: float, y: float) -> float:
    """1.0 if x <= y, else 0.0.

    >>> le(2.0, 2.0), le(3.0, 2.0)
    (1.0, 0.0)
    """
    return 1.0 if x <= y else 0.0


tanh = math.tanh
"""The hyperbolic tangent; the function of C does not overflow."""
