"""A zoom into a trainability map as a sequence of pictures, and animations of any pictures.

The input is a sequence of maps around one point, each at twice the scale of the one before. A
picture between two maps is the coarser map enlarged, with the finer map, which covers its middle,
blended over it. The factor between successive pictures is constant, and the point stays at its
position in the picture.

Start reading at `frames`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from talweg._util.arrays import Array
from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError
from talweg.plotting.figure import checked_suffix
from talweg.plotting.trainability import as_pixels, intensities

if TYPE_CHECKING:
    from PIL.Image import Image


def frames(
    measures: Sequence[Array],
    points: Sequence[tuple[float, float]],
    per_doubling: int = 12,
    *,
    size: int | None = None,
    colours: str = "talweg",
) -> Iterator[Image]:
    """Yield the pictures of a zoom, with a constant factor of scale between them.

    Colours follow the ranks of measures (`talweg.plotting.trainability.intensities`) in the map
    that is shown, and change gradually from those of one map to those of the next.

    Args:
        measures: square maps of equal size, rows along y, each inside the one before and at twice
            its scale.
        points: the point that is zoomed into, as (row, column) in pixels of each map.
        per_doubling: the number of pictures in which the scale doubles.
        size: the side of a picture in pixels; half of that of a map unless given, so that a pixel
            of a picture never needs less than a pixel of a map.
        colours: see `talweg.plotting.trainability.trainability`.

    Yields:
        `per_doubling` pictures for each map but the last, and one of the last.
    """
    side = measures[0].shape[0]
    size = side // 2 if size is None else size
    # The position of the point in the picture, from 0 to 1, with a margin of a pixel.
    position = [(p - 1.0) / (side - 2.0) if side > 2 else 0.5 for p in points[0]]
    position = [min(max(p, 0.0), 1.0) for p in position]
    last = len(measures) - 1
    for k in range(max(1, last)):
        finer = measures[k + 1] if k < last else measures[k]
        layers = [
            (intensities(of, measures[k]), intensities(of, finer)) for of in (measures[k], finer)
        ]
        count = per_doubling if k < last else 0
        for step in range(count + (k >= last - 1)):
            u = step / per_doubling
            view = _view(points[k], position, side, 2.0**-u)
            below, above = (
                _picture(as_pixels((1.0 - u) * own + u * next_own, colours))
                for own, next_own in layers
            )
            picture = _crop(below, view, size)
            if u > 0.0:
                _blend(picture, above, view, points[k], points[k + 1], u)
            yield picture


def _view(
    point: tuple[float, float], position: Sequence[float], side: int, scale: float
) -> tuple[float, float, float]:
    """The part of a map that is shown: (first row, first column, side)."""
    shown = (side - 2.0) * scale
    row, column = (
        min(max(p - f * shown, 0.0), side - shown) for p, f in zip(point, position, strict=True)
    )
    return row, column, shown


def _picture(pixels: Array) -> Image:
    """A picture of pixels whose rows go up; the rows of a picture go down."""
    from PIL import Image

    return Image.fromarray(pixels[::-1].copy())


def _crop(picture: Image, view: tuple[float, float, float], size: int) -> Image:
    """A part of the picture of a map, scaled to a size."""
    from PIL.Image import Resampling

    row, column, shown = view
    top = picture.height - row - shown
    box = (column, top, column + shown, top + shown)
    return picture.resize((size, size), Resampling.LANCZOS, box=_clipped(box, picture.width))


def _blend(
    picture: Image,
    above: Image,
    view: tuple[float, float, float],
    point: tuple[float, float],
    finer_point: tuple[float, float],
    opacity: float,
) -> None:
    """Blend the finer map over the part of a picture that it covers."""
    from PIL import Image

    side, size = above.width, picture.width
    row, column, shown = view
    # Coordinate c of a map is coordinate 2 (c - point) + finer_point of the finer map.
    first_column = 2.0 * (column - point[1]) + finer_point[1]
    top = side - (2.0 * (row - point[0]) + finer_point[0]) - 2.0 * shown
    pixel = 2.0 * shown / size  # the side of a pixel of the picture, in pixels of the finer map
    left, up = (max(0, math.ceil(-first / pixel)) for first in (first_column, top))
    right, down = (min(size, int((side - first) / pixel)) for first in (first_column, top))
    if right <= left or down <= up:
        return
    box = (
        first_column + left * pixel,
        top + up * pixel,
        first_column + right * pixel,
        top + down * pixel,
    )
    part = above.resize((right - left, down - up), Image.Resampling.LANCZOS, _clipped(box, side))
    under = picture.crop((left, up, right, down))
    picture.paste(Image.blend(under, part, opacity), (left, up))


def _clipped(box: tuple[float, ...], side: int) -> tuple[float, float, float, float]:
    """A box within a picture: rounding errors may have moved its edges out of it."""
    left, top, right, bottom = (min(max(edge, 0.0), float(side)) for edge in box)
    return left, top, right, bottom


# ---- animations -------------------------------------------------------------------------------


def animation_suffix(path: str | os.PathLike[str]) -> str:
    """The suffix of the path of an animation, ".gif" or ".webp"; empty for a folder.

    Raises:
        ArgumentError: if the suffix is none of these.
    """
    if not Path(path).suffix:
        return ""
    return checked_suffix(path, (".gif", ".webp"), "an animation")


def write_animation(
    pictures: Iterable[Image], path: str | os.PathLike[str], *, seconds: float = 0.08
) -> Path:
    """Write pictures as an animation that repeats without end, or as numbered files.

    Args:
        pictures: at least one picture, all of one size.
        path: a .gif or .webp file, which is replaced in one step; or, without a suffix, a folder
            for the files frame-0001.png, frame-0002.png and so on.
        seconds: how long each picture is shown; a GIF rounds it to hundredths.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the path has another suffix, there is no picture, or `seconds` is not
            above 0.
        OSError: if it cannot be written.
    """
    suffix = animation_suffix(path)
    if not seconds > 0.0:
        raise ArgumentError(f"seconds must be above 0, got {seconds!r}")
    several = list(pictures)
    if not several:
        raise ArgumentError("an animation needs at least one picture")
    if not suffix:
        return _write_folder(several, Path(path))
    content = BytesIO()
    several[0].save(
        content,
        format=suffix[1:],
        save_all=True,
        append_images=several[1:],
        duration=round(1000.0 * seconds),
        loop=0,
        **({"lossless": True} if suffix == ".webp" else {}),
    )
    return write_whole(path, content.getvalue())


def _write_folder(pictures: Sequence[Image], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures, 1):
        content = BytesIO()
        picture.save(content, format="png")
        write_whole(folder / f"frame-{number:04d}.png", content.getvalue())
    return folder
