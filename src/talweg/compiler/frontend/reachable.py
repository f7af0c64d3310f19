"""What the code of a function can read: which globals, and the names of which attributes.

If something that a function reads from outside changes, its compiled form must be traced again.
Python does not report reads, so the code is inspected: the instructions of a function name the
globals and the attributes that it loads and stores. `Reach` collects the names of a function, and
of the functions, methods and classes with these names, which it can call.

Code of the standard library, of installed packages and of talweg itself is taken as constant. It
is not inspected, and neither are the globals that it reads.

Start reading at `Reach`.
"""

from __future__ import annotations

import dis
import functools
import site
import sys
import sysconfig
import types
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, NamedTuple

# ---- code of the user ----------------------------------------------------------------------------


def _folders() -> tuple[str, ...]:
    """The folders whose code is taken as constant."""
    named = sysconfig.get_paths()
    found = [named[name] for name in ("stdlib", "platstdlib", "purelib", "platlib")]
    found += [*site.getsitepackages(), site.getusersitepackages()]
    found.append(str(Path(__file__).parents[2]))
    every = {*found, *[str(Path(folder).resolve()) for folder in found]}
    return tuple([folder.rstrip("/\\") + sep for folder in every for sep in ("/", "\\")])


_CONSTANT_FOLDERS = _folders()

_GENERATED = ("<frozen", "<the method ", "<backward step of ")
"""How the files of code are called that Python or talweg has generated."""


@functools.cache
def is_user_file(file: str) -> bool:
    """Whether code of this file may change or read what changes."""
    return not file.startswith((*_GENERATED, *_CONSTANT_FOLDERS))


def is_user_function(x: Any) -> bool:
    """Whether an object is a Python function of the user."""
    return isinstance(x, types.FunctionType) and is_user_file(x.__code__.co_filename)


def is_user_module(module: Any) -> bool:
    """Whether a module is one of the user."""
    file = getattr(module, "__file__", None)
    if file is None:  # the main module of a session, or one that a program has made
        return getattr(module, "__spec__", None) is None and module.__name__ != "builtins"
    return is_user_file(file)


def is_user_class(cls: type) -> bool:
    """Whether a class was written by the user."""
    module = sys.modules.get(cls.__module__)
    return cls.__module__ != "builtins" and (module is None or is_user_module(module))


# ---- the names in code ---------------------------------------------------------------------------


class Names(NamedTuple):
    """What a code object names, the functions within it included.

    Attributes:
        globals: the globals that it loads or stores.
        attributes: the attributes that it loads or stores.
        imports: the modules that it imports when it runs.
        is_open: whether it also reads attributes whose names are computed.
    """

    globals: frozenset[str]
    attributes: frozenset[str]
    imports: frozenset[str]
    is_open: bool


_BY_NAME = {
    "getattr", "hasattr", "setattr", "delattr", "attrgetter", "methodcaller", "__setattr__",
    "__delattr__",
}  # fmt: skip
"""Functions that take the name of an attribute."""

_OPEN = {
    "__dict__", "__getattribute__", "__slots__", "asdict", "astuple", "copy", "deepcopy", "dir",
    "dumps", "eval", "exec", "fields", "getmembers", "globals", "locals", "replace", "vars",
}  # fmt: skip
"""Names of functions and attributes that give all attributes of an object."""

_SIMPLE = {
    "CACHE", "LOAD_ATTR", "LOAD_CONST", "LOAD_DEREF", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME",
    "PRECALL", "PUSH_NULL",
}  # fmt: skip
"""Instructions between `getattr` and its call, if the name is a constant."""


