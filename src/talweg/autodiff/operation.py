"""The record of an operation, the equation of its derivative, and the operation registry.

The operations themselves are in `talweg.ops`. Start reading at `Op`, then `register`.

The equation of a derivative
----------------------------
A derivative is an equation in text. The operands are `x`, `y`, `z` in order, `out` is the
result, and `g` is the derivative of the final result with respect to `out`. An equation
consists of `+`, `-`, `*`, numbers and registered operations. It has several uses:
`talweg.autodiff.backward` compiles it into the function of an eager node; `derivatives` has it as
a function that also takes Values (for second derivatives) and the numbers of the compiler;
`help` prints it. Equations use `div(a, b)` instead of `a / b`, because `/` on floats raises an
exception at zero, where IEEE-754 defines a result.

Other number types
------------------
A class takes part in arithmetic by a static method `_apply(op, operands)`. Calling a record
delegates to the first operand that has it; without any, it computes on floats.
"""

import ast
import keyword
import numbers
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from types import MappingProxyType
from typing import Any

from talweg.autodiff import ieee
from talweg.errors import NumberError, OperationError

# A number of any kind: a float, a Value, a number of the compiler. Their common type is "a float,
# or a class with _apply", which Python's type system cannot express.
Number = Any
Rule = Callable[..., Number]

OPERANDS = ("x", "y", "z")
"""The names of the operands in equations."""

NO_DERIVATIVE = "0.0"
"""The equation of an operand to which no derivative passes."""


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """The record of an operation: value, derivative, documentation.

    Args:
        name: its name, a Python identifier.
        symbol: what graphs and `Value._op` show.
        value: the function on floats. It follows IEEE-754 and never raises.
        equations: the derivative with respect to each operand, as text; see the top of this file.
        derivatives: the same as functions `rule(g, *operands, out)` of numbers of any kind.
        doc: one sentence, with the formula.
        domain: where the result is a number, in words.
        not_smooth: where the derivative does not exist, and what is returned there.
        emit: a function (builder, *operands) that emits the machine code; None if there is none.
        selects: for each operand the equation of a number that is not zero where the operation
            selects this operand, as `where` does; empty where no derivative is ever withheld. The
            derivative by an operand that is not selected is not computed: not even as 0 times
            something, which is nan where that is infinite.
        defaults: the last operands, where a call leaves them out.
        higher: the derivatives that `gradients` uses, to be differentiated again. They are equal
            to `derivatives` in mathematics, but lose no digits: 1 - tanh(x)**2 is 0 from x = 19 on.
        arity: the number of operands.
        selectors: `selects` as functions of the operands; None where it is empty.
        is_selective: whether an operand may receive no derivative, as it is not selected or as its
            equation is 0.
    """

    name: str
    symbol: str
    value: Callable[..., float]
    equations: tuple[str, ...]
    derivatives: tuple[Rule, ...]
    doc: str
    domain: str = "all numbers"
    not_smooth: str = ""
    emit: Callable[..., Any] | None = None
    defaults: tuple[float, ...] = ()
    higher: tuple[Rule, ...] = ()
    selects: tuple[str, ...] = ()
    arity: int = field(init=False)
    selectors: tuple[Rule | None, ...] = field(init=False)
    is_selective: bool = field(init=False)

    def __post_init__(self) -> None:
        text = f"{self.doc} Domain: {self.domain}."
        if self.not_smooth:
            text += f" Not smooth: {self.not_smooth}."
        for operand, equation in zip(OPERANDS, self.equations, strict=False):
            text += f"\nDerivative with respect to {operand}: {equation}"
        object.__setattr__(self, "arity", len(self.equations))
        object.__setattr__(self, "higher", self.higher or self.derivatives)
        names = ", ".join(OPERANDS[: self.arity])
        selectors = [
            eval(f"lambda {names}: {condition}", EQUATION_NAMES) if condition else None
            for condition in self.selects or ("",) * self.arity
        ]
        object.__setattr__(self, "selectors", tuple(selectors))
        is_selective = bool(self.selects) or NO_DERIVATIVE in self.equations
        object.__setattr__(self, "is_selective", is_selective)
        object.__setattr__(self, "__doc__", text)  # what `tw.tanh?` shows in a notebook

    def __call__(self, *operands: Number) -> Number:
        """Apply the operation to floats (gives a float) or to Values (gives a Value)."""
        if len(operands) != self.arity:
            operands = _with_defaults(self, operands)
        for x in operands:
            if type(x) is not float:
                return _apply(self, operands)
        return self.value(*operands)

    def reaches(self, operand: int, numbers: Sequence[Number]) -> bool:
        """Whether a derivative passes to an operand, where the operands are these numbers."""
        if self.equations[operand] == NO_DERIVATIVE:
            return False
        selector = self.selectors[operand]
        return selector is None or selector(*numbers) != 0.0

    def __repr__(self) -> str:
        return f"<operation {self.name}>"

    def __reduce__(self) -> tuple[Callable[[str], "Op"], tuple[str]]:
        return lookup, (self.name,)


