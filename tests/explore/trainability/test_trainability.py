"""Maps against runs made one by one, zooms, Ctrl-C, pictures and animations."""

import io
import math
import pickle
import random
import re
from html import unescape
from itertools import pairwise

import numpy as np
import pytest
from mean_field_runs import Runs
from PIL import Image

import talweg as tw
from talweg.errors import ArgumentError, DataError
from talweg.explore.trainability.axes import axis
from talweg.explore.trainability.mean_field import MeanFieldNet, default_problem
from talweg.explore.trainability.measure import convergence_measure
from talweg.explore.trainability.point_runs import Plan
from talweg.explore.trainability.pyramid import Box, Frame, Pyramid
from talweg.explore.trainability.refinement import one_by_one
from talweg.explore.trainability.result import mapped
from talweg.explore.trainability.trainability import trainability_map
from talweg.explore.trainability.zoom import busy_place, dive
from talweg.plotting import curves, zoom
from talweg.plotting import trainability as draw

RATES = Frame(
    axis(("learning_rate[0]", 1e-3, 1e6), "x"), axis(("learning_rate[1]", 1e-3, 1e6), "y")
)


def map_of(runs, level, store=None, frame=RATES):
    size = 1 << level
    pyramid = Pyramid(frame, {}, store)
    window = Box(level, 0, 0, size, size)
    return mapped(pyramid, window, one_by_one(runs.compute), steps=runs.steps)


@pytest.fixture(scope="module")
def whole():
    """A map of 64 x 64 runs."""
    return map_of(Runs(), 6)


def plan(x, y, steps=25, width=2, optimizer=None, **settings):
    make_model, data = default_problem(width)
    given = {
        "loss": tw.losses.squared_error,
        "reduction": "mean",
        "batch_size": None,
        "seed": 42,
        "optimizer": optimizer or tw.SGD(lr=0.05),
        **settings,
    }
    return Plan(make_model, data, axis(x, "x"), axis(y, "y"), steps=steps, **given)


# ---- one run -----------------------------------------------------------------------------------


def test_the_network_of_the_paper():
    net = MeanFieldNet(3, 2, random.Random(5))
    w0, w1 = ([[w.data for w in row] for row in layer] for layer in net.layers)
    x = [0.3, -1.2, 2.0]
    sums = [math.fsum(w * a for w, a in zip(row, x, strict=True)) for row in w0]
    hidden = [math.tanh(math.sqrt(2.0 / 3.0) * total) for total in sums]
    expected = math.fsum(w * h for w, h in zip(w1[0], hidden, strict=True)) / 2.0
    assert net(x).data == pytest.approx(expected, rel=1e-14)
    rng = random.Random(5)
    assert [p.data for p in net.parameters()] == [rng.gauss(0.0, 1.0) for _ in range(8)]
    _, data = default_problem()
    assert (len(data), len(data[0][0])) == (72, 8)
    assert data == default_problem()[1] != default_problem(seed=1)[1]


def test_eager_runs_and_numpy_agree():
    rates = ("learning_rate[0]", 1e-3, 1e6), ("learning_rate[1]", 1e-3, 1e6)
    for x, y in [(0.5, 2.0), (1e-3, 1e-3), (30.0, 1.0), (1.0, 1e250)]:
        found = plan(*rates).losses(x, y)
        expected = Runs(width=2, steps=25).losses(np.array([x]), np.array([y]))[0]
        np.testing.assert_allclose(found, expected[: len(found)], rtol=1e-9)
        assert np.isnan(expected[len(found) :]).all()
    assert len(found) < 25


def test_one_rate_for_all_layers_is_train():
    made = plan(("learning_rate", 0.1, 1.0), ("momentum", 0.0, 0.9), seed=3, batch_size=2)
    make_model, data = default_problem(2)
    history = tw.train(
        make_model(random.Random(3)),
        data,
        reduction="mean",
        optimizer=tw.SGD(lr=0.3, momentum=0.7),
        steps=25,
        batch_size=2,
        seed=3,
        engine="eager",
    )
    assert made.losses(0.3, 0.7) == history.losses


