"""THE TABLE: every operation of talweg, declared once.

An operation is one record, an `Op`. It holds everything that the rest of the package
knows about the operation: its value on floats, its derivative, where it is not smooth,
its domain, one sentence of documentation. Adding an operation touches this file alone.
Start reading at `Op`; the records follow in the order of the lesson.

A record is also the function itself, in the manner of a NumPy ufunc:

>>> tanh(0.0)
0.0
>>> tanh.derivatives[0](1.0, 0.0, 0.0)
1.0

How a derivative is written
---------------------------
For `out = op(x, y)` the rule of each operand takes `(g, x, y, out)`, where `g` is the
derivative of the final result by `out`, and returns the derivative by that operand.
A rule uses `+`, `-`, `*` and the operations of this table, and nothing else. So the same
rule runs on floats (`Value.backward`), on Values (`gradients`, for second derivatives),
and on the compiler's own symbols: whatever number type it is given answers.
Rules use `div(a, b)` rather than `a / b`, because `/` on floats raises at zero where
IEEE-754 has a result.

How another number type joins
-----------------------------
A class takes part by having a static method `_apply(op, operands)`. Calling a record
hands over to the first operand that has one; without any, it computes on floats.
"""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from talweg import ieee
from talweg.errors import NumberError, OperationError

# A number of any kind that takes part in arithmetic: float, Value, a compiler's symbol.
# Their common type is "has _apply or is a float", which Python's types cannot say.
Number = Any
Rule = Callable[..., Number]


@dataclass(frozen=True, eq=False, repr=False)
class Op:
    """One operation: value, derivative, and what a reader should know about it.

    Args:
        name: the word it is called by, a Python identifier.
        symbol: what graphs and `Value._op` show.
        value: the function on floats. It follows IEEE-754 and never raises.
        derivatives: one rule an operand, `rule(g, *operands, out)`; see the top of this file.
        doc: one sentence, with the formula.
        domain: where the result is a number, in words.
        not_smooth: where the derivative does not exist, and what is returned there.
        emit: writes the machine code against the compiler's emitter; filled by the compiler.
    """

    name: str
    symbol: str
    value: Callable[..., float]
    derivatives: tuple[Rule, ...]
    doc: str
    domain: str = "all numbers"
    not_smooth: str = ""
    emit: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        text = f"{self.doc} Domain: {self.domain}."
        if self.not_smooth:
            text += f" Not smooth: {self.not_smooth}."
        object.__setattr__(self, "__doc__", text)  # what `tw.tanh?` shows in a notebook

    @property
    def arity(self) -> int:
        """How many operands the operation takes."""
        return len(self.derivatives)

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
        if hasattr(type(x), "_apply"):
            return type(x)._apply(op, operands)
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
    derivatives: Rule | tuple[Rule, ...],
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
        value: the function on floats.
        derivatives: the rule of the operand, or a tuple with one rule for each;
            `rule(g, *operands, out)` as described at the top of `talweg.ops`.
        doc: one sentence.
        symbol: what graphs show; the name unless given.
        domain, not_smooth, emit: see `Op`.

    Raises:
        OperationError: if the name is taken or is not an identifier.

    >>> from talweg import Value, ops
    >>> square = ops.register("square", lambda x: x * x, lambda g, x, out: g * 2.0 * x, "x * x.")
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
    rules = derivatives if isinstance(derivatives, tuple) else (derivatives,)
    op = Op(name, symbol or name, value, rules, doc, domain, not_smooth, emit)
    _TABLE[name] = op
    return op


def unregister(name: str) -> None:
    """Forget an operation added with `register`.

    Raises:
        OperationError: if there is no such operation.
    """
    lookup(name)
    del _TABLE[name]


# ---- not operations: how a graph begins -------------------------------------------------

LEAF = Op("leaf", "", to_float, (), "A number that the user made: a parameter or an input.")
CONSTANT = Op("constant", "", to_float, (), "A bare number that met a Value in arithmetic.")


# ---- arithmetic -------------------------------------------------------------------------

add = register(
    "add",
    operator.add,
    (lambda g, x, y, out: g, lambda g, x, y, out: g),
    "x + y.",
    symbol="+",
)

sub = register(
    "sub",
    operator.sub,
    (lambda g, x, y, out: g, lambda g, x, y, out: -g),
    "x - y.",
    symbol="-",
)

mul = register(
    "mul",
    operator.mul,
    (lambda g, x, y, out: g * y, lambda g, x, y, out: g * x),
    "x * y.",
    symbol="*",
)

