"""What a function changes outside of itself while it runs.

A function that is traced runs once; its compiled form runs any number of times. So what one run
changes is compared with what was there before:

* Numbers that the program computes and keeps, as in `self.h = h`, are further outputs. They are
  stored in the same place after each call (`StateWrite`).
* Anything else that changes is something that compiled code does not repeat: a counter, a list that
  grows, a random draw. It may happen once, as when parameters are made at the first call: then that
  call is computed by the function itself. If it happens again, it is an error.

What a run has changed is undone in any case: after a trace, the places hold Values of the trace.

Start reading at `observed_trace`.
"""

from __future__ import annotations

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np

from talweg.compiler.frontend.hidden_gradients import HiddenGradients
from talweg.compiler.frontend.object_guard import ObjectGuard
from talweg.compiler.frontend.places import (
    MISSING,
    AttributePlace,
    ContentPlace,
    DictPlace,
    FunctionPlace,
    ListPlace,
    ObjectArrayPlace,
    Place,
    SetPlace,
)
from talweg.compiler.frontend.pytree import attributes_of, is_tree_object, tree_map, tree_values
from talweg.compiler.frontend.signature import argument_name
from talweg.compiler.frontend.trace import Trace, trace
from talweg.errors import TraceError
from talweg.value import Value


class StateWrite(NamedTuple):
    """Where a program stores a number that it computes.

    Attributes:
        guard: the index of the guard among those of a call.
        place: the index of the place in the guard.
        key: the key in the place.
        name: the place in words.
    """

    guard: int
    place: int
    key: Any
    name: str

    def store(self, guards: Sequence[ObjectGuard], item: Any) -> None:
        """Store an item after a call with these guards."""
        guard = guards[self.guard]
        if isinstance(guard.places[self.place], ListPlace):  # the guard may have an equal list
            guard = guard.renewed()
        guard.places[self.place].put(self.key, item)


class Change(NamedTuple):
    """Something that a run has changed, and that is no number of the program.

    Attributes:
        what: the change in words, such as "changes `self.calls` from 0 to 1".
        repair: what to do instead.
    """

    what: str
    repair: str


class UnrepeatedChangeError(Exception):
    """A function has changed something that it does not change again, such as a new parameter.

    This call is computed by the function itself; the next one is traced.
    """


