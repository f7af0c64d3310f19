"""Tiles in a folder: a Zarr group, format 3, which other programs can read too.

Level L is the array "level-L" of shape (2**L, 2**L), rows along y, whose chunks are the tiles; a
chunk without a file reads as nan. Zarr accesses only the chunk that is read or written, so a level
of 2**40 by 2**40 points is a folder of a few files. The description of the map is in the attributes
of the group.

Zarr writes a chunk to a temporary file, which then replaces the chunk in one step: a chunk is
complete or absent, also after the process was killed. A chunk has a checksum; one with a wrong
checksum, as after a power failure, counts as not computed.

Several processes may have one store open and write to it. One of them creates it
(`talweg.explore.store_lock`). To write a tile, a process locks the file of the group, compares the
description again, and keeps the points of the tile that another process has written meanwhile.

Start reading at `TileStore`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from talweg._util.arrays import Array
from talweg.error_fields import Argument
from talweg.errors import ArgumentError, DataError
from talweg.explore.store_difference import first_difference
from talweg.explore.store_lock import GROUP_FILE, LOCK_TIMEOUT, FileLock, create_group
from talweg.explore.trainability.tiles import Tile, tile_size

if TYPE_CHECKING:
    import zarr

_FORMAT = 1
"""The version of the format; it changes when older versions of talweg cannot read a new store."""


class TileStore:
    """The tiles of a map in a folder; see `talweg.explore.trainability.tiles.TileStorage`.

    Args:
        path: the folder; created if it is absent.
        description: what the map is, as plain JSON data. A store with another description is an
            error.

    Raises:
        ArgumentError: if the folder is the store of another map.
        DataError: if the folder has other content, or is damaged.
        OSError: if it cannot be created, read or written.
    """

    def __init__(self, path: str | os.PathLike[str], description: dict[str, Any]) -> None:
        import zarr

        self.path = Path(path)
        self._arrays: dict[int, zarr.Array[Any]] = {}
        self._description = json.loads(json.dumps(description))
        if self.path.exists() and not self.path.is_dir():
            raise DataError(f"{self.path} is a file; the store of a map is a folder")
        header = {"trainability map": _FORMAT, "about": self._description}
        create_group(self.path, {"talweg": header})
        self._require_same_map()
        self._group = zarr.open_group(self.path, mode="r+", zarr_format=3)

    def read(self, tile: Tile) -> Array | None:
        """The measures of a tile; None if it has no file, or the file is damaged."""
        if tile.level not in self._arrays and not self._file_of(tile.level).exists():
            return None
        array = self._array(tile.level)
        try:
            found: Any = array[_slices(tile)]
        except (RuntimeError, ValueError):  # a wrong checksum or length of a chunk
            return None
        return found  # type: ignore[no-any-return]

    def write(self, tile: Tile, measures: Array) -> None:
        """Store a tile. Where `measures` is nan, what is stored stays.

        Raises:
            ArgumentError: if the folder has become the store of another map, or another process
                has held the lock for `talweg.explore.store_lock.LOCK_TIMEOUT` seconds.
        """
        import numpy as np

        with FileLock(self.path / GROUP_FILE, timeout=LOCK_TIMEOUT):
            self._require_same_map()
            stored = self.read(tile) if np.isnan(measures).any() else None
            whole = measures if stored is None else np.where(np.isnan(measures), stored, measures)
            self._array(tile.level)[_slices(tile)] = whole

    def _require_same_map(self) -> None:
        if difference := first_difference(self._description, _stored_description(self.path)):
            raise ArgumentError(
                f"{self.path} is the store of another map: {difference}",
                repair="give another",
                suggestion=Argument("store"),
            )

    def _file_of(self, level: int) -> Path:
        return self.path / _name(level) / GROUP_FILE

    def _array(self, level: int) -> zarr.Array[Any]:
        if level not in self._arrays:
            exists = self._file_of(level).exists()
            self._arrays[level] = self._open(level) if exists else self._create(level)
        return self._arrays[level]

    def _create(self, level: int) -> zarr.Array[Any]:
        from zarr.codecs import ZstdCodec

        return self._group.create_array(
            _name(level),
            shape=(1 << level, 1 << level),
            chunks=_chunk(level),
            dtype="float64",
            fill_value=float("nan"),
            compressors=[ZstdCodec(level=3, checksum=True)],
        )

    def _open(self, level: int) -> zarr.Array[Any]:
        import zarr

        side = 1 << level
        try:
            header = json.loads(self._file_of(level).read_bytes())
            # Before Zarr opens the array: a folder from elsewhere could name codecs that run code.
            codecs = [codec["name"] for codec in header["codecs"]]
            if codecs != ["bytes", "zstd"] or header.get("storage_transformers"):
                raise ValueError(f"its codecs are {codecs}, not bytes and zstd")
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
    return tile_size(level), tile_size(level)


def _slices(tile: Tile) -> tuple[slice, slice]:
    own = tile.window
    return slice(own.row, own.row + own.rows), slice(own.column, own.column + own.columns)


def _stored_description(path: Path) -> dict[str, Any]:
    """The description of the map in a folder.

    Raises:
        DataError: if there is none, or it is damaged.
    """
    file = path / GROUP_FILE
    if not file.exists():
        raise DataError(f"{path} is a folder with other files in it; give a new folder as store")
    try:
        header = json.loads(file.read_bytes())["attributes"]["talweg"]
        version, description = header["trainability map"], header["about"]
    except (ValueError, KeyError, TypeError):
        raise DataError(
            f"{file} does not describe a trainability map of talweg, or is damaged; "
            "give a new folder as store"
        ) from None
    if version != _FORMAT or not isinstance(description, dict):
        raise DataError(
            f"{path} is a map of format {version!r}, and this talweg reads {_FORMAT}; "
            "give a new folder as store"
        )
    return description
