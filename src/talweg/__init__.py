"""talweg: neural networks from single numbers.

Write the scalar program of a lesson: numbers, lists, `sum`, `zip`, a `for` loop. talweg
gives its exact gradients, trains it and shows it.

>>> import talweg as tw
>>> a = tw.Value(2.0)
>>> b = (a * 3.0).tanh()
>>> b.backward()
>>> round(a.grad, 6)
7.4e-05

Start with `Value`, then `MLP` and `train`. How the package is built: docs/architecture.md.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

# The operations are public under their own names (tw.exp, tw.max, ...): `as` says so.
from talweg import errors, losses, metrics, ops, schedules
from talweg._util.deprecation import warn_renamed
from talweg.autodiff.gather import gather
from talweg.autodiff.higher_order import gradients
from talweg.data import Dataset, Scaling, lesson_data
from talweg.explore.range_test import RangeTest, lr_range_test
from talweg.explore.sharpness import Sharpness, SharpnessCallback, sharpness
from talweg.explore.sweep.result import SweepResult
from talweg.explore.sweep.sweep import sweep
from talweg.explore.trainability.result import TrainabilityMap
from talweg.explore.trainability.trainability import trainability_map
from talweg.gradcheck import GradcheckReport, gradcheck
from talweg.matrices import Embedding, Matrix
from talweg.model_file import Predictor
from talweg.nn import MLP, Layer, Module, Neuron
from talweg.ops import abs as abs
from talweg.ops import acos as acos
from talweg.ops import asin as asin
from talweg.ops import atan as atan
from talweg.ops import atan2 as atan2
from talweg.ops import clip as clip
from talweg.ops import cos as cos
from talweg.ops import cosh as cosh
from talweg.ops import detach as detach
from talweg.ops import elu as elu
from talweg.ops import erf as erf
from talweg.ops import exp as exp
from talweg.ops import expm1 as expm1
from talweg.ops import floor as floor
from talweg.ops import gelu as gelu
from talweg.ops import hypot as hypot
from talweg.ops import leaky_relu as leaky_relu
from talweg.ops import log as log
from talweg.ops import log1p as log1p
from talweg.ops import log2 as log2
from talweg.ops import log10 as log10
from talweg.ops import max as max
from talweg.ops import min as min
from talweg.ops import relu as relu
from talweg.ops import sigmoid as sigmoid
from talweg.ops import sign as sign
from talweg.ops import silu as silu
from talweg.ops import sin as sin
from talweg.ops import sinh as sinh
from talweg.ops import softplus as softplus
from talweg.ops import sqrt as sqrt
from talweg.ops import tan as tan
from talweg.ops import tanh as tanh
from talweg.ops import where as where
from talweg.optim import SGD, Adam, AdamW, RMSprop
from talweg.sequences import dot, log_softmax, logsumexp, norm, softmax
from talweg.training.early_stopping import EarlyStopping
from talweg.training.history import History
from talweg.training.train import Step, minimize, train
from talweg.value import Value

if TYPE_CHECKING:
    from talweg.compiler.derivatives import grad, hessian, hvp, jacobian, value_and_grad
    from talweg.compiler.explain import explain
    from talweg.compiler.jit import jit

__version__ = "0.1.0"


_COMPILER = {
    "explain": "talweg.compiler.explain",
    "grad": "talweg.compiler.derivatives",
    "hessian": "talweg.compiler.derivatives",
    "hvp": "talweg.compiler.derivatives",
    "jacobian": "talweg.compiler.derivatives",
    "jit": "talweg.compiler.jit",
    "value_and_grad": "talweg.compiler.derivatives",
}
"""The compiler's names, loaded when they are asked for: NumPy takes longer than all else."""


_RENAMED = {"SharpnessEvery": "SharpnessCallback", "Table": "Embedding", "pick": "gather"}
"""Deprecated names, kept for one release, and the names that replace them."""


def __getattr__(name: str) -> Any:
    """The compiler's names and the deprecated ones; see `_COMPILER` and `_RENAMED`."""
    if name in _RENAMED:
        warn_renamed(f"talweg.{name}", f"talweg.{_RENAMED[name]}")
        return globals()[_RENAMED[name]]
    if name not in _COMPILER:
        raise AttributeError(f"module 'talweg' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_COMPILER[name]), name)
    return value


# What `from talweg import *` brings; the operations would hide Python's abs, max and min.
__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "Dataset",
    "EarlyStopping",
    "Embedding",
    "GradcheckReport",
    "History",
    "Layer",
    "Matrix",
    "Module",
    "Neuron",
    "Predictor",
    "RMSprop",
    "RangeTest",
    "Scaling",
    "Sharpness",
    "SharpnessCallback",
    "Step",
    "SweepResult",
    "TrainabilityMap",
    "Value",
    "dot",
    "errors",
    "explain",
    "gather",
    "grad",
    "gradcheck",
    "gradients",
    "hessian",
    "hvp",
    "jacobian",
    "jit",
    "lesson_data",
    "log_softmax",
    "logsumexp",
    "losses",
    "lr_range_test",
    "metrics",
    "minimize",
    "norm",
    "ops",
    "schedules",
    "sharpness",
    "softmax",
    "sweep",
    "train",
    "trainability_map",
    "value_and_grad",
]
