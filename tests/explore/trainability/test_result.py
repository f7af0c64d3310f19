"""Maps compared with runs made one by one; Ctrl-C, zooms, summaries, figures and animations."""

import io
import math
import re
from html import unescape
from itertools import pairwise

import numpy as np
import pytest
from map_points import RATES, stored
from mean_field_runs import Runs
from PIL import Image

from talweg.errors import ArgumentError
from talweg.explore.trainability.measure import convergence_measure
from talweg.explore.trainability.pyramid import Pyramid
from talweg.explore.trainability.refinement import serial_evaluator
from talweg.explore.trainability.result import compute_map, zoom_path
from talweg.explore.trainability.tiles import Window
from talweg.plotting import trainability as draw
from talweg.plotting.figure import figure_bytes, save

NAMES = ("learning_rate[0]", "learning_rate[1]")


def map_of(runs, level, store=None):
    size = 1 << level
    pyramid = Pyramid(RATES) if store is None else stored(RATES, {}, store)
    window = Window(level, 0, 0, size, size)
    return compute_map(pyramid, window, serial_evaluator(runs.compute), steps=runs.steps)


@pytest.fixture(scope="module")
def whole():
    """A map of 64 x 64 runs."""
    return map_of(Runs(), 6)


# ---- the map -------------------------------------------------------------------------------------


def one_run(runs, rate0, rate1):
    """The losses of one run, step by step with matrices."""
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


def test_a_map_equals_runs_made_one_by_one():
    found = map_of(Runs(), 5)
    runs = Runs()
    table = [one_run(runs, float(x), float(y)) for y in found.y for x in found.x]
    expected = convergence_measure(np.array(table)).reshape(32, 32)
    close = np.isclose(found.measure, expected, rtol=1e-6)
    # Rounding errors grow in chaotic runs, which are few.
    assert close.mean() > 0.95
    assert (found.converged == (expected < 0.0)).mean() > 0.99
    assert 0.2 < found.converged.mean() < 0.8
    assert (found.x[0], found.y[0], found.names) == (1e-3, 1e-3, NAMES)


# ---- Ctrl-C and resuming -------------------------------------------------------------------------


def test_after_ctrl_c_the_map_shows_what_was_computed_and_is_resumed(tmp_path):
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


# ---- zooms ---------------------------------------------------------------------------------------


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
        position = np.interp(math.log10(point), np.log10(values), np.arange(64.0))
        assert abs(position - 32.0) <= (1.0 if factor > 1 else 64.0)
    span = math.log10(closer.x[-1] / closer.x[0])
    assert span == pytest.approx(9.0 / factor * 63 / 64, rel=1e-3)


def test_a_zoom_at_the_edge_stays_inside_the_map(whole):
    corner = whole.zoom(x=1e-3, y=1e6, factor=2)
    assert corner.x[0] == 1e-3
    assert corner.y[-1] < 1e6
    assert corner.window == Window(7, 64, 0, 64, 64)


def test_a_zoom_without_a_point_shows_boundary(whole):
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
def test_zooms_that_are_not_valid(whole, settings, message):
    with pytest.raises(ArgumentError, match=message):
        whole.zoom(**settings)


# ---- sequences of zooms --------------------------------------------------------------------------


def test_all_maps_of_a_zoom_path_have_the_point_at_the_same_position(whole):
    steps = zoom_path(whole, 20.3, 33.3, 5)
    assert len(steps) == 6
    assert steps[0].map is whole
    for step in steps:
        for value, values, position in (
            (20.3, step.map.x, step.point[1]),
            (33.3, step.map.y, step.point[0]),
        ):
            here = np.interp(math.log10(value), np.log10(values), np.arange(64.0))
            assert here == pytest.approx(position, abs=0.6)
    for one, other in pairwise(steps):
        assert one.map.x[0] <= other.map.x[0]
        assert other.map.x[-1] <= one.map.x[-1] * 1.2
        for a, b in zip(one.point, other.point, strict=True):
            assert abs(a - b) < 1.0