def test_a_layers_setting_comes_after_that_of_all_layers():
    layer_first = plan(("learning_rate[1]", 0.1, 1.0), ("learning_rate", 0.1, 1.0))
    both = plan(("learning_rate[0]", 0.1, 1.0), ("learning_rate[1]", 0.1, 1.0))
    assert layer_first.losses(0.2, 0.4) == both.losses(0.4, 0.2)
    scales = plan(("initial_scale[0]", 0.1, 10.0), ("initial_scale", 0.1, 10.0))
    net = scales.make_model(random.Random(42))
    for p in net.layers[0].parameters():
        p.data = p.data * 2.0
    for p in net.parameters():
        p.data = p.data * 3.0
    losses = [tw.losses.squared_error(net(x), y).data for x, y in scales.samples]
    assert scales.losses(2.0, 3.0)[0] == pytest.approx(math.fsum(losses) / len(losses), rel=1e-12)


# ---- the map -----------------------------------------------------------------------------------


def one_run(runs, rate0, rate1):
    """The losses of one run in matrices, step by step."""
    w0, w1, losses = runs.w0, runs.w1, []
    gain, count, width = math.sqrt(2.0 / w0.shape[1]), len(runs.targets), len(w1)
    with np.errstate(all="ignore"):
        while len(losses) < runs.steps and np.isfinite([*w0.flat, *w1]).all():
            hidden = np.tanh(runs.inputs @ w0.T * gain)
            off = hidden @ w1 / width - runs.targets
            losses.append(float((off**2).mean()))
            slope = 2.0 / count / width * off
            w0, w1 = (
                w0 - rate0 * gain * ((slope[:, None] * w1 * (1.0 - hidden**2)).T @ runs.inputs),
                w1 - rate1 * (hidden.T @ slope),
            )
    return losses + [math.nan] * (runs.steps - len(losses))


def test_the_map_against_runs_one_by_one():
    found = map_of(Runs(), 5)
    runs = Runs()
    table = [one_run(runs, float(x), float(y)) for y in found.y for x in found.x]
    expected = convergence_measure(np.array(table)).reshape(32, 32)
    close = np.isclose(found.measure, expected, rtol=1e-6)
    # In chaos rounding errors grow; both sides have them, and few of the points are there.
    assert close.mean() > 0.95
    assert (found.converged == (expected < 0.0)).mean() > 0.99
    assert 0.2 < found.converged.mean() < 0.8
    assert (found.x[0], found.y[0], found.names) == (1e-3, 1e-3, RATES_NAMES)


RATES_NAMES = ("learning_rate[0]", "learning_rate[1]")


def test_trainability_map_by_the_eager_engine(tmp_path):
    def fourth_power(prediction, target):
        return (prediction - target) ** 4.0

    make_model, data = default_problem(2)
    settings = {"resolution": 8, "steps": 30, "store": tmp_path / "map"}
    found = trainability_map(make_model, data, engine="eager", **settings)
    runs = Runs(width=2, steps=30)
    xs, ys = np.meshgrid(found.x, found.y)
    expected = runs.compute(xs.ravel(), ys.ravel()).reshape(8, 8)
    assert (found.measure < 0.0).tolist() == (expected < 0.0).tolist()
    assert np.isclose(found.measure, expected, rtol=1e-6).mean() > 0.9
    with pytest.raises(ArgumentError, match="steps is 30 there, and 31 was asked for"):
        trainability_map(make_model, data, **{**settings, "steps": 31})
    with pytest.raises(ArgumentError, match="samples is 6 there, and 5 was asked for"):
        trainability_map(make_model, data[1:], **settings)
    with pytest.raises(ArgumentError, match=r"loss is 'squared_error' there, and .*fourth"):
        trainability_map(make_model, data, loss=fourth_power, **settings)
    fourth_power.__qualname__ = "squared_error"  # another function of the same name
    with pytest.raises(ArgumentError, match="first_loss is "):
        trainability_map(make_model, data, loss=fourth_power, **settings)
    with pytest.raises(ArgumentError, match="optimizer is 'SGD"):
        trainability_map(make_model, data, optimizer=tw.SGD(lr=0.05, momentum=0.5), **settings)


