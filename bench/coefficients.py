"""Where the coefficients of `talweg.compiler.intrinsics` come from.

    python bench/coefficients.py [NAME ...]

For each function that the machine code approximates by a polynomial, prints the coefficients,
lowest first, and the largest relative error that the polynomial makes, as a power of two.

Each fit is a minimax one: Remez' exchange on a grid, in 60 digits. Coefficients are rounded to
doubles one after the other, lowest first, and the rest is fitted again to what is left over, so
that the later ones make up for the rounding of the earlier ones. Start reading at `TARGETS`.
"""

import argparse
from typing import NamedTuple

from mpmath import (
    asin,
    atan,
    atanh,
    cos,
    erf,
    erfc,
    exp,
    expm1,
    log,
    lu_solve,
    matrix,
    mp,
    mpf,
    pi,
    sin,
    sqrt,
    tanh,
)

mp.dps = 60
GRID = 501  # odd, so that no point is zero, where the formulas are 0 / 0


class Target(NamedTuple):
    """`polynomial` is fitted to `rest(t)` on an interval, with `weight` times its error small."""

    text: str
    rest: object
    weight: object
    low: float
    high: float
    count: int


def odd(f, low, high, count, text):
    """F(r) = r * (f'(0) + r**2 * P(r**2)), small relative error, r from 0 to the root of high."""
    slope = mp.diff(f, 0)

    def rest(z):
        r = sqrt(z)
        return (f(r) / r - slope) / z

    def weight(z):
        r = sqrt(z)
        return z * r / f(r)

    return Target(text, rest, weight, low, high, count)


TAIL_LINE = (0.06931852743895645, -0.05550442636013031)


def tail_over_1_minus_t(u):
    t = u + 0.125
    y = 5 * (1 + t) / (1 - t)
    return exp(y * y / 2) * erfc(y / sqrt(2)) / 2 / (1 - t)


def logarithm_to_base_2(s):
    return 2 * atanh(s) / log(2)


LN2 = log(mpf(2))

TARGETS = {
    "TANH": odd(tanh, 0, 0.0654, 7, "tanh(r) = r + r**3 P(r**2), |r| <= 0.2557"),
    "TWICE_TANH_HALF": odd(
        lambda r: 2 * tanh(r / 2), 0, (LN2 / 2) ** 2 + 1e-6, 6, "2 tanh(r / 2), |r| <= log(2) / 2"
    ),
    "EXP": Target(
        "exp(r) = 1 + r + r**2 P(r), |r| <= log(2) / 2",
        lambda r: (expm1(r) - r) / r**2,
        lambda r: r**2 / exp(r),
        -LN2 / 2 - 1e-6,
        LN2 / 2 + 1e-6,
        10,
    ),
    "ERF": odd(
        erf, 0, mpf("0.85") ** 2, 11, "erf(x) = x (2 / sqrt(pi) + x**2 P(x**2)), |x| <= 0.85"
    ),
    "NORMAL": odd(
        lambda x: erf(x / sqrt(2)) / 2,
        0,
        mpf("0.68") ** 2,
        9,
        "normal_cdf(x) = 1 / 2 + x (1 / sqrt(2 pi) + x**2 P(x**2)), |x| <= 0.68",
    ),
    "TAIL": Target(
        "exp(y**2 / 2) normal_cdf(-y) = (1 - t) (line(u) + P(u)), u = t - 1/8, "
        "t = (y - 5) / (y + 5), 0.5 <= y <= 39, for the line of error_function.py",
        lambda u: tail_over_1_minus_t(u) - TAIL_LINE[0] - TAIL_LINE[1] * u,
        lambda u: 1 / tail_over_1_minus_t(u),
        mpf("-4.5") / mpf("5.5") - 0.125,
        mpf(34) / 44 - 0.125,
        22,
    ),
    "EXPM1": Target(
        "exp(r) = 1 + r + r**2 P(r), |r| <= 0.53",
        lambda r: (expm1(r) - r) / r**2,
        lambda r: r**2 / expm1(r),
        mpf("-0.53"),
        mpf("0.53"),
        13,
    ),
    "ATAN": odd(atan, 0, mpf(1) / 4 + 1e-9, 12, "atan(t) = t + t**3 P(t**2), |t| <= 1/2"),
    "ASIN": odd(asin, 0, mpf(1) / 4 + 1e-9, 13, "asin(s) = s + s**3 P(s**2), |s| <= 1/2"),
    "ATANH": odd(
        lambda g: 2 * atanh(g / 2), 0, mpf(4) / 9 + 1e-9, 10, "2 atanh(g / 2) = g + g**3 P(g**2)"
    ),
    "LOG": Target(
        "log(1 + f) = f - s (f - s**2 P(s**2)), s = f / (2 + f)",
        lambda z: (2 * atanh(sqrt(z)) / sqrt(z) - 2) / z,
        lambda z: z * sqrt(z) / (2 * atanh(sqrt(z))),
        0,
        (sqrt(2) - 1) ** 4 + 1e-9,
        7,
    ),
    "POW": Target(
        "log(m) = 2/3 s (3 + z + z**2 P(z)), z = s**2, s = (m - 1) / (m + 1)",
        lambda z: (3 * atanh(sqrt(z)) / sqrt(z) - 3 - z) / z**2,
        lambda z: z**2 * sqrt(z) / (3 * atanh(sqrt(z))),
        0,
        (sqrt(2) - 1) ** 4 + 1e-9,
        7,
    ),
    "SIN": odd(sin, 0, (pi / 4) ** 2 + 1e-6, 6, "sin(r) = r + r**3 P(r**2), |r| <= pi / 4"),
    "COS": Target(
        "cos(r) = 1 - r**2 / 2 + r**4 P(r**2), |r| <= pi / 4",
        lambda z: (cos(sqrt(z)) - 1 + z / 2) / z**2,
        lambda z: z**2 / cos(sqrt(z)),
        0,
        (pi / 4) ** 2 + 1e-6,
        6,
    ),
}


