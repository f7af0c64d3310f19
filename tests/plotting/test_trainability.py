"""Figures of trainability maps: colours by rank, and their contrast at the boundary."""

import numpy as np
import pytest

from talweg.errors import ArgumentError
from talweg.plotting import trainability as draw


def test_colours_are_ranks():
    rng = np.random.default_rng(0)
    measure = rng.choice([-1.0, 1.0], (40, 50)) * np.exp(rng.normal(0.0, 8.0, (40, 50)))
    found = draw.intensities(measure)
    for sign in (-1.0, 1.0):
        part = np.sort(found[found * sign > 0.0])
        expected = np.linspace(min(0.25 * sign, sign), max(0.25 * sign, sign), len(part))
        np.testing.assert_allclose(part, expected, atol=1e-12)
    order = np.argsort(measure, axis=None)
    assert (np.diff(found.ravel()[order]) > 0.0).all()


def test_colours_by_the_ranks_of_a_reference():
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


def test_the_colours_of_the_slowest_runs_have_contrast():
    slow_diverged, slow_converged = draw.as_pixels(np.array([[1.0, -1.0]]))[0]
    contrast = (luminance(slow_diverged) + 0.05) / (luminance(slow_converged) + 0.05)
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
