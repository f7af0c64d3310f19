"""talweg: `tw.train` with its engines."""

import inspect

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
    single = problem.sizes[-1] == 1
    targets = [y[0] if single else y for y in problem.targets]
    data = list(zip(problem.inputs, targets))
    rates = problem.rates
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


def require(names):
    """Skip what this version of talweg has not heard of."""
    for name in names:
        if name not in inspect.signature(tw.train).parameters:
            raise Skip(f"tw.train has no argument {name!r} in this version of talweg")
