"""JAX on the CPU, in float64: a jitted step called from a Python loop, or the run as one scan."""

import jax
import jax.numpy as jnp
import numpy as np

from peers.by_numpy import rates_of

jax.config.update("jax_enable_x64", True)


def loss_function(problem):
    """The loss as a function of the flat list of parameters."""
    x, y = jnp.array(problem.inputs), jnp.array(problem.targets)

    def loss(flat):
        out = x
        for (nin, nout, first), squash in zip(problem.layers, problem.squashes):
            both = flat[first : first + nout * (nin + 1)].reshape(nout, nin + 1)
            out = out @ both[:, :nin].T + both[:, nin]
            out = jnp.tanh(out) if squash else out
        each = jnp.maximum(0.0, 1.0 - y * out) if problem.hinge else jnp.square(out - y)
        decay = problem.decay * jnp.vdot(flat, flat) if problem.decay else 0.0
        return problem.scale * each.sum() + decay

    return loss


def step_function(problem):
    loss_and_gradient = jax.value_and_grad(loss_function(problem))

    def step(flat, rate):
        loss, gradient = loss_and_gradient(flat)
        return flat - rate * gradient, loss

    return step


def step_by_step(problem):
    step = jax.jit(step_function(problem))
    start = jnp.array(problem.start)
    rates = [jnp.array(rate) for rate in problem.rates]

    def train(steps):
        flat, losses = start, []
        for k in range(steps):
            flat, loss = step(flat, rates[k % len(rates)])
            losses.append(loss)
        return np.asarray(flat).tolist()

    return train


def whole_run(problem):
    step = step_function(problem)
    run = jax.jit(lambda flat, rates: jax.lax.scan(step, flat, rates))
    start = jnp.array(problem.start)

    def train(steps):
        flat, losses = run(start, rates_of(problem, steps))
        losses.block_until_ready()
        return np.asarray(flat).tolist()

    return train


def sweep(problem, rates, steps):
    """One run for each rate, side by side: jit(vmap(scan))."""
    step = step_function(problem)
    start = jnp.array(problem.start)

    def losses_at(rate):
        return jax.lax.scan(lambda flat, _: step(flat, rate), start, None, length=steps)[1]

    side_by_side = jax.jit(jax.vmap(losses_at))
    return lambda: np.asarray(side_by_side(rates))
