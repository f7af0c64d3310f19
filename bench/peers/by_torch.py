"""PyTorch in float64: eager, and with torch.compile around forward, backward and update."""

import torch

from peers import by_numpy

torch.set_default_dtype(torch.float64)


def loss_function(problem):
    """The loss as a function of the weights and biases of all layers, one after the other."""
    x, y = torch.tensor(problem.inputs), torch.tensor(problem.targets)
    squashes, hinge, scale, decay = problem.squashes, problem.hinge, problem.scale, problem.decay

    def loss(parameters):
        out = x
        for i, squash in enumerate(squashes):
            out = torch.nn.functional.linear(out, parameters[2 * i], parameters[2 * i + 1])
            out = torch.tanh(out) if squash else out
        each = torch.relu(1.0 - y * out) if hinge else (out - y).square()
        total = scale * each.sum()
        if decay:
            total = total + decay * sum(p.square().sum() for p in parameters)
        return total

    return loss


def start(problem):
    layers = by_numpy.unpack(problem, problem.start)
    return [torch.tensor(numbers) for layer in layers for numbers in layer]


def flat(parameters):
    numbers = [p.detach().numpy() for p in parameters]
    return by_numpy.pack(list(zip(numbers[::2], numbers[1::2])))


def eager(problem):
    loss_of = loss_function(problem)

    def train(steps):
        parameters, losses = [p.requires_grad_() for p in start(problem)], []
        for rate in problem.learning_rates(steps):
            loss = loss_of(parameters)
            gradient = torch.autograd.grad(loss, parameters)
            with torch.no_grad():
                torch._foreach_add_(parameters, gradient, alpha=-rate)
            losses.append(loss.item())
        return flat(parameters)

    return train


def compiled(problem):
    gradient_and_loss = torch.func.grad_and_value(loss_function(problem))

    @torch.compile(fullgraph=True, dynamic=False)
    def step(parameters, rate):
        gradient, loss = gradient_and_loss(parameters)
        return [p - rate * g for p, g in zip(parameters, gradient)], loss

    rates = [torch.tensor(rate) for rate in problem.rates]  # a float would compile each anew

    @torch.inference_mode()
    def train(steps):
        parameters, losses = start(problem), []
        for k in range(steps):
            parameters, loss = step(parameters, rates[k % len(rates)])
            losses.append(loss.item())
        return flat(parameters)

    return train
