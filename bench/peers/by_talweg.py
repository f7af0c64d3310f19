"""talweg: `tw.train` with its engines, and the sweep with all its parts and without."""

import inspect

import numpy as np

import talweg as tw
from peers import Skip
from peers.problems import set_parameters


def eager(problem):
    return trainer(problem, engine="eager")


def native(problem):
    return trainer(problem, engine="native")


def exact(problem):
    return trainer(problem, engine="native", mode="exact")


def trainer(problem, **how):
    require(how)
    data, rates = samples_of(problem), problem.rates
    # The gradient of decay p**2 is 2 decay p, and SGD's weight decay w adds w p to the gradient.
    optimizer = tw.SGD(
        lr=rates[0] if len(rates) == 1 else lambda k: rates[k % len(rates)],
        weight_decay=2.0 * problem.decay,
    )
    settings = {
        "loss": tw.losses.hinge if problem.hinge else tw.losses.squared_error,
        "reduction": "mean" if problem.mean else "sum",
        "optimizer": optimizer,
        **how,
    }
    model = problem.model()

    def train(steps):
        set_parameters(model, problem.start)
        try:
            tw.train(model, data, steps=steps, **settings)
        except tw.errors.ArgumentError as refusal:
            raise Skip(f"tw.train: {refusal}") from None
        return [p.data for p in model.parameters()]

    return train


def native_sweep(problem, rates, steps):
    """What native code does of a sweep: weights in, losses out."""
    from talweg.training.lane_executor import LaneExecutor  # older versions have no such thing
    from talweg.training.model_program import ModelProgram
    from talweg.training.optimizer_family import Family

    def loss(model, sample):
        return tw.losses.squared_error(model(sample[0]), sample[1])

    program = ModelProgram(problem.model(), samples_of(problem), loss, mean=False)
    lanes = LaneExecutor(program, Family(tw.SGD(1.0)), mode="default")
    weights = np.repeat([problem.start], len(rates), axis=0)
    return lambda: lanes.train(weights, rates, steps).losses


def sweep(problem, rates, steps):
    """`tw.sweep`, from the network's equations to the losses."""
    data, each = samples_of(problem), rates.tolist()

    def run():
        made = tw.sweep(
            lambda rng: problem.model(), data, each, steps=steps, engine="native", threads=1
        )
        return made.losses

    return run


def samples_of(problem):
    single = problem.sizes[-1] == 1
    return list(zip(problem.inputs, [y[0] if single else y for y in problem.targets]))


def require(names):
    """Skip what this version of talweg has not heard of."""
    for name in names:
        if name not in inspect.signature(tw.train).parameters:
            raise Skip(f"tw.train has no argument {name!r} in this version of talweg")
