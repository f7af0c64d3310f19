"""What a function changes outside of itself while it runs.

A function that is traced runs once; its compiled form runs any number of times. So the places that
the function reads and writes are compared before and after the run:

* Numbers that the function computes and stores, as in `self.h = h`, are further outputs. They are
  stored in the same place after each call (`StateWrite`).
* Compiled code does not repeat other changes: a counter, a list that grows, a random draw. If such
  a change happens once, as when parameters are made at the first call, the function itself computes
  that call. If it happens again, it is an error.

All changes of a traced run are undone, because the places store Values of the trace after it.

Start reading at `observed_trace`.
"""

from __future__ import annotations

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
from talweg.compiler.frontend.random_states import Change, RandomStates
from talweg.compiler.frontend.signature import argument_name
from talweg.compiler.frontend.threads import followed_threads
from talweg.compiler.frontend.trace import Trace, trace
from talweg.compiler.frontend.traced_numbers import is_traced
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

    def stored(self, guards: Sequence[ObjectGuard]) -> Any:
        """The item that is stored."""
        return guards[self.guard].places[self.place].now().get(self.key, MISSING)

    def store(self, guards: Sequence[ObjectGuard], item: Any) -> None:
        """Store an item after a call with these guards."""
        guard = guards[self.guard]
        if isinstance(guard.places[self.place], ListPlace):  # the guard may have an equal list
            guard = guard.renewed()
        guard.places[self.place].put(self.key, item)


class UnrepeatedChangeError(Exception):
    """A function has changed something that it does not change again, such as a new parameter.

    This call is computed by the function itself; the next one is traced.
    """


