"""micrograd's names: a program for micrograd runs after a change of its import lines.

    from micrograd.engine import Value             from talweg.compat.micrograd.engine import Value
    from micrograd.nn import Neuron, Layer, MLP    from talweg.compat.micrograd.nn import MLP

`Value` is talweg's own. `Neuron`, `Layer` and `MLP` are micrograd's networks: relu inside, a linear
last layer, and the same random numbers in the same order, so that the program trains the same
network. (`talweg.MLP` is the lesson's: tanh everywhere.) Start reading at `MLP` in `nn.py`.

docs/compatibility.md has a table of names, and what differs.
"""

from talweg.compat.micrograd import engine, nn
from talweg.compat.micrograd.engine import Value
from talweg.compat.micrograd.nn import MLP, Layer, Module, Neuron

__all__ = ["MLP", "Layer", "Module", "Neuron", "Value", "engine", "nn"]
