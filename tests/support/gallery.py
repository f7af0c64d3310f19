"""Thirteen realistic scalar programs, for tests and benchmarks of the compiler.

Each is an ordinary Python function of Values and floats, written without regard to the compiler.
`GALLERY` names them; their numbers are drawn with fixed seeds. Use it from another file with

    GALLERY = runpy.run_path("tests/support/gallery.py")["GALLERY"]

Start reading at `GALLERY`, at the end.
"""

import cmath
import math
import random
from collections import namedtuple
from itertools import pairwise

import talweg as tw

Program = namedtuple("Program", "make most")
"""`make()` returns the function and its arguments; `most` is the largest size of its loop program,
in instructions and loops, about a tenth above what was measured."""


def values(rng, *shape, size=0.5):
    """Nested lists of Values of this shape."""
    if not shape:
        return tw.Value(rng.gauss(0.0, size))
    return [values(rng, *shape[1:], size=size) for _ in range(shape[0])]


def floats(rng, *shape, size=1.0):
    """Nested lists of floats of this shape."""
    if not shape:
        return rng.gauss(0.0, size)
    return [floats(rng, *shape[1:], size=size) for _ in range(shape[0])]


def dot(xs, ys):
    return sum(x * y for x, y in zip(xs, ys, strict=True))


def rows_times(matrix, xs):
    return [dot(row, xs) for row in matrix]


# ---- sequences -----------------------------------------------------------------------------


def recurrent_network(w_in, w_state, bias, w_out, xs, targets):
    """A plain recurrent network that predicts a number after each input."""
    state = [0.0] * len(bias)
    loss = 0.0
    for x, target in zip(xs, targets, strict=True):
        driven, carried = rows_times(w_in, x), rows_times(w_state, state)
        state = [tw.tanh(a + b + c) for a, b, c in zip(driven, carried, bias, strict=True)]
        loss = loss + (dot(w_out, state) - target) ** 2
    return loss


def make_recurrent_network():
    rng = random.Random(1)
    n, inputs, length = 5, 2, 20
    weights = values(rng, n, inputs), values(rng, n, n), values(rng, n), values(rng, n)
    return recurrent_network, (*weights, floats(rng, length, inputs), floats(rng, length))


def gated_recurrent_unit(update, reset, candidate, w_out, xs, target):
    """A GRU whose last state is read out; Cho et al., 2014."""
    state = [0.0] * len(w_out)
    for x in xs:
        both = [x, *state, 1.0]
        z = [tw.sigmoid(a) for a in rows_times(update, both)]
        r = [tw.sigmoid(a) for a in rows_times(reset, both)]
        damped = [x, *[a * b for a, b in zip(r, state, strict=True)], 1.0]
        new = [tw.tanh(a) for a in rows_times(candidate, damped)]
        state = [(1.0 - a) * h + a * c for a, h, c in zip(z, state, new, strict=True)]
    return (dot(w_out, state) - target) ** 2


def make_gated_recurrent_unit():
    rng = random.Random(2)
    n = 4
    gates = [values(rng, n, n + 2) for _ in range(3)]
    return gated_recurrent_unit, (*gates, values(rng, n), floats(rng, 15), 0.5)


def kalman_filter(drift, log_process, log_noise, observed):
    """The negative log likelihood of a noisy random walk, by its one-dimensional Kalman filter."""
    q, r = tw.exp(log_process), tw.exp(log_noise)
    mean, variance = 0.0, 1.0
    loss = 0.0
    for y in observed:
        mean, variance = mean + drift, variance + q
        spread = variance + r
        innovation = y - mean
        loss = loss + 0.5 * (tw.log(spread) + innovation * innovation / spread)
        gain = variance / spread
        mean, variance = mean + gain * innovation, (1.0 - gain) * variance
    return loss


def make_kalman_filter():
    rng = random.Random(3)
    walk = [0.0]
    for _ in range(59):
        walk.append(walk[-1] + rng.gauss(0.1, 0.3))
    return kalman_filter, (tw.Value(0.05), tw.Value(-2.0), tw.Value(-1.0), walk)


def attention(query, key, value, w_out, tokens):
    """Causal attention with one head: each token attends to itself and to its past."""
    scale = 1.0 / math.sqrt(len(query))
    keys, contents = [], []
    loss = 0.0
    for now, following in pairwise(tokens):
        q = rows_times(query, now)
        keys.append(rows_times(key, now))
        contents.append(rows_times(value, now))
        weights = [tw.exp(dot(q, k) * scale) for k in keys]
        total = sum(weights)
        mixed = [
            sum(w * v[d] for w, v in zip(weights, contents, strict=True)) / total
            for d in range(len(value))
        ]
        guess = rows_times(w_out, mixed)
        loss = loss + sum((a - b) ** 2 for a, b in zip(guess, following, strict=True))
    return loss


