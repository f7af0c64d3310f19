"""Random Python programs, run by the eager engine and compiled, and compared call by call.

Each run has a module of its own, in which the same calls and the same changes are made. After each
call everything that a program can see is compared: what the function returned, with its types; the
derivatives of all parameters; and the state that it has kept. In exact mode every bit is compared.

Start reading at `judged`.
"""

import linecache
import math
import struct
import types
import warnings
from dataclasses import dataclass

import numpy as np
from python_programs import HEADER, Program, Writer

import talweg as tw
from talweg import Value
from talweg.errors import NumberError, TalwegError, TraceError

STATE = ("SCALE", "FLAG", "TABLE", "OFFSETS", "STATE", "GATES")
TOLERANCE = 1e-9

# ---- numbers that can be compared ------------------------------------------------------------


def bits(number):
    """A float as text; all numbers that are not a number (nan) are equal."""
    return "nan" if math.isnan(number) else struct.pack("<d", number).hex()


def shown(x, known):
    """A result as nested tuples that are equal where types, structure and all bits are."""
    if isinstance(x, Value):
        return ("Value", bits(x.data), known.get(id(x)))
    if isinstance(x, (float, np.floating)):
        # An element of an array of traced numbers is a float, where it is np.float64 otherwise.
        return ("float" if isinstance(x, float) else type(x).__name__, bits(x))
    if isinstance(x, (bool, np.bool_)):  # and what compares it, a bool
        return ("bool", bool(x))
    if isinstance(x, np.ndarray):
        return ("array", str(x.dtype), x.shape, *[shown(part, known) for part in x.ravel()])
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, *[shown(part, known) for part in x])
    if isinstance(x, dict):
        return ("dict", *[(repr(name), shown(part, known)) for name, part in x.items()])
    return (type(x).__name__, repr(x))


def numbers_of(tree):
    """The numbers in what `shown` or a call returns, in order, and all else."""
    if isinstance(tree, tuple):
        parts = [numbers_of(part) for part in tree]
        return [x for part in parts for x in part[0]], [part[1] for part in parts]
    if isinstance(tree, str) and len(tree) == 16:
        try:
            return [struct.unpack("<d", bytes.fromhex(tree))[0]], None
        except ValueError:
            pass
    return ([math.nan], None) if tree == "nan" else ([], tree)


def are_close(a, b):
    """Whether two outcomes agree up to rounding errors."""
    if a == b:
        return True
    (xs, rest), (ys, other) = numbers_of(a), numbers_of(b)
    return rest == other and len(xs) == len(ys) and np.allclose(
        xs, ys, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True
    )  # fmt: skip


# ---- one run -----------------------------------------------------------------------------------


