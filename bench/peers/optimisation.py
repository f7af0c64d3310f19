"""Six objectives of optimisation, written once for scalars and once for arrays.

Each `Problem` has a function of a list of numbers and of a namespace with `exp`, `log`, `sin` and
`cos`. talweg and CasADi run the same function, on their own numbers. JAX has arrays, and loops that
it compiles as loops, so its function is written as a user of JAX writes it. All three return the
same number.

Data are tuples: talweg compares what a function reads from outside at each call, and a tuple of
floats cannot change. Start reading at `PROBLEMS`.
"""

import itertools
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Problem:
    """An objective.

    Attributes:
        about: one line.
        start: the numbers at which it is differentiated.
        scalar: the objective, as a function of a list of numbers and a namespace of functions.
        arrays: the same for JAX, as a function of an array, made from the module `jax`.
    """

    about: str
    start: list[float]
    scalar: Callable[[Any, Any], Any]
    arrays: Callable[[Any], Callable[[Any], Any]]


def drawn(count, low, high, seed):
    """Some numbers between two others."""
    rng = random.Random(seed)
    return [rng.uniform(low, high) for _ in range(count)]


# ---- Rosenbrock ----------------------------------------------------------------------------------


def rosenbrock(x, _):
    return sum(100.0 * (b - a * a) ** 2 + (1.0 - a) ** 2 for a, b in itertools.pairwise(x))


