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


# ---- trigonometric and hyperbolic functions ----------------------------------------------------


def tan(x: float) -> float:
    """The tangent of x radians, nan at the infinities.

    >>> tan(0.0), tan(INF)
    (0.0, nan)
    """
    return NAN if math.isinf(x) else math.tan(x)


def asin(x: float) -> float:
    """The angle between -pi/2 and pi/2 whose sine is x, nan if there is none.

    >>> asin(1.0), asin(1.5)
    (1.5707963267948966, nan)
    """
    return math.asin(x) if -1.0 <= x <= 1.0 else NAN


def acos(x: float) -> float:
    """The angle between 0 and pi whose cosine is x, nan if there is none.

    >>> acos(1.0), acos(1.5)
    (0.0, nan)
    """
    return math.acos(x) if -1.0 <= x <= 1.0 else NAN


def asin_slope(x: float) -> float:
    """1 / sqrt(1 - x**2), without cancellation near -1 and 1.

    >>> asin_slope(0.0), asin_slope(1.0), asin_slope(1.5)
    (1.0, inf, nan)
    """
    return div(1.0, sqrt((1.0 - x) * (1.0 + x)))


def sinh(x: float) -> float:
    """The hyperbolic sine, inf or -inf on overflow.

    >>> sinh(0.0), sinh(-1000.0)
    (0.0, -inf)
    """
    try:
        return math.sinh(x)
    except OverflowError:
        return math.copysign(INF, x)


def cosh(x: float) -> float:
    """The hyperbolic cosine, inf on overflow.

    >>> cosh(0.0), cosh(-1000.0)
    (1.0, inf)
    """
    try:
        return math.cosh(x)
    except OverflowError:
        return INF


# ---- exponentials, logarithms and the error function --------------------------------------------


def expm1(x: float) -> float:
    """e**x - 1 without cancellation near 0; inf on overflow.

    >>> expm1(1e-300), expm1(1000.0)
    (1e-300, inf)
    """
    try:
        return math.expm1(x)
    except OverflowError:
        return INF


def log1p(x: float) -> float:
    """log(1 + x) without cancellation near 0: -inf at -1, nan below.

    >>> log1p(1e-300), log1p(-1.0), log1p(-2.0)
    (1e-300, -inf, nan)
    """
    return math.log1p(x) if x > -1.0 else (-INF if x == -1.0 else NAN)


def log2(x: float) -> float:
    """The logarithm of x to the base 2: -inf at zero, nan below.

    >>> log2(8.0), log2(0.0), log2(-1.0)
    (3.0, -inf, nan)
    """
    return math.log2(x) if x > 0.0 else (-INF if x == 0.0 else NAN)


def log10(x: float) -> float:
    """The logarithm of x to the base 10: -inf at zero, nan below.

    >>> log10(1000.0), log10(0.0), log10(-1.0)
    (3.0, -inf, nan)
    """
    return math.log10(x) if x > 0.0 else (-INF if x == 0.0 else NAN)


def logistic_pdf(x: float) -> float:
    """sigmoid(x) * sigmoid(-x), without cancellation for either sign of x.

    >>> logistic_pdf(0.0), logistic_pdf(1000.0)
    (0.25, 0.0)
    """
    e = math.exp(-abs(x))
    return e / ((1.0 + e) * (1.0 + e))


def tanh_slope(x: float, tanh_x: float) -> float:
    """1 - tanh(x)**2, from the hyperbolic tangent of x.

    >>> tanh_slope(0.0, 0.0)
    1.0
    """
    return 1.0 - tanh_x * tanh_x


def sigmoid_slope(x: float, sigmoid_x: float) -> float:
    """s (1 - s), from the sigmoid s of x.

    >>> sigmoid_slope(0.0, 0.5)
    0.25
    """
    return sigmoid_x * (1.0 - sigmoid_x)


def silu(x: float) -> float:
    """x * sigmoid(x); at -inf the limit -0.0.

    >>> silu(0.0), silu(1000.0), silu(-INF)
    (0.0, 1000.0, -0.0)
    """
    return (-1000.0 if x < -1000.0 else x) * sigmoid(x)


def elu(x: float, scale: float) -> float:
    """x if it is positive, else scale * (e**x - 1).

    >>> elu(2.0, 1.0), elu(-INF, 0.5)
    (2.0, -0.5)
    """
    return x if x > 0.0 else scale * expm1(x)