def _apply(op: Op, operands: tuple[Number, ...]) -> Number:
    for x in operands:
        apply = getattr(type(x), "_apply", None)
        if apply is not None:
            return apply(op, operands)
    return op.value(*map(to_float, operands))


def _with_defaults(op: Op, operands: tuple[Number, ...]) -> tuple[Number, ...]:
    missing = op.arity - len(operands)
    if operands and 0 < missing <= len(op.defaults):
        return (*operands, *op.defaults[-missing:])
    raise NumberError(_wrong_count(op, operands))


def _wrong_count(op: Op, operands: tuple[Number, ...]) -> str:
    plural = "" if op.arity == 1 else "s"
    counts = f"{op.arity - len(op.defaults)} or " if op.defaults else ""
    message = f"{op.name} takes {counts}{op.arity} number{plural}, got {len(operands)}"
    if len(operands) == 1 and op.arity == 2 and isinstance(operands[0], (list, tuple)):
        message += f"; for a list use functools.reduce(tw.{op.name}, numbers)"
    return message


def to_float(x: object) -> float:
    """The float of a Python or NumPy number.

    Args:
        x: an int, float, bool, NumPy scalar, or anything else with `__float__`.

    Returns:
        The nearest double; an int too large for one gives inf or -inf.

    Raises:
        NumberError: for text, complex numbers, arrays, None and other non-numbers.

    >>> to_float(3), to_float(True), to_float(10**400)
    (3.0, 1.0, inf)
    """
    if isinstance(x, (float, int)):
        try:
            return float(x)
        except OverflowError:
            return ieee.INF if x > 0 else -ieee.INF
    if isinstance(x, (str, bytes, bytearray)):
        raise NumberError(f"expected a number, got the text {x!r}; convert it by float(...)")
    if getattr(x, "ndim", 0):
        raise NumberError(
            f"expected one number, got an array of shape {getattr(x, 'shape', '?')}; "
            "talweg computes with single numbers: use [tw.Value(a) for a in array]"
        )
    if isinstance(x, numbers.Complex) and not isinstance(x, numbers.Real):
        raise NumberError(f"expected a number, got the complex number {x!r}")
    try:
        return float(x)  # type: ignore[arg-type]  # refused below if it has no __float__
    except OverflowError:
        return ieee.INF if x > 0 else -ieee.INF  # type: ignore[operator]  # only huge ints
    except (TypeError, ValueError):
        raise NumberError(f"expected a number, got {type(x).__name__} {_brief(x)}") from None


def _brief(x: object) -> str:
    text = repr(x)
    return text if len(text) <= 40 else text[:37] + "..."


# ---- the registry ---------------------------------------------------------------------

_REGISTRY: dict[str, Op] = {}
_BUILT_IN: list[Op] = []

