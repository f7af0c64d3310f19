"""Runs of a map by native code, compared with the eager engine and with NumPy."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pytest
from mean_field_runs import Runs

import talweg as tw
from talweg.compiler.runtime.lane_trainer import LaneTrainer
from talweg.errors import NativeError
from talweg.explore.trainability import point_lanes
from talweg.explore.trainability.axes import Plane, parse_axis
from talweg.explore.trainability.mean_field import default_problem
from talweg.explore.trainability.point_lanes import PointJob, PointLanes
from talweg.explore.trainability.point_runs import run_measures
from talweg.explore.trainability.specification import MapSpecification

MAKE, DATA = default_problem(width=3)


def specification(x, y, optimizer=None, reduction="mean", batch_size=None, make=MAKE, steps=12):
    return MapSpecification(
        make, DATA, Plane(parse_axis(x, "x"), parse_axis(y, "y")), tw.losses.squared_error,
        reduction, optimizer or tw.SGD(0.05), steps, batch_size, 7,
    )  # fmt: skip


def points(of, n=8):
    level = n.bit_length() - 1
    xs, ys = of.plane.x.values(level, 0, n), of.plane.y.values(level, 0, n)
    return np.tile(xs, n), np.repeat(ys, n)


COSINE = tw.schedules.Cosine(0.1, steps=12)
RATES = (1e-2, 1e3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("x", "y", "given"),
    [
        (("learning_rate[0]", *RATES), ("learning_rate[1]", *RATES), {}),
        (("learning_rate", *RATES), ("learning_rate[1]", *RATES), {}),  # that of the layer counts
        (("learning_rate[1]", *RATES), ("learning_rate", *RATES), {"reduction": "sum"}),
        (("learning_rate[0]", *RATES), ("initial_scale", 0.1, 10), {}),
        (("learning_rate", *RATES), ("initial_scale[1]", 0.0, 10), {}),
        (("initial_scale[1]", 0.1, 10), ("initial_scale", 0.1, 10), {"optimizer": tw.SGD(9.0)}),
        (("learning_rate", *RATES), ("momentum", 0, 1), {}),  # at 0 there is another program
        (("weight_decay", 0, 3), ("momentum", 0, 1), {"optimizer": tw.SGD(1.0)}),
        (("learning_rate", 1e-3, 10), ("beta1", 0, 1), {"optimizer": tw.Adam(0.1)}),
        (("learning_rate[0]", 1e-3, 10), ("epsilon", 0, 1), {"optimizer": tw.Adam(COSINE)}),
        (("learning_rate", 1e-3, 100), ("momentum", 0, 1), {"batch_size": 5}),
    ],
)
def test_exact_mode_gives_the_bits_of_the_eager_engine(x, y, given):
    of = specification(x, y, **given)
    given_points = points(of)
    found = PointJob(of, "exact").prepare()(given_points)
    eager = run_measures(of, *given_points)
    assert found.tolist() == eager.tolist()
    assert len(set(eager.tolist())) > 16  # the measure depends on both settings
    default = PointJob(of, "default").prepare()(given_points)
    np.testing.assert_array_equal(default < 0.0, eager < 0.0)


def test_measures_do_not_depend_on_order_and_number_of_points():
    of = specification(("learning_rate", *RATES), ("momentum", 0, 1))
    work = PointJob(of, "default").prepare()
    xs, ys = points(of, 16)
    whole = work((xs, ys))
    order = np.random.default_rng(0).permutation(len(xs))
    assert work((xs[order], ys[order])).tolist() == whole[order].tolist()
    assert [work((xs[k : k + 1], ys[k : k + 1]))[0] for k in order[:20]] == (
        whole[order[:20]].tolist()
    )


def test_long_runs_are_computed_in_small_batches(monkeypatch):
    of = specification(("learning_rate", *RATES), ("momentum", 0, 1))
    whole = PointJob(of, "default").prepare()(points(of))
    counts, run = [], LaneTrainer.run

    def counted(self, weights, *args, **more):
        counts.append(len(weights))
        return run(self, weights, *args, **more)

    monkeypatch.setattr(LaneTrainer, "run", counted)
    monkeypatch.setattr(point_lanes, "_LOSSES_AT_ONCE", 10 * of.steps)
    assert PointJob(of, "default").prepare()(points(of)).tolist() == whole.tolist()
    assert sum(counts) == len(whole)
    assert max(counts) == 10


def test_a_layer_that_is_not_trained_is_an_error():
    def make(rng):
        model = MAKE(rng)
        model.parameters = model.layers[1].parameters
        return model

    of = specification(("learning_rate[0]", *RATES), ("learning_rate[1]", *RATES), make=make)
    with pytest.raises(NativeError, match=r"learning_rate\[0\] applies to Values that"):
        PointJob(of, "exact").prepare()


@dataclass
class Doubled(tw.optim.Optimizer):
    half: float = 0.1

    def __post_init__(self):
        self.whole = 2.0 * self.half

    def update(self, p, g, state, lr, step):
        return p - lr * (self.whole * g), state


@dataclass
class WithState(Doubled):
    def initial_state(self):
        return (self.half,)


@pytest.mark.parametrize(
    ("kind", "reason"), [(Doubled, r"\('half', 'whole'\)"), (WithState, r"initial_state\(\)")]
)
def test_an_attribute_that_depends_on_a_setting_is_an_error(kind, reason):
    of = specification(("learning_rate", *RATES), ("half", 0.1, 0.9), optimizer=kind(0.1))
    with pytest.raises(NativeError, match=reason):
        PointJob(of, "exact").prepare()


def test_a_model_that_cannot_be_compiled_is_an_error():
    class UsesPlainNumber:
        def __init__(self, rng):
            self.model = MAKE(rng)
            self.parameters = self.model.parameters

        def __call__(self, x):
            return self.model(x) * (1.0 + float(self.model.parameters()[0]))

    of = specification(("learning_rate", *RATES), ("momentum", 0, 1), make=UsesPlainNumber)
    with pytest.raises(NativeError, match="the loss is not one program"):
        PointLanes(of, "default")


# ---- whole maps ------------------------------------------------------------------------------


def test_the_published_map_equals_that_of_numpy():
    runs = Runs(width=8, steps=100)
    found = tw.trainability_map(resolution=64, engine="native")
    expected = runs.compute(np.tile(found.x, 64), np.repeat(found.y, 64)).reshape(64, 64)
    differ = found.converged != (expected < 0.0)
    assert 0.4 < found.converged.mean() < 0.6
    assert differ.mean() <= 0.005  # next to the boundary a run depends on the last bit
    near = np.zeros_like(differ)
    for rows in (slice(None, -1), slice(1, None)):
        other = slice(1, None) if rows == slice(None, -1) else slice(None, -1)
        near[rows] |= found.converged[rows] != found.converged[other]
        near[:, rows] |= found.converged[:, rows] != found.converged[:, other]
    assert (differ & ~near).sum() <= 2
    stable = np.ix_(found.y < 1.0, found.x < 1.0)  # where no run is chaotic
    np.testing.assert_allclose(found.measure[stable], expected[stable], rtol=1e-9)


@pytest.mark.parametrize("how", ["threads=1", "threads=5", "pool", "coarse first", "two halves"])
def test_the_bits_do_not_depend_on_how_points_are_computed(how, tmp_path):
    settings = {"steps": 30, "engine": "native", "x": ("learning_rate", 0.1, 1e4)}
    whole = tw.trainability_map(MAKE, DATA, y=("momentum", 0, 1), resolution=128, **settings)
    settings |= {"y": ("momentum", 0, 1), "store": tmp_path / "map"}
    if how == "pool":
        with ThreadPoolExecutor(3) as pool:
            other = tw.trainability_map(MAKE, DATA, resolution=128, executor=pool, **settings)
    elif how == "coarse first":
        tw.trainability_map(MAKE, DATA, resolution=16, **settings)
        other = tw.trainability_map(MAKE, DATA, resolution=128, **settings)
    elif how == "two halves":
        tw.trainability_map(MAKE, DATA, resolution=64, **settings).zoom(x=300.0, y=0.3)
        other = tw.trainability_map(MAKE, DATA, resolution=128, **settings)
    else:
        threads = int(how.removeprefix("threads="))
        other = tw.trainability_map(MAKE, DATA, resolution=128, threads=threads, **settings)
    assert other.measure.tolist() == whole.measure.tolist()
    assert other.fallback_reason == ""


def test_a_map_can_be_zoomed_after_ctrl_c(monkeypatch):
    call, done = PointLanes.__call__, []

    def interrupted(self, points):
        done.append(len(points[0]))
        if len(done) == 3:
            raise KeyboardInterrupt
        return call(self, points)

    monkeypatch.setattr(PointLanes, "__call__", interrupted)
    part = tw.trainability_map(resolution=128, steps=10, engine="native", threads=1)
    assert 0.0 < part.finished < 1.0
    closer = part.zoom(x=10.0, y=10.0, factor=2)
    assert closer.finished == 1.0
    monkeypatch.undo()
    whole = tw.trainability_map(resolution=128, steps=10, engine="native")
    assert closer.measure.tolist() == whole.zoom(x=10.0, y=10.0, factor=2).measure.tolist()


def test_the_eager_engine_computes_what_native_code_cannot_and_the_reason_is_given():
    class UsesPlainNumber:
        def __init__(self, rng):
            self.model = MAKE(rng)
            self.layers, self.parameters = self.model.layers, self.model.parameters

        def __call__(self, x):
            return self.model(x) * (1.0 + float(self.model.parameters()[0]))

    settings = {"resolution": 8, "steps": 3}
    found = tw.trainability_map(UsesPlainNumber, DATA, **settings)
    eager = tw.trainability_map(UsesPlainNumber, DATA, engine="eager", **settings)
    assert "the loss is not one program" in found.fallback_reason
    assert found.zoom(x=1.0, y=1.0).fallback_reason == found.fallback_reason
    assert eager.fallback_reason == "the eager engine was requested"
    assert found.measure.tolist() == eager.measure.tolist()
    with pytest.raises(NativeError, match="the loss is not one program"):
        tw.trainability_map(UsesPlainNumber, DATA, engine="native", **settings)