def normal_cdf(x: float) -> float:
    """The distribution function of the standard normal distribution, erfc(-x / sqrt(2)) / 2.

    A relative error e of the argument is one of x**2 e in the result, so what the rounding of the
    product x / sqrt(2) leaves out is computed too, and multiplied by the derivative of erfc.

    >>> normal_cdf(0.0), normal_cdf(INF), normal_cdf(-INF)
    (0.5, 1.0, 0.0)
    """
    x = -40.0 if x < -40.0 else (40.0 if x > 40.0 else x)  # the result is 0 or 1 beyond
    high, low, rest = ROOT_HALF
    a = x * -(high + low)
    x_high = SPLIT * x - (SPLIT * x - x)  # the first 26 bits
    x_low = x - x_high
    left = ((x_high * high + a) + x_high * low + x_low * high) + x_low * low + x * rest
    return 0.5 * (math.erfc(a) + left * (TWO_OVER_ROOT_PI * math.exp(-(a * a))))


ROOT_HALF = (0.7071067690849304, 1.2101617152815436e-08, -4.833646656726457e-17)
"""sqrt(1/2) as a sum of three parts, the first of 26 bits."""

SPLIT = 2.0**27 + 1.0
"""The factor by which a number is split into two parts of 26 bits (Veltkamp)."""

TWO_OVER_ROOT_PI = 1.1283791670955126
"""2 / sqrt(pi)."""


def normal_pdf(x: float) -> float:
    """The density of the standard normal distribution, e**(-x**2 / 2) / sqrt(2 pi).

    >>> normal_pdf(0.0), normal_pdf(INF)
    (0.3989422804014327, 0.0)
    """
    return DENSITY_AT_0 * math.exp(-0.5 * (x * x))


DENSITY_AT_0 = 0.3989422804014327
"""1 / sqrt(2 pi)."""


def gelu(x: float) -> float:
    """x * normal_cdf(x); at -inf the limit -0.0.

    >>> gelu(0.0), gelu(1000.0), gelu(-INF)
    (0.0, 1000.0, -0.0)
    """
    return (-1000.0 if x < -1000.0 else x) * normal_cdf(x)


# ---- lengths, steps and bounds ----------------------------------------------------------------


def hypot(x: float, y: float) -> float:
    """sqrt(x**2 + y**2), where squares neither overflow nor vanish.

    It is not `math.hypot`, whose method changes between versions of Python.

    >>> hypot(3.0, -4.0), hypot(3e300, 4e300), hypot(INF, NAN)
    (5.0, 5e+300, inf)
    """
    x, y = abs(x), abs(y)
    if INF in (x, y):
        return INF
    large, small = (x, y) if y <= x else (y, x)
    if large > HUGE:
        scale, back = TO_SMALL, TO_LARGE
    elif large < TINY:
        scale, back = TO_LARGE, TO_SMALL
    else:
        scale = back = 1.0
    large, small = large * scale, small * scale
    return math.sqrt(large * large + small * small) * back


HUGE, TINY = 2.0**500, 2.0**-450
"""Numbers outside of these bounds are scaled by `hypot`."""

TO_SMALL, TO_LARGE = 2.0**-600, 2.0**600
"""The factors by which it scales them."""


def leaky_relu(x: float, slope: float) -> float:
    """x if it is positive, else slope * x.

    >>> leaky_relu(2.0, 0.01), leaky_relu(-2.0, 0.01)
    (2.0, -0.02)
    """
    return x if x > 0.0 else slope * x


def clip(x: float, low: float, high: float) -> float:
    """x, but at least `low` and at most `high`; nan if one of them is nan.

    >>> clip(2.0, 0.0, 1.0), clip(0.5, 0.0, 1.0), clip(NAN, 0.0, 1.0)
    (1.0, 0.5, nan)
    """
    return min(max(x, low), high)


def sign(x: float) -> float:
    """1.0 or -1.0 with the sign of x; zeros and nan as they are.

    >>> sign(2.0), sign(-0.0), sign(NAN)
    (1.0, -0.0, nan)
    """
    return 1.0 if x > 0.0 else (-1.0 if x < 0.0 else x)


def floor(x: float) -> float:
    """The largest integer that is not above x; infinities and nan as they are.

    >>> floor(-0.5), floor(2.5), floor(-0.0), floor(INF)
    (-1.0, 2.0, -0.0, inf)
    """
    return float(math.floor(x)) if -INTEGERS < x < INTEGERS and x != 0.0 else x


INTEGERS = 2.0**52
"""All doubles from here on are integers."""

tanh = math.tanh
"""The hyperbolic tangent; the function of C does not overflow."""

atan = math.atan
"""The angle between -pi/2 and pi/2 whose tangent is x."""

atan2 = math.atan2
"""The angle of the point (y, x), between -pi and pi; the function of C has no exceptions."""

erf = math.erf
"""The error function."""
