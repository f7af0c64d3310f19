"""A zoom into a map as a sequence of pictures, and animations of any pictures.

Given are maps around one point, each at twice the scale of the one before. A picture between two
of them is the shallower one enlarged, and the deeper one, which covers its middle, over it; so each
picture is enlarged by the same factor over the last, and the point stays in its place. Start
reading at `frames`.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from talweg._util.atomic_files import write_whole
from talweg.errors import ArgumentError
from talweg.plotting.style import checked_suffix
from talweg.plotting.trainability import as_pixels, intensities

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

Array: TypeAlias = "np.ndarray[Any, Any]"


def frames(
    measures: Sequence[Array],
    points: Sequence[tuple[float, float]],
    per_doubling: int = 12,
    *,
    size: int | None = None,
    colours: str = "talweg",
) -> Iterator[Image]:
    """The pictures of a zoom, at even steps of scale.

    Colours follow the ranks of measures (`trainability/intensities.py`) in the map that is
    on the screen, and change from one map's to the next's as the zoom goes on.

    Args:
        measures: square maps of equal size, each of twice the scale of the one before and within
            it; rows along y.
        points: where the point that is zoomed into is in each map: (row, column), in pixels.
        per_doubling: how many pictures it takes to double the scale.
        size: the side of a picture in pixels; half of a map's unless given, so that every picture
            has at least one map pixel for each of its own.
        colours: see `talweg.plotting.trainability.trainability`.

    Yields:
        per_doubling pictures for each map but the last, and one of the last.
    """
    side = measures[0].shape[0]
    size = side // 2 if size is None else size
    # The point's place in the picture, between two pixels' width of slack at the edges.
    place = [(p - 1.0) / (side - 2.0) if side > 2 else 0.5 for p in points[0]]
    place = [min(max(p, 0.0), 1.0) for p in place]
    last = len(measures) - 1
    for k in range(max(1, last)):
        deeper = measures[k + 1] if k < last else measures[k]
        layers = [
            (intensities(of, measures[k]), intensities(of, deeper)) for of in (measures[k], deeper)
        ]
        count = per_doubling if k < last else 0
        for step in range(count + (k >= last - 1)):
            u = step / per_doubling
            view = _view(points[k], place, side, 2.0**-u)
            below, above = (
                _picture(as_pixels((1.0 - u) * own + u * next_own, colours))
                for own, next_own in layers
            )
            picture = _cut(below, view, size)
            if u > 0.0:
                _lay_over(picture, above, view, points[k], points[k + 1], u)
            yield picture


def _view(
    point: tuple[float, float], place: Sequence[float], side: int, scale: float
) -> tuple[float, float, float]:
    """What is seen of a map: (first row, first column, side), within the map."""
    seen = (side - 2.0) * scale
    row, column = (
        min(max(p - f * seen, 0.0), side - seen) for p, f in zip(point, place, strict=True)
    )
    return row, column, seen


def _picture(pixels: Array) -> Image:
    """Pixels, rows from low to high, as a picture, whose rows go down."""
    from PIL import Image

    return Image.fromarray(pixels[::-1].copy())


def _cut(picture: Image, view: tuple[float, float, float], size: int) -> Image:
    """A part of a map's picture, scaled to a size."""
    from PIL.Image import Resampling

    row, column, seen = view
    top = picture.height - row - seen
    box = (column, top, column + seen, top + seen)
    return picture.resize((size, size), Resampling.LANCZOS, box=_within(box, picture.width))


def _lay_over(
    picture: Image,
    above: Image,
    view: tuple[float, float, float],
    point: tuple[float, float],
    deeper_point: tuple[float, float],
    strength: float,
) -> None:
    """Blend the deeper map into its place in a picture."""
    from PIL import Image

    side, size = above.width, picture.width
    row, column, seen = view
    # Coordinate c of the map is coordinate 2 (c - point) + deeper_point of the deeper one.
    first_column = 2.0 * (column - point[1]) + deeper_point[1]
    top = side - (2.0 * (row - point[0]) + deeper_point[0]) - 2.0 * seen
    pixel = 2.0 * seen / size  # of the picture, in pixels of the deeper map
    left, up = (max(0, _up(-first / pixel)) for first in (first_column, top))
    right, down = (min(size, int((side - first) / pixel)) for first in (first_column, top))
    if right <= left or down <= up:
        return
    box = (
        first_column + left * pixel,
        top + up * pixel,
        first_column + right * pixel,
        top + down * pixel,
    )
    part = above.resize((right - left, down - up), Image.Resampling.LANCZOS, _within(box, side))
    under = picture.crop((left, up, right, down))
    picture.paste(Image.blend(under, part, strength), (left, up))


def _up(x: float) -> int:
    return -int(-x // 1)


def _within(box: tuple[float, ...], side: int) -> tuple[float, float, float, float]:
    """A box without the rounding errors that lead out of the picture."""
    left, top, right, bottom = (min(max(edge, 0.0), float(side)) for edge in box)
    return left, top, right, bottom


def checked(path: str | os.PathLike[str]) -> str:
    """The suffix of an animation's path, ".gif" or ".webp"; empty for a folder.

    Raises:
        ArgumentError: if the suffix is another.
    """
    if not Path(path).suffix:
        return ""
    return checked_suffix(path, (".gif", ".webp"), "an animation")


def write_animation(
    pictures: Iterable[Image], path: str | os.PathLike[str], *, seconds: float = 0.08
) -> Path:
    """Write pictures as an animation that repeats for ever, or as numbered files.

    Args:
        pictures: at least one, all of one size.
        path: a .gif or .webp file, which appears whole or not at all; or, without a suffix, a
            folder, in which frame-0001.png and so on are written.
        seconds: how long each picture is shown; a GIF counts in hundredths.

    Returns:
        The path written.

    Raises:
        ArgumentError: if the path has another suffix, there is no picture, or the time is not
            above 0.
        OSError: if it cannot be written.
    """
    suffix = checked(path)
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
