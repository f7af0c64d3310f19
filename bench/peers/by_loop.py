"""The loop that a learner writes: loss, zero the gradients, backward, update each parameter.

The same loop and the same loss for the lesson's own class, for talweg's Values, and for the
loss compiled by `tw.jit`.
"""

import sys

import lesson_class
import talweg as tw
from peers import Skip
from peers.problems import set_parameters


def lesson(problem):
    return trainer(problem, lesson_model(problem), loss_function(problem, lesson_relu))


def lesson_model(problem):
    """The lesson's own network."""
    sys.setrecursionlimit(100_000)  # its backward() goes down the graph recursively
    model = lesson_class.MLP(problem.sizes[0], problem.sizes[1:])
    if problem.output == "linear":
        for neuron in model.layers[-1].neurons:
            neuron.__class__ = LinearNeuron
    return model


def sweep(problem, rates, steps):
    """The lesson's class and loop, one run after the other."""
    model, loss_of = lesson_model(problem), loss_function(problem, lesson_relu)
    each = rates.tolist()
    return lambda: [losses_of_run(problem, model, loss_of, [rate] * steps) for rate in each]


def eager(problem):
    return trainer(problem, problem.model(), loss_function(problem, tw.relu))


def jit(problem):
    if not hasattr(tw, "jit"):
        raise Skip("this version of talweg has no tw.jit")
    return trainer(problem, problem.model(), tw.jit(loss_function(problem, tw.relu)))


def trainer(problem, model, loss_of):
    def train(steps):
        losses_of_run(problem, model, loss_of, problem.learning_rates(steps))
        return [p.data for p in model.parameters()]

    return train


def losses_of_run(problem, model, loss_of, rates):
    """Train from the start weights, a step for each rate."""
    parameters = model.parameters()
    set_parameters(model, problem.start)
    losses = []
    for rate in rates:
        loss = loss_of(model, problem.inputs, problem.targets)
        for p in parameters:
            p.grad = 0.0
        loss.backward()
        for p in parameters:
            p.data -= rate * p.grad
        losses.append(loss.data)
    return losses


def loss_function(problem, relu):
    """The problem's loss, number by number."""
    hinge, scale, decay = problem.hinge, problem.scale, problem.decay

    def loss(model, inputs, targets):
        total = 0.0
        for x, y in zip(inputs, targets):
            out = model(x)
            for p, t in zip(out if isinstance(out, list) else [out], y):
                total = total + (relu(p * -t + 1.0) if hinge else (p - t) ** 2)
        if scale != 1.0:
            total = total * scale
        if decay:
            total = total + sum(p * p for p in model.parameters()) * decay
        return total

    return loss


class LinearNeuron(lesson_class.Neuron):
    """The lesson's neuron without tanh."""

    def __call__(self, x):
        return sum((wi * xi for wi, xi in zip(self.w, x)), self.b)


def lesson_relu(x):
    """relu for the lesson's class, as an operation of the user's own."""
    out = lesson_class.Value(max(0.0, x.data), (x,), "relu")

    def _backward():
        x.grad += (x.data > 0.0) * out.grad

    out._backward = _backward
    return out
