"""gradcheck: compare the derivatives of `backward()` with finite differences.

One input at a time is increased and decreased by a small step, and the function is called
again. The slope of its results is a combination of two central differences in which their leading
errors cancel. The distance between the two is an estimate of the error. Several steps are tried,
from coarse to fine, because no single step suits every function.

Start reading at `gradcheck`; `_check_input` checks one input, `_estimate` is the formula, and
`_hint` is the likely cause of a disagreement.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from talweg.errors import ArgumentError, GradcheckError
from talweg.ops import REGISTRY
from talweg.value import Value

_EPSILON = sys.float_info.epsilon

# The operations of talweg, whose derivatives are tested; any other is defined by the user.
_BUILT_IN = frozenset(op.symbol for op in REGISTRY.values())


@dataclass(frozen=True)
class GradcheckReport:
    """The result of `gradcheck` if every derivative agrees.

    Args:
        checked: the number of derivatives compared, one for each input and each result.
        worst: the largest |backward - difference| / max(1, |backward|).
        place: the input of that derivative, and the result if there are several.
    """

    checked: int
    worst: float
    place: str

    def __str__(self) -> str:
        plural = "s agree" if self.checked != 1 else " agrees"
        return f"{self.checked} derivative{plural}; largest error {self.worst:.1e}, by {self.place}"


def gradcheck(
    f: Callable[..., Any], *args: Any, rtol: float = 1e-6, atol: float = 1e-8
) -> GradcheckReport:
    """Compare the derivatives of `backward()` with finite differences.

    With D(h) = (f(x + h) - f(x - h)) / 2h, the slope is (4 D(h/2) - D(h)) / 3, whose error
    is of order h**4. Its estimated error is |slope - D(h/2)| plus the rounding error. A
    derivative passes if there is a step h for which this error, and the distance of the
    derivative from the slope, are at most atol + rtol * |slope|.

    Args:
        f: a function that returns a Value, or a list, tuple or dict of Values (also nested;
            each of them is checked). It must be deterministic.
        args: the arguments of f. The inputs are every float and Value in them, also in lists,
            tuples and dicts, and every parameter of an object with `parameters()`.
            f receives a Value for a float. Everything else, including integers, is passed on.
        rtol: the tolerance relative to the slope.
        atol: the absolute tolerance, added to that, in units of f by units of the input.

    Returns:
        The number of derivatives compared, and the largest relative error with its input.
        `data` and `grad` of your Values are unchanged, also after an error.

    Raises:
        GradcheckError: if a derivative disagrees; the message has the input, both numbers and a
            likely cause. Also if a derivative cannot be checked, because f returns a bare number,
            nan or inf, or is not deterministic.
        ArgumentError: if there are no inputs, if one was computed from other Values, or if a
            tolerance is negative or not a number.

    Source:
        L. F. Richardson, The approximate arithmetical solution by finite differences of
        physical problems, Phil. Trans. R. Soc. A 210 (1911), 307-357.

    Example:
        >>> report = gradcheck(lambda x, w: (x * w[0] + w[1]).tanh(), 0.5, [2.0, -1.0])
        >>> report.checked, report.worst < 1e-9
        (3, True)
        >>> def half(x):
        ...     out = Value(0.5 * x.data, (x,), "half")
        ...     def step():
        ...         x.grad += 2.0 * out.grad
        ...     out._backward = step
        ...     return out
        >>> gradcheck(half, 3.0)
        Traceback (most recent call last):
            ...
        talweg.errors.GradcheckError: the derivative with respect to args[0] is 2.0 by backward() \
but 0.5 by finite differences (at 3.0); likely the _backward or the rule of your own operation \
'half'
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not 0.0 <= tolerance < math.inf:
            raise ArgumentError(f"gradcheck: {name} must be a number >= 0, got {tolerance!r}")
    inputs: dict[Value, str] = {}
    given = [_collect(x, f"args[{i}]", inputs) for i, x in enumerate(args)]
    if not inputs:
        raise ArgumentError(
            "gradcheck: there is no input: the arguments contain no float and no Value; write 2.0 "
            "for 2, and array.tolist() for an array"
        )
    before = [(x, x.data, x.grad) for x in inputs]
    try:
        return _Check(lambda: f(*given), inputs, rtol, atol).run()
    finally:
        for x, data, grad in before:
            x.data = data
            x.grad = grad


def _collect(x: Any, path: str, inputs: dict[Value, str]) -> Any:
    """The argument as f receives it. Its inputs are added to `inputs`, each with its path."""
    if callable(getattr(x, "parameters", None)) and not isinstance(x, type):
        for i, p in enumerate(x.parameters()):
            _enter(p, f"{path}.parameters()[{i}]", inputs)
        return x
    if isinstance(x, float):
        x = Value(x)
    if isinstance(x, Value):
        _enter(x, path, inputs)
        return x
    if isinstance(x, dict):
        return {key: _collect(item, f"{path}[{key!r}]", inputs) for key, item in x.items()}
    if isinstance(x, (list, tuple)):
        items = [_collect(item, f"{path}[{i}]", inputs) for i, item in enumerate(x)]
        if isinstance(x, list):
            return items
        return type(x)(*items) if hasattr(x, "_fields") else tuple(items)  # a named tuple
    return x