class World:
    """A module of its own with a program, whose function is called.

    Args:
        program: the program.
        compiled: the function that makes the callable of `f`, such as `tw.jit`.
        shift: the relative change of all floats among the arguments.
        has_gradients: whether the derivatives in `grad` are compared.
    """

    def __init__(self, program, compiled=lambda f: f, shift=0.0, *, has_gradients=True):
        self.program = program
        self.shift = shift
        self.has_gradients = has_gradients
        source, name = program.source(), f"/random/program_{id(self)}.py"
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        self.file = name
        self.module = types.ModuleType("random_program")
        exec(compile(source, name, "exec"), self.module.__dict__)
        self.f = compiled(self.module.f)

    def outcomes(self):
        """What each call returned and changed; the last one is an exception if there was one."""
        found = []
        for k, (moves, args) in enumerate(self.program.calls):
            for move in moves:
                exec(move, self.module.__dict__)
            if any(".data" in move for move in moves):
                self.cut_state()
            try:
                found.append(self.called(k, args))
            except RecursionError:
                raise
            except Exception as error:
                found.append(("raises", error))
                break
        linecache.cache.pop(self.file, None)
        return found

    def arguments(self, args):
        w, x, y, k, options = args
        by = 1.0 + self.shift
        x = [a * by for a in x]
        given = [[Value(a * by) for a in w], np.array(x) if self.program.is_array else x, y * by]
        return [*given, *([] if k is None else [k * by])], options

    def called(self, k, args):
        """What a call returned, the derivatives after it, and the state."""
        given, options = self.arguments(args)
        values = self.values(given[0])
        known_before = {*values}
        if k % 2 == 0:
            for value in values:
                value.grad = 0.0
        result = self.f(*given, **options)
        returned = [*values_in(result)]
        if returned and k % 3 != 2:
            sum(returned[1:], returned[0] * 1.0).backward()
        known = {id(value): j for j, value in enumerate(values)}
        for value in self.values([]):
            if value not in known_before:
                value.grad = 0.0  # compiled code has no derivatives by Values that f itself makes
        seen = values if self.has_gradients else []  # derivatives that are returned, otherwise
        gradients = ("gradients", *[bits(value.grad) for value in seen])
        return (shown(result, known), gradients, self.state(known))

    def values(self, w):
        """All parameters, in order."""
        of_cells = [self.module.one.parameters(), self.module.two.parameters()]
        return list(dict.fromkeys([*w, *of_cells[0], *of_cells[1]]))

    def state(self, known):
        """What the module has kept."""
        globals_, cells = self.module.__dict__, [self.module.one, self.module.two]
        return (
            *[(name, shown(globals_[name], known)) for name in STATE],
            *[(name, shown(x, known)) for cell in cells for name, x in vars(cell).items()],
            ("gain", shown(self.module.Cell.gain, known)),
        )

    def cut_state(self):
        """State without its graph: a graph whose parameters change is another one compiled."""
        for cell in (self.module.one, self.module.two):
            cell.h = cut(cell.h)
            cell.memory = [cut(x) for x in cell.memory]
        self.module.STATE["h"] = cut(self.module.STATE["h"])


def cut(x):
    """A Value that was computed, as a new one with the same number."""
    return Value(x.data) if isinstance(x, Value) and x._prev else x


def values_in(x):
    """The Values of a result, each once, in order."""
    if isinstance(x, Value):
        return [x]
    if isinstance(x, np.ndarray):
        x = x.ravel().tolist() if x.dtype == object else []
    parts = x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else []
    return list(dict.fromkeys([value for part in parts for value in values_in(part)]))


# ---- derivatives -------------------------------------------------------------------------------


def differentiated(mode):
    """The function that makes of `f` one that is called with floats, by `tw.value_and_grad`."""

    def compiled(f):
        both = tw.value_and_grad(f, mode=mode)

        def called(w, *rest, **options):
            value, gradient = both([p.data for p in w], *rest, **options)
            # A derivative that is a Value has no sign at 0: 0.0 was not added to it, as to `grad`.
            return [float(value), *[float(g) + 0.0 for g in gradient]]

        return called

    return compiled


def by_eager_engine(f):
    """The same by the eager engine."""

    def called(w, *rest, **options):
        own = [Value(p.data) for p in w]
        result = f(own, *rest, **options)
        if not isinstance(result, Value):
            raise TypeError("no Value")
        result.backward()
        return [result.data, *[p.grad for p in own]]

    return called


# ---- the comparison ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """How a program compares.

    Attributes:
        kind: "same"; "refused", with one clear error; "ill-conditioned", if rounding errors decide;
            "different".
        detail: the first difference or the error.
    """

    kind: str
    detail: str = ""


def judged(program: Program, modes=("exact", "default", "derivatives")):
    """The verdicts on a program by what was compared, such as {"exact": Verdict("same")}."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        found = {}
        expected = World(program).outcomes() if {"exact", "default"} & {*modes} else []
        for mode in modes:
            if mode == "derivatives":
                if program.end.startswith("return v") and not _asks_for_identity(program):
                    found[mode] = _derivatives(program)
            else:
                outcomes = World(program, lambda f, mode=mode: tw.jit(f, mode=mode)).outcomes()
                verdict = compared(expected, outcomes, is_exact=mode == "exact")
                if verdict.kind == "different" and mode == "default" and _is_fragile(program):
                    verdict = Verdict("ill-conditioned", verdict.detail)
                found[mode] = verdict
    return found


