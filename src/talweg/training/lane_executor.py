"""Many training runs of one program by native code, with a model in each SIMD lane.

Weights, learning rates and other numbers of the optimisers are arrays with an entry for each run.
`ModelProgram` (`talweg.training.model_program`) is what the models have in common, `Family`
(`talweg.training.optimizer_family`) what the optimisers have in common.
`compiler/runtime/lane_trainer.py` compiles both and trains the models.

Start reading at `LaneExecutor.train`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import numpy as np

from talweg.compiler import pipeline
from talweg.compiler.ir.tape import Array
from talweg.compiler.runtime.buffers import Batches
from talweg.compiler.runtime.lane_trainer import LaneRuns
from talweg.errors import CompilerError, NativeError, TalwegError
from talweg.training.batches import batches_of
from talweg.training.model_program import ModelProgram
from talweg.training.optimizer_family import Family
from talweg.training.update_guard import refuse_hidden_state


class LaneExecutor:
    """Trains models of one program with optimisers of one family. Several threads may call it.

    Args:
        program: of the models.
        family: of the optimisers.
        mode: "default" or "exact".
        ranges: the ends of ranges of parameters, each with a learning rate of its own, in the
            order of the model's parameters; one range unless given.

    Raises:
        NativeError: if the loss or the optimisers cannot be compiled.
    """

    def __init__(
        self, program: ModelProgram, family: Family, *, mode: str, ranges: Sequence[int] = ()
    ) -> None:
        self.program = program
        self.family = family
        self.exact = mode == "exact"
        refuse_hidden_state(family.example)
        try:
            self.trainer = pipeline.lane_trainer(
                program.tape,
                program.inputs(),
                update=family.update,
                start=family.example.initial_state(),
                mean=program.mean,
                batch=program.batch_size,
                settings=len(family.varied),
                range_ends=ranges,
                exact=self.exact,
                scheduled=family.scheduled,
            )
        except (CompilerError, NativeError):
            raise
        except (TalwegError, TypeError, AttributeError, ValueError) as error:
            raise NativeError(f"the optimiser cannot be compiled: {error}") from None

    def train(
        self,
        weights: Array,
        rates: Array,
        steps: int,
        *,
        settings: Array | None = None,
        seed: int | None = None,
        target: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> LaneRuns:
        """Train models.

        Args:
            weights: the first parameters, shape (models, parameters).
            rates: the learning rates, shape (models,), or (ranges, models) with ranges; with all
                steps before that, (steps, ranges, models), if they follow a schedule.
            steps: how many steps each makes, unless it stops before.
            settings: the numbers in which the optimisers differ, in the order of
                `Family.varied`, shape (settings, models).
            seed: seeds the order of samples, if a step does not take all of them.
            target: a loss at which, or below, a run stops; None for none.
            stopped: whether to return before the end; asked from time to time.
        """
        return self.trainer.run(
            weights,
            rates,
            steps,
            settings=settings,
            batches=self._batches(steps, seed),
            target=-np.inf if target is None else target,
            stopped=stopped,
        )

    def _batches(self, steps: int, seed: int | None) -> Batches | None:
        """Which samples the steps take, as `train` chooses them; None for all of them."""
        size, count = self.program.batch_size, len(self.program.samples)
        if size is None:
            return None
        taken = batches_of(count, size, random.Random(seed))
        some = [next(taken) for _ in range(steps)]
        order = [i for batch in some for i in batch or ()]
        return Batches(np.array(order), np.array([len(batch or ()) for batch in some]))
