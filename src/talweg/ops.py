"""THE TABLE: every operation of talweg, declared once.

An operation is one record, an `Op`. It holds everything that the rest of the package
knows about the operation: its value on floats, its derivative, where it is not smooth,
its domain, one sentence of documentation. Adding an operation touches this file alone.
Start reading at `Op`; the records follow in the order of the lesson.

A record is also the function itself, in the manner of a NumPy ufunc:

>>> tanh(0.0)
0.0
>>> tanh.equations
('g * (1.0 - out * out)',)
>>> tanh.derivatives[0](1.0, 0.0, 0.0)  # (g, x, out)
1.0

How a derivative is written
---------------------------
As its equation, in text: the operands are `x`, `y`, `z` in order, `out` is the result, and
`g` is the derivative of the final result by `out`. An equation uses `+`, `-`, `*`, numbers
and the operations of this table, and nothing else. So the same equation serves everyone:
`talweg.backward` writes it into the function that an eager node runs, `derivatives` has it
as a function that also takes Values (for second derivatives) and the compiler's symbols,
and `help` prints it. Equations use `div(a, b)` rather than `a / b`, because `/` on floats
raises at zero where IEEE-754 has a result.

How another number type joins
-----------------------------
A class takes part by having a static method `_apply(op, operands)`. Calling a record
hands over to the first operand that has one; without any, it computes on floats.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from talweg import ieee
from talweg.errors import NumberError, OperationError

# A number of any kind that takes part in arithmetic: float, Value, a compiler's symbol.
# Their common type is "has _apply or is a float", which Python's types cannot say.
Number = Any
Rule = Callable[..., Number]

OPERANDS = ("x", "y", "z")
"""What equations call the operands."""


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """One operation: value, derivative, and what a reader should know about it.

    Args:
        name: the word it is called by, a Python identifier.
        symbol: what graphs and `Value._op` show.
        value: the function on floats. It follows IEEE-754 and never raises.
        equations: one an operand, the derivative as text; see the top of this file.
        derivatives: the same as functions `rule(g, *operands, out)` of numbers of any kind.
        doc: one sentence, with the formula.
        domain: where the result is a number, in words.
        not_smooth: where the derivative does not exist, and what is returned there.
        emit: writes the machine code against the compiler's emitter; filled by the compiler.
        arity: how many operands it takes.
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
    arity: int = field(init=False)

    def __post_init__(self) -> None:
        text = f"{self.doc} Domain: {self.domain}."
        if self.not_smooth:
            text += f" Not smooth: {self.not_smooth}."
        for operand, equation in zip(OPERANDS, self.equations, strict=False):
            text += f"\nDerivative by {operand}: {equation}"
        object.__setattr__(self, "arity", len(self.equations))
        object.__setattr__(self, "__doc__", text)  # what `tw.tanh?` shows in a notebook

    def __call__(self, *operands: Number) -> Number:
        """Apply the operation to floats (gives a float) or to Values (gives a Value)."""
        if len(operands) != self.arity:
            raise NumberError(_wrong_count(self, operands))
        for x in operands:
            if type(x) is not float:
                return _apply(self, operands)
        return self.value(*operands)

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


def _wrong_count(op: Op, operands: tuple[Number, ...]) -> str:
    plural = "" if op.arity == 1 else "s"
    message = f"{op.name} takes {op.arity} number{plural}, got {len(operands)}"
    if len(operands) == 1 and op.arity == 2 and isinstance(operands[0], (list, tuple)):
        message += f"; for a list use functools.reduce(tw.{op.name}, numbers)"
    return message


def to_float(x: object) -> float:
    """The float that a Python or NumPy number stands for.

    Args:
        x: an int, float, bool, NumPy scalar, or anything else with `__float__`.

    Returns:
        The nearest double; an int too large for one gives inf or -inf.

    Raises:
        NumberError: for text, complex numbers, arrays, None and other non-numbers.

    >>> to_float(3), to_float(True), to_float(10**400)
    (3.0, 1.0, inf)
    """
    if isinstance(x, (str, bytes, bytearray)):
        raise NumberError(f"expected a number, got the text {x!r}; convert it with float(...)")
    if getattr(x, "ndim", 0):
        raise NumberError(
            f"expected one number, got an array of shape {getattr(x, 'shape', '?')}; "
            "talweg computes with single numbers: use [tw.Value(a) for a in array]"
        )
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

