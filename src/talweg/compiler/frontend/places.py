"""Places: where an object, a function or a module stores what a compiled function reads.

A place is a list, the dictionary of an object, the globals of a module, the contents of a closure,
or the bytes of an array. It has a copy of what was stored there when the object was inspected. The
copy serves three purposes: to tell at every call whether something has changed (`Check`), to tell
what a function has changed while it was traced, and to undo that.

Two items are the same if they are the same object, or equal numbers or texts of the same type:
2 is not 2.0, 0.0 is not -0.0, True is not 1.

Start reading at `Place`.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

import numpy as np

from talweg.value import Value

MISSING = type("Missing", (), {"__repr__": lambda self: "nothing"})()
"""Stands for an item that a place does not have."""

_ATOMS = (float, int, bool, complex, str, bytes, type(None))

_MANY = 8
"""Lists with more numbers than that are compared item by item in one pass."""


def is_same(a: Any, b: Any) -> bool:
    """Whether two items are the same for a program.

    >>> is_same(2, 2), is_same(2, 2.0), is_same(0.0, -0.0), is_same(True, 1)
    (True, False, False, False)
    """
    return a is b or (type(a) is type(b) and type(a) in _ATOMS and repr(a) == repr(b))


class Place:
    """Where items are stored, each under a key, and what they were.

    Args:
        owner: the object that stores them.
        where: its name in the program, such as `model.layers`.
        saved: the items at inspection, by key.
    """

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
        if not self.of_object:
            return super().name_of(key)
        return f"{self.where}.{key}" if self.where else str(key)

    def restore(self) -> None:
        """See `Place.restore`."""
        if self.names is None and list(self.owner) != list(self.saved):
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

    def name_of(self, key: Any) -> str:
        """See `Place.name_of`."""
        return self.where


# ---- whether something has changed -------------------------------------------------------------


_BY_IDENTITY: Any = object.__eq__


def _is_told_by_equality(item: Any) -> bool:
    """Whether `==` of an item and another one tells whether they are the same."""
    return isinstance(item, (Value, str, bytes)) or type(item).__eq__ is _BY_IDENTITY


_is, _getitem = operator.is_, operator.getitem


class Check:
    """Whether places hold what they held, in a microsecond.

    An equality of lists first compares the identity of their items, in C. That is not strict enough
    for numbers and containers among the items, which are equal to others: their identity is
    compared besides.

    Args:
        places: the places.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._current: list[Any] = []  # lists and dictionaries
        self._copies: list[Any] = []
        self._owners: list[Any] = []  # items that are compared one by one: by index,
        self._keys: list[Any] = []
        self._items: list[Any] = []
        self._objects: list[Any] = []  # and by attribute
        self._names: list[str] = []
        self._attributes: list[Any] = []
        self._lists: list[Any] = []  # long lists of numbers
        self._numbers: list[Any] = []
        self._sized: list[Any] = []  # dictionaries of which some keys do not count
        self._without: list[Any] = []  # dictionaries that do not have a key
        self._absent: list[Any] = []
        self._ordered: list[Any] = []  # dictionaries whose order counts
        self._contents: list[ContentPlace] = []
        self._others: list[Place] = []
        for place in places:
            self._add(place)
        self._lengths = [*map(len, self._lists)]
        self._sizes = [*map(len, self._sized)]
        self._orders = [*map(list, self._ordered)]
        self._missing = repeat(MISSING)
        others = (self._names, self._sized, self._absent, self._ordered, self._lists)
        self._has_others = any([*others, self._contents, self._others])

    def _add(self, place: Place) -> None:
        if isinstance(place, ContentPlace):
            self._contents.append(place)
        elif isinstance(place, (SetPlace, ObjectArrayPlace)):
            self._others.append(place)
        elif isinstance(place, ClassPlace):
            self._add_items(vars(place.owner), place.saved)
            self._sized.append(vars(place.owner))
        elif isinstance(place, AttributePlace):
            for name in place.names:
                self._objects.append(place.owner)
                self._names.append(name)
                self._attributes.append(place.saved.get(name, MISSING))
        elif isinstance(place, DictPlace) and place.names is not None:
            self._add_items(place.owner, place.saved)
            if place.of_object:
                self._sized.append(place.owner)
            else:
                absent = [name for name in place.names if name not in place.saved]
                self._absent += absent
                self._without += [place.owner] * len(absent)
        else:
            self._add_container(place)

    def _add_container(self, place: Place) -> None:
        soft = {k: x for k, x in place.saved.items() if not _is_told_by_equality(x)}
        if isinstance(place, ListPlace) and len(soft) > _MANY:
            self._lists.append(place.owner)
            self._numbers += place.saved.values()
            return
        self._current.append(place.owner)
        is_dict = isinstance(place, DictPlace)
        copied = dict(place.saved) if is_dict else type(place.owner)(place.saved.values())
        self._copies.append(copied)
        self._add_items(place.owner, soft)
        if isinstance(place, DictPlace) and not place.of_object:
            self._ordered.append(place.owner)
            if any(type(key) is not str for key in place.saved):
                self._contents.append(ContentPlace(place.owner, "", lambda x: [*map(repr, x)]))

    def _add_items(self, owner: Any, items: Mapping[Any, Any]) -> None:
        self._owners += [owner] * len(items)
        self._keys += items
        self._items += items.values()

    def __call__(self) -> bool:
        """Whether everything is as it was."""
        try:
            return (
                self._current == self._copies
                and all(map(_is, map(_getitem, self._owners, self._keys), self._items))
                and (not self._has_others or self._others_hold())
            )
        except Exception:  # an item is gone; or `==` of a class of the user has raised
            return False

    def _others_hold(self) -> bool:
        return (
            (not self._names or self._attributes_hold())
            and (not self._sized or [*map(len, self._sized)] == self._sizes)
            and not any(map(operator.contains, self._without, self._absent))
            and (not self._ordered or [*map(list, self._ordered)] == self._orders)
            and (not self._lists or self._numbers_hold())
            and (not self._contents or self._contents_hold())
            and not any(any(place.changes()) for place in self._others)
        )

    def _attributes_hold(self) -> bool:
        now = map(getattr, self._objects, self._names, self._missing)
        return all(map(_is, now, self._attributes))

    def _numbers_hold(self) -> bool:
        lengths = [*map(len, self._lists)]
        now = chain.from_iterable(self._lists)
        return lengths == self._lengths and all(map(_is, now, self._numbers))

    def _contents_hold(self) -> bool:
        return all(
            place.content(place.owner) == place.saved["contents"] for place in self._contents
        )