_HELPERS: dict[str, Op] = {}

REGISTRY = MappingProxyType(_REGISTRY)
"""All operations by name, in order of declaration. It is read only; `register` adds to it."""

HELPERS = MappingProxyType(_HELPERS)
"""The operations that occur in derivatives only, by name."""


def lookup(name: str) -> Op:
    """The operation of that name.

    Raises:
        OperationError: if there is none.

    >>> lookup("tanh")
    <operation tanh>
    """
    try:
        return _HELPERS[name] if name in _HELPERS else _REGISTRY[name]
    except KeyError:
        raise OperationError(
            f"there is no operation named {name!r}; known are {', '.join(_REGISTRY)}; "
            "your own must be registered by tw.ops.register in this process too"
        ) from None


def register(
    name: str,
    value: Callable[..., float],
    derivatives: str | Rule | tuple[str | Rule, ...],
    doc: str,
    *,
    symbol: str | None = None,
    domain: str = "all numbers",
    not_smooth: str = "",
    emit: Callable[..., Any] | None = None,
) -> Op:
    """Declare a new operation, for floats and Values.

    Args:
        name: a Python identifier that no operation has yet.
        value: the function of one, two or three floats.
        derivatives: one for each operand, a tuple if there are several. Each is an equation
            in `g`, `x`, `y`, `z` and `out` as described at the top of this file, or a
            function `rule(g, *operands, out)`.
        doc: one sentence.
        symbol: what graphs show; by default the name.
        domain: where the result is a number, in words.
        not_smooth: where the derivative does not exist, and what is returned there.
        emit: emits the machine code, see `Op`.

    Returns:
        The operation.

    Raises:
        OperationError: if the name is in use or is not an identifier, or if an equation is not
            an expression in the names above and registered operations.

    >>> from talweg import Value, ops
    >>> square = ops.register("square", lambda x: x * x, "g * 2.0 * x", "x * x.")
    >>> x = Value(3.0)
    >>> square(x).backward()
    >>> x.grad
    6.0
    >>> ops.unregister("square")
    """
    if not isinstance(name, str) or not name.isidentifier() or keyword.iskeyword(name):
        raise OperationError(f"an operation's name must be an identifier, got {name!r}")
    if name in _REGISTRY or name in _HELPERS:
        raise OperationError(f"there is an operation named {name!r} already; choose another name")
    given = tuple(derivatives) if isinstance(derivatives, (tuple, list)) else (derivatives,)
    if not 1 <= len(given) <= len(OPERANDS):
        raise OperationError(
            f"{name}: an operation has 1 to 3 operands, got {len(given)} derivatives"
        )
    if not callable(value):
        raise OperationError(f"{name}: its value must be a function of floats, got {value!r}")
    for equation in given:
        if not isinstance(equation, str) and not callable(equation):
            raise OperationError(
                f"{name}: a derivative is an equation or a function, got {equation!r}"
            )
        if isinstance(equation, str):
            _check_equation(name, equation, ("g", *OPERANDS[: len(given)], "out"))
    equations, rules = _rules(given)
    op = Op(name, symbol or name, value, equations, rules, doc, domain, not_smooth, emit)
    _REGISTRY[name] = op
    return op


_EQUATION_SYNTAX = (
    ast.Expression, ast.Name, ast.Load, ast.Constant, ast.Call,
    ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.UnaryOp, ast.USub,
)  # fmt: skip