@functools.lru_cache(maxsize=4096)
def names_in(code: types.CodeType) -> Names:
    """The names in a code object.

    >>> names = names_in((lambda x: scale * x.size).__code__)
    >>> sorted(names.globals), sorted(names.attributes), names.is_open
    (['scale'], ['size'], False)
    """
    of_globals: set[str] = set()
    of_attributes: set[str] = set()
    imports: set[str] = set()
    is_open = False
    instructions = list(dis.get_instructions(code))
    for k, instruction in enumerate(instructions):
        kind, name = instruction.opname, instruction.argval
        if kind.endswith(("_GLOBAL", "_NAME")) and not kind.startswith("IMPORT"):
            of_globals.add(name)
        elif kind.endswith(("_ATTR", "_METHOD")) or kind == "IMPORT_FROM":
            of_attributes.add(name)
        elif kind == "IMPORT_NAME":
            imports.add(name)
        else:
            is_open = is_open or kind.startswith("MATCH_CLASS")
            continue
        is_open = is_open or name in _OPEN
        if name in _BY_NAME:
            texts = _constant_names(instructions[k + 1 :])
            of_attributes.update(texts)
            is_open = is_open or not texts
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            inner = names_in(constant)
            of_globals |= inner.globals
            of_attributes |= inner.attributes
            imports |= inner.imports
            is_open = is_open or inner.is_open
    return Names(frozenset(of_globals), frozenset(of_attributes), frozenset(imports), is_open)


def _constant_names(rest: list[dis.Instruction]) -> list[str]:
    """The text that follows `getattr` in its call, if it is a constant; nothing otherwise."""
    texts: list[str] = []
    for instruction in rest:
        if instruction.opname.startswith(("CALL", "KW_NAMES")):
            return [part for text in texts for part in text.split(".")]
        if not instruction.opname.startswith(tuple(_SIMPLE)):
            return []
        if isinstance(instruction.argval, str) and instruction.opname == "LOAD_CONST":
            texts.append(instruction.argval)
    return []


# ---- everything that a function can call ---------------------------------------------------------

_NOT_CALLED = {
    "__del__", "__dir__", "__format__", "__getstate__", "__init__", "__init_subclass__",
    "__new__", "__post_init__", "__reduce__", "__reduce_ex__", "__repr__", "__setstate__",
    "__sizeof__", "__str__", "__subclasshook__",
}  # fmt: skip
"""Special methods that arithmetic, calls and loops do not call."""

_CONSTRUCTION = {"__init__", "__new__", "__post_init__"}


class Reach:
    """The attributes that a function and everything that it calls may read.

    It grows while objects and functions are inspected, because each method that is found under a
    name may name further attributes.

    Args:
        everything: whether all attributes of all objects count, whatever the code names.

    Attributes:
        names: the names of attributes.
        is_open: whether all attributes count.
        version: how often it has grown; an inspection by an older version may lack something.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self.names: set[str] = set()
        self.is_open = everything
        self.version = 0

    def add(self, code: types.CodeType) -> Names:
        """Add the names of a code object; returns them."""
        names = names_in(code)
        self.add_names(names.attributes, is_open=names.is_open)
        return names

    def add_names(self, attributes: Set[str], *, is_open: bool = False) -> None:
        """Add the names of attributes."""
        if not attributes <= self.names or (is_open and not self.is_open):
            self.names |= attributes
            self.is_open = self.is_open or is_open
            self.version += 1

    def contains(self, name: str) -> bool:
        """Whether an attribute of this name may be read."""
        return self.is_open or name in self.names

    def members_of(self, cls: type, *, is_called: bool) -> Iterator[tuple[type, str, Any]]:
        """The attributes of a class of the user and of its bases that may be read.

        Args:
            cls: the class.
            is_called: whether objects of the class may be made too.

        Yields:
            (the class that has it, name, the attribute as it is stored).
        """
        for base in cls.__mro__:
            if not is_user_class(base):
                continue
            for name, item in list(vars(base).items()):
                if name.startswith("__") and name.endswith("__"):
                    is_method = isinstance(item, (types.FunctionType, property))
                    counts = is_method and (name not in _NOT_CALLED or self.contains(name))
                    counts = counts or (is_called and name in _CONSTRUCTION)
                else:
                    counts = self.contains(name)
                if counts:
                    yield base, name, item