def test_other_settings_on_the_axes():
    make_model, data = default_problem(2)
    found = trainability_map(
        make_model,
        data,
        ("beta1", 0.1, 0.9),
        ("initial_scale[0]", 0.1, 10.0),
        optimizer=tw.Adam(lr=0.05),
        resolution=8,
        steps=5,
    )
    assert (found.x[0], found.y[4]) == (0.1, 1.0)
    assert found.finished == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolution": 100}, "power of two from 8 to 16384, got 100"),
        ({"resolution": 32768}, "power of two from 8 to 16384"),
        ({"resolution": 64.0}, "power of two from 8 to 16384"),
        ({"steps": 0}, "steps must be"),
        ({"seed": None}, "seed must be a whole number, got None"),
        ({"loss": 3}, "loss must be a function"),
        ({"optimizer": "SGD"}, "optimizer must be"),
        (
            {"x": ("learning_rate[1]", 1e-3, 1.0)},
            r"y: learning_rate\[1\] is the setting along x too",
        ),
        ({"x": ("beta1", 0.1, 0.9)}, "'beta1' is no setting of a run with SGD; there are learning"),
        ({"x": ("nesterov", 0.1, 0.9)}, "'nesterov' is no setting of a run with SGD"),
        ({"x": ("momentum", 0.0, 1.5)}, r"momentum must be at least 0 and below 1, got 1\.49"),
        ({"x": ("momentum", -0.1, 0.9)}, "momentum starts at -0.1, but is at least 0"),
        ({"x": ("learning_rate[2]", 0.1, 0.9)}, "the model has 2 layers, 0 to 1"),
        ({"make_model": lambda rng: tw.Neuron(2, rng=rng)}, "needs a model with layers, a list"),
        (
            {
                "x": ("learning_rate", 0.1, 0.9),
                "optimizer": tw.SGD(lr=lambda step: 0.1),
            },
            "the optimiser has a schedule",
        ),
    ],
)
def test_settings_that_make_no_sense(settings, message):
    make_model, data = default_problem(2)
    with pytest.raises(ArgumentError, match=message):
        trainability_map(**{"make_model": make_model, "data": data, "steps": 5, **settings})


def test_whole_numbers_of_numpy(tmp_path):
    make_model, data = default_problem(2)
    plain = {"steps": 5, "batch_size": 2, "seed": 3}
    asked = {"resolution": 8, "engine": "native", "store": tmp_path / "map"}
    of_numpy = {name: np.int64(x) for name, x in plain.items()}
    first = trainability_map(make_model, data, **asked, **of_numpy)
    assert trainability_map(make_model, data, **asked, **plain).measure.tolist() == (
        first.measure.tolist()
    )


def test_the_published_problem_can_be_sent_to_other_processes():
    make_model, _ = default_problem(2)
    again = pickle.loads(pickle.dumps(make_model))
    numbers = [p.data for p in again(random.Random(1)).parameters()]
    assert numbers == [p.data for p in make_model(random.Random(1)).parameters()]


def test_no_samples():
    with pytest.raises(DataError, match="no samples"):
        trainability_map(default_problem()[0], [])


# ---- Ctrl-C and resuming -----------------------------------------------------------------------


def test_ctrl_c_keeps_what_is_finished(tmp_path):
    stopped = map_of(Runs(stop_at=5000, error=KeyboardInterrupt), 7, tmp_path / "map")
    assert stopped.finished == 0.25  # the level before: 64 x 64
    assert stopped.summary.startswith("25 % computed; ")
    assert "25 % computed" in repr(stopped)
    assert stopped.dimension.value is None
    coarse = map_of(Runs(), 6)
    assert np.array_equal(stopped.measure, coarse.measure.repeat(2, axis=0).repeat(2, axis=1))
    stopped.plot()
    runs = Runs()
    finished = map_of(runs, 7, tmp_path / "map")
    assert finished.finished == 1.0
    assert runs.computed == 128 * 128 * 3 // 4
    assert finished.measure.tobytes() == map_of(Runs(), 7).measure.tobytes()


