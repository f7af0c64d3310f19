"""The check at each call whether places store the same items, in about a microsecond.

Python compares two lists or dictionaries in C, and compares the identity of their items first. Most
items are still the same objects, so this is fast. Containers are therefore compared with deep
copies, in which lists within lists are copied and all other items are the same objects. Equality is
strict enough for Values, texts and objects. It is not for numbers (2 == 2.0), nor for objects with
an `==` of their own. For these *soft* items, identity is compared too, and also the identity of the
containers that they are in.

Start reading at `Check`.
"""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from talweg.compiler.frontend.places import (
    MISSING,
    AttributePlace,
    ClassPlace,
    ContentPlace,
    DictPlace,
    FunctionPlace,
    ListPlace,
    ObjectArrayPlace,
    Place,
    SetPlace,
)
from talweg.value import Value

_is, _getitem, _getattr = operator.is_, operator.getitem, getattr
_code_of, _defaults_of = operator.attrgetter("__code__"), operator.attrgetter("__defaults__")

_BY_IDENTITY: Any = object.__eq__

_MANY = 8
"""Lists with more soft items than that are compared item by item, in one pass."""


class Check:
    """Whether places store the items that they stored at inspection.

    Args:
        places: the places.
    """

    def __init__(self, places: Sequence[Place]) -> None:
        self._current: list[Any] = []  # containers
        self._copies: list[Any] = []
        self._owners: list[Any] = []  # items whose identity is compared
        self._keys: list[Any] = []
        self._items: list[Any] = []
        self._steps: list[Callable[[], bool]] = []
        self._soft: dict[int, bool] = {}
        self._inner: set[int] = set()
        for place in places:
            if isinstance(place, (ListPlace, DictPlace)) and _is_whole(place):
                self._inner.update(id(x) for x in place.saved.values() if not self._is_soft(x))
        attributes = [p for p in places if type(p) is AttributePlace]
        functions = [p.owner for p in places if isinstance(p, FunctionPlace)]
        classes = [p for p in places if isinstance(p, ClassPlace)]
        parts = [p for p in places if isinstance(p, (ListPlace, DictPlace)) and not _is_whole(p)]
        whole = [p for p in places if isinstance(p, (ListPlace, DictPlace)) and _is_whole(p)]
        for place in [*classes, *parts]:
            owner = vars(place.owner) if isinstance(place, ClassPlace) else place.owner
            self._add_items(owner, place.fixed)
        for place in whole:
            self._add_container(place)
        self._add_attributes(attributes)
        self._add_functions(functions)
        sized = [vars(p.owner) for p in classes] + [p.owner for p in parts if _is_sized(p)]
        self._add_equality(len, sized)
        self._add_equality(list, [p.owner for p in whole if _is_ordered(p)])
        self._add_absent([p for p in parts if isinstance(p, DictPlace) and not p.of_object])
        self._add_numbers([p.owner for p in whole if self._has_many(p)])
        self._add_contents(places)

    def __call__(self) -> bool:
        """Whether everything is as it was."""
        try:
            if self._current != self._copies:
                return False
            if self._items and not all(
                map(_is, map(_getitem, self._owners, self._keys), self._items)
            ):
                return False
            for step in self._steps:
                if not step():
                    return False
        except Exception:  # an item is gone; or `==` of a class of the user has raised
            return False
        return True

    # ---- containers ------------------------------------------------------------------------------

    def _is_soft(self, x: Any) -> bool:
        """Whether two items may be equal and yet not the same."""
        if isinstance(x, (Value, str, bytes)) or type(x).__eq__ is _BY_IDENTITY:
            return False
        if type(x) not in (list, tuple, deque):
            return True
        if id(x) not in self._soft:
            self._soft[id(x)] = True  # while it is visited: it may contain itself
            self._soft[id(x)] = any(map(self._is_soft, x))
        return self._soft[id(x)]

    def _add_container(self, place: Place) -> None:
        if self._has_many(place):
            return
        if id(place.owner) not in self._inner:  # else it is compared as a part of another
            self._current.append(place.owner)
            is_dict = isinstance(place, DictPlace)
            items = {k: self._copied(x) for k, x in place.saved.items()}
            self._copies.append(items if is_dict else type(place.owner)(items.values()))
        self._add_items(place.owner, {k: x for k, x in place.saved.items() if self._is_soft(x)})

    def _copied(self, x: Any) -> Any:
        """A list as a deep copy; anything else as it is."""
        if type(x) in (list, tuple, deque) and not self._is_soft(x):
            return type(x)([self._copied(part) for part in x])
        return x

    def _has_many(self, place: Place) -> bool:
        if not isinstance(place, ListPlace) or len(place.saved) <= _MANY:
            return False
        return sum(map(self._is_soft, place.saved.values())) > _MANY

    def _add_items(self, owner: Any, items: Mapping[Any, Any]) -> None:
        self._owners += [owner] * len(items)
        self._keys += items
        self._items += items.values()

    # ---- everything else -------------------------------------------------------------------------

    def _add_equality(self, function: Callable[[Any], Any], owners: list[Any]) -> None:
        """The function must return what it returned before, for each of the owners."""
        before = [*map(function, owners)]
        if owners:
            self._steps.append(lambda: [*map(function, owners)] == before)

    def _add_attributes(self, places: Sequence[AttributePlace]) -> None:
        named = [(p, name) for p in places for name in p.names if name not in p.changing]
        owners, names = [place.owner for place, _ in named], [name for _, name in named]
        before = [place.saved.get(name, MISSING) for place, name in named]
        missing = repeat(MISSING)
        if owners:
            self._steps.append(lambda: all(map(_is, map(_getattr, owners, names, missing), before)))

    def _add_functions(self, functions: list[Any]) -> None:
        self._add_equality(_code_of, functions)
        with_defaults = [f for f in functions if f.__defaults__]
        defaults = [*map(_defaults_of, with_defaults)]
        if defaults:
            self._steps.append(lambda: all(map(_is, map(_defaults_of, with_defaults), defaults)))

    def _add_absent(self, places: Sequence[DictPlace]) -> None:
        """Globals that a module does not have, such as the names of built-in functions."""
        for place in places:
            absent = [name for name in place.names or () if name not in place.saved]
            if absent:
                are_absent = place.owner.keys().isdisjoint
                self._steps.append(lambda f=are_absent, names=absent: f(names))  # type: ignore[misc]

    def _add_numbers(self, lists: list[Any]) -> None:
        """Long lists of numbers."""
        before = [*chain.from_iterable(lists)]
        self._add_equality(len, lists)
        if lists:
            self._steps.append(lambda: all(map(_is, chain.from_iterable(lists), before)))

    def _add_contents(self, places: Sequence[Place]) -> None:
        for place in places:
            if isinstance(place, ContentPlace):
                self._steps.append(place.holds)
            elif isinstance(place, (SetPlace, ObjectArrayPlace)):
                self._steps.append(lambda place=place: not any(place.changes()))  # type: ignore[misc]
            elif _is_ordered(place) and any(type(key) is not str for key in place.saved):
                self._add_equality(_texts, [place.owner])


def _is_whole(place: ListPlace | DictPlace) -> bool:
    """Whether all items of a container count."""
    if place.changing:
        return False
    if isinstance(place, ListPlace) or place.names is None:
        return True
    return place.of_object and len(place.saved) == len(place.owner)


def _is_sized(place: ListPlace | DictPlace) -> bool:
    """Whether the number of items tells that others are new."""
    return isinstance(place, ListPlace) or place.of_object or place.names is None


def _is_ordered(place: Place) -> bool:
    """Whether a place is a dictionary whose order counts."""
    return isinstance(place, DictPlace) and place.names is None and not place.of_object


def _texts(keys: Any) -> list[str]:
    return [*map(repr, keys)]
