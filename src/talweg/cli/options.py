"""The options that commands share, each declared once: groups, types, names and help.

A group such as `DataOptions` is a dataclass whose fields are options. A command takes it as one
parameter, and cyclopts offers its fields as options of the command. The group Training differs
from command to command: a command adds options to `RunOptions`, and those that only some commands
have are declared with the types `LearningRate`, `Steps` and so on, which carry the help.

Start reading at `DataOptions`.
"""

# Annotations are evaluated here: cyclopts looks up names in them in the module of the subclass.

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from cyclopts import Group, Parameter, Token

from talweg import optim
from talweg.cli import messages
from talweg.cli.defaults import ACTIVATION, Defaults
from talweg.cli.option_values import layer_sizes, names
from talweg.cli.output_files import FIGURES, output_file
from talweg.errors import ArgumentError
from talweg.training.settings import Engine, Mode

Kind: TypeAlias = Literal["auto", "regression", "classification"]
OptimizerName: TypeAlias = Literal["sgd", "adam", "adamw", "rmsprop"]
ActivationName: TypeAlias = Literal["tanh", "relu", "sigmoid", "softplus", "sin", "linear"]
LossName: TypeAlias = Literal["squared_error", "hinge", "binary_cross_entropy", "cross_entropy"]

OPTIMIZERS: dict[str, Callable[[float], optim.Optimizer]] = {
    "sgd": optim.SGD,
    "adam": optim.Adam,
    "adamw": optim.AdamW,
    "rmsprop": optim.RMSprop,
}

DATA, MODEL, MAP, TRAINING, EXECUTION, OUTPUT = (
    Group(name, sort_key=position)
    for position, name in enumerate(["Data", "Model", "Map", "Training", "Execution", "Output"])
)


# ---- types of values ----------------------------------------------------------------------------


def _integer(_: object, tokens: Sequence[Token]) -> int:
    """The integer of an option; cyclopts itself takes 1.5 for 1."""
    try:
        return int(tokens[0].value)
    except ValueError:
        raise ValueError(f"expected an integer, got {tokens[0].value!r}") from None


def _positive_integer(_: object, tokens: Sequence[Token]) -> int:
    try:
        number = int(tokens[0].value)
    except ValueError:
        number = 0
    if number < 1:
        raise ValueError(f"expected an integer of at least 1, got {tokens[0].value!r}")
    return number


Integer: TypeAlias = Annotated[int, Parameter(converter=_integer)]
PositiveInteger: TypeAlias = Annotated[int, Parameter(converter=_positive_integer)]


# ---- single options -----------------------------------------------------------------------------

File: TypeAlias = Annotated[
    Path | None,
    Parameter(
        group=DATA,
        help="a CSV or Parquet file with a line of column names; without it, the lesson.",
    ),
]
Optimizer: TypeAlias = Annotated[
    OptimizerName | None,
    Parameter(help="the rule that updates parameters. Unless given: sgd; with a file, adam."),
]
LearningRate: TypeAlias = Annotated[
    float | None, Parameter(help="the learning rate. Unless given: 0.05; with a file, 0.02.")
]
Steps: TypeAlias = Annotated[
    PositiveInteger | None,
    Parameter(help="the number of updates of a run. Unless given: 50; with a file, 200."),
]
Batch: TypeAlias = Annotated[
    PositiveInteger | None,
    Parameter(help="the number of samples of a step. Unless given: all; with a file, 16."),
]
Seed: TypeAlias = Annotated[
    Integer | None,
    Parameter(help="the seed of weights, split and shuffling. Unless given: 42; with a file, 1."),
]
Json: TypeAlias = Annotated[
    bool, Parameter(name="--json", help="print one JSON document in place of text.")
]


# ---- groups of options --------------------------------------------------------------------------


