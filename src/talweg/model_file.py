"""Saved models: a network together with what is needed to use it on a new data file.

A `Predictor` is a trained `MLP` with the names of its input columns, the scaling of inputs and
target, and the names of the classes. It is saved as one safetensors file: a weight matrix and a
bias vector for each layer, in float64, and everything else as JSON in the metadata. Loading it
executes nothing from the file. Start reading at `Predictor`.
"""

from __future__ import annotations

import json
import math
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from talweg._util.atomic_files import write_whole
from talweg.data import Scaling
from talweg.errors import DataError, ModelFileError, ShapeError
from talweg.metrics import NO_CLASS, numbers_of, predicted_class
from talweg.nn import ACTIVATIONS, MLP
from talweg.ops import to_float

FORMAT = "talweg-1"
"""The version of the format; a file of another version is refused."""


@dataclass(frozen=True)
class Predictor:
    """A model with inputs and predictions in the units of a data file.

    Args:
        model: the network, from scaled inputs to scaled targets or logits.
        input_names: the name of each input column, in the order of the model's inputs.
        target_name: the name of the target.
        classes: the names of the classes, or None if a number is predicted.
        inputs: the scaling of the input columns; None for none.
        targets: the scaling of the targets; None for none.

    Raises:
        ShapeError: if names, scalings or classes do not fit the model.

    Example:
        >>> import random
        >>> model = MLP(1, [1], output="linear", rng=random.Random(0))
        >>> predictor = Predictor(model, ["x"], "y", targets=Scaling((10.0,), (2.0,)))
        >>> [round(y, 6) for y in predictor.predict([[0.0], [1.0]])]
        [10.0, 11.377687]
    """

    model: MLP
    input_names: Sequence[str]
    target_name: str = "target"
    classes: Sequence[str] | None = None
    inputs: Scaling | None = None
    targets: Scaling | None = None

    def __post_init__(self) -> None:
        nin, nout = self.model.sizes[0], self.model.sizes[-1]
        _require("input_names", len(self.input_names), nin)
        if self.inputs is not None:
            _require("the scaling of inputs", len(self.inputs.means), nin)
        if self.targets is not None:
            _require("the scaling of targets", len(self.targets.means), nout)
        if self.classes is not None:
            _require("classes", len(self.classes), 2 if nout == 1 else nout)

    def outputs(self, row: Sequence[float]) -> list[float]:
        """The outputs for one row: targets in their own unit, or logits."""
        x = row if self.inputs is None else self.inputs.apply(row)
        out = numbers_of(self.model(x))
        return out if self.targets is None else self.targets.invert(out)

    def predict(self, rows: Sequence[Sequence[float]]) -> list[Any]:
        """The prediction for each row: a class name, a number, or a list of numbers.

        Args:
            rows: a list of numbers for each sample, in the order of `input_names`.

        Returns:
            The predictions, one for each row; None for the class where an output is nan.

        Raises:
            ShapeError: if a row has another length than `input_names`.
            DataError: if a number in a row is not finite.
        """
        for i, row in enumerate(rows):
            if not all(math.isfinite(to_float(x)) for x in row):
                raise DataError(f"row {i} has a number that is not finite: {list(row)}")
        outputs = [self.outputs(row) for row in rows]
        if self.classes is not None:
            found = map(predicted_class, outputs)
            return [None if k == NO_CLASS else self.classes[k] for k in found]
        return [out[0] if len(out) == 1 else out for out in outputs]

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the predictor to a safetensors file.

        Args:
            path: the file; if writing fails, an existing file is unchanged.

        Returns:
            The path.

        Raises:
            ModelFileError: if an activation is a function that you defined: it has no name.
            OSError: if the folder does not exist or cannot be written to.
        """
        import numpy as np
        from safetensors.numpy import save

        tensors = {}
        for i, layer in enumerate(self.model.layers):
            weights = [[w.data for w in neuron.w] for neuron in layer.neurons]
            tensors[f"layers.{i}.weight"] = np.array(weights, dtype=np.float64)
            tensors[f"layers.{i}.bias"] = np.array([n.b.data for n in layer.neurons])
        # A single entry: safetensors writes several in an order that changes from run to run.
        return write_whole(path, save(tensors, {"talweg": self._description()}))

    def _description(self) -> str:
        for activation in (self.model.activation, self.model.output):
            if not isinstance(activation, str):
                raise ModelFileError(
                    f"the activation {activation!r} is a function of your own, which cannot be "
                    f"saved; use one of {', '.join(ACTIVATIONS)}"
                )
        return json.dumps(
            {
                "format": FORMAT,
                "sizes": self.model.sizes,
                "activation": self.model.activation,
                "output": self.model.output,
                "input_names": list(self.input_names),
                "target_name": self.target_name,
                "classes": None if self.classes is None else list(self.classes),
                "inputs": None if self.inputs is None else asdict(self.inputs),
                "targets": None if self.targets is None else asdict(self.targets),
            }
        )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Predictor:
        """Read a predictor from a file. Nothing in the file is executed.

        Args:
            path: a file that `save` wrote.

        Returns:
            The predictor; its predictions are the same to the last bit.

        Raises:
            ModelFileError: if the file is missing, damaged, or not a model of talweg.
        """
        metadata, tensors = _read(Path(path))
        if "talweg" not in metadata:
            raise ModelFileError(f"{path}: this safetensors file does not hold a model of talweg")
        try:
            return _rebuild(cls, json.loads(metadata["talweg"]), tensors)
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ModelFileError(
                f"{path}: the description of the model is damaged ({_one_line(error)}); "
                "train and save it again"
            ) from None


def _read(path: Path) -> tuple[dict[str, str], dict[str, Any]]:
    from safetensors import SafetensorError, safe_open

    if not path.is_file():
        what = "this is not a file" if path.exists() else "there is no such file"
        raise ModelFileError(f"{path}: {what}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            names = list(file.keys())
            return file.metadata() or {}, {name: file.get_tensor(name) for name in names}
    except (SafetensorError, OSError, TypeError, AttributeError) as error:
        # The last two are raised for number types that NumPy does not have.
        raise ModelFileError(
            f"{path}: not a saved model, or a damaged one ({_one_line(error)})"
        ) from None


def _rebuild(cls: type[Predictor], about: dict[str, Any], tensors: dict[str, Any]) -> Predictor:
    if about["format"] != FORMAT:
        raise ValueError(f"its format is {about['format']!r}, expected {FORMAT!r}")
    nin, *nouts = about["sizes"]
    _require_size([nin, *nouts], tensors)
    model = MLP(nin, nouts, about["activation"], about["output"], rng=random.Random(0))
    for i, layer in enumerate(model.layers):
        weight, bias = tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]
        if not all(math.isfinite(x) for x in [*weight.ravel().tolist(), *bias.tolist()]):
            raise ValueError(f"the weights of layer {i} are not all finite")
        for neuron, row, b in zip(layer.neurons, weight.tolist(), bias.tolist(), strict=True):
            for w, x in zip(neuron.w, row, strict=True):
                w.data = float(x)
            neuron.b.data = float(b)
    inputs, targets = _scaling(about["inputs"]), _scaling(about["targets"])
    input_names, (target_name,) = _names(about["input_names"]), _names([about["target_name"]])
    classes = None if about["classes"] is None else _names(about["classes"])
    return cls(model, input_names, target_name, classes, inputs, targets)


def _names(names: Any) -> list[str]:
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"expected a list of names, got {str(names)[:40]}")
    return names


def _scaling(about: dict[str, list[float]] | None) -> Scaling | None:
    if about is None:
        return None
    means, deviations = (tuple(map(to_float, about[part])) for part in ("means", "deviations"))
    finite = all(map(math.isfinite, means + deviations))
    if not finite or len(means) != len(deviations) or not all(d > 0.0 for d in deviations):
        raise ShapeError("a scaling needs a finite mean and a positive deviation for each column")
    return Scaling(means, deviations)


def _require_size(sizes: list[int], tensors: dict[str, Any]) -> None:
    """Compare sizes with the tensors first: a model of damaged sizes may not fit into memory."""
    for i, (n, m) in enumerate(pairwise(sizes)):
        found = tensors[f"layers.{i}.weight"].shape, tensors[f"layers.{i}.bias"].shape
        if found != ((m, n), (m,)):
            raise ShapeError(f"layer {i} should be {m} x {n}, its tensors are {found}")


def _require(what: str, found: int, expected: int) -> None:
    if found != expected:
        raise ShapeError(f"{what}: the model needs {expected}, got {found}")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