def test_ctrl_c_before_the_first_point():
    nothing = map_of(Runs(stop_at=0, error=KeyboardInterrupt), 4)
    assert (nothing.finished, np.isnan(nothing.measure).all()) == (0.0, True)
    ax = nothing.plot()
    grey = tuple(bytes.fromhex(draw.NOT_COMPUTED[1:]))
    assert {tuple(c) for c in ax.images[0].get_array().reshape(-1, 3).tolist()} == {grey}
    assert "0 % computed; 0 % of the runs converged" in nothing._repr_html_()
    with pytest.raises(ArgumentError, match="no boundary"):
        nothing.zoom()


# ---- zooms -------------------------------------------------------------------------------------


def test_zoom_computes_three_quarters_of_its_points():
    runs = Runs()
    whole = map_of(runs, 6)
    closer = whole.zoom(x=30.0, y=25.0)
    assert runs.computed == 64 * 64 + 64 * 64 * 3 // 4
    assert closer.finished == 1.0
    inside = [i for i, x in enumerate(closer.x) if x in whole.x]
    assert len(inside) == 32
    rows = [i for i, y in enumerate(closer.y) if y in whole.y]
    in_x = np.flatnonzero(np.isin(whole.x, closer.x))
    in_y = np.flatnonzero(np.isin(whole.y, closer.y))
    assert np.array_equal(closer.measure[np.ix_(rows, inside)], whole.measure[np.ix_(in_y, in_x)])
    again = whole.zoom(x=30.0, y=25.0)
    assert runs.computed == 64 * 64 + 64 * 64 * 3 // 4
    assert again.measure.tobytes() == closer.measure.tobytes()


@pytest.mark.parametrize("factor", [1, 4, 2**30])
def test_the_point_is_in_the_middle_of_a_zoom(whole, factor):
    closer = whole.zoom(x=31.7, y=0.5, factor=factor)
    for point, values in ((31.7, closer.x), (0.5, closer.y)):
        place = np.interp(math.log10(point), np.log10(values), np.arange(64.0))
        assert abs(place - 32.0) <= (1.0 if factor > 1 else 64.0)
    span = math.log10(closer.x[-1] / closer.x[0])
    assert span == pytest.approx(9.0 / factor * 63 / 64, rel=1e-3)


def test_zoom_at_the_edge_stays_inside(whole):
    corner = whole.zoom(x=1e-3, y=1e6, factor=2)
    assert corner.x[0] == 1e-3
    assert corner.y[-1] < 1e6
    assert corner.window == Box(7, 64, 0, 64, 64)


def test_zoom_by_itself_goes_to_the_boundary(whole):
    closer = whole.zoom(factor=4)
    assert 0.02 < closer.converged.mean() < 0.98
    assert repr(closer) == repr(whole.zoom(factor=4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"factor": 3}, "power of two of at least 1, got 3"),
        ({"factor": 0}, "power of two"),
        ({"x": 1.0}, "both x and y"),
        ({"x": 1e7, "y": 1.0}, r"learning_rate\[0\] is mapped from 0.001 to 1e\+06, got 1"),
        ({"x": 1.0, "y": 1.0, "factor": 2**60}, "too close to each other"),
    ],
)
def test_zooms_that_make_no_sense(whole, settings, message):
    with pytest.raises(ArgumentError, match=message):
        whole.zoom(**settings)


def test_the_way_down_keeps_its_point(whole):
    keys = dive(whole, 20.3, 33.3, 5)
    assert len(keys) == 6
    assert keys[0].map is whole
    for key in keys:
        for value, values, place in (
            (20.3, key.map.x, key.point[1]),
            (33.3, key.map.y, key.point[0]),
        ):
            here = np.interp(math.log10(value), np.log10(values), np.arange(64.0))
            assert here == pytest.approx(place, abs=0.6)
    for one, other in pairwise(keys):
        assert one.map.x[0] <= other.map.x[0]
        assert other.map.x[-1] <= one.map.x[-1] * 1.2
        for a, b in zip(one.point, other.point, strict=True):
            assert abs(a - b) < 1.0


def test_the_way_down_finds_boundary_all_along(whole):
    row, column = busy_place(whole, 6)
    assert (row, column) == busy_place(whole, 6)
    keys = dive(whole, doublings=6)
    assert all(0.0 < key.map.converged.mean() < 1.0 for key in keys)