def make_attention():
    rng = random.Random(4)
    d = 4
    matrices = [values(rng, d, d) for _ in range(4)]
    return attention, (*matrices, floats(rng, 9, d, size=0.7))


# ---- science ---------------------------------------------------------------------------------


def lotka_volterra(growth, eaten, death, fed, observed, dt):
    """Hares and foxes by the classical Runge-Kutta method, fitted to observations."""

    def slope(hares, foxes):
        return hares * (growth - eaten * foxes), foxes * (fed * hares - death)

    hares, foxes = 1.0, 1.0
    loss = 0.0
    for a, b in observed:
        k1 = slope(hares, foxes)
        k2 = slope(hares + 0.5 * dt * k1[0], foxes + 0.5 * dt * k1[1])
        k3 = slope(hares + 0.5 * dt * k2[0], foxes + 0.5 * dt * k2[1])
        k4 = slope(hares + dt * k3[0], foxes + dt * k3[1])
        hares = hares + dt / 6.0 * (k1[0] + 2.0 * k2[0] + 2.0 * k3[0] + k4[0])
        foxes = foxes + dt / 6.0 * (k1[1] + 2.0 * k2[1] + 2.0 * k3[1] + k4[1])
        loss = loss + (hares - a) ** 2 + (foxes - b) ** 2
    return loss


def make_lotka_volterra():
    observed = [(1.0 + 0.5 * math.sin(0.1 * k), 1.0 - 0.4 * math.cos(0.1 * k)) for k in range(40)]
    rates = [tw.Value(x) for x in (1.1, 0.9, 1.0, 0.8)]
    return lotka_volterra, (*rates, observed, 0.1)


def option_price(spot, volatility, rate, draws, strike=1.05):
    """A European call by Monte Carlo: the discounted mean payoff over fixed draws."""
    trend = rate - 0.5 * volatility * volatility
    total = 0.0
    for z in draws:
        final = spot * tw.exp(trend + volatility * z)
        total = total + tw.max(final - strike, 0.0)
    return tw.exp(-rate) * total / len(draws)


def make_option_price():
    market = tw.Value(1.0), tw.Value(0.2), tw.Value(0.03)
    return option_price, (*market, floats(random.Random(5), 200))


def gaussian_process(log_size, log_length, log_noise, xs, ys):
    """The negative log likelihood of a Gaussian process, by a Cholesky factorisation."""
    n = len(xs)
    size, noise = tw.exp(log_size), tw.exp(log_noise)
    inverse = tw.exp(-2.0 * log_length)
    factor = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            d = xs[i] - xs[j]
            entry = size * tw.exp(-0.5 * d * d * inverse)
            if i == j:
                entry = entry + noise
            for k in range(j):
                entry = entry - factor[i][k] * factor[j][k]
            factor[i][j] = tw.sqrt(entry) if i == j else entry / factor[j][j]
    loss = 0.0
    solved = []
    for i in range(n):
        y = ys[i]
        for k in range(i):
            y = y - factor[i][k] * solved[k]
        solved.append(y / factor[i][i])
        loss = loss + 0.5 * solved[i] * solved[i] + tw.log(factor[i][i])
    return loss


def make_gaussian_process():
    rng = random.Random(6)
    xs = [0.4 * k for k in range(9)]
    settings = tw.Value(0.1), tw.Value(-0.2), tw.Value(-2.0)
    return gaussian_process, (*settings, xs, floats(rng, len(xs)))


def arm(lengths, offsets, poses, targets):
    """A planar arm: its hand's squared distance from the observed position, over many poses."""
    loss = 0.0
    for angles, (x_observed, y_observed) in zip(poses, targets, strict=True):
        x, y, direction = 0.0, 0.0, 0.0
        for length, offset, angle in zip(lengths, offsets, angles, strict=True):
            direction = direction + angle + offset
            x = x + length * tw.cos(direction)
            y = y + length * tw.sin(direction)
        loss = loss + (x - x_observed) ** 2 + (y - y_observed) ** 2
    return loss


def make_arm():
    rng = random.Random(7)
    lengths = [tw.Value(x) for x in (1.0, 0.7, 0.5, 0.2)]
    return arm, (lengths, values(rng, 4, size=0.1), floats(rng, 25, 4), floats(rng, 25, 2))