def _asks_for_identity(program):
    """Whether a program depends on what numbers are that it is differentiated by.

    A function that is differentiated is given floats, whose truth and `==` are those of the number.
    """
    source = program.source()[len(HEADER) :]
    return "bool(" in source or " == v" in source or " == w" in source


def _derivatives(program):
    makers = by_eager_engine, differentiated("exact")
    worlds = [World(program, compiled, has_gradients=False) for compiled in makers]
    return compared(*[world.outcomes() for world in worlds], is_exact=True)


def compared(expected, outcomes, *, is_exact):
    """The verdict on the outcomes of a compiled function."""
    for k, (right, found) in enumerate(zip(expected, outcomes, strict=False)):
        if right[0] == "raises" or found[0] == "raises":
            return _of_exceptions(k, right, found)
        if not (right == found if is_exact else are_close(right, found)):
            return Verdict("different", f"call {k}: {first_difference(right, found)}")
    if len(expected) != len(outcomes):
        return Verdict("different", f"{len(expected)} calls, {len(outcomes)} compiled")
    return Verdict("same")


def _of_exceptions(k, right, found):
    if found[0] == "raises" and isinstance(found[1], TraceError):
        return Verdict("refused", f"call {k}: {found[1]}")
    names = [type(x[1]).__name__ if x[0] == "raises" else "a result" for x in (right, found)]
    if names[0] == names[1]:
        return Verdict("same")
    errors = [x[1] if x[0] == "raises" else None for x in (right, found)]
    if isinstance(errors[0], NumberError) and isinstance(errors[1], TalwegError):
        return Verdict("same")
    texts = [f"{type(x[1]).__name__}: {x[1]}" if x[0] == "raises" else repr(x[0])
             for x in (right, found)]  # fmt: skip
    return Verdict("different", f"call {k}: {texts[0]} when it is run, {texts[1]} compiled")


def first_difference(a, b):
    """The first parts of two outcomes that differ, as text."""
    if isinstance(a, tuple) and isinstance(b, tuple) and len(a) == len(b):
        for x, y in zip(a, b, strict=True):
            if x != y:
                name = f"{a[0]}: " if a and isinstance(a[0], str) else ""
                return name + first_difference(x, y)
    return f"{_number(a)} when it is run, {_number(b)} compiled"


def _number(x):
    numbers = numbers_of(x)[0]
    return numbers[0] if isinstance(x, str) and numbers else x


def _is_fragile(program):
    """Whether a change of the arguments by rounding errors changes outcomes by much more."""
    now = World(program).outcomes()
    for shift in (1e-12, -1e-12, 1e-13):
        again = World(program, shift=shift).outcomes()
        if len(again) != len(now) or any(
            a[0] == "raises" or b[0] == "raises" or not are_close(a, b)
            for a, b in zip(now, again, strict=True)
        ):
            return True
    return False


# ---- smaller programs --------------------------------------------------------------------------


def minimised(program, mode, rounds=12):
    """A smaller program that still differs."""
    for _ in range(rounds):
        for smaller in program.smaller():
            try:
                verdict = judged(smaller, [mode]).get(mode)
            except (SyntaxError, IndexError):
                continue
            if verdict and verdict.kind == "different":
                program = smaller
                break
        else:
            return program
    return program


def described(program):
    """A program with its calls, as text."""
    source = program.source().split("        turns = 0\n")[1]
    lines = [
        "    def __call__(self, v, a):",
        source.rstrip(),
        f"# x is an array: {program.is_array}",
    ]
    for moves, args in program.calls:
        lines += [f"# {move}" for move in moves] + [f"# f{args}"]
    return "\n".join(lines)


def written(seed):
    """The program of a seed."""
    return Writer(seed).program()
