"""Tiles in a folder: a Zarr group, format 3, that other programs can read too.

Level L is the array "level-L" of shape (2**L, 2**L), rows along y, whose chunks are the tiles; a
chunk that is not there reads as nan. Zarr touches no other chunk than the one asked for, so a level
of 2**40 by 2**40 points is a folder of a few files. What the map is of stands in the attributes of
the group.

Zarr writes a chunk to a file beside it, which then takes its place: a chunk is whole or not there,
also after the process was killed. A chunk also has a checksum, and one that does not fit (the
computer lost power) counts as not computed.

Several processes may have one store open, and write to it. One of them begins it
(`talweg.explore.store_lock`). For each tile the writer locks the group's file, compares the
description again, and keeps the points that another process has written meanwhile. Start reading
at `TileStore`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg.error_fields import Argument
from talweg.errors import ArgumentError, DataError
from talweg.explore.store_difference import first_difference
from talweg.explore.store_lock import GROUP, WAIT, FileLock, begin_group
from talweg.explore.trainability.pyramid import TILE, Tile

if TYPE_CHECKING:
    import numpy as np
    import zarr

_FORMAT = 1
"""Counts up when an older talweg could not read what this one writes."""


class TileStore:
    """The tiles of a map in a folder.

    Args:
        path: the folder; it is made if it is not there.
        about: what the map is of, as plain JSON data.

    Raises:
        ArgumentError: if the folder holds the map of something else.
        DataError: if it holds something else than a map, or is damaged.
        OSError: if it cannot be made, read or written.
    """

    def __init__(self, path: str | os.PathLike[str], about: dict[str, Any]) -> None:
        import zarr

        self.path = Path(path)
        self._arrays: dict[int, zarr.Array[Any]] = {}
        self._asked = json.loads(json.dumps(about))
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path} is a file; the store of a map is a folder")
        begin_group(self.path, {"talweg": {"trainability map": _FORMAT, "about": self._asked}})
        _require_same(_about(self.path), self._asked, self.path)
        self._group = zarr.open_group(self.path, mode="r+", zarr_format=3)

    def read(self, tile: Tile) -> np.ndarray[Any, Any] | None:
        """The measures of a tile; None if there is none, or if its file is damaged."""
        if tile.level not in self._arrays and not self._file_of(tile.level).exists():
            return None
        array = self._array(tile.level)
        try:
            found: Any = array[_slices(tile)]
        except (RuntimeError, ValueError):  # what the checksum or the length of a chunk raises
            return None
        return found  # type: ignore[no-any-return]

    def write(self, tile: Tile, measures: np.ndarray[Any, Any]) -> None:
        """Keep a tile; where it is nan, what was kept of it before.

        Raises:
            ArgumentError: if the folder has become the map of something else, or another process
                holds the lock for `talweg.explore.store_lock.WAIT` seconds.
        """
        import numpy as np

        with FileLock(self.path / GROUP, wait=WAIT):
            _require_same(_about(self.path), self._asked, self.path)
            kept = self.read(tile) if np.isnan(measures).any() else None
            whole = measures if kept is None else np.where(np.isnan(measures), kept, measures)
            self._array(tile.level)[_slices(tile)] = whole

    def _file_of(self, level: int) -> Path:
        return self.path / _name(level) / GROUP

    def _array(self, level: int) -> zarr.Array[Any]:
        if level not in self._arrays:
            there = self._file_of(level).exists()
            self._arrays[level] = self._opened(level) if there else self._created(level)
        return self._arrays[level]

    def _created(self, level: int) -> zarr.Array[Any]:
        from zarr.codecs import ZstdCodec

        return self._group.create_array(
            _name(level),
            shape=(1 << level, 1 << level),
            chunks=_chunk(level),
            dtype="float64",
            fill_value=float("nan"),
            compressors=[ZstdCodec(level=3, checksum=True)],
        )

    def _opened(self, level: int) -> zarr.Array[Any]:
        import zarr

        side = 1 << level
        try:
            said = json.loads(self._file_of(level).read_bytes())
            # Looked at before Zarr does: another folder could name codecs that load other code.
            codecs = [codec["name"] for codec in said["codecs"]]
            if codecs != ["bytes", "zstd"] or said.get("storage_transformers"):
                raise ValueError(f"it is packed as {codecs}, not as bytes and zstd")
            array = self._group[_name(level)]
        except (ValueError, TypeError, KeyError, RuntimeError) as error:
            raise DataError(
                f"{self._file_of(level)} is damaged ({type(error).__name__}: {error}); delete the "
                "folder that it is in, and its points are computed again"
            ) from None
        expected = ((side, side), _chunk(level), "float64")
        if not isinstance(array, zarr.Array) or expected != (
            array.shape,
            array.chunks,
            str(array.dtype),
        ):
            raise DataError(
                f"{self._file_of(level)} is not an array of {side} x {side} float64 in chunks of "
                f"{_chunk(level)}; delete the folder that it is in, or give another store"
            )
        return array


def _name(level: int) -> str:
    return f"level-{level:02d}"


def _chunk(level: int) -> tuple[int, int]:
    size = min(TILE, 1 << level)
    return size, size


def _slices(tile: Tile) -> tuple[slice, slice]:
    box = tile.box
    return slice(box.row, box.row + box.rows), slice(box.column, box.column + box.columns)


def _about(path: Path) -> dict[str, Any]:
    """What the map in a folder is of.

    Raises:
        DataError: if there is none, or it cannot be understood.
    """
    file = path / GROUP
    if not file.exists():
        raise DataError(f"{path} is a folder with other things in it; give a new folder as store")
    try:
        header = json.loads(file.read_bytes())["attributes"]["talweg"]
        version, about = header["trainability map"], header["about"]
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{file} does not describe a trainability map of talweg, or is damaged; "
            "give a new folder as store"
        ) from None
    if version != _FORMAT or not isinstance(about, dict):
        raise DataError(
            f"{path} is a map of format {version!r}, and this talweg reads {_FORMAT}; "
            "give a new folder as store"
        )
    return about


def _require_same(there: dict[str, Any], here: dict[str, Any], path: Path) -> None:
    if difference := first_difference(here, there):
        raise ArgumentError(
            f"{path} is the map of something else: {difference}",
            repair="give another",
            suggestion=Argument("store"),
        )