class Observer:
    """Runs a function, and tells what it has changed.

    Inside the `with`, functions are run; what they have changed is undone at its end.

    Args:
        guards: the guards of a call. They tell what was there before.
        expected: where the function is known to store numbers of the program, if it is not traced.

    Attributes:
        writes: where the last run has stored numbers of the program.
        changes: what else it has changed.
        has_traced_keys: whether it has used a number of the trace as a key of a dictionary.
    """

    def __init__(
        self, guards: Sequence[ObjectGuard], expected: Sequence[StateWrite] | None = None
    ) -> None:
        self.writes: list[StateWrite] = []
        self.changes: list[Change] = []
        self.has_traced_keys = False
        self._guards = guards
        self._expected = expected
        self._caches = [(f, f.cache_info()) for guard in guards for f in guard.caches]
        self._random = RandomStates([x for guard in guards for x in guard.generators])

    def run(
        self,
        f: Callable[..., Any],
        args: Sequence[Any],
        kwargs: dict[str, Any],
        floats: Sequence[Any] = (),
    ) -> Any:
        """Run f.

        Args:
            f: the function.
            args: its positional arguments.
            kwargs: its named arguments.
            floats: what f finds in place of the floats outside that are inputs.

        Returns:
            What f returns; (that, the items that it has stored in `writes`) if there are any.
        """
        first = Value(0.0)._serial
        given = list(_places_of_arguments(args, kwargs))
        values = [
            *tree_values([args, kwargs]),
            *[v for guard in self._guards for v in guard.values],
        ]
        slots = [slot for guard in self._guards for slot in guard.changing] if floats else []
        with followed_threads(), HiddenGradients(values) as gradients:
            for (place, key), x in zip(slots, floats, strict=True):
                place.put(key, x)
            output = f(*args, **kwargs)
            for (place, key), x in zip(slots, floats, strict=True):
                if place.now().get(key) is x:
                    place.put(key, place.saved[key])
        self.changes = list(self._random.changes())
        self.changes += [Change("gradients", *change) for change in gradients.changes()]
        found = [
            (StateWrite(i, k, key, place.name_of(key)), place, before, after)
            for i, guard in enumerate(self._guards)
            for k, place in enumerate(guard.places)
            for key, before, after in place.changes()
            if not _is_default(place, before, after)
        ]
        kept = tree_values([after for *_, after in found])
        roots = [*tree_values(output), *[x for x in kept if x._operands]]
        self.writes = list(self._expected or ())
        states = [write.stored(self._guards) for write in self.writes]
        for write, place, before, after in found:
            is_new = self._expected is None and not is_traced(write.key)
            if is_new and _is_state(place, before, after, roots, first):
                self.writes.append(write)
                states.append(after)
            elif is_traced(write.key):
                self.has_traced_keys = True
                self.changes.insert(0, _change_of_key(place))
            elif write not in self.writes:
                self.changes.append(_change(place, write.key, before, after))
        for place in given:
            changed = [x for x in place.changes() if not _is_default(place, *x[1:])]
            if changed:
                self.changes.append(_change_of_argument(place))
        return (output, states) if self.writes else output

    def with_floats(self, given: list[Any]) -> list[Any]:
        """The arguments of `run` after the function: these and the floats that are inputs."""
        return [*given, [x for guard in self._guards for x in guard.numbers()]]

    def refuse_changes(self, f: Callable[..., Any], earlier: Sequence[Change] = ()) -> None:
        """Raise an error if the run has changed something that compiled code does not repeat.

        Args:
            f: the function.
            earlier: what an earlier run has changed, which the message prefers.
        """
        if self.changes:
            again = {change.name for change in self.changes}
            change = next((x for x in earlier if x.name in again), self.changes[0])
            name = getattr(f, "__name__", "<lambda>").replace("<lambda>", "the function")
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
        for f, before in self._caches:
            if f.cache_info() != before:  # it may hold numbers of a trace
                f.cache_clear()
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

    If f has changed something that a second run does not change, an `UnrepeatedChangeError` is
    raised for the caller, which then returns what f itself computes.

    Raises:
        TraceError: if f changes something that compiled code does not repeat.
    """
    # Guards compare lists by their items. Here it counts which lists the function changes.
    with Observer([guard.renewed() for guard in guards]) as observer:
        traced = tracer(lambda given: observer.run(f, *given), observer.with_floats(given()))
        if observer.changes:
            if observer.has_traced_keys:
                observer.refuse_changes(f)
            with Observer([guard.renewed() for guard in guards]) as second:
                tracer(lambda given: second.run(f, *given), second.with_floats(given()))
                second.refuse_changes(f, observer.changes)
            raise UnrepeatedChangeError(observer.changes[0].what)
    return traced, observer.writes


# ---- what has changed ----------------------------------------------------------------------------


def _is_state(place: Place, before: Any, after: Any, roots: Sequence[Value], first: int) -> bool:
    """Whether a new item consists of numbers of the program.

    A Value that the function itself made of a constant is a new parameter if a result depends on
    it. If none does, it is a number as any other.
    """
    if isinstance(place, (ContentPlace, FunctionPlace, SetPlace)) or after is MISSING:
        return False
    if before is MISSING and isinstance(place, ListPlace):
        return False
    values: list[Value] = []
    others: list[Any] = []
    _collect(after, values, others)
    made = {id(x) for x in values if x._serial >= first and not x._operands}
    if made and _is_read(made, roots, first):
        return False
    return bool(values or others) and _is_tree(after)


def _is_read(made: set[int], roots: Sequence[Value], first: int) -> bool:
    """Whether one of the roots depends on one of the Values that the function made."""
    stack = list(roots)
    seen: set[int] = set()
    while stack:
        x = stack.pop()
        if id(x) in made:
            return True
        for y in x._operands:
            if isinstance(y, Value) and y._serial >= first and id(y) not in seen:
                seen.add(id(y))
                stack.append(y)
    return False


def _is_default(place: Place, before: Any, after: Any) -> bool:
    """Whether a dictionary has only added its own default for a key that was read."""
    make = getattr(place.owner, "default_factory", None)
    if before is not MISSING or make is None:
        return False
    return type(after) is type(make()) and after == make()


def _collect(x: Any, values: list[Value], others: list[Any]) -> None:
    """The Values and the traced floats of a pytree."""

    def on_float(number: Any) -> Any:
        if is_traced(number):
            others.append(number)
        return number

    tree_map(x, on_float=on_float, on_value=values.append)


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
        name = f"`{place.where}`"
        return Change(
            name,
            f"appends to `{place.where}`",
            "return the numbers from the function, and append them outside",
        )
    if isinstance(place, ListPlace) and after is MISSING:
        name = f"`{place.where}`"
        return Change(
            name,
            f"removes items from {name}",
            "remove them outside of the function, or give what is needed as an argument",
        )
    if isinstance(place, (ContentPlace, SetPlace)):
        kind = type(place.owner).__name__
        return Change(
            name,
            f"changes the contents of {name}, which is {_a(kind)}",
            "return the new numbers from the function, and store them outside",
        )
    if before is MISSING or after is MISSING:
        done = "makes" if before is MISSING else "deletes"
        return Change(name, f"{done} {name}", f"make it before the first call: {name} = ...")
    return Change(
        name,
        f"changes {name} from {_brief(before)} to {_brief(after)}",
        "change it outside of the function, or give it as an argument and return the new one",
    )


def _change_of_key(place: Place) -> Change:
    return Change(
        place.where,
        f"stores an item of `{place.where}` under a number that differs from call to call",
        "compute it anew, without the dictionary",
    )


def _change_of_argument(place: Place) -> Change:
    return Change(
        place.where,
        f"changes {place.where}, {_a(type(place.owner).__name__)} that it is given",
        "return the changed numbers, or keep them in an attribute of an object",
    )


def _a(kind: str) -> str:
    return f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}"


def _brief(x: Any) -> str:
    text = "a number that the function computes" if is_traced(x) else repr(x)
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
