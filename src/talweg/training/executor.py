"""Executors: what takes the steps of a training run.

The loop (`talweg.training.loop`) decides which steps are taken, an executor takes them.
`EagerExecutor` does so with graphs of Values, `NativeExecutor` with machine code. Start reading at
`Executor`, then `choose_executor`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from talweg.autodiff.backward import inner_nodes
from talweg.errors import NativeError
from talweg.optim import SGD, Optimizer
from talweg.training.batches import Batch
from talweg.training.eager_executor import EagerExecutor
from talweg.training.history import RunRecord
from talweg.training.objective import Objective
from talweg.training.settings import Settings
from talweg.value import Value

WORTH_COMPILING = 100_000
"""Runs of fewer operations than this take less time than their compilation."""


class Executor(Protocol):
    """What takes the steps of a training run.

    Attributes:
        engine: its name in `History.engine`.
    """

    engine: str

    def steps_per_call(self, limit: int) -> int:
        """How many steps the next call of `take_steps` should take: at least 1.

        Args:
            limit: the largest number that the loop allows, at least 1.
        """

    def take_steps(self, batches: Sequence[Batch], record: RunRecord) -> None:
        """Take a step for each batch and record it; stop if one diverges.

        After each step the parameters hold the new numbers, and `grad` the gradient before them.
        """

    def evaluate(self, examples: Sequence[Any]) -> float:
        """The loss of some examples at the present parameters, reduced as in training."""


def choose_executor(
    objective: Objective, settings: Settings, *, as_floats: bool
) -> tuple[Executor, str]:
    """The executor of a run, by the engine that is asked for.

    With "auto" it is native code if the run is long enough and can be compiled.

    Args:
        objective: what is minimised.
        settings: those of the run.
        as_floats: whether native code takes integers in examples as floats.

    Returns:
        The executor; and with "auto" the reason why it is not native code, else "".

    Raises:
        NativeError: if native code is asked for, and is not possible.
    """
    optimizer, reason = settings.optimizer or SGD(lr=0.05), ""
    if settings.engine == "auto" and _is_short(objective, settings):
        reason = "the run is too short to be worth compiling"
    elif settings.engine != "eager":
        try:
            return _native_executor(objective, optimizer, settings, as_floats=as_floats), ""
        except NativeError as error:
            if settings.engine == "native":
                raise NativeError.not_possible(error) from None
            reason = str(error)
    return EagerExecutor(objective, optimizer, settings.clip_norm), reason


def _native_executor(
    objective: Objective, optimizer: Optimizer, settings: Settings, *, as_floats: bool
) -> Executor:
    from talweg.training.native_executor import (
        NativeExecutor,  # loads NumPy and LLVM, which eager runs do without
    )

    def continue_eagerly(state: Any) -> Executor:
        eager = EagerExecutor(objective, optimizer, settings.clip_norm)
        eager.states = [tuple(numbers) for numbers in state.T.tolist()]
        return eager

    state = random.getstate()  # compilation calls the loss: it must not change the model's draws
    try:
        return NativeExecutor(
            objective,
            optimizer,
            settings.clip_norm,
            mode=settings.mode,
            batch_size=settings.batch_size,
            as_floats=as_floats,
            threads=settings.threads,
            progress=settings.progress,
            fall_back=continue_eagerly if settings.engine == "auto" else None,
        )
    finally:
        random.setstate(state)


def _is_short(objective: Objective, settings: Settings) -> bool:
    samples = settings.steps * (settings.batch_size or len(objective.examples))
    return samples * operation_count(objective.loss, objective.examples[0]) < WORTH_COMPILING


def operation_count(loss: Callable[[Any], Any], example: Any) -> int:
    """The number of operations of a loss: the nodes of its graph, without the leaves.

    The loss is called once, and the random state is restored. The count is 0 if the call fails or
    gives no Value: the run itself then reports the fault.

    Args:
        loss: the loss of one example.
        example: the example.

    >>> w = Value(0.5)
    >>> operation_count(lambda x: (w * x - 1.0) ** 2, 3.0)
    3
    """
    state = random.getstate()
    try:
        part = loss(example)
    except Exception:  # of whatever kind: the run itself raises it again
        return 0
    finally:
        random.setstate(state)
    return len(inner_nodes(part)) if isinstance(part, Value) else 0
