"""Many runs on disk: written in chunks, and resumed after any interruption.

A store is a folder, a Zarr group that any Zarr reader opens. It has the array `losses` (runs x
steps), the other arrays of a `TaskResult`, each with one row a run, and the array `finished` with
one entry a chunk. The group's attributes describe the runs. A chunk of runs is one file in each
array.

A chunk is finished if all its files exist and its entry in `finished` is true, which is written
last. Zarr's LocalStore writes each file under another name and then renames it; it is on the disk
itself before the entry is. So a process that is killed loses only chunks that were not finished,
and half a chunk never counts as one. An entry without a file, as a power cut or a deleted file
leaves it, does not count either.

One process creates a store (`talweg.explore.store_lock`). One process writes, the others are
refused: it holds a lock of the operating system on the group's file, which is released when the
process ends. The description is compared before the lock is taken, so that another sweep is
refused with what differs while the store is written to, and again under the lock. Where a file
system has no locks, two processes may write. They write the same runs, and at worst one
overwrites the entry of a chunk that the other finished, which is then computed again.

Start reading at `RunStore`, then `RunStore.put`.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from talweg.errors import ArgumentError, DataError
from talweg.explore.store_difference import first_difference
from talweg.explore.store_lock import GROUP_FILE, FileLock
from talweg.explore.sweep.store_files import (
    FINISHED,
    NUMBERS,
    arrays_in,
    chunk_file,
    chunks_on_disk,
    create_array,
    create_store,
    force_to_disk,
    open_array,
    read_header,
)

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]


class StoredRuns:
    """The runs in a folder, to be read; also while they are being written.

    Args:
        path: the folder.

    Attributes:
        path: the folder.
        description: of the runs, as given when the store was created.
        runs: how many runs there are to be.
        steps: how many steps each makes.
        chunk: how many runs a chunk has; the last one may be shorter.

    Raises:
        DataError: if this is no store of runs, or a damaged one.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        header = read_header(self.path)
        self.description: dict[str, Any] = header["description"]
        self.runs: int = header["runs"]
        self.steps: int = header["steps"]
        self.chunk: int = header["chunk"]
        self._finished = self._find_finished()

    @property
    def chunks(self) -> int:
        """How many chunks there are."""
        return -(-self.runs // self.chunk)

    @property
    def names(self) -> list[str]:
        """The arrays, in alphabetical order."""
        return [name for name in arrays_in(self.path) if name != FINISHED]

    def rows(self, chunk: int) -> slice:
        """The rows of a chunk.

        Raises:
            ArgumentError: if there is no such chunk.
        """
        if not 0 <= chunk < self.chunks:
            raise ArgumentError(f"chunk must be from 0 to {self.chunks - 1}, got {chunk!r}")
        return slice(chunk * self.chunk, min(self.runs, (chunk + 1) * self.chunk))

    def missing(self) -> list[int]:
        """The numbers of the chunks that are not finished, in order."""
        numbers: list[int] = (~self._finished).nonzero()[0].tolist()
        return numbers

    def array(self, name: str) -> Any:
        """An array of all runs, as a `zarr.Array`: what is sliced is read from disk.

        Rows of chunks that are not finished are nan (0 where there is no nan), or what was
        being written.

        Args:
            name: one of `names`.

        Raises:
            ArgumentError: if there is no such array.
            DataError: if its description is damaged.
        """
        if name not in self.names:
            raise ArgumentError(f"{self.path} has no array {name!r}; there are {self.names}")
        return open_array(self.path, name, self.runs, self.chunk)

    def read(self, chunk: int) -> dict[str, Array]:
        """The arrays of a chunk.

        Args:
            chunk: its number.

        Returns:
            The arrays by name, one row a run.

        Raises:
            ArgumentError: if the chunk is not finished, or there is none of this number.
            DataError: if a file is damaged.
        """
        rows = self.rows(chunk)
        if not self._finished[chunk]:
            raise ArgumentError(f"chunk {chunk} of {self.path} is not finished")
        return {name: self._rows_of(name, rows, chunk) for name in self.names}

    def _rows_of(self, name: str, rows: slice, chunk: int) -> Array:
        array = self.array(name)
        try:
            found: Array = array[rows]
        except Exception as error:  # of the codecs, of any kind
            raise DataError(
                f"{chunk_file(self.path, array, chunk)} is damaged: {error}; delete that file and "
                "call the sweep again: what is missing is computed, all else is kept"
            ) from None
        return found

    def _find_finished(self) -> Array:
        """Which chunks are finished: their entries are true, and their files exist."""
        import numpy as np

        finished = np.zeros(self.chunks, bool)
        if FINISHED not in arrays_in(self.path):  # killed before it had written anything
            return finished
        entries = open_array(self.path, FINISHED, self.chunks)
        try:
            finished |= entries[:]
        except Exception as error:
            raise DataError(
                f"{self.path / FINISHED} is damaged: {error}; delete that folder: then no chunk "
                "counts as finished, and all are computed again"
            ) from None
        for name in self.names:
            finished &= chunks_on_disk(self.path / name, self.chunks)
        return finished


class RunStore(StoredRuns):
    """A store to write to: a new one, or one that exists with the same description.

    It is closed by `close`, at the end of a `with` block, or with the process.

    Args:
        path: the folder; made if it does not exist.
        description: of the runs, as plain data (JSON): all that their numbers depend on, so that
            other runs are never taken for these.
        runs: how many runs there are to be.
        steps: how many steps each makes.
        chunk: how many runs are written at a time, and are one file in each array, in a new
            store; one that exists has its own number.

    Raises:
        ArgumentError: if the folder holds runs of another description, another process writes
            to it, or the description is no plain data.
        DataError: if the folder holds something else, or what it holds is damaged.
        OSError: if it cannot be written to.

    Example:
        >>> import tempfile, numpy as np
        >>> folder = tempfile.TemporaryDirectory()
        >>> size = {"runs": 5, "steps": 2, "chunk": 3}
        >>> with RunStore(f"{folder.name}/a", {"seed": 1}, **size) as store:
        ...     store.put(1, {"losses": np.ones((2, 2)), "taken": np.array([2, 2])})
        >>> with RunStore(f"{folder.name}/a", {"seed": 1}, **size) as store:
        ...     store.missing(), store.read(1)["losses"].tolist()
        ([0], [[1.0, 1.0], [1.0, 1.0]])
        >>> folder.cleanup()
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        description: Mapping[str, Any],
        *,
        runs: int,
        steps: int,
        chunk: int,
    ) -> None:
        header: dict[str, Any] = {"runs": runs, "steps": steps, "chunk": chunk}
        for name, count in header.items():
            if not isinstance(count, int) or count < 1:
                raise ArgumentError(f"{name} must be an integer of at least 1, got {count!r}")
        header["description"] = _plain(description)
        create_store(Path(path), header)
        _require_same(header, Path(path))
        self._lock = FileLock(Path(path) / GROUP_FILE)
        self._putting = threading.Lock()
        try:
            _require_same(header, Path(path))
            super().__init__(path)
            self._complete()
        except BaseException:
            self.close()
            raise

    def _complete(self) -> None:
        """Create what a new store lacks, and remove the files of a process that was killed."""
        if FINISHED not in arrays_in(self.path):
            # Entries share files: a file each would be as many again as those of the losses.
            create_array(self.path, FINISHED, (self.chunks,), "bool", min(self.chunks, 4096))
        if "losses" not in self.names:
            self._create("losses", (self.steps,), "float64")
        for name in arrays_in(self.path):
            for half in sorted((self.path / name).glob("*.partial")):
                half.unlink()

    def put(self, chunk: int, arrays: Mapping[str, Any]) -> None:
        """Write the arrays of a chunk; when this returns, it is finished.

        Several threads may call it at the same time. A chunk that is put again is replaced.

        Args:
            chunk: its number.
            arrays: by name, with one row for each run of the chunk; integers, booleans or
                floats. All chunks have the same arrays. `losses` has the shape (runs of the
                chunk, steps).

        Raises:
            ArgumentError: if the arrays do not fit.
            OSError: if they cannot be written.
        """
        import numpy as np

        rows = self.rows(chunk)
        given = {name: np.asarray(arrays[name]) for name in sorted(arrays)}
        with self._putting:
            self._require_fit(given, rows)
            for name, numbers in given.items():
                if name not in self.names:
                    self._create(name, numbers.shape[1:], numbers.dtype)
                array = open_array(self.path, name, self.runs, self.chunk, mode="r+")
                if (array.shape[1:], array.dtype.name) != (numbers.shape[1:], numbers.dtype.name):
                    raise ArgumentError(
                        f"{name} has the shape {numbers.shape} and numbers of {numbers.dtype}, "
                        f"but {self.path} has {array.shape[1:]} a run of {array.dtype}"
                    )
                array[rows] = numbers
                force_to_disk(chunk_file(self.path, array, chunk))
            self._finished[chunk] = True
            entries = open_array(self.path, FINISHED, self.chunks, mode="r+")
            entries[chunk] = True

    def close(self) -> None:
        """Release the lock; what is finished is on disk already."""
        self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _create(self, name: str, shape: tuple[int, ...], dtype: Any) -> None:
        create_array(self.path, name, (self.runs, *shape), dtype, self.chunk)

    def _require_fit(self, given: dict[str, Array], rows: slice) -> None:
        """Refuse arrays that do not fit the store, and a store that is closed or replaced."""
        if not self._lock.held:
            raise ArgumentError(f"{self.path} is closed; open it again to write to it")
        if not self._lock.in_place:
            raise ArgumentError(
                f"{self.path} was deleted or replaced while it was written to; call the sweep again"
            )
        known, count = self.names, rows.stop - rows.start
        if not set(known) <= set(given) or (self._finished.any() and known != list(given)):
            raise ArgumentError(
                f"each chunk of {self.path} has the arrays {known}, got {list(given)}"
            )
        for name, numbers in given.items():
            if not name.isidentifier() or name == FINISHED:
                raise ArgumentError(f"an array cannot be named {name!r}; take letters, digits, _")
            if numbers.dtype.name not in NUMBERS:
                raise ArgumentError(f"{name} must be numbers, got an array of {numbers.dtype}")
            if numbers.shape[:1] != (count,) or not numbers.size:
                raise ArgumentError(
                    f"{name} must have {count} rows, one a run, got the shape {numbers.shape}"
                )


def _require_same(header: dict[str, Any], path: Path) -> None:
    """Refuse a store of other runs; the number of runs of a chunk may be another."""
    stored = read_header(path)
    difference = first_difference({**header, "chunk": stored["chunk"]}, stored)
    if difference:
        raise ArgumentError(
            f"{path} holds other runs: {difference}; choose another folder for these"
        )


def _plain(description: Mapping[str, Any]) -> Any:
    """A description as it will be read back."""
    try:
        return json.loads(json.dumps(dict(description), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ArgumentError(f"the description must be plain data, as in JSON: {error}") from None