_TABLE: dict[str, Op] = {}

TABLE = MappingProxyType(_TABLE)
"""Every operation by name, in order of declaration (read only; `register` adds)."""


def lookup(name: str) -> Op:
    """The operation of that name.

    Raises:
        OperationError: if there is none.

    >>> lookup("tanh")
    <operation tanh>
    """
    try:
        return _TABLE[name]
    except KeyError:
        raise OperationError(
            f"there is no operation named {name!r}; known are {', '.join(_TABLE)}; "
            "your own must be registered with tw.ops.register in this process too"
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
    """Declare a new operation and return it; it works on floats and Values at once.

    Args:
        name: a Python identifier that no operation has yet.
        value: the function on one, two or three floats.
        derivatives: one for each operand, a tuple if there are several. Each is an equation
            in `g`, `x`, `y`, `z` and `out` as described at the top of `talweg.ops`, or a
            function `rule(g, *operands, out)`.
        doc: one sentence.
        symbol: what graphs show; the name unless given.
        domain: where the result is a number, in words.
        not_smooth: where the derivative does not exist, and what is returned there.
        emit: writes the machine code, see `Op`.

    Raises:
        OperationError: if the name is taken or is not an identifier, or if an equation
            is not one expression in the names above and the operations of the table.

    >>> from talweg import Value, ops
    >>> square = ops.register("square", lambda x: x * x, "g * 2.0 * x", "x * x.")
    >>> x = Value(3.0)
    >>> square(x).backward()
    >>> x.grad
    6.0
    >>> ops.unregister("square")
    """
    if not name.isidentifier():
        raise OperationError(f"an operation's name must be an identifier, got {name!r}")
    if name in _TABLE:
        raise OperationError(f"there is an operation named {name!r} already; choose another name")
    given = derivatives if isinstance(derivatives, tuple) else (derivatives,)
    if not 1 <= len(given) <= len(OPERANDS):
        raise OperationError(f"{name}: an operation has 1 to 3 operands, got {len(given)} rules")
    signature = ", ".join(["g", *OPERANDS[: len(given)], "out"])
    equations, rules = [], []
    for i, derivative in enumerate(given):
        if isinstance(derivative, str):
            equations.append(derivative)
            rules.append(_rule(name, signature, derivative))
        else:
            equations.append(f"derivatives[{i}]({signature})")
            rules.append(derivative)
    op = Op(
        name, symbol or name, value, tuple(equations), tuple(rules), doc, domain, not_smooth, emit
    )
    _TABLE[name] = op
    return op


def _rule(name: str, signature: str, equation: str) -> Rule:
    """The equation as a function of numbers; it finds other operations in the table."""
    try:
        code = compile(f"lambda {signature}: {equation}", f"<derivative of {name}>", "eval")
    except SyntaxError as error:
        raise OperationError(f"{name}: {equation!r} is not an expression: {error.msg}") from None
    rule: Rule = eval(code, EQUATION_NAMES)  # a programmer's own text, never a user's data
    return rule


def unregister(name: str) -> None:
    """Forget an operation added with `register`.

    Raises:
        OperationError: if there is no such operation.
    """
    lookup(name)
    del _TABLE[name]


EQUATION_NAMES: dict[str, Any] = {"__builtins__": _TABLE}
"""The globals of equations: their only built-ins are the operations of the table."""


# ---- not operations: how a graph begins -------------------------------------------------

LEAF = Op("leaf", "", to_float, (), (), "A number that the user made: a parameter or an input.")
CONSTANT = Op("constant", "", to_float, (), (), "A bare number that met a Value in arithmetic.")


# ---- arithmetic -------------------------------------------------------------------------

add = register("add", operator.add, ("g", "g"), "x + y.", symbol="+")

sub = register("sub", operator.sub, ("g", "-g"), "x - y.", symbol="-")

mul = register("mul", operator.mul, ("g * y", "g * x"), "x * y.", symbol="*")

div = register(
    "div",
    ieee.div,
    ("div(g, y)", "-div(g * out, y)"),
    "x / y.",
    symbol="/",
    domain="y != 0; elsewhere inf, -inf or nan",
)

neg = register("neg", operator.neg, "-g", "-x.")

# At x = 0 the inner `where` keeps log away from zero: d(0**y)/dy is 0 for y > 0.
pow = register(  # noqa: A001
    "pow",
    ieee.pow,
    ("g * where(y, y * pow(x, y - 1.0), 0.0)", "g * (out * log(where(x, x, 1.0)))"),
    "x ** y.",
    symbol="**",
    domain="x > 0, or any x if y is an integer (x != 0 if it is negative)",
    not_smooth="at x = 0 if y < 1 (inf is returned) or y = 0 (0 is returned)",
)


# ---- functions of one number ------------------------------------------------------------

exp = register("exp", ieee.exp, "g * out", "e**x; inf above 709.78.")

log = register(
    "log",
    ieee.log,
    "div(g, x)",
    "The natural logarithm of x.",
    domain="x > 0; -inf at 0, nan below",
)

sqrt = register(
    "sqrt",
    ieee.sqrt,
    "div(g * 0.5, out)",
    "The square root of x.",
    domain="x >= 0; nan below",
    not_smooth="at 0 (inf is returned)",
)

sin = register("sin", ieee.sin, "g * cos(x)", "The sine of x radians.", domain="finite x")

cos = register("cos", ieee.cos, "-(g * sin(x))", "The cosine of x radians.", domain="finite x")

tanh = register(
    "tanh",
    ieee.tanh,
    "g * (1.0 - out * out)",
    "The hyperbolic tangent of x, (e**x - e**-x) / (e**x + e**-x).",
)

sigmoid = register(
    "sigmoid",
    ieee.sigmoid,
    "g * (out * (1.0 - out))",
    "The logistic function 1 / (1 + e**-x).",
)

relu = register(
    "relu",
    ieee.relu,
    "where(le(x, 0.0), 0.0, g)",
    "x where it is positive, else 0.",
    not_smooth="at 0 (0 is returned, as in PyTorch and micrograd)",
)

softplus = register("softplus", ieee.softplus, "g * sigmoid(x)", "log(1 + e**x), a smooth relu.")

abs = register(  # noqa: A001
    "abs",
    operator.abs,
    "where(lt(x, 0.0), -g, where(lt(0.0, x), g, x * g))",
    "|x|.",
    not_smooth="at 0 (0 is returned)",
)


# ---- choices ------------------------------------------------------------------------------

max = register(  # noqa: A001
    "max",
    ieee.max,
    (
        "where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5))",
        "where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5))",
    ),
    "The larger of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
)

min = register(  # noqa: A001
    "min",
    ieee.min,
    (
        "where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5))",
        "where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5))",
    ),
    "The smaller of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
)

# The derivatives choose with `where` and do not multiply by 0 or 1: the branch that was
# not taken may have an infinite slope, and 0 * inf would turn the gradient into nan.
where = register(
    "where",
    ieee.where,
    ("0.0", "where(x, g, 0.0)", "where(x, 0.0, g)"),
    "y if x is not zero, else z: where(condition, then, otherwise).",
    not_smooth="in the condition (0 is returned)",
)

lt = register(
    "lt",
    ieee.lt,
    ("0.0", "0.0"),
    "1 if x < y, else 0.",
    symbol="<",
    not_smooth="at x = y (0 is returned)",
)

le = register(
    "le",
    ieee.le,
    ("0.0", "0.0"),
    "1 if x <= y, else 0.",
    symbol="<=",
    not_smooth="at x = y (0 is returned)",
)
