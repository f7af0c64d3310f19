"""`talweg graph`: the computation graph of one sample's loss, after one backward pass."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from talweg.cli import exit_codes, lesson
from talweg.cli.command import Command
from talweg.cli.console import print_line, print_saved
from talweg.cli.defaults import LESSON
from talweg.cli.options import Integer
from talweg.cli.output_files import output_file
from talweg.data import lesson_data
from talweg.errors import ArgumentError
from talweg.losses import squared_error
from talweg.nn import MLP
from talweg.value import Value


def graph(*, sample: Integer = 0, output: Path | None = None) -> int:
    """Draw the computation graph of one sample: every number, and its gradient.

    The graph is that of the lesson's untrained network and its squared error.

    Args:
        sample: which of the lesson's four samples, 0 to 3. Unless given: 0.
        output: where to save the graph: .svg (a picture) or .dot (text for Graphviz).
            Unless given: talweg-graph.svg.

    Returns:
        The exit code.
    """
    path = output_file("--output", output, (".svg", ".dot"), default="talweg-graph.svg")
    data = lesson_data()
    if not 0 <= sample < len(data):
        raise ArgumentError(f"--sample takes 0 to {len(data) - 1}, got {sample}")
    model = lesson.network(random.Random(LESSON.seed))
    label_parameters(model)
    named = zip(data.inputs[sample], data.input_names, strict=True)
    prediction: Any = model([Value(x, label=name) for x, name in named])
    prediction.label = "prediction"
    loss = squared_error(prediction, data.targets[sample])
    loss.label = "loss"
    loss.backward()

    from talweg.plotting import graph as drawing

    nodes = drawing.walk(loss)
    target = data.targets[sample]
    print_line(f"Sample {sample}: prediction {prediction.data:.4f}, target {target:.4f}")
    print_line(
        f"The graph of its loss has {len(nodes)} nodes. {len(model.parameters())} of them are "
        "weights and biases: L0.n1.w2 is weight 2 of neuron 1 of layer 0, counted from 0."
    )
    if path is not None:
        print_saved("Graph", drawing.save(loss, path))
    return exit_codes.FINE


def label_parameters(model: MLP) -> None:
    """Label each parameter: `layers.0.neurons.1.w.2` becomes L0.n1.w2.

    Args:
        model: its parameters get the labels.

    >>> model = lesson.network(random.Random(0))
    >>> label_parameters(model)
    >>> [p.label for p in model.parameters()][:5]
    ['L0.n0.w0', 'L0.n0.w1', 'L0.n0.w2', 'L0.n0.b', 'L0.n1.w0']
    """
    for name, p in model.named_parameters():
        p.label = name.replace("layers.", "L").replace("neurons.", "n").replace("w.", "w")


COMMAND = Command(
    run=graph,
    usage="[OPTIONS]",
    examples=("talweg graph", "talweg graph --sample 3 --output sample3.dot"),
)