@Parameter(name="*", group=DATA)
@dataclass(frozen=True)
class DataOptions:
    """How the columns of a file are used.

    Attributes:
        target: the column to predict; all others are inputs.
        kind: the kind of the target; auto decides by its values.
        ignore: columns to leave out, separated by commas.
    """

    target: str | None = None
    kind: Kind = "auto"
    ignore: str = ""

    @property
    def ignored(self) -> list[str]:
        """The columns to leave out."""
        return names(self.ignore)


@Parameter(name="*", group=MODEL)
@dataclass(frozen=True)
class ModelOptions:
    """The network and its loss.

    Attributes:
        hidden: the sizes of the hidden layers, separated by commas, or none. Unless given: 4,4;
            with a file, 16.
        activation: the activation of the hidden layers. Unless given: tanh.
        loss: the loss of one prediction; unless given, the usual loss for the target.
    """

    hidden: str | None = None
    activation: ActivationName | None = None
    loss: LossName | None = None

    def layers(self, default: Sequence[int]) -> Sequence[int]:
        """The sizes of the hidden layers.

        Raises:
            ArgumentError: if the option is not a list of sizes.
        """
        return default if self.hidden is None else layer_sizes(self.hidden)

    @property
    def activation_name(self) -> str:
        """The activation of the hidden layers."""
        return self.activation or ACTIVATION


@Parameter(name="*", group=TRAINING)
@dataclass(frozen=True)
class RunOptions:
    """The options of a training run that commands share; each command adds its own."""

    optimizer: Optimizer = None
    seed: Seed = None

    def settings(self, usual: Defaults) -> Defaults:
        """The settings that are given, and those of `usual` for the others.

        >>> from talweg.cli.defaults import LESSON
        >>> RunOptions(seed=7).settings(LESSON).seed, RunOptions(seed=7).settings(LESSON).optimizer
        (7, 'sgd')
        """
        chosen = {f.name: getattr(self, f.name, None) for f in fields(usual)}
        return replace(usual, **{name: x for name, x in chosen.items() if x is not None})


@Parameter(name="*", group=EXECUTION)
@dataclass(frozen=True)
class ExecutionOptions:
    """What computes the runs of a command that makes many.

    Attributes:
        engine: native for compiled code or an error, eager for the eager engine, auto for
            compiled code where that is possible and faster. Unless given: auto.
        mode: exact for results with the bits of the eager engine. Unless given: default.
        threads: the number of threads that share the runs. Unless given: one for each core.
    """

    engine: Engine = "auto"
    mode: Mode = "default"
    threads: PositiveInteger | None = None


@Parameter(name="*", group=OUTPUT)
@dataclass(frozen=True)
class OutputOptions:
    """The picture, and the form of the report; {command} becomes the name of the command.

    Attributes:
        plot: where to save the picture: .png, .svg or .pdf. Unless given: talweg-{command}.png.
        no_plot: save no picture.
    """

    plot: Path | None = None
    no_plot: bool = False
    as_json: Json = False

    def picture(self, command: str) -> Path | None:
        """Where to save the picture of a command, or None.

        Raises:
            ArgumentError: if it cannot be written there, or --no-plot is given too.
        """
        default = f"talweg-{command}.png"
        return output_file("--plot", self.plot, FIGURES, default=default, disabled=self.no_plot)


def given(options: Any) -> list[str]:
    """The options of a group that have another value than their default.

    >>> given(DataOptions(target="y", ignore="id"))
    ['--target', '--ignore']
    """
    changed = [f.name for f in fields(options) if getattr(options, f.name) != f.default]
    return [messages.OPTIONS.name(name) for name in changed]


def refuse_without_file(command: str, options: Sequence[str], otherwise: str = "") -> None:
    """Refuse options that only make sense for a file.

    Args:
        command: the name of the command.
        options: those that were given.
        otherwise: what can be given in place of a file, for the message.

    Raises:
        ArgumentError: if there are any.
    """
    if options:
        raise ArgumentError(
            f"{options[0]} is for a file; name it: talweg {command} FILE --target COLUMN{otherwise}"
        )