def test_ctrl_c_on_the_way_down_keeps_the_maps_so_far():
    runs = Runs()
    whole = map_of(runs, 5)
    runs.stop_at, runs.error = runs.computed + 2 * 768 + 100, KeyboardInterrupt
    assert len(dive(whole, 1.0, 1.0, 5)) == 3


def test_ctrl_c_while_it_looks_for_a_way_is_an_interruption(tmp_path):
    runs = Runs()
    whole = map_of(runs, 5)
    runs.stop_at, runs.error = runs.computed + 100, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        whole.animate(tmp_path / "zoom.gif", doublings=3)
    assert not (tmp_path / "zoom.gif").exists()


# ---- words and pictures ------------------------------------------------------------------------


def test_words(whole):
    share = round(100 * whole.converged.mean())
    assert repr(whole) == f"TrainabilityMap(64 x 64 runs of 40 steps, {share} % converged)"
    pattern = rf"{share} % of the runs converged; .* dimension is \d\.\d\d ± \d\.\d\d"
    assert re.fullmatch(pattern, whole.summary)
    html = unescape(whole._repr_html_())
    assert html.startswith('<img alt="')
    assert 'src="data:image/png;base64,iVBOR' in html
    assert whole.summary in html


def test_colours_are_ranks():
    rng = np.random.default_rng(0)
    measure = rng.choice([-1.0, 1.0], (40, 50)) * np.exp(rng.normal(0.0, 8.0, (40, 50)))
    found = draw.intensities(measure)
    for sign in (-1.0, 1.0):
        part = np.sort(found[found * sign > 0.0])
        even = np.linspace(min(0.25 * sign, sign), max(0.25 * sign, sign), len(part))
        np.testing.assert_allclose(part, even, atol=1e-12)
    order = np.argsort(measure, axis=None)
    assert (np.diff(found.ravel()[order]) > 0.0).all()


def test_colours_relative_to_a_reference():
    reference = np.array([-4.0, -2.0, 1.0, 3.0, 5.0])
    found = draw.intensities(np.array([-9.0, -3.0, -0.5, 1e-9, 2.0, 9.0, np.nan]), reference)
    np.testing.assert_allclose(found, [-1.0, -0.625, -0.25, 0.25, 0.4375, 1.0, np.nan])
    one_sided = draw.intensities(np.array([-1.0, 2.0]), np.array([1.0, 2.0]))
    assert one_sided.tolist() == [-0.625, 1.0]


