"""Places: where an object, a function or a module stores what a compiled function reads.

A place is a list, the dictionary of an object, the globals of a module, the contents of a closure,
or the bytes of an array. It has a copy of what was stored there when the object was inspected. The
copy has three uses: to find at every call whether something has changed (`check.py`), to find what
a function has changed while it was traced (`effects.py`), and to undo that. (Storage locations of
compiled programs are in `compiler/passes/locations.py`.)

Two items are the same if they are the same object, or equal numbers or texts of the same type:
2 is not 2.0, 0.0 is not -0.0, True is not 1.

Start reading at `Place`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from typing import Any

import numpy as np

MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()
"""Stands for an item that a place does not have."""

_ATOMS = (float, int, bool, complex, str, bytes, type(None))


def is_same(a: Any, b: Any) -> bool:
    """Whether two items are the same for a program.

    >>> is_same(2, 2), is_same(2, 2.0), is_same(0.0, -0.0), is_same(True, 1)
    (True, False, False, False)
    """
    if a is b:
        return True
    is_atom = type(a) in _ATOMS or isinstance(a, np.generic)
    return is_atom and type(a) is type(b) and repr(a) == repr(b)


class Place:
    """Where items are stored, each under a key, and what they were.

    Args:
        owner: the object that stores them.
        where: its name in the program, such as `model.layers`.
        saved: the items at inspection, by key.

    Attributes:
        changing: the keys of floats that are inputs of the program.
    """

    changing: Set[Any] = frozenset()

    def __init__(self, owner: Any, where: str, saved: Mapping[Any, Any]) -> None:
        self.owner = owner
        self.where = where
        self.saved = saved

    def now(self) -> Mapping[Any, Any]:
        """The items that are stored now."""
        raise NotImplementedError

    def put(self, key: Any, item: Any) -> None:
        """Store an item; `MISSING` deletes the one that is there."""
        raise NotImplementedError

    @property
    def fixed(self) -> Mapping[Any, Any]:
        """The items that must be the same at the next call."""
        return {k: x for k, x in self.saved.items() if k not in self.changing}

    def name_of(self, key: Any) -> str:
        """An item in the words of the program."""
        return f"{self.where}[{key!r}]"

    def changes(self) -> Iterator[tuple[Any, Any, Any]]:
        """(key, earlier item, item) for each item that is another one now."""
        now = self.now()
        for key in dict.fromkeys([*self.saved, *now]):
            before, after = self.saved.get(key, MISSING), now.get(key, MISSING)
            if not is_same(before, after):
                yield key, before, after

    def restore(self) -> None:
        """Store what was there at inspection."""
        for key, before, _ in list(self.changes()):
            self.put(key, before)


class ListPlace(Place):
    """A list or a deque; keys are indices."""

    def __init__(self, owner: list[Any] | deque[Any], where: str) -> None:
        super().__init__(owner, where, dict(enumerate(owner)))

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        return dict(enumerate(self.owner))

    def put(self, key: Any, item: Any) -> None:
        """See `Place.put`."""
        self.owner[key] = item

    def restore(self) -> None:
        """See `Place.restore`."""
        if any(True for _ in self.changes()):
            self.owner.clear()
            self.owner.extend(self.saved.values())


class SetPlace(Place):
    """A set; keys are positions in the order in which it is iterated."""

    def __init__(self, owner: set[Any], where: str) -> None:
        super().__init__(owner, where, dict(enumerate(owner)))

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        return dict(enumerate(self.owner))

    def restore(self) -> None:
        """See `Place.restore`."""
        if any(True for _ in self.changes()):
            self.owner.clear()
            self.owner.update(self.saved.values())


class ObjectArrayPlace(Place):
    """A NumPy array of objects; keys are indices of the flattened array."""

    def __init__(self, owner: Any, where: str) -> None:
        super().__init__(owner, where, dict(enumerate(owner.ravel().tolist())))

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        return dict(enumerate(self.owner.ravel().tolist()))

    def put(self, key: Any, item: Any) -> None:
        """See `Place.put`."""
        self.owner[np.unravel_index(key, self.owner.shape)] = item


class DictPlace(Place):
    """A dictionary, or the attributes of an object; keys are keys or names.

    Args:
        owner: the dictionary.
        where: its name in the program.
        names: the keys that count; None for all.
        of_object: whether it is the dictionary of an object, whose order does not count.
    """

    def __init__(
        self,
        owner: dict[Any, Any],
        where: str,
        names: Sequence[str] | None = None,
        *,
        of_object: bool = False,
    ) -> None:
        self.names = names
        self.of_object = of_object
        self.owner = owner
        super().__init__(owner, where, dict(self.now()))

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        if self.names is None:
            return dict(self.owner)
        return {name: self.owner[name] for name in self.names if name in self.owner}

    def put(self, key: Any, item: Any) -> None:
        """See `Place.put`."""
        if item is MISSING:
            self.owner.pop(key, None)
        else:
            self.owner[key] = item

    def name_of(self, key: Any) -> str:
        """See `Place.name_of`."""
        if self.names is not None and not self.of_object:  # the globals of a module
            return str(key)
        if not self.of_object:
            return super().name_of(key)
        return f"{self.where}.{key}" if self.where else str(key)

    def restore(self) -> None:
        """See `Place.restore`."""
        # By identity: a key may be a number of a trace that has ended.
        if self.names is None and [*map(id, self.owner)] != [*map(id, self.saved)]:
            changed = dict(self.saved)
            self.owner.clear()
            self.owner.update(changed)
        super().restore()


class AttributePlace(Place):
    """Attributes that are in no dictionary: of a cell, a function, an object with slots."""

    def __init__(self, owner: Any, where: str, names: Sequence[str]) -> None:
        self.names = names
        self.owner = owner
        super().__init__(owner, where, self.now())

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        found = {}
        for name in self.names:
            try:
                found[name] = getattr(self.owner, name)
            except (AttributeError, ValueError):  # an empty slot, an empty cell
                continue
        return found

    def put(self, key: Any, item: Any) -> None:
        """See `Place.put`."""
        if item is MISSING:
            delattr(self.owner, key)
        else:
            setattr(self.owner, key, item)

    def name_of(self, key: Any) -> str:
        """See `Place.name_of`."""
        return self.where if key == "cell_contents" else f"{self.where}.{key}"


class FunctionPlace(AttributePlace):
    """The code and the default arguments of a function, which can be exchanged."""

    def __init__(self, owner: Any, where: str) -> None:
        super().__init__(owner, where, ["__code__", "__defaults__"])


class ClassPlace(AttributePlace):
    """Attributes of a class, as they are stored in it."""

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        own = vars(self.owner)
        return {name: own[name] for name in self.names if name in own}


class ContentPlace(Place):
    """An object whose contents are compared as a whole, such as an array or a set.

    Args:
        owner: the object.
        where: its name in the program.
        content: the function that returns what is compared.
        restore: the function that puts the contents back: (object, content).
    """

    def __init__(
        self,
        owner: Any,
        where: str,
        content: Callable[[Any], Any],
        restore: Callable[[Any, Any], None] | None = None,
    ) -> None:
        self.content = content
        self._restore = restore
        self.owner = owner
        super().__init__(owner, where, self.now())

    def now(self) -> Mapping[Any, Any]:
        """See `Place.now`."""
        return {"contents": self.content(self.owner)}

    def put(self, key: Any, item: Any) -> None:
        """See `Place.put`."""
        if self._restore is not None:
            self._restore(self.owner, item)

    def changes(self) -> Iterator[tuple[Any, Any, Any]]:
        """See `Place.changes`."""
        before, after = self.saved["contents"], self.content(self.owner)
        if before != after:
            yield "contents", before, after

    def holds(self) -> bool:
        """Whether the contents are the same."""
        return bool(self.content(self.owner) == self.saved["contents"])

    def name_of(self, key: Any) -> str:
        """See `Place.name_of`."""
        return self.where