def rosenbrock_arrays(_):
    return lambda x: (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


# ---- Lotka-Volterra, classical Runge-Kutta -------------------------------------------------------

STEPS, DT = 100, 0.1
OBSERVED = tuple(
    (1.0 + 0.5 * math.sin(0.1 * k), 1.0 - 0.4 * math.cos(0.1 * k)) for k in range(STEPS)
)


def lotka_volterra(x, _):
    growth, eaten, death, fed = x[0], x[1], x[2], x[3]

    def slope(hares, foxes):
        return hares * (growth - eaten * foxes), foxes * (fed * hares - death)

    hares, foxes, loss = 1.0, 1.0, 0.0
    for a, b in OBSERVED:
        k1 = slope(hares, foxes)
        k2 = slope(hares + 0.5 * DT * k1[0], foxes + 0.5 * DT * k1[1])
        k3 = slope(hares + 0.5 * DT * k2[0], foxes + 0.5 * DT * k2[1])
        k4 = slope(hares + DT * k3[0], foxes + DT * k3[1])
        hares = hares + DT / 6.0 * (k1[0] + 2.0 * k2[0] + 2.0 * k3[0] + k4[0])
        foxes = foxes + DT / 6.0 * (k1[1] + 2.0 * k2[1] + 2.0 * k3[1] + k4[1])
        loss = loss + (hares - a) ** 2 + (foxes - b) ** 2
    return loss


def lotka_volterra_arrays(jax):
    jnp = jax.numpy
    observed = jnp.array(OBSERVED)

    def objective(x):
        def slope(y):
            return jnp.stack([y[0] * (x[0] - x[1] * y[1]), y[1] * (x[3] * y[0] - x[2])])

        def step(y, seen):
            k1 = slope(y)
            k2 = slope(y + 0.5 * DT * k1)
            k3 = slope(y + 0.5 * DT * k2)
            k4 = slope(y + DT * k3)
            y = y + DT / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
            return y, ((y - seen) ** 2).sum()

        return jax.lax.scan(step, jnp.ones(2), observed)[1].sum()

    return objective


# ---- a pendulum that is swung up, 60 controls ----------------------------------------------------


def pendulum(u, ops):
    h, angle, speed, cost = 0.05, math.pi, 0.0, 0.0
    for k in range(60):
        speed = speed + h * (9.81 * ops.sin(angle) - 0.1 * speed + u[k])
        angle = angle + h * speed
        cost = cost + h * ((1.0 - ops.cos(angle)) + 0.1 * speed * speed + 0.01 * u[k] * u[k])
    return cost + 10.0 * (1.0 - ops.cos(angle)) + speed * speed


def pendulum_arrays(jax):
    jnp, h = jax.numpy, 0.05

    def step(state, u):
        angle, speed = state
        speed = speed + h * (9.81 * jnp.sin(angle) - 0.1 * speed + u)
        angle = angle + h * speed
        return (angle, speed), h * (1.0 - jnp.cos(angle) + 0.1 * speed**2 + 0.01 * u**2)

    def objective(u):
        (angle, speed), costs = jax.lax.scan(step, (math.pi, 0.0), u)
        return costs.sum() + 10.0 * (1.0 - jnp.cos(angle)) + speed**2

    return objective


# ---- a rocket in the atmosphere, 40 controls -----------------------------------------------------


def rocket(u, ops):
    h, height, speed, mass, cost = 0.025, 0.0, 0.0, 1.0, 0.0
    for k in range(40):
        drag = 0.5 * speed * speed * ops.exp(-5.0 * height)
        gravity = 1.0 / ((1.0 + height) * (1.0 + height))
        speed = speed + h * ((u[k] - drag) / mass - gravity)
        height = height + h * speed
        mass = mass - h * 0.5 * u[k]
        cost = cost + h * 0.01 * u[k] * u[k]
    return cost - height + 10.0 * (mass - 0.6) ** 2


def rocket_arrays(jax):
    jnp, h = jax.numpy, 0.025

    def step(state, u):
        height, speed, mass = state
        drag = 0.5 * speed * speed * jnp.exp(-5.0 * height)
        gravity = 1.0 / ((1.0 + height) * (1.0 + height))
        speed = speed + h * ((u - drag) / mass - gravity)
        height = height + h * speed
        return (height, speed, mass - h * 0.5 * u), h * 0.01 * u * u

    def objective(u):
        (height, _, mass), costs = jax.lax.scan(step, (0.0, 0.0, 1.0), u)
        return costs.sum() - height + 10.0 * (mass - 0.6) ** 2

    return objective


# ---- logistic regression, 200 x 10 ---------------------------------------------------------------

ROWS = tuple(tuple(drawn(10, -1.0, 1.0, seed)) for seed in range(200))
SIGNS = tuple(1.0 if sum(row[:3]) > 0.0 else -1.0 for row in ROWS)


def logistic(w, ops):
    loss = 0.0
    for row, sign in zip(ROWS, SIGNS, strict=True):
        margin = sign * sum(a * b for a, b in zip(w, row, strict=True))
        loss = loss + ops.log(1.0 + ops.exp(-margin))
    return loss + 0.01 * sum(a * a for a in w)


def logistic_arrays(jax):
    jnp = jax.numpy
    rows, signs = jnp.array(ROWS), jnp.array(SIGNS)
    return lambda w: jnp.log(1.0 + jnp.exp(-signs * (rows @ w))).sum() + 0.01 * (w * w).sum()


# ---- GARCH(1, 1), 500 returns --------------------------------------------------------------------

RETURNS = tuple(drawn(500, -2.0, 2.0, 7))


def garch(p, ops):
    variance, loss = 1.0, 0.0
    for r in RETURNS:
        loss = loss + 0.5 * (ops.log(variance) + r * r / variance)
        variance = p[0] + p[1] * (r * r) + p[2] * variance
    return loss


def garch_arrays(jax):
    jnp = jax.numpy
    returns = jnp.array(RETURNS)

    def objective(p):
        def step(variance, r):
            after = p[0] + p[1] * r * r + p[2] * variance
            return after, 0.5 * (jnp.log(variance) + r * r / variance)

        return jax.lax.scan(step, 1.0, returns)[1].sum()

    return objective


PROBLEMS = {
    "rosenbrock": Problem(
        "Rosenbrock, 100 variables", drawn(100, -1.0, 1.0, 0), rosenbrock, rosenbrock_arrays
    ),
    "lotka-volterra": Problem(
        "Lotka-Volterra, 100 steps RK4, 4 rates",
        [1.1, 0.9, 1.0, 0.8],
        lotka_volterra,
        lotka_volterra_arrays,
    ),
    "pendulum": Problem(
        "pendulum, 60 controls", drawn(60, -1.0, 1.0, 1), pendulum, pendulum_arrays
    ),
    "rocket": Problem("rocket, 40 controls", drawn(40, 1.0, 2.0, 2), rocket, rocket_arrays),
    "logistic": Problem(
        "logistic regression, 200 x 10", drawn(10, -1.0, 1.0, 3), logistic, logistic_arrays
    ),
    "garch": Problem("GARCH(1, 1), 500 returns", [0.2, 0.1, 0.8], garch, garch_arrays),
}
"""The objectives, by the names that `bench/derivatives.py` takes."""