def luminance(colour):
    """Relative luminance (WCAG 2) of a colour in bytes."""
    linear = [
        c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_light_meets_dark_across_the_boundary():
    barely_diverged, barely_converged = draw.as_pixels(np.array([[1.0, -1.0]]))[0]
    contrast = (luminance(barely_diverged) + 0.05) / (luminance(barely_converged) + 0.05)
    assert contrast > 7.0


def test_published_colours_are_spectral():
    import matplotlib as mpl

    low, high = draw.as_pixels(np.array([[1.0, -1.0]]), "published")[0].tolist()
    spectral = mpl.colormaps["Spectral"]
    assert (low, high) == (
        list(spectral(0.0, bytes=True)[:3]),
        list(spectral(1.0, bytes=True)[:3]),
    )
    with pytest.raises(ArgumentError, match="unknown colours 'sepia'"):
        draw.as_pixels(np.zeros((1, 1)), "sepia")


def test_the_picture(whole, tmp_path):
    ax = whole.plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == RATES_NAMES
    assert [t.get_text() for t in ax.get_xticklabels()][:2] == ["$10^{-3}$", "$10^{-2}$"]
    pixels = ax.images[0].get_array()
    assert pixels.shape == (64, 64, 3)
    expected = draw.as_pixels(draw.intensities(whole.measure))
    assert np.array_equal(pixels, expected)
    curves.save(ax, tmp_path / "a.png")
    curves.save(whole.plot(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_ticks_of_a_closer_look(whole):
    near = whole.zoom(x=20.0, y=20.0, factor=64).plot()
    labels = [float(t.get_text()) for t in near.get_xticklabels()]
    assert len(labels) >= 3
    assert all(15.0 < label < 25.0 for label in labels)
    middle = whole.zoom(x=20.0, y=20.0, factor=8).plot()
    assert [t.get_text() for t in middle.get_xticklabels()] == ["10", "20", "50"]
    deep = whole.zoom(x=20.0, y=20.0, factor=2**30).plot()
    assert re.fullmatch(
        r"learning_rate\[0\]  =  (20|20\.0000\d*|19\.9999\d*) \+ tick \$\\times\$ \$10\^\{-\d+\}\$",
        deep.get_xlabel(),
    )
    places = deep.get_xticks()
    assert all(deep.get_xlim()[0] <= place <= deep.get_xlim()[1] for place in places)
    assert len({t.get_text() for t in deep.get_xticklabels()}) == len(places) >= 3


# ---- animations --------------------------------------------------------------------------------


def test_animations(whole, tmp_path):
    settings = {"x": 20.0, "y": 30.0, "doublings": 3, "frames": 4}
    gif = whole.animate(tmp_path / "zoom.gif", **settings)
    webp = whole.animate(tmp_path / "zoom.webp", **settings)
    folder = whole.animate(tmp_path / "zoom", **settings)
    for path in (gif, webp):
        with Image.open(path) as picture:
            assert (picture.n_frames, picture.size) == (13, (32, 32))
    assert [p.name for p in sorted(folder.iterdir())] == [
        f"frame-{k:04d}.png" for k in range(1, 14)
    ]
    assert gif.read_bytes() == whole.animate(tmp_path / "again.gif", **settings).read_bytes()


def test_a_zoom_is_continuous_and_keeps_its_point():
    """Pictures of a smooth map: the point's colour stays, and neighbours hardly differ."""
    rows, columns = np.indices((128, 128)) / 128.0
    point = 0.625, 0.25
    measures, points = [], []
    for k in range(4):
        across = [p + (a - p) / 2.0**k for a, p in zip((rows, columns), point, strict=True)]
        measures.append(np.where(across[0] + across[1] < 0.875, -1.0, 1.0) * (2.0 + across[0]))
        points.append((0.625 * 128, 0.25 * 128))
    pictures = [np.array(p, float) for p in zoom.frames(measures, points, 6)]
    assert len(pictures) == 19
    edges = []
    for picture in pictures:
        is_warm = picture[..., 0] > picture[..., 2]
        place = 64 - round(0.625 * 64)  # rows go down in a picture
        edges.append(np.flatnonzero(np.diff(is_warm[place]))[0])
    assert max(abs(edge - 16) for edge in edges) <= 1
    changes = [np.abs(b - a).mean() for a, b in pairwise(pictures)]
    assert max(changes) < 3.0 * np.median(changes)


def test_animations_that_cannot_be(whole, tmp_path):
    with pytest.raises(ArgumentError, match=r"ends in '\.mp4'"):
        whole.animate(tmp_path / "zoom.mp4")
    with pytest.raises(ArgumentError, match="at least 1"):
        whole.animate(tmp_path / "zoom.gif", doublings=0)
    with pytest.raises(ArgumentError, match="at least one picture"):
        zoom.write_animation([], tmp_path / "zoom.gif")
    with pytest.raises(ArgumentError, match="seconds must be above 0"):
        zoom.write_animation([], tmp_path / "zoom.gif", seconds=0.0)
    with pytest.raises(ArgumentError, match="both x and y"):
        whole.animate(tmp_path / "zoom.gif", x=1.0)
    with pytest.raises(ArgumentError, match="lead to level 66"):
        whole.animate(tmp_path / "zoom.gif", doublings=60)
    with pytest.raises(ArgumentError, match="not in this map"):
        whole.zoom(x=1.0, y=1.0, factor=8).animate(tmp_path / "zoom.gif", x=1e3, y=1.0)
    assert not list(tmp_path.iterdir())


def test_png_for_a_notebook_is_the_same_each_time(whole):
    first, second = draw.as_png(whole.plot()), draw.as_png(whole.plot())
    assert first == second
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.size == (660, 590)
