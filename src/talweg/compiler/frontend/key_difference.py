"""Why two calls of a compiled function are two programs: the first difference of their keys.

Start reading at `key_difference`.
"""

from __future__ import annotations

from talweg.compiler.frontend.cache_key import NUMBER, CacheKey, Field
from talweg.compiler.frontend.object_guard import Structure
from talweg.compiler.frontend.signature import argument_name, key_of_bytes


def key_difference(key: CacheKey, other: CacheKey) -> str:
    """The first place in which the keys of two calls differ, as text.

    Args:
        key: of the new call.
        other: of an earlier call, which the text writes second.

    Example:
        >>> from talweg.compiler.frontend.signature import SignatureCache, signature_of
        >>> cache = SignatureCache()
        >>> new = signature_of([[1.0, 2.0], "x"], {}, cache)
        >>> old = signature_of([[1.0], "x"], {}, cache)
        >>> key_difference(new.key, old.key)
        'argument 1: list of 2, was list of 1'
    """
    (parts, named, *outside), (old_parts, old_named, *old_outside) = key, other
    if len(parts) != len(old_parts):
        return f"{len(parts)} arguments, were {len(old_parts)}"
    names, old_names = [name for name, _ in named], [name for name, _ in old_named]
    if names != old_names:
        return f"the arguments named {', '.join(names)}, were {', '.join(old_names)}"
    pairs: list[tuple[str, CacheKey, CacheKey]] = []
    for k, (new, old) in enumerate(zip(parts, old_parts, strict=True)):
        pairs.append((f"{argument_name(k)}: ", new, old))
    for (name, new), (_, old) in zip(named, old_named, strict=True):
        pairs.append((f"{argument_name(name)}: ", new, old))
    pairs += [("", new, old) for new, old in zip(outside, old_outside, strict=True)]
    for where, new, old in pairs:
        if new != old:
            return f"{where}{_difference(new, old)}"
    return "arguments that are the same Value in one call only"


def _difference(new: CacheKey, old: CacheKey) -> str:
    new, old = _expanded(new), _expanded(old)
    if isinstance(new, Field) and isinstance(old, Field):
        if new.name != old.name:
            return f"{new.name!r}, was {old.name!r}"
        return f"{new.name}: {_difference(new.key, old.key)}"
    if isinstance(new, tuple) and isinstance(old, tuple) and len(new) == len(old):
        first = next((a, b) for a, b in zip(new, old, strict=True) if a != b)
        if all(map(_is_key, first)):
            return _difference(*first)
    return f"{_described(new)}, was {_described(old)}"


def _is_key(x: object) -> bool:
    """Whether a part of a key is a key, and not a detail such as an array's shape."""
    if not isinstance(x, tuple) or isinstance(x, Field):
        return isinstance(x, (Field, Structure))
    return len(x) > 0 and isinstance(x[0], (str, type, Structure))


def _expanded(key: CacheKey) -> CacheKey:
    """A key in full: without bytes, and with the contents of an object."""
    if isinstance(key, bytes):
        return key_of_bytes(key)
    if isinstance(key, Structure):
        return _expanded(key.key)
    if isinstance(key, tuple) and len(key) and isinstance(key[0], Structure):
        return key[0].key if len(key) == 1 else (key[0].key, *key[1:])
    return key


def _described(key: CacheKey) -> str:
    if not isinstance(key, tuple) or not key:
        return repr(key)
    if key == NUMBER:
        return "a number"
    kind, *rest = key
    if kind in (list, tuple, dict):
        return f"{kind.__name__} of {rest[0]}"
    name = kind.__name__ if isinstance(kind, type) else str(kind)
    return f"{name} {rest[0]!r}" if rest else name