class Observer:
    """Runs a function, and tells what it has changed.

    Inside the `with`, functions are run; what they have changed is undone at its end.

    Args:
        guards: the guards of a call. They tell what was there before.

    Attributes:
        writes: where the last run has stored numbers of the program.
        changes: what else it has changed.
    """

    def __init__(self, guards: Sequence[ObjectGuard]) -> None:
        self.writes: list[StateWrite] = []
        self.changes: list[Change] = []
        self._guards = guards
        self._random = RandomStates([x for guard in guards for x in guard.generators])

    def run(self, f: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        """Run f.

        Returns:
            What f returns; (that, the items that it has stored in `writes`) if there are any.
        """
        first = Value(0.0)._serial
        given = list(_places_of_arguments(args, kwargs))
        values = [
            *tree_values([args, kwargs]),
            *[v for guard in self._guards for v in guard.values],
        ]
        with HiddenGradients(values) as gradients:
            output = f(*args, **kwargs)
        self.writes, self.changes = [], list(self._random.changes())
        self.changes += [Change(*change) for change in gradients.changes()]
        states = []
        for i, guard in enumerate(self._guards):
            for k, place in enumerate(guard.places):
                for key, before, after in place.changes():
                    if _is_default(place, before, after):
                        continue
                    if _is_state(place, before, after, first):
                        self.writes.append(StateWrite(i, k, key, place.name_of(key)))
                        states.append(after)
                    else:
                        self.changes.append(_change(place, key, before, after))
        for place in given:
            changed = [x for x in place.changes() if not _is_default(place, *x[1:])]
            if changed:
                self.changes.append(_change_of_argument(place))
        return (output, states) if self.writes else output

    def refuse_changes(self, f: Callable[..., Any]) -> None:
        """Raise an error if the run has changed something that compiled code does not repeat."""
        if self.changes:
            name, change = getattr(f, "__name__", "the function"), self.changes[0]
            raise TraceError(
                f"{name} {change.what}, which compiled code would not repeat at every call; "
                f"{change.repair}"
            )

    def __enter__(self) -> Observer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._random.restore()
        for guard in self._guards:
            for place in guard.places:
                place.restore()


def observed_trace(
    f: Callable[..., Any],
    given: Callable[[], Any],
    guards: Sequence[ObjectGuard],
    tracer: Callable[..., Trace] = trace,
) -> tuple[Trace, list[StateWrite]]:
    """The trace of a function, and where it stores numbers outside of itself.

    Args:
        f: the function.
        given: returns the arguments, [positional, named]; it is called for each run.
        guards: the guards of the call.
        tracer: traces a function of one argument.

    Returns:
        (the trace, where to store numbers); if there are such places, the output of the trace is
        (what f returns, the items to store).

    Raises:
        TraceError: if f changes something that compiled code does not repeat.
        UnrepeatedChangeError: if f has changed something that a second run does not change.
    """
    # Guards compare lists by their items. Here it counts which lists the function changes.
    with Observer([guard.renewed() for guard in guards]) as observer:
        traced = tracer(lambda given: observer.run(f, *given), given())
        if observer.changes:
            with Observer([guard.renewed() for guard in guards]) as second:
                tracer(lambda given: second.run(f, *given), given())
                second.refuse_changes(f)
            raise UnrepeatedChangeError
    return traced, observer.writes


# ---- what has changed ----------------------------------------------------------------------------


def _is_state(place: Place, before: Any, after: Any, first: int) -> bool:
    """Whether a new item consists of numbers of the program.

    A Value that the function itself made of a constant is none: it may be a new parameter.
    """
    if isinstance(place, (ContentPlace, FunctionPlace, SetPlace)) or after is MISSING:
        return False
    if before is MISSING and isinstance(place, ListPlace):
        return False
    values: list[Value] = []
    others: list[Any] = []
    _collect(after, values, others)
    made = [x for x in values if x._serial >= first and not x._operands]
    return bool(values or others) and not made and _is_tree(after)


def _is_default(place: Place, before: Any, after: Any) -> bool:
    """Whether a dictionary has only added its own default for a key that was read."""
    make = getattr(place.owner, "default_factory", None)
    if before is not MISSING or make is None:
        return False
    return type(after) is type(make()) and after == make()


def _collect(x: Any, values: list[Value], others: list[Any]) -> None:
    """The Values and the traced floats of a pytree."""

    def on_float(number: Any) -> Any:
        if is_traced_number(number):
            others.append(number)
        return number

    tree_map(x, on_float=on_float, on_value=values.append)


def is_traced_number(x: Any) -> bool:
    """Whether x is a number of a trace that stands for a float."""
    return hasattr(type(x), "_traced_node")


def _is_tree(x: Any) -> bool:
    """Whether everything in an item is a number, text, or a container of such."""
    if isinstance(x, (list, tuple, deque)):
        return all(map(_is_tree, x))
    if isinstance(x, dict):
        return all(map(_is_tree, x.values()))
    if isinstance(x, np.ndarray):
        return x.dtype.kind != "O" or all(map(_is_tree, x.ravel().tolist()))
    if is_tree_object(x):
        return all(map(_is_tree, attributes_of(x).values()))
    leaves = (Value, float, int, str, bytes, complex, type(None), np.generic)
    return isinstance(x, leaves)


def _change(place: Place, key: Any, before: Any, after: Any) -> Change:
    name = f"`{place.name_of(key)}`"
    if isinstance(place, ListPlace) and before is MISSING:
        return Change(
            f"appends to `{place.where}`",
            "return the numbers from the function, and append them outside",
        )
    if isinstance(place, (ContentPlace, SetPlace)):
        kind = type(place.owner).__name__
        return Change(
            f"changes the contents of {name}, which is {_a(kind)}",
            "return the new numbers from the function, and store them outside",
        )
    if before is MISSING or after is MISSING:
        done = "makes" if before is MISSING else "deletes"
        return Change(f"{done} {name}", f"make it before the first call: {name} = ...")
    return Change(
        f"changes {name} from {_brief(before)} to {_brief(after)}",
        "change it outside of the function, or give it as an argument and return the new one",
    )


def _change_of_argument(place: Place) -> Change:
    return Change(
        f"changes {place.where}, {_a(type(place.owner).__name__)} that it is given",
        "return the changed numbers, or keep them in an attribute of an object",
    )


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _brief(x: Any) -> str:
    text = repr(x)
    return text if len(text) <= 40 else f"{text[:37]}..."


def _places_of_arguments(args: Sequence[Any], kwargs: dict[str, Any]) -> Iterator[Place]:
    """The containers among the arguments that a function may change."""
    for k, x in enumerate(args):
        yield from _places_of(x, argument_name(k))
    for name, x in kwargs.items():
        yield from _places_of(x, argument_name(name))


def _places_of(x: Any, where: str) -> Iterator[Place]:
    parts: list[Any] = []
    if isinstance(x, (list, deque)):
        yield ListPlace(x, where)
        parts = list(x)
    elif isinstance(x, tuple):
        parts = list(x)
    elif isinstance(x, dict):
        yield DictPlace(x, where)
        parts = list(x.values())
    elif isinstance(x, set):
        yield SetPlace(x, where)
    elif isinstance(x, np.ndarray):
        if x.dtype.kind == "O":
            yield ObjectArrayPlace(x, where)
        else:
            yield ContentPlace(x, where, lambda x: x.tobytes())
    elif is_tree_object(x):
        yield AttributePlace(x, where, list(attributes_of(x)))
        parts = list(attributes_of(x).values())
    for part in parts:
        if not isinstance(part, (Value, float, int, str)):
            yield from _places_of(part, where)


# ---- random numbers ------------------------------------------------------------------------------


class RandomStates:
    """The states of all generators of random numbers that a call may draw from.

    These are `random`, `numpy.random`, PyTorch's if it is loaded, and those among the arguments and
    outside of the function.

    Args:
        generators: the latter.
    """

    def __init__(self, generators: Sequence[Any]) -> None:
        torch = sys.modules.get("torch")
        self._sources: list[tuple[str, Callable[[], Any], Callable[[Any], None]]] = [
            ("random", random.getstate, random.setstate),
            ("numpy.random", np.random.get_state, np.random.set_state),
        ]
        if torch is not None:
            self._sources.append(("torch", torch.get_rng_state, torch.set_rng_state))
        self._sources += [_source(x) for x in generators]
        self._before = [read() for _, read, _ in self._sources]

    def changes(self) -> Iterator[Change]:
        """The generators that were drawn from."""
        for (name, read, _), before in zip(self._sources, self._before, strict=True):
            if _comparable(read()) != _comparable(before):
                yield Change(
                    f"draws random numbers from {name}",
                    "draw them outside and give them as an argument, such as a mask; or give a "
                    "seed, an integer, and make the generator inside: random.Random(seed)",
                )

    def restore(self) -> None:
        """Put the states back."""
        for (_, read, write), before in zip(self._sources, self._before, strict=True):
            if _comparable(read()) != _comparable(before):
                write(before)


def _source(x: Any) -> tuple[str, Callable[[], Any], Callable[[Any], None]]:
    name = f"a {type(x).__module__.partition('.')[0]}.{type(x).__name__}"
    if isinstance(x, random.Random):
        return name, x.getstate, x.setstate
    if isinstance(x, np.random.RandomState):
        return name, x.get_state, x.set_state
    bits = x if isinstance(x, np.random.BitGenerator) else x.bit_generator
    return name, lambda: bits.state, lambda state: setattr(bits, "state", state)


def _comparable(state: Any) -> Any:
    """A state of a generator as something that `==` compares."""
    if isinstance(state, dict):
        return {name: _comparable(part) for name, part in state.items()}
    if isinstance(state, tuple):
        return tuple([_comparable(part) for part in state])
    return np.asarray(state).tobytes() if hasattr(state, "__array__") else state