def remez(rest, weight, points, count):
    """The coefficients for which the largest |weight * (rest - P)| on the points is smallest."""
    f = [rest(x) for x in points]
    w = [weight(x) for x in points]
    at = [round((len(points) - 1) * i / count) for i in range(count + 1)]
    for _ in range(30):
        rows, right = matrix(count + 1, count + 1), matrix(count + 1, 1)
        for row, i in enumerate(at):
            for power in range(count):
                rows[row, power] = points[i] ** power
            rows[row, count] = (-1) ** row / w[i]
            right[row] = f[i]
        solution = lu_solve(rows, right)
        coefficients = [solution[i] for i in range(count)]
        errors = [
            weigh * (y - mp.polyval(coefficients[::-1], x)) for x, y, weigh in zip(points, f, w)
        ]
        new = extrema(errors, count + 1)
        if new == at:
            break
        at = new
    return coefficients, max(abs(error) for error in errors)


def extrema(errors, count):
    """Where the errors are largest, one place for each run of one sign, `count` of them."""
    places = [0]
    for i, error in enumerate(errors):
        if (error > 0) != (errors[places[-1]] > 0):
            places.append(i)
        elif abs(error) > abs(errors[places[-1]]):
            places[-1] = i
    while len(places) > count:
        places.pop(0 if abs(errors[places[0]]) < abs(errors[places[-1]]) else -1)
    if len(places) < count:
        raise ArithmeticError(f"the error has {len(places)} extrema, and {count} are needed")
    return places


def fit(target):
    """The coefficients as doubles, and the largest error with them."""
    # At zero the weight is zero: an interval that begins there may begin a little later.
    low, high = target.low or target.high / 1000, target.high
    points = [(low + high) / 2 - (high - low) / 2 * cos(pi * i / GRID) for i in range(GRID + 1)]
    if low < 0:  # powers do not alternate around zero: round all at once
        rounded = [float(c) for c in remez(target.rest, target.weight, points, target.count)[0]]
    else:
        rounded = one_after_the_other(target, points)
    error = max(
        abs(target.weight(x) * (target.rest(x) - mp.polyval(rounded[::-1], x))) for x in points
    )
    return rounded, error


def one_after_the_other(target, points):
    """Round the lowest coefficient, fit the others again, and so on."""
    rounded = []
    for left in range(target.count, 0, -1):

        def rest(x, known=tuple(rounded)):
            return (target.rest(x) - mp.polyval(known[::-1], x)) / x ** len(known)

        def weight(x, power=target.count - left):
            return target.weight(x) * x**power

        coefficients, _ = remez(rest, weight, points, left)
        rounded.append(float(coefficients[0]))
    return rounded


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(TARGETS))
    for name in parser.parse_args().names or TARGETS:
        coefficients, error = fit(TARGETS[name])
        print(f"{name}: {TARGETS[name].text}; error 2**{float(log(error, 2)):.1f}")
        for coefficient in coefficients:
            print(f"    {coefficient!r},")


if __name__ == "__main__":
    main()
