"""`talweg sharpness`: which learning rates are stable, from the curvature of the lesson's loss."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from talweg.cli import ending, lesson
from talweg.cli.console import print_json, say
from talweg.cli.options import (
    FIGURES,
    OPTIMIZERS,
    OptimizerName,
    Whole,
    at_least_1,
    destination,
    layer_sizes,
)
from talweg.data import lesson_data
from talweg.errors import ArgumentError
from talweg.explore.stability import Sharpness, SharpnessEvery
from talweg.explore.stability import sharpness as sharpness_of
from talweg.explore.verdicts import in_words
from talweg.history import History
from talweg.nn import MLP
from talweg.optim import Optimizer
from talweg.train import train

EXAMPLES = """Examples:
  talweg sharpness
  talweg sharpness --lr 0.1 --along
  talweg sharpness --optimizer adam --lr 0.01"""


def sharpness(
    *,
    lr: float = 0.05,
    optimizer: OptimizerName = "sgd",
    hidden: str = "4,4",
    seed: Whole = lesson.SEED,
    along: bool = False,
    steps: Whole = 50,
    every: Whole = 1,
    plot: Path | None = None,
    no_plot: bool = False,
    as_json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Show how large a learning rate the curvature of the lesson's loss allows.

    Args:
        lr: the learning rate to judge. Unless given: 0.05.
        optimizer: how parameters move. Unless given: sgd.
        hidden: the sizes of the hidden layers, separated by commas, or none. Unless given: 4,4.
        seed: where the weights start. Unless given: 42.
        along: train too, and follow the curvature along the run; sgd only.
        steps: with --along, how many updates to make. Unless given: 50.
        every: with --along, how many steps lie between two looks. Unless given: 1.
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
    chosen = OPTIMIZERS[optimizer](lr)
    model = lesson.network(random.Random(seed), layer_sizes(hidden))
    start = sharpness_of(model, lesson_data(), optimizer=chosen)
    follow = None
    if along:
        follow = SharpnessEvery(model, lesson_data(), steps=every, optimizer=chosen)
    if not as_json:
        _say_start(model, chosen, seed, start, lr)
    history, saved = None, None
    if follow is not None:
        history = train(
            model,
            lesson_data(),
            optimizer=chosen,
            steps=steps,
            callbacks=[follow],
            progress=True,
        )
        if path is not None and history.sharpness:
            from talweg.draw import curves

            saved = curves.save(history.plot_stability(), path)
    if as_json:
        print_json(_document(model, chosen, seed, start, history, saved))
    elif history is not None:
        _say_run(history, saved)
    return ending.FINE if history is None else ending.exit_code(history)


def _say_start(model: MLP, optimizer: Optimizer, seed: int, start: Sharpness, lr: float) -> None:
    say(f"Network: {model!r}, seed {seed}")
    say("Loss: squared_error, summed over the lesson's four samples")
    say()
    say(f"Largest curvature at the start: {start.largest:.6g}")
    say(f"Length of the gradient: {start.gradient_norm:.6g}")
    name = type(optimizer).__name__
    say(f"Largest stable learning rate of {name}: {start.limit:.6g}", "bold")
    say()
    say(f"Learning rate {start.in_words(lr)}.")


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
    ending.say_verdict(history, in_words(history.losses) if finished else history.verdict)
    ending.say_saved("Picture", saved)


def _document(
    model: MLP,
    optimizer: Optimizer,
    seed: int,
    start: Sharpness,
    history: History | None,
    saved: Path | None,
) -> dict[str, Any]:
    lr: Any = optimizer.lr
    document = {
        "command": "sharpness",
        "network": repr(model),
        "seed": seed,
        "optimizer": type(optimizer).__name__,
        "learning_rate": lr,
        "largest": start.largest,
        "limit": start.limit,
        "gradient_norm": start.gradient_norm,
        "products": start.products,
        "in_words": start.in_words(lr),
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
