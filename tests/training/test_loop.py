"""TrainingLoop with an executor that only counts: calls, passes, callbacks, stopping, Ctrl-C."""

import pytest

from talweg import EarlyStopping, Value
from talweg.training.history import RunRecord
from talweg.training.loop import TrainingLoop
from talweg.training.objective import Objective
from talweg.training.settings import Settings
from talweg.training.validation import ValidationMonitor


class CountingExecutor:
    """Records a loss of 1 / step for each step, `per_call` steps at a time."""

    engine = "counting"

    def __init__(self, per_call=4, diverges_at=None, interrupted_at=None):
        self.per_call = per_call
        self.diverges_at = diverges_at
        self.interrupted_at = interrupted_at
        self.calls = []
        self.batches = []
        self.evaluated_after = []
        self.record = None

    def steps_per_call(self, limit):
        return min(limit, self.per_call)

    def take_steps(self, batches, record):
        self.record = record
        self.calls.append(len(batches))
        for batch in batches:
            step = record.history.steps + 1
            if step == self.interrupted_at:
                record.history.learning_rates.append(0.1)  # a step that was not finished
                raise KeyboardInterrupt
            self.batches.append(batch)
            record.add([1.0 / step], [0.1], [float(step)])
            if step == self.diverges_at:
                record.stop("diverged", "diverged")
                return

    def evaluate(self, examples):
        self.evaluated_after.append(self.record.history.steps if self.record else 0)
        return 1.0


def run(executor, examples=6, validation=None, early_stopping=None, **settings):
    objective = Objective([Value(1.0)], lambda x: x, list(range(examples)), mean=False)
    chosen = {"steps": 10, "seed": 1, "engine": "eager", **settings}
    record = RunRecord()
    monitor = ValidationMonitor(
        objective, executor.evaluate, record, validation=validation, early_stopping=early_stopping
    )
    TrainingLoop(objective, executor, record, monitor, Settings(**chosen)).run()
    return record.history


def test_the_executor_chooses_how_many_steps_a_call_takes():
    executor = CountingExecutor(per_call=4)
    history = run(executor)
    assert executor.calls == [4, 4, 2]
    assert executor.batches == [None] * 10
    assert (history.status, history.steps) == ("finished", 10)
    assert history.verdict == "finished 10 steps; the loss went from 1 to 0.1"


def test_callbacks_make_every_step_a_call():
    executor, seen = CountingExecutor(), []
    run(executor, steps=3, callbacks=[lambda step: seen.append((step.number, step.loss))])
    assert executor.calls == [1, 1, 1]
    assert seen == [(1, 1.0), (2, 0.5), (3, 1.0 / 3)]


def test_a_call_ends_at_the_end_of_a_pass_if_there_is_something_to_evaluate():
    executor = CountingExecutor(per_call=100)
    history = run(executor, steps=7, batch_size=2, validation=["v"])  # passes of 3 steps
    assert executor.calls == [3, 3, 1]
    assert executor.evaluated_after == [0, 3, 6, 7]
    assert [step for step, _ in history.validation_losses] == [1, 4, 7, 8]
    without = CountingExecutor(per_call=100)
    run(without, steps=7, batch_size=2)
    assert without.calls == [7]


def test_every_pass_has_every_example_once():
    executor = CountingExecutor()
    run(executor, steps=6, batch_size=2)
    first, second = executor.batches[:3], executor.batches[3:]
    assert sorted(i for batch in first for i in batch) == list(range(6))
    assert sorted(i for batch in second for i in batch) == list(range(6))
    assert first != second


def test_all_callbacks_are_called_for_the_step_at_which_one_stops():
    seen = []
    history = run(
        CountingExecutor(), callbacks=[lambda s: s.number == 2, lambda s: seen.append(s.number)]
    )
    assert seen == [1, 2]
    assert history.verdict == "a callback stopped the run at step 2"


def test_a_diverged_run_is_not_evaluated_again():
    executor = CountingExecutor(per_call=5, diverges_at=3)
    history = run(executor, validation=["v"])
    assert (history.status, history.verdict, history.steps) == ("diverged", "diverged", 3)
    assert executor.evaluated_after == [0, 1, 2]


def test_early_stopping_stops_before_a_pass():
    history = run(CountingExecutor(), early_stopping=EarlyStopping(patience=2))
    assert (history.status, history.steps) == ("stopped early", 2)


@pytest.mark.parametrize("step", [1, 5])
def test_ctrl_c_removes_an_unfinished_step(step):
    history = run(CountingExecutor(interrupted_at=step))
    assert history.verdict == f"interrupted after {step - 1} of 10 steps"
    assert len(history.losses) == len(history.learning_rates) == len(history.seconds) == step - 1


def test_no_steps():
    executor = CountingExecutor()
    history = run(executor, steps=0, validation=["v"])
    assert executor.calls == []
    assert (history.status, history.validation_losses) == ("finished", [(1, 1.0)])
