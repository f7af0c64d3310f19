"""The difference between two descriptions: what a store holds, and what is asked for now.

Start reading at `first_difference`.
"""

from __future__ import annotations

from typing import Any


def first_difference(asked: Any, stored: Any, where: str = "") -> str:
    """The first entry of plain data that differs, as a sentence; empty if none does.

    Args:
        asked: what is asked for; entries of a dict are compared in its order.
        stored: what there is; the entry "format" of the outermost dict is not compared.
        where: the name of the entry.

    Example:
        >>> first_difference({"rates": [1, 2]}, {"rates": [1, 3], "format": 1})
        'rates[1] is 3 there, and 2 was asked for'
    """
    if asked == stored:
        return ""
    if isinstance(asked, dict) and isinstance(stored, dict):
        more = [name for name in stored if name not in asked and (where or name != "format")]
        if more:
            return f"{_within(where, more[0])} was given there, and was not asked for"
        for name, own in asked.items():
            if name not in stored:
                return f"{_within(where, name)} was not given there, and {own!r:.60} was asked for"
            if difference := first_difference(own, stored[name], _within(where, name)):
                return difference
        return ""
    if isinstance(asked, list) and isinstance(stored, list):
        if len(asked) != len(stored):
            return f"{where} has {len(stored)} entries there, and {len(asked)} were asked for"
        pairs = enumerate(zip(asked, stored, strict=True))
        found = (first_difference(*pair, f"{where}[{k}]") for k, pair in pairs)
        return next(filter(None, found), "")
    return f"{where} is {stored!r:.60} there, and {asked!r:.60} was asked for"


def _within(where: str, name: str) -> str:
    """The name of an entry of a dict; those of the description have no prefix."""
    return name if where in ("", "description") else f"{where}.{name}"
