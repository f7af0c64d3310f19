"""`talweg sharpness`: which learning rates are stable, from the curvature of a loss.

The loss is the lesson's, or that of a file of yours at the start of its training.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending
from talweg.cli.console import print_json, say
from talweg.cli.options import (
    FIGURES,
    OPTIMIZERS,
    ActivationName,
    Kind,
    LossName,
    OptimizerName,
    Whole,
    at_least_1,
    destination,
)
from talweg.cli.subject import Subject, subject_of
from talweg.errors import ArgumentError
from talweg.explore.sharpness import Sharpness, SharpnessCallback
from talweg.explore.sharpness import sharpness as sharpness_of
from talweg.explore.verdicts import summary
from talweg.optim import Optimizer
from talweg.training.history import History
from talweg.training.objective import Model
from talweg.training.train import train

EXAMPLES = """Examples:
  talweg sharpness
  talweg sharpness --lr 0.1 --along
  talweg sharpness --optimizer adam --lr 0.01
  talweg sharpness iris.csv --target species --lr 0.02"""


def sharpness(
    file: Path | None = None,
    /,
    *,
    target: str | None = None,
    kind: Kind = "auto",
    ignore: str = "",
    hidden: str | None = None,
    activation: ActivationName = "tanh",
    loss: LossName | None = None,
    lr: float | None = None,
    optimizer: OptimizerName | None = None,
    seed: Whole | None = None,
    along: bool = False,
    steps: Whole = 50,
    every: Whole = 1,
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show how large a learning rate the curvature of the loss allows.

    The network, its data and the other settings are those of `talweg train`, with the same
    defaults; but the loss is that of all samples, because a batch has a curvature of its own.

    Args:
        file: a CSV or Parquet file with a line of column names; without it, the lesson.
        target: the column to predict; all others are inputs.
        kind: what the target is; auto decides by its values.
        ignore: columns to leave out, separated by commas.
        hidden: the sizes of the hidden layers, separated by commas, or none. Lesson: 4,4;
            file: 16.
        activation: the activation of the hidden layers. Both: tanh.
        loss: how wrong one prediction is; unless given, the usual one for the target.
        lr: the learning rate to judge. Lesson: 0.05; file: 0.02.
        optimizer: how parameters move. Lesson, and with --along: sgd; file: adam.
        seed: where weights and split start. Lesson: 42; file: 1.
        along: train too, and follow the curvature along the run; sgd only.
        steps: with --along, how many updates to make. Both: 50.
        every: with --along, how many steps lie between two looks. Both: 1.
        plot: with --along, where to save the picture: .png, .svg or .pdf. Unless given:
            talweg-sharpness.png.
        no_plot: save no picture.
        as_json: print one JSON document in place of text.

    Returns:
        The exit code.
    """
    if plot is not None and not along:
        raise ArgumentError("--plot draws a run; give --along too")
    at_least_1("--steps", steps)
    at_least_1("--every", every)
    path = destination("--plot", plot, "talweg-sharpness.png", no_plot, FIGURES) if along else None
    name = optimizer or ("sgd" if file is None or along else "adam")
    rate = (0.05 if file is None else 0.02) if lr is None else lr
    chosen = OPTIMIZERS[name](rate)
    subject = subject_of(
        "sharpness",
        file,
        target=target,
        kind=kind,
        ignore=ignore,
        hidden=hidden,
        activation=activation,
        loss=loss,
        batch=None,
        seed=seed,
    )
    model = subject.model()
    whole: dict[str, Any] = {
        "loss": subject.loss,
        "reduction": subject.reduction,
        "optimizer": chosen,
    }
    start = sharpness_of(model, subject.samples, **whole)
    follow = SharpnessCallback(model, subject.samples, steps=every, **whole) if along else None
    if not as_json:
        _say_start(subject, model, chosen, start, rate)
    history, saved = None, None
    if follow is not None:
        history = train(
            model, subject.samples, steps=steps, callbacks=[follow], progress=True, **whole
        )
        if path is not None and history.sharpness:
            from talweg.plotting import figure

            saved = figure.save(history.plot_stability(), path)
    if as_json:
        print_json(_document(subject, model, chosen, start, history, saved))
    elif history is not None:
        _say_run(history, saved)
    return ending.FINE if history is None else ending.exit_code(history)


def _say_start(
    subject: Subject, model: Model, optimizer: Optimizer, start: Sharpness, lr: float
) -> None:
    of = "summed over the lesson's four samples"
    if subject.file is not None:
        say(str(subject.file), "bold")
        of = f"mean over {len(subject.samples)} rows, those that talweg train would train on"
    say(f"Network: {model!r}, seed {subject.seed}")
    say(f"Loss: {subject.loss_name}, {of}")
    say()
    say(f"Largest curvature at the start: {start.largest:.6g}")
    say(f"Length of the gradient: {start.gradient_norm:.6g}")
    name = type(optimizer).__name__
    say(f"Largest stable learning rate of {name}: {start.max_stable_lr:.6g}", "bold")
    say()
    say(f"Learning rate {start.summary(lr)}.")


def _say_run(history: History, saved: Path | None) -> None:
    looks = list(zip(history.sharpness, history.sharpness_limits, strict=True))
    seen = [(largest, step) for (step, largest), _ in looks if math.isfinite(largest)]
    if seen:
        highest, step = max(seen)
        limit = history.sharpness_limits[0][1]
        above = [step for (step, largest), (_, limit) in looks if largest > limit]
        first = f", first at step {above[0]}" if above else ""
        say()
        say(f"Along {history.steps} steps the largest was {highest:.6g}, at step {step}")
        say(
            f"Above {limit:.6g}, which this learning rate bears: {len(above)} of {len(looks)} "
            f"looks{first}"
        )
    finished = history.status == "finished"
    ending.say_verdict(history, summary(history.losses) if finished else history.verdict)
    ending.say_saved("Picture", saved)


def _document(
    subject: Subject,
    model: Model,
    optimizer: Optimizer,
    start: Sharpness,
    history: History | None,
    saved: Path | None,
) -> dict[str, Any]:
    lr: Any = optimizer.lr
    document = {
        "command": "sharpness",
        "file": None if subject.file is None else str(subject.file),
        "network": repr(model),
        "seed": subject.seed,
        "optimizer": type(optimizer).__name__,
        "learning_rate": lr,
        "largest": start.largest,
        "max_stable_lr": start.max_stable_lr,
        "gradient_norm": start.gradient_norm,
        "products": start.products,
        "summary": start.summary(lr),
        "plots": [] if saved is None else [str(saved)],
    }
    if history is not None:
        document |= {
            "steps": history.steps,
            "losses": history.losses,
            "sharpness": history.sharpness,
            "sharpness_limits": history.sharpness_limits,
            "status": history.status,
            "verdict": history.verdict,
        }
    return document