def fourier(taps, xs):
    """A signal times taps, through a radix-2 Fourier transform; the power of half its spectrum."""
    n = len(xs)
    bits = n.bit_length() - 1
    order = [int(f"{k:0{bits}b}"[::-1], 2) for k in range(n)]
    real = [xs[k] * taps[k] for k in order]
    imag = [0.0] * n
    half = 1
    while half < n:
        for start in range(0, n, 2 * half):
            for k in range(half):
                twiddle = cmath.exp(-1j * math.pi * k / half)
                a, b = start + k, start + k + half
                re = real[b] * twiddle.real - imag[b] * twiddle.imag
                im = real[b] * twiddle.imag + imag[b] * twiddle.real
                real[a], real[b] = real[a] + re, real[a] - re
                imag[a], imag[b] = imag[a] + im, imag[a] - im
        half *= 2
    return sum(real[k] * real[k] + imag[k] * imag[k] for k in range(n // 2))


def make_fourier():
    rng = random.Random(8)
    return fourier, (values(rng, 32), floats(rng, 32))


# ---- statistics and pictures -------------------------------------------------------------------


def logistic_regression(weights, bias, rows, labels):
    """The mean cross-entropy, with a penalty on the weights."""
    loss = 0.0
    for row, label in zip(rows, labels, strict=True):
        z = dot(weights, row) + bias
        loss = loss + tw.softplus(z) - label * z
    return loss / len(rows) + 0.01 * sum(w * w for w in weights)


def make_logistic_regression():
    rng = random.Random(9)
    rows = floats(rng, 50, 5)
    labels = [float(sum(row) > 0.0) for row in rows]
    return logistic_regression, (values(rng, 5), tw.Value(0.1), rows, labels)


def gaussian_mixture(heights, means, log_widths, xs):
    """The negative log likelihood of a mixture; the heights are logits."""
    powers = [tw.exp(h) for h in heights]
    total = sum(powers)
    loss = 0.0
    for x in xs:
        density = 0.0
        for power, mean, log_width in zip(powers, means, log_widths, strict=True):
            z = (x - mean) / tw.exp(log_width)
            density = density + power / total * tw.exp(-0.5 * z * z - log_width)
        loss = loss - tw.log(density)
    return loss


def make_gaussian_mixture():
    rng = random.Random(10)
    means = [tw.Value(x) for x in (-1.0, 0.2, 1.3)]
    return gaussian_mixture, (values(rng, 3), means, values(rng, 3, size=0.2), floats(rng, 40))


def convolution(kernels, biases, xs):
    """Several filters over a signal, squashed, squared and added up."""
    loss = 0.0
    for kernel, bias in zip(kernels, biases, strict=True):
        for i in range(len(xs) - len(kernel) + 1):
            here = bias
            for j, w in enumerate(kernel):
                here = here + w * xs[i + j]
            loss = loss + tw.tanh(here) ** 2
    return loss


def make_convolution():
    rng = random.Random(11)
    return convolution, (values(rng, 4, 5), values(rng, 4), floats(rng, 40))


def picture(kernels, image):
    """A convolution of a picture with two filters, rectified, and averaged over 2 x 2 windows."""
    size = len(kernels[0])
    n = len(image) - size + 1
    loss = 0.0
    for kernel in kernels:
        rectified = [
            [
                tw.relu(
                    sum(
                        kernel[a][b] * image[i + a][j + b] for a in range(size) for b in range(size)
                    )
                )
                for j in range(n)
            ]
            for i in range(n)
        ]
        for i in range(0, n, 2):
            for j in range(0, n, 2):
                rows = rectified[i][j : j + 2], rectified[i + 1][j : j + 2]
                window = rows[0][0] + rows[0][1] + rows[1][0] + rows[1][1]
                loss = loss + (0.25 * window) ** 2
    return loss


def make_picture():
    rng = random.Random(12)
    return picture, (values(rng, 2, 3, 3), floats(rng, 10, 10))


GALLERY = {
    "recurrent network": Program(make_recurrent_network, 52),
    "gated recurrent unit": Program(make_gated_recurrent_unit, 170),
    "Kalman filter": Program(make_kalman_filter, 31),
    "attention": Program(make_attention, 575),
    "Lotka-Volterra": Program(make_lotka_volterra, 140),
    "option price": Program(make_option_price, 24),
    "Gaussian process": Program(make_gaussian_process, 694),
    "arm": Program(make_arm, 52),
    "Fourier transform": Program(make_fourier, 325),
    "logistic regression": Program(make_logistic_regression, 32),
    "Gaussian mixture": Program(make_gaussian_mixture, 77),
    "convolution": Program(make_convolution, 30),
    "picture": Program(make_picture, 80),
}