def _enter(x: Any, path: str, inputs: dict[Value, str]) -> None:
    if not isinstance(x, Value):
        raise ArgumentError(f"gradcheck: {path} is a {type(x).__name__}, expected a Value")
    if x._prev:
        raise ArgumentError(
            f"gradcheck: {path} is the result of the operation {x._op!r}, expected a Value that "
            "was not computed from others; give v.data to check with respect to its number"
        )
    inputs.setdefault(x, path)


def _results(x: Any, path: str = "f(...)") -> Iterator[tuple[str, Value]]:
    """The Values that f returned, with the path to each."""
    if isinstance(x, Value):
        yield path, x
    elif isinstance(x, dict):
        for key, item in x.items():
            yield from _results(item, f"{path}[{key!r}]")
    elif isinstance(x, (list, tuple)):
        for i, item in enumerate(x):
            yield from _results(item, f"{path}[{i}]")
    else:
        kind = type(x).__name__
        message = f"gradcheck: {path} is a {kind}, expected a Value"
        if isinstance(x, (int, float)):
            message += "; f uses `.data` or float(...), which lose the derivative"
        raise GradcheckError(message)


# ---- finite differences -----------------------------------------------------------------


class _Slope(NamedTuple):
    """A finite difference and an upper estimate of its error."""

    slope: float
    error: float


def _steps(x: float) -> Iterator[float]:
    """The steps for an input x, coarse to fine; powers of two, so that x + h is rarely rounded.

    The first is near epsilon**(1/5), the best for a smooth function whose scale is 1. The finer
    ones are for steep functions and for kinks nearby, those below |x| for functions such as the
    logarithm near 0.
    """
    scales = [max(1.0, abs(x))]
    if 0.0 < abs(x) < 1.0:
        scales.append(abs(x))
    for scale in scales:
        exponent = math.frexp(scale)[1] - 11
        for k in range(9):
            h = math.ldexp(1.0, exponent - 3 * k)
            if h >= 16.0 * math.ulp(x):
                yield h


def _estimate(samples: tuple[float, float, float, float], h: float) -> _Slope:
    """The slope from the results at x - h, x - h/2, x + h/2 and x + h."""
    far_left, left, right, far_right = samples
    coarse = (far_right - far_left) / (2.0 * h)
    fine = (right - left) / h
    slope = (4.0 * fine - coarse) / 3.0
    rounding = 2.0 * _EPSILON * max(abs(y) for y in samples) / h
    error = abs(slope - fine) + rounding
    return _Slope(slope, error if math.isfinite(error) else math.inf)


# ---- the comparison ---------------------------------------------------------------------


