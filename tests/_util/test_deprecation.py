"""Every renamed public name still works, and its warning names the new one."""

import random
import warnings

import pytest

import talweg as tw
from talweg.compiler.codegen.builder import Module
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.explore.sweep.run import Run
from talweg.explore.trainability.boundary import Dimension


def a_sweep():
    return tw.sweep(lambda rng: tw.MLP(3, [2, 1], rng=rng), tw.lesson_data(), [0.1], steps=2)


def a_map():
    return tw.trainability_map(
        lambda rng: tw.MLP(3, [2, 1], rng=rng),
        tw.lesson_data(),
        x=("learning_rate[0]", 0.01, 1.0),
        y=("learning_rate[1]", 0.01, 1.0),
        resolution=8,
        steps=2,
    )


def a_range_test():
    return tw.lr_range_test(tw.MLP(3, [2, 1], rng=random.Random(1)), tw.lesson_data(), steps=20)


def a_builder():
    return NumberBuilder(Module().function("f", []))


CASES = {
    "Sharpness.limit": (lambda: tw.Sharpness(2.0, 1.0, 0.5, 3), "max_stable_lr"),
    "RangeTest.in_words": (a_range_test, "summary"),
    "RangeTest.limit": (a_range_test, "max_stable_lr"),
    "TrainabilityMap.in_words": (a_map, "summary"),
    "TrainabilityMap.why_one_by_one": (a_map, "fallback_reason"),
    "SweepResult.in_words": (a_sweep, "summary"),
    "SweepResult.why_one_by_one": (a_sweep, "fallback_reason"),
    "SweepResult.limits": (a_sweep, "max_stable_lrs"),
    "SweepResult.of_limit": (a_sweep, "lr_over_limit"),
    "History.why_eager": (lambda: tw.History(fallback_reason="short"), "fallback_reason"),
    "Run.in_words": (lambda: Run({}, tw.History([4.0, 0.01])), "summary"),
    "Dimension.in_words": (lambda: Dimension(1.0, 0.1, (1,), (2,), "about 1"), "summary"),
    "Adam.remembers": (lambda: tw.Adam(0.1), "state_names"),
    "NumberBuilder.nearest": (a_builder, "round_even"),
    "NumberBuilder.both": (a_builder, "mask_and"),
    "NumberBuilder.either": (a_builder, "mask_or"),
    "NumberBuilder.opposite": (a_builder, "mask_not"),
    "NumberBuilder.bits": (a_builder, "to_bits"),
    "NumberBuilder.number": (a_builder, "from_bits"),
    "NumberBuilder.integer": (a_builder, "integer_constant"),
    "NumberBuilder.odd": (a_builder, "is_odd"),
    "NumberBuilder.call": (a_builder, "libm"),
    "NumberBuilder.call_where": (a_builder, "libm_where"),
}


@pytest.mark.parametrize("old", CASES)
def test_a_renamed_attribute_reads_the_new_one(old):
    make, new = CASES[old]
    result = make()
    cls, attribute = old.split(".")
    with pytest.warns(
        DeprecationWarning, match=f"^{cls}.{attribute} is deprecated .* {cls}.{new}$"
    ):
        value = getattr(result, attribute)
    expected = getattr(result, new)
    assert str(value) == str(expected)


def test_the_old_method_of_a_sharpness_is_the_new_one():
    found = tw.Sharpness(2.0, 1.0, 0.5, 3)
    with pytest.warns(DeprecationWarning, match="Sharpness.summary"):
        assert found.in_words(0.5) == found.summary(0.5)


@pytest.mark.parametrize(
    ("old", "new"),
    [("SharpnessEvery", "SharpnessCallback"), ("Table", "Embedding"), ("pick", "gather")],
)
def test_a_renamed_name_of_the_package_is_the_new_one(old, new):
    with pytest.warns(DeprecationWarning, match=f"talweg.{old} is deprecated .* talweg.{new}"):
        assert getattr(tw, old) is getattr(tw, new)
    assert old not in tw.__all__


def test_the_old_name_of_the_operation_registry():
    with pytest.warns(DeprecationWarning, match="talweg.ops.TABLE is deprecated .* talweg.ops.REG"):
        assert tw.ops.TABLE is tw.ops.REGISTRY
    with pytest.raises(AttributeError, match=r"'talweg\.ops' has no attribute 'table'"):
        tw.ops.table  # noqa: B018


def test_an_optimiser_that_declares_remembers_still_works():
    with pytest.warns(DeprecationWarning, match="Mine.remembers is deprecated .* Mine.state_names"):

        class Mine(tw.SGD):
            remembers = ("velocity",)

    assert Mine.state_names == ("velocity",)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tw.optim.Optimizer.initial_state(Mine(0.1)) == (0.0,)