def test_a_zoom_path_without_a_point_has_boundary_in_all_maps(whole):
    steps, again = zoom_path(whole, doublings=6), zoom_path(whole, doublings=6)
    assert [step.map.window for step in steps] == [step.map.window for step in again]
    assert [step.point for step in steps] == [step.point for step in again]
    assert all(0.0 < step.map.converged.mean() < 1.0 for step in steps)


def test_after_ctrl_c_a_zoom_path_has_the_finished_maps():
    runs = Runs()
    whole = map_of(runs, 5)
    runs.stop_at, runs.error = runs.computed + 2 * 768 + 100, KeyboardInterrupt
    assert len(zoom_path(whole, 1.0, 1.0, 5)) == 3


def test_an_unfinished_map_is_no_start_of_a_zoom_path():
    unfinished = map_of(Runs(stop_at=700, error=KeyboardInterrupt), 5)
    assert 0.0 < unfinished.finished < 1.0
    with pytest.raises(ArgumentError, match=r"^this map is not finished, .* with the same store$"):
        zoom_path(unfinished, 1.0, 1.0, 2)


def test_ctrl_c_before_a_point_is_found_is_raised(tmp_path):
    runs = Runs()
    whole = map_of(runs, 5)
    runs.stop_at, runs.error = runs.computed + 100, KeyboardInterrupt
    with pytest.raises(KeyboardInterrupt):
        whole.animate(tmp_path / "zoom.gif", doublings=3)
    assert not (tmp_path / "zoom.gif").exists()


# ---- summaries and figures -----------------------------------------------------------------------


def test_repr_summary_and_html(whole):
    percent = round(100 * whole.converged.mean())
    assert repr(whole) == f"TrainabilityMap(64 x 64 runs of 40 steps, {percent} % converged)"
    pattern = rf"{percent} % of the runs converged; .* dimension is \d\.\d\d ± \d\.\d\d"
    assert re.fullmatch(pattern, whole.summary)
    html = unescape(whole._repr_html_())
    assert html.startswith('<img alt="')
    assert 'src="data:image/png;base64,iVBOR' in html
    assert whole.summary in html


def test_the_figure_of_a_map(whole, tmp_path):
    ax = whole.plot()
    assert (ax.get_xlabel(), ax.get_ylabel()) == NAMES
    assert [t.get_text() for t in ax.get_xticklabels()][:2] == ["$10^{-3}$", "$10^{-2}$"]
    pixels = ax.images[0].get_array()
    assert pixels.shape == (64, 64, 3)
    expected = draw.as_pixels(draw.intensities(whole.measure))
    assert np.array_equal(pixels, expected)
    save(ax, tmp_path / "a.png")
    save(whole.plot(), tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_the_ticks_of_zooms(whole):
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
    positions = deep.get_xticks()
    assert all(deep.get_xlim()[0] <= position <= deep.get_xlim()[1] for position in positions)
    assert len({t.get_text() for t in deep.get_xticklabels()}) == len(positions) >= 3


def test_png_for_a_notebook_is_the_same_each_time(whole):
    first, second = (
        figure_bytes(whole.plot(), dpi=100),
        figure_bytes(whole.plot(), dpi=100),
    )
    assert first == second
    with Image.open(io.BytesIO(first)) as picture:
        assert picture.size == (660, 590)


# ---- animations ----------------------------------------------------------------------------------


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


def test_animations_that_are_not_valid(whole, tmp_path):
    with pytest.raises(ArgumentError, match=r"ends in '\.mp4'"):
        whole.animate(tmp_path / "zoom.mp4")
    with pytest.raises(ArgumentError, match="at least 1"):
        whole.animate(tmp_path / "zoom.gif", doublings=0)
    with pytest.raises(ArgumentError, match="both x and y"):
        whole.animate(tmp_path / "zoom.gif", x=1.0)
    with pytest.raises(ArgumentError, match="lead to level 66"):
        whole.animate(tmp_path / "zoom.gif", doublings=60)
    with pytest.raises(ArgumentError, match="not in this map"):
        whole.zoom(x=1.0, y=1.0, factor=8).animate(tmp_path / "zoom.gif", x=1e3, y=1.0)
    assert not list(tmp_path.iterdir())