class _Check:
    """A call of `gradcheck`: the function with its arguments, the inputs and the tolerances."""

    def __init__(
        self, call: Callable[[], Any], inputs: dict[Value, str], rtol: float, atol: float
    ) -> None:
        self.call = call
        self.inputs = inputs
        self.rtol = rtol
        self.atol = atol
        results = dict(_results(call()))
        self.paths = list(results)
        self.base = [y.data for y in results.values()]
        self.symbols = _symbols(list(results.values()))
        self._refuse_unusable()
        # found[i][j]: the derivative of result i with respect to input j
        self.found = [_backward(y, list(inputs)) for y in results.values()]

    def run(self) -> GradcheckReport:
        worst, place = 0.0, next(iter(self.inputs))
        where = self._place(0, place)
        for j, x in enumerate(self.inputs):
            for i, error in enumerate(self._check_input(j, x)):
                if error > worst:
                    worst, where = error, self._place(i, x)
        return GradcheckReport(len(self.inputs) * len(self.paths), worst, where)

    def _check_input(self, j: int, x: Value) -> list[float]:
        """The relative errors of the derivatives of all results with respect to input j."""
        found = [row[j] for row in self.found]
        best = [_Slope(math.nan, math.inf)] * len(found)
        for h in _steps(x.data):
            for i, estimate in enumerate(self._estimates(x, h)):
                if not self._agree(found[i], best[i]) and (
                    self._agree(found[i], estimate) or estimate.error < best[i].error
                ):
                    best[i] = estimate
            if all(map(self._agree, found, best)):
                return [
                    abs(b - d.slope) / max(1.0, abs(b)) for b, d in zip(found, best, strict=True)
                ]
        i = next(i for i in range(len(found)) if not self._agree(found[i], best[i]))
        raise GradcheckError(
            f"the derivative{self._of(i)} with respect to {self.inputs[x]} is {found[i]!r} by "
            f"backward() but {best[i].slope:.9g} by finite differences (at {x.data!r}); "
            f"{self._hint(i, x, found[i], best[i])}"
        )

    def _agree(self, found: float, estimate: _Slope) -> bool:
        bound = self._bound(estimate)
        return abs(found - estimate.slope) <= bound and estimate.error <= bound

    def _bound(self, estimate: _Slope) -> float:
        return self.atol + self.rtol * abs(estimate.slope)

    def _estimates(self, x: Value, h: float) -> list[_Slope]:
        """The slopes of all results with respect to x."""
        rows = [self._results_at(x, offset) for offset in (-h, -h / 2.0, h / 2.0, h)]
        return [_estimate(samples, h) for samples in zip(*rows, strict=True)]

    def _results_at(self, x: Value, offset: float) -> list[float]:
        at = x.data
        x.data = at + offset
        try:
            results = [y.data for _, y in _results(self.call())]
        finally:
            x.data = at
        if len(results) != len(self.base):
            raise GradcheckError(
                f"gradcheck: f returned {len(self.base)} Values at first and {len(results)} "
                f"after {self.inputs[x]} was changed by {offset!r}; expected the same number"
            )
        return results

    def _refuse_unusable(self) -> None:
        if not self.base:
            raise GradcheckError("gradcheck: f returned no Value, expected at least one")
        again = [y.data for _, y in _results(self.call())]
        if repr(self.base) != repr(again):  # repr: nan is the same as nan
            raise GradcheckError(
                "gradcheck: f is not deterministic: two calls with the same inputs gave "
                f"{_brief(self.base)} and {_brief(again)}; seed random numbers inside f, "
                "and change nothing outside of it"
            )
        for path, y in zip(self.paths, self.base, strict=True):
            if not math.isfinite(y):
                raise GradcheckError(
                    f"gradcheck: {path} is {y!r} at this point, which has no derivative; "
                    "choose inputs inside the domain"
                )

    # ---- describing a disagreement ------------------------------------------------------

    def _of(self, i: int) -> str:
        return f" of {self.paths[i]}" if len(self.paths) > 1 else ""

    def _place(self, i: int, x: Value) -> str:
        return f"{self.inputs[x]}, {self.paths[i]}" if len(self.paths) > 1 else self.inputs[x]

    def _hint(self, i: int, x: Value, found: float, best: _Slope) -> str:
        """The likely cause."""
        own = [symbol for symbol in self.symbols[i] if symbol not in _BUILT_IN]
        if not math.isfinite(found):
            return "the derivative is not finite; the input may be at the edge of the domain"
        left, right = self._one_sided(i, x)
        if abs(left - right) > 1e-3 * max(abs(left), abs(right)) + 1e-6 * abs(self.base[i]):
            return (
                f"likely a kink or a jump here, as the slopes on its sides are {left:.3g} and "
                f"{right:.3g}; choose another point (see `not_smooth` of the operation)"
            )
        if best.error > self._bound(best):
            return (
                f"the finite difference has an error of {best.error:.1g}, as the result is large "
                "compared with its slope, or too steep; scale the function or increase rtol or atol"
            )
        if own:
            return f"likely the _backward or the rule of your own operation {_words(own)}"
        if found == 0.0:
            return "no gradient reached this input: likely `.data` or float(...) used inside f"
        used = f"; the operations used are {_words(self.symbols[i])}" if self.symbols[i] else ""
        return f"likely `.data` or float(...) used inside f, or a wrong rule{used}"

    def _one_sided(self, i: int, x: Value) -> tuple[float, float]:
        """The slopes on the left and on the right, by a step near sqrt(epsilon)."""
        h = math.ldexp(1.0, math.frexp(max(1.0, abs(x.data)))[1] - 27)
        left, right = self._results_at(x, -h)[i], self._results_at(x, h)[i]
        return (self.base[i] - left) / h, (right - self.base[i]) / h


def _backward(result: Value, inputs: list[Value]) -> list[float]:
    """The derivatives of the result with respect to the inputs; every other `grad` is restored."""
    # The graph may contain leaves from outside of f, or a graph that existed before.
    before = [(node, node.grad) for node in _graph(result)]
    try:
        for node in [*(node for node, _ in before), *inputs]:
            node.grad = 0.0
        result.backward()
        return [x.grad for x in inputs]
    finally:
        for node, grad in before:
            node.grad = grad


def _graph(result: Value) -> list[Value]:
    """Every Value that the result was computed from, and the result."""
    nodes = [result]
    seen = {result}  # for membership only: the order of a set is not repeatable
    for node in nodes:
        for x in node._prev:
            if x not in seen:
                seen.add(x)
                nodes.append(x)
    return nodes


def _symbols(results: list[Value]) -> list[list[str]]:
    """The operations in the graph of each result, without repetition."""
    return [list(dict.fromkeys(node._op for node in _graph(y) if node._op)) for y in results]


def _words(symbols: list[str]) -> str:
    return ", ".join(map(repr, symbols))


def _brief(numbers: list[float]) -> str:
    if len(numbers) == 1:
        return repr(numbers[0])
    return repr(numbers) if len(numbers) <= 4 else repr(numbers[:4])[:-1] + ", ...]"