def _check_equation(name: str, equation: str, variables: tuple[str, ...]) -> None:
    try:
        tree = ast.parse(equation, mode="eval")
    except SyntaxError as error:
        raise OperationError(f"{name}: {equation!r} is not an expression: {error.msg}") from None
    other = [node for node in ast.walk(tree) if not isinstance(node, _EQUATION_SYNTAX)]
    if other:
        raise OperationError(
            f"{name}: the equation {equation!r} has a {type(other[0]).__name__}; equations are "
            "made of +, -, *, numbers and operations: div(a, b) for a / b, pow(a, b) for a ** b, "
            "where and lt for a choice"
        )
    used = [node.id for node in ast.walk(tree) if isinstance(node, ast.Name)]
    unknown = [word for word in used if word not in (*variables, *_REGISTRY, name)]
    if unknown:
        raise OperationError(
            f"{name}: the equation {equation!r} contains {unknown[0]!r}, which is neither one of "
            f"{', '.join(variables)} nor an operation; to use a Python function, give it as the "
            "derivative: rule(g, *operands, out)"
        )


def declare(
    name: str,
    value: Callable[..., float],
    given: str | tuple[str | Rule, ...],
    doc: str,
    *,
    symbol: str | None = None,
    domain: str = "all numbers",
    not_smooth: str = "",
    emit: Callable[..., Any] | None = None,
    defaults: tuple[float, ...] = (),
    higher: str = "",
    selects: tuple[str, ...] = (),
    is_helper: bool = False,
) -> Op:
    """Declare an operation of talweg itself; only `talweg.ops` does so.

    Unlike `register` it checks nothing, so that equations may contain operations that are
    declared later. A helper is not in the registry: it occurs in derivatives only.
    """
    equations, rules = _rules((given,) if isinstance(given, str) else given)
    _, precise = _rules((higher,) if higher else ())
    op = Op(
        name, symbol or name, value, equations, rules, doc, domain, not_smooth, emit, defaults,
        precise, selects,
    )  # fmt: skip
    if is_helper:
        EQUATION_NAMES[name] = _HELPERS[name] = op
        return op
    _REGISTRY[name] = op
    _BUILT_IN.append(op)
    return op


def _rules(given: tuple[str | Rule, ...]) -> tuple[tuple[str, ...], tuple[Rule, ...]]:
    """Each derivative as text and as a function."""
    signature = ", ".join(["g", *OPERANDS[: len(given)], "out"])
    equations, rules = [], []
    for i, derivative in enumerate(given):
        if isinstance(derivative, str):
            equations.append(derivative)
            rules.append(eval(f"lambda {signature}: {derivative}", EQUATION_NAMES))
        else:
            equations.append(f"derivatives[{i}]({signature})")
            rules.append(derivative)
    return tuple(equations), tuple(rules)


def unregister(name: str) -> None:
    """Remove an operation that was added by `register`.

    Raises:
        OperationError: if there is no such operation, or it is one of talweg's own.
    """
    if lookup(name) in _BUILT_IN:
        raise OperationError(f"{name} is one of talweg's own operations; they cannot be removed")
    del _REGISTRY[name]


EQUATION_NAMES: dict[str, Any] = {"__builtins__": _REGISTRY}
"""The globals of equations: their only built-ins are the registered operations."""


# ---- records that are not in the registry -----------------------------------------------

LEAF = Op("leaf", "", to_float, (), (), "A number that the user made: a parameter or an input.")
CONSTANT = Op("constant", "", to_float, (), (), "A bare number as the operand of an operation.")

IDENTITY = Op(
    "identity", "", to_float, ("g",), (lambda g, *_: g,),
    "The leaf that a traced function makes of a number, as in `Value(x)`: the same number.",
)  # fmt: skip


@cache
def custom_record(symbol: str) -> Op:
    """The record of a node that has its own `_backward`, and therefore no derivatives."""
    return Op("custom", symbol, to_float, (), (), "A node with a `_backward` of its own.")


GATHER = Op(
    "gather", "[]", to_float, ("g", "0.0", "0.0"),
    (lambda g, *_: g, lambda *_: 0.0, lambda *_: 0.0),
    "An entry of an embedding in a row that is given when a compiled program runs: gather(first, "
    "row, columns) is the parameter at index row * columns after the first.",
)  # fmt: skip
"""`Embedding[i]` in a compiled program, where i may differ from call to call."""
