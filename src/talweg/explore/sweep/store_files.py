"""The files of a store of runs: what they contain, and which of them are opened.

The attributes of the group's `zarr.json` describe the runs; `read_header` reads them. An array's
`zarr.json` is checked before Zarr reads it: only arrays of numbers with the codecs of
`create_array` are opened, so a folder from elsewhere cannot make Zarr load other code.

`talweg.explore.sweep.store` uses them. Start reading at `create_store`.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from talweg.errors import DataError
from talweg.explore.store_lock import GROUP_FILE, create_group

if TYPE_CHECKING:
    import numpy as np

FINISHED = "finished"
"""The array with one entry for each chunk."""

_FORMAT = 1
"""The version of the format. It is raised when older versions of talweg could misread a store."""

NUMBERS = tuple("bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64".split())
"""The kinds of numbers that a store holds."""

_KEYS = {"name": "default", "configuration": {"separator": "."}}
"""Chunks are the files c.0.0, c.1.0, ... of their array, in one folder."""


# ---- the group -----------------------------------------------------------------------------


def create_store(path: Path, header: dict[str, Any]) -> None:
    """Create a store in a folder that is absent or empty; leave any other as it is.

    Another process may create it first, with another header; see `read_header`.

    Args:
        path: the folder.
        header: description, runs, steps and chunk.

    Raises:
        ArgumentError: if another process takes too long to create it.
        DataError: if there is something else.
        OSError: if it cannot be written.
    """
    if path.exists() and not path.is_dir():
        raise DataError(f"{path} is a file; runs are stored in a folder")
    if not create_group(path, {"talweg": {"format": _FORMAT, **header}}):
        raise DataError(f"{path} has files but no {GROUP_FILE}: it is not a store of runs")


def read_header(path: Path) -> dict[str, Any]:
    """The header of a store: description, runs, steps and chunk.

    Raises:
        DataError: if there is no store, or its description is damaged.
    """
    if not (path / GROUP_FILE).is_file():
        raise DataError(f"{path} is not a store of runs: there is no file {GROUP_FILE} in it")
    attributes = _json(path / GROUP_FILE).get("attributes")
    header = attributes.get("talweg") if isinstance(attributes, dict) else None
    if not isinstance(header, dict) or "format" not in header:  # a map of talweg has none
        raise DataError(f"{path} is not a store of runs: its {GROUP_FILE} describes something else")
    if header.get("format") != _FORMAT:
        raise DataError(
            f"{path} has the format {header.get('format')!r}, and this talweg reads {_FORMAT}; "
            "a newer one may read it"
        )
    counts = [header.get(name) for name in ("runs", "steps", "chunk")]
    if not all(type(count) is int and count > 0 for count in counts) or not isinstance(
        header.get("description"), dict
    ):
        raise DataError(f"{path / GROUP_FILE} is damaged: it does not describe runs")
    return header


def _json(file: Path) -> dict[str, Any]:
    """An object from a JSON file."""
    try:
        found = json.loads(file.read_bytes())
    except ValueError as error:
        raise DataError(f"{file} is damaged: {error}") from None
    if not isinstance(found, dict):
        raise DataError(f"{file} is damaged: it holds no object")
    return found


# ---- arrays --------------------------------------------------------------------------------


def arrays_in(path: Path) -> list[str]:
    """The names of the arrays in a store, in alphabetical order."""
    return sorted(file.parent.name for file in path.glob(f"*/{GROUP_FILE}"))


def create_array(path: Path, name: str, shape: tuple[int, ...], dtype: Any, chunk: int) -> None:
    """Create an array with chunks of some rows; its numbers are nan or 0 until they are written."""
    import numpy as np
    import zarr
    from zarr.codecs import ZstdCodec

    dtype = np.dtype(np.dtype(dtype).name)  # in the byte order of this machine
    zarr.create_array(
        path / name,
        shape=shape,
        dtype=dtype,
        chunks=(chunk, *(max(1, n) for n in shape[1:])),
        # Losses shrink by a few per cent, rows of nan to nothing. The first level is twice as fast
        # as the third, which is the default, and its files are as small. The checksum detects
        # damaged files.
        compressors=ZstdCodec(level=1, checksum=True),
        fill_value=np.nan if dtype.kind == "f" else 0,
        chunk_key_encoding={"name": "default", "separator": "."},
    )


def open_array(
    path: Path,
    name: str,
    rows: int,
    chunk: int | None = None,
    mode: Literal["r", "r+"] = "r",
) -> Any:
    """An array of a store, as a `zarr.Array`.

    Args:
        path: the store.
        name: the array.
        rows: how many rows it must have.
        chunk: how many of them its chunks must have; None for any number.
        mode: "r" to read only, "r+" to write.

    Raises:
        DataError: if it is not as `create_array` makes it.
    """
    import zarr

    file = path / name / GROUP_FILE
    found = _json(file)
    try:
        codecs = [codec["name"] for codec in found["codecs"]]
        grid = found["chunk_grid"]["configuration"]["chunk_shape"]
        expected = (
            found["data_type"] in NUMBERS
            and codecs == ["bytes", "zstd"]
            and found["chunk_key_encoding"] == _KEYS
            and not found.get("storage_transformers")
            and found["shape"][0] == rows
            and grid[1:] == [max(1, n) for n in found["shape"][1:]]
            and chunk in (None, grid[0])
        )
        if expected:
            array = zarr.open_array(path / name, mode=mode, zarr_format=3)
            # A chunk of zeros has a file too: one that is missing was not written.
            return array.with_config({"write_empty_chunks": True})
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(f"{file} is damaged: {type(error).__name__}: {error}") from None
    raise DataError(f"{file} does not describe {rows} rows of numbers as talweg writes them")


def chunks_on_disk(folder: Path, chunks: int) -> np.ndarray[Any, Any]:
    """Which chunks of an array have a file that is not empty."""
    import numpy as np

    there = np.zeros(chunks, bool)
    with os.scandir(folder) as entries:
        for entry in entries:
            first, _, rest = entry.name.partition(".")
            number = rest.partition(".")[0]
            # A file that is being written is named c.<letters and digits>.partial.
            if first == "c" and number.isdecimal() and not rest.endswith("partial"):
                k = int(number)
                if k < chunks:
                    there[k] = entry.stat().st_size > 0
    return there


def chunk_file(path: Path, array: Any, chunk: int) -> Path:
    """The file of a chunk of rows of an array in a store."""
    key: str = array.metadata.encode_chunk_key((chunk, *(0,) * (array.ndim - 1)))
    return path / str(array.store.root.name) / key


def force_to_disk(file: Path) -> None:
    """Have the operating system write a file to the disk itself."""
    with file.open("rb+") as opened:
        os.fsync(opened.fileno())