div = register(
    "div",
    ieee.div,
    (lambda g, x, y, out: div(g, y), lambda g, x, y, out: -div(g * out, y)),
    "x / y.",
    symbol="/",
    domain="y != 0; elsewhere inf, -inf or nan",
)

neg = register("neg", operator.neg, lambda g, x, out: -g, "-x.")

# At x = 0 the inner `where` keeps log away from zero: d(0**y)/dy is 0 for y > 0.
pow = register(  # noqa: A001
    "pow",
    ieee.pow,
    (
        lambda g, x, y, out: g * where(y, y * pow(x, y - 1.0), 0.0),
        lambda g, x, y, out: g * (out * log(where(x, x, 1.0))),
    ),
    "x ** y.",
    symbol="**",
    domain="x > 0, or any x if y is an integer (x != 0 if it is negative)",
    not_smooth="at x = 0 if y < 1 (inf is returned) or y = 0 (0 is returned)",
)

# ---- functions of one number ------------------------------------------------------------

exp = register("exp", ieee.exp, lambda g, x, out: g * out, "e**x; inf above 709.78.")

log = register(
    "log",
    ieee.log,
    lambda g, x, out: div(g, x),
    "The natural logarithm of x.",
    domain="x > 0; -inf at 0, nan below",
)

sqrt = register(
    "sqrt",
    ieee.sqrt,
    lambda g, x, out: div(g * 0.5, out),
    "The square root of x.",
    domain="x >= 0; nan below",
    not_smooth="at 0 (inf is returned)",
)

sin = register(
    "sin", ieee.sin, lambda g, x, out: g * cos(x), "The sine of x radians.", domain="finite x"
)

cos = register(
    "cos", ieee.cos, lambda g, x, out: -(g * sin(x)), "The cosine of x radians.", domain="finite x"
)

tanh = register(
    "tanh",
    ieee.tanh,
    lambda g, x, out: g * (1.0 - out * out),
    "The hyperbolic tangent of x, (e**x - e**-x) / (e**x + e**-x).",
)

sigmoid = register(
    "sigmoid",
    ieee.sigmoid,
    lambda g, x, out: g * (out * (1.0 - out)),
    "The logistic function 1 / (1 + e**-x).",
)

relu = register(
    "relu",
    ieee.relu,
    lambda g, x, out: where(le(x, 0.0), 0.0, g),
    "x where it is positive, else 0.",
    not_smooth="at 0 (0 is returned, as in PyTorch and micrograd)",
)

softplus = register(
    "softplus", ieee.softplus, lambda g, x, out: g * sigmoid(x), "log(1 + e**x), a smooth relu."
)

abs = register(  # noqa: A001
    "abs",
    operator.abs,
    lambda g, x, out: where(lt(x, 0.0), -g, where(lt(0.0, x), g, x * g)),
    "|x|.",
    not_smooth="at 0 (0 is returned)",
)

# ---- choices ------------------------------------------------------------------------------

max = register(  # noqa: A001
    "max",
    ieee.max,
    (
        lambda g, x, y, out: where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5)),
        lambda g, x, y, out: where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5)),
    ),
    "The larger of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
)

min = register(  # noqa: A001
    "min",
    ieee.min,
    (
        lambda g, x, y, out: where(lt(x, y), g, where(lt(y, x), 0.0, g * 0.5)),
        lambda g, x, y, out: where(lt(y, x), g, where(lt(x, y), 0.0, g * 0.5)),
    ),
    "The smaller of x and y; nan if either is nan.",
    not_smooth="at x = y (half to each, as in PyTorch and JAX)",
)

# The derivatives choose with `where` and do not multiply by 0 or 1: the branch that was
# not taken may have an infinite slope, and 0 * inf would turn the gradient into nan.
where = register(
    "where",
    ieee.where,
    (
        lambda g, c, x, y, out: 0.0,
        lambda g, c, x, y, out: where(c, g, 0.0),
        lambda g, c, x, y, out: where(c, 0.0, g),
    ),
    "x if the condition c is not zero, else y.",
    not_smooth="in c (0 is returned)",
)

lt = register(
    "lt",
    ieee.lt,
    (lambda g, x, y, out: 0.0, lambda g, x, y, out: 0.0),
    "1 if x < y, else 0.",
    symbol="<",
    not_smooth="at x = y (0 is returned)",
)

le = register(
    "le",
    ieee.le,
    (lambda g, x, y, out: 0.0, lambda g, x, y, out: 0.0),
    "1 if x <= y, else 0.",
    symbol="<=",
    not_smooth="at x = y (0 is returned)",
)
