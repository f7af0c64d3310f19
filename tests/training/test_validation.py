"""ValidationMonitor and early stopping without any training."""

import math

import pytest

from talweg import EarlyStopping, Value
from talweg.training.early_stopping import LowestLoss
from talweg.training.history import RunRecord
from talweg.training.objective import Objective
from talweg.training.validation import ValidationMonitor


class Setting:
    """A monitor whose losses are given, one for each evaluation; `step` adds a step."""

    def __init__(self, losses, **given):
        self.w = Value(0.0)
        self.losses = iter(losses)
        self.evaluated = []
        self.record = RunRecord()
        self.objective = Objective([self.w], lambda x: x, ["training"], mean=False)
        self.monitor = ValidationMonitor(self.objective, self.loss_of, self.record, **given)

    def loss_of(self, examples):
        self.evaluated.append(examples)
        return next(self.losses)

    def step(self):
        self.w.data += 1.0
        self.record.add([1.0], [0.1], [0.0])


def test_nothing_to_evaluate():
    setting = Setting([])
    assert not setting.monitor.is_active
    assert not setting.monitor.stop_if_due()
    setting.monitor.restore_best()
    assert setting.record.history.verdict == ""


def test_a_model_is_evaluated_once_before_each_step():
    setting = Setting([3.0, 2.0], validation=["validation"])
    assert setting.monitor.is_active
    setting.monitor.evaluate()
    setting.monitor.evaluate()
    setting.step()
    setting.monitor.evaluate()
    assert setting.record.history.validation_losses == [(1, 3.0), (2, 2.0)]
    assert setting.evaluated == [["validation"]] * 2


@pytest.mark.parametrize(("validation", "seen"), [(None, "training"), (["other"], "other")])
def test_metrics_use_the_validation_data_or_else_the_training_data(validation, seen):
    metrics = {"first": lambda model, examples: (model[0].data, examples[0])}
    setting = Setting([1.0], validation=validation, metrics=metrics)
    setting.monitor.evaluate()
    assert setting.record.history.metrics == {"first": [(1, (0.0, seen))]}


def test_early_stopping_uses_the_validation_loss_without_a_second_evaluation():
    setting = Setting([1.0], validation=["validation"], early_stopping=EarlyStopping(2))
    setting.monitor.evaluate()
    assert setting.evaluated == [["validation"]]
    assert setting.monitor.lowest.loss == 1.0


def test_a_run_stops_after_evaluations_without_improvement_and_gets_its_best_weights_back():
    setting = Setting([3.0, 1.0, 2.0, 1.0], early_stopping=EarlyStopping(patience=2))
    stopped = []
    for _ in range(4):
        stopped.append(setting.monitor.stop_if_due())
        setting.step()
    assert stopped == [False, False, False, True]
    assert setting.record.history.status == "stopped early"
    setting.monitor.restore_best()
    assert setting.w.data == 1.0
    assert setting.record.history.verdict == (
        "stopped before step 4: the last 2 evaluations did not improve the loss; the model has "
        "the weights with the lowest loss evaluated, 1 before step 2"
    )


@pytest.mark.parametrize(
    ("losses", "min_delta", "lowest", "stops"),
    [
        ([2.0, 1.0, 0.5], 0.0, 0.5, False),
        ([2.0, 2.0, 2.0], 0.0, 2.0, True),
        ([2.0, 1.6, 1.2], 0.5, 1.2, False),  # compared with the lowest, not with the last
        ([2.0, 1.6, 1.6], 0.5, 2.0, True),
        ([math.nan, math.inf, math.nan], 0.0, math.inf, False),
        ([1.0, math.nan, math.inf], 0.0, 1.0, True),
    ],
)
def test_when_a_loss_is_an_improvement(losses, min_delta, lowest, stops):
    state = LowestLoss(EarlyStopping(patience=2, min_delta=min_delta))
    for step, loss in enumerate(losses, 1):
        state.update(loss, step, [0.0])
    assert state.loss == lowest
    assert state.should_stop is stops
