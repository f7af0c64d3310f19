"""Dr.Jit on LLVM, in float64: the whole run of all networks as one kernel.

The networks lie side by side in its arrays, so it compiles scalar code for one of them and runs it
in SIMD lanes; the steps are a symbolic loop inside of the kernel, and derivatives are its own.
"""

import drjit as dr
import numpy as np
from drjit.llvm.ad import Float64, UInt32

from peers import Skip


def sweep(problem, rates, steps):
    if not dr.has_backend(dr.JitBackend.LLVM):
        raise Skip("Dr.Jit finds no libLLVM.so; DRJIT_LIBLLVM_PATH may tell it where one is")
    dr.set_thread_count(1)  # no thread but this one
    frozen = dr.freeze(lambda lr, losses: run_into(losses, problem, lr, steps))

    def run():
        losses = dr.zeros(Float64, steps * len(rates))
        frozen(Float64(rates), losses)
        return np.array(losses).reshape(steps, len(rates)).T

    return run


def run_into(losses, problem, lr, steps):
    """Write the loss of each step, which is that before its update, steps by networks."""
    networks = dr.width(lr)
    lane = dr.arange(UInt32, networks)

    def body(k, parameters):
        variables = [Float64(p) for p in parameters]
        dr.enable_grad(variables)
        loss = loss_of(problem, variables)
        dr.backward(loss)
        dr.scatter(losses, dr.detach(loss), k * networks + lane)
        return k + 1, [p - lr * dr.grad(v) for p, v in zip(parameters, variables)]

    start = [dr.full(Float64, p, networks) for p in problem.start]
    _, parameters = dr.while_loop((UInt32(0), start), lambda k, _: k < steps, body)
    dr.eval(parameters, losses)


def loss_of(problem, parameters):
    """The sum of squared errors of a network with tanh on every layer."""
    loss = Float64(0.0)
    for x, y in zip(problem.inputs, problem.targets):
        out = x
        for nin, nout, first in problem.layers:
            rows = [parameters[first + i * (nin + 1) :][: nin + 1] for i in range(nout)]
            out = [
                dr.tanh(
                    sum((w * u for w, u in zip(row, out)), row[nin])
                )  # zip ends before the bias
                for row in rows
            ]
        for o, t in zip(out, y):
            loss += dr.square(o - t)
    return loss
