"""The loops as text that a person reads: the matrix product that the scalar program always was.

The text is Python: with arrays as dictionaries it computes what the program computes.

Results that are used once, in the same iteration, are written into the expression that uses
them. A result that its loop hands on to its next iteration becomes a variable (`s += ...`);
one that other loops read becomes an array with one index a loop around it.

Start reading at `explain`, then `_Writer`; which instruction a reference reads is found out
by `talweg.compiler.passes.use_def`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from talweg.compiler import pipeline
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir.loop_program import (
    Affine,
    Instruction,
    Loop,
    Node,
    Program,
    Reference,
    variable,
)
from talweg.compiler.ir.tape import CONSTANT, RESULT
from talweg.compiler.passes.use_def import Index, UseDef, UseDefChains, here

_INFIX = {"add": (1, "+"), "sub": (1, "-"), "mul": (2, "*"), "div": (2, "/"), "pow": (4, "**"),
          "lt": (0, "<"), "le": (0, "<=")}  # fmt: skip
_NEGATION = 3
_ATOM = 9

_LONGEST = 80
"""A longer expression gets a name instead of being written into another."""


def explain(f: Callable[..., Any], *args: Any) -> str:
    """The loops that a scalar program really is, as text.

    f is run once, its operations are written down, and the loops are found in them. See
    `talweg.compiler` for the stages.

    Args:
        f: a function of numbers that does arithmetic with the operations of `talweg.ops`.
        *args: what to call it with: floats, Values, and lists, tuples, dictionaries,
            dataclasses and NumPy arrays of them, or other objects such as models.

    Returns:
        A count of operations before and after, and the loops. `w` are the Values that f read,
        `x` the floats among its arguments, `c` constants that differ from one iteration
        to the next.

    Raises:
        TraceError: if f branches on one of the numbers or makes a plain float of one.

    Example:
        >>> def energy(xs, weights):
        ...     return sum(w * x**2 for w, x in zip(weights, xs))
        >>> print(explain(energy, [1.0, 2.0, 3.0, 4.0, 5.0], [0.1, 0.2, 0.3, 0.4, 0.5]))
        # 15 operations, written as 7 in 1 loop
        # w: 0 parameters, oldest first; x: 10 inputs, in order
        s = 0 + x[5]*x[0]**2
        for i in range(4):
            s += x[i+6]*x[i+1]**2
        return s
    """
    return text(pipeline.loop_program(trace(f, *args).tape))


def text(program: Program) -> str:
    """The program as readable pseudo-code.

    Args:
        program: the loops.

    Returns:
        A line that counts, a line that names the spaces, and the loops.
    """
    tape = program.tape
    sizes = {name: tape.sizes[name] for name in ("w", "x")}
    head = [
        f"# {_many(len(tape), 'operation')}, written as {program.size} in "
        f"{_many(program.loops, 'loop')}",
        f"# w: {_many(sizes['w'], 'parameter')}, oldest first; "
        f"x: {_many(sizes['x'], 'input')}, in order",
    ]
    lines = list(_Writer(program).lines())
    if any("t[" in line for line in lines):
        head.append("# t: results by their number, where one reader reads several instructions")
    return "\n".join([*head, *lines])


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


class _Writer:
    """Writes a program down, statement by statement."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.links = UseDefChains(program)
        self.returned = [
            self.links.locate(k) if program.tape.spaces[s] == RESULT else None
            for s, k in program.tape.outputs
        ]
        self.returned_nodes = {id(found[0]) for found in self.returned if found is not None}
        self.readers: dict[int, list[tuple[Instruction, UseDef]]] = {}
        for node, link in self.links.all():
            for made_by in (link.made_by, link.start):
                if made_by is not None:
                    self.readers.setdefault(id(made_by), []).append((node, link))
        self.expressions: dict[int, tuple[int, str]] = {}  # results written into their reader
        self.variables: dict[int, str] = {}  # results that a loop hands on
        self.before: dict[int, str] = {}  # such a variable's value before its iteration
        self.starts: dict[int, str] = {}  # what such a variable begins with, if only that
        self.kept: dict[int, str] = {}  # "last" or "all": such results read elsewhere too
        self.handed_on: dict[int, list[tuple[Instruction, Instruction]]] = {}  # by loop
        self.arrays: dict[int, str] = {}
        self._find_variables()

    def _find_variables(self) -> None:
        """Which results are handed on by their loop, and which of those others read as well."""
        for _, link in self.links.all():
            if link.start is None or link.made_by is None or id(link.made_by) in self.variables:
                continue
            loop = self.links.around[id(link.made_by)][-1]
            self.handed_on.setdefault(id(loop), []).append((link.made_by, link.start))
            n = len(self.variables)
            variable = self.variables[id(link.made_by)] = f"s{n + 1}" if n else "s"
            if len(self.readers[id(link.start)]) == 1 and not self._is_returned(link.start):
                self.starts[id(link.start)] = variable
        order = {id(node): place for place, (node, _) in enumerate(self.program.walk())}
        for node, link in self.links.all():
            if link.start is not None and order[id(self._lands_in(node))] > order[id(link.made_by)]:
                # Written after the variable has its new value, though it reads the old one.
                self.before[id(link.made_by)] = f"{self.variables[id(link.made_by)]}_before"
        for node, link in self.links.all():
            handed_on = link.start is None and id(link.made_by) in self.variables
            if handed_on and not self._reads_what_is_left(node, link):
                self._keep(link.made_by, "last" if self._is_last(link) else "all")
        for found in self.returned:
            if found is not None and id(found[0]) in self.variables:
                node, point = found
                around = self.links.around[id(node)]
                if point[-1] + 1 != around[-1].count.at(point[:-1]):
                    self._keep(node, "all")
                elif len(point) > 1:
                    self._keep(node, "last")

    def _keep(self, node: Instruction | None, which: str) -> None:
        if self.kept.get(id(node)) != "all":
            self.kept[id(node)] = which

    def _is_last(self, link: UseDef) -> bool:
        """Whether a link reads what its loop leaves behind when it ends."""
        count = self.links.around[id(link.made_by)][-1].count
        last = link.point[-1]
        return (
            not any(count.strides)
            and isinstance(last, Affine)
            and last == Affine(count.base - 1, (0,) * len(last.strides))
        )

    def _reads_what_is_left(self, node: Instruction, link: UseDef) -> bool:
        """Whether the variable still holds what is read: just after its loop, or within it."""
        reader, made_by = self.links.around[id(node)], self.links.around[id(link.made_by)]
        if reader == made_by:
            return link.point == here(len(link.point))
        same_place = reader == made_by[:-1] and link.point[:-1] == here(len(reader))
        return same_place and self._is_last(link)

    def lines(self) -> Iterator[str]:
        """The loops and the return, line by line."""
        yield from self._block(self.program.nodes, 0)
        yield f"return {', '.join(self._returned())}"

    def _returned(self) -> list[str]:
        shown = []
        for found, (space, k) in zip(self.returned, self.program.tape.outputs, strict=True):
            if found is None:
                shown.append(f"{self.program.tape.spaces[space]}[{k}]")
                continue
            node, point = found
            shown.append(self._read(node, tuple([Affine(i) for i in point])))
        return [*shown[:3], f"... ({len(shown)} in all)", shown[-1]] if len(shown) > 5 else shown

    def _block(self, nodes: Sequence[Node], depth: int) -> Iterator[str]:
        indent = "    " * depth
        for node in nodes:
            if isinstance(node, Instruction):
                yield from (indent + line for line in self._statements(node, depth))
                continue
            starts = self._late_starts(node)
            yield from (f"{indent}{variable} = {value}" for variable, value in starts)
            yield f"{indent}for {variable(depth)} in range({node.count}):"
            for made_by, _ in self.handed_on.get(id(node), []):
                if id(made_by) in self.before:
                    yield f"{indent}    {self.before[id(made_by)]} = {self.variables[id(made_by)]}"
            yield from self._block(node.body, depth + 1)
            for inner in node.body:
                if isinstance(inner, Instruction) and self.kept.get(id(inner)) == "last":
                    yield f"{indent}{self._array(inner, depth)} = {self.variables[id(inner)]}"

    def _late_starts(self, loop: Loop) -> list[tuple[str, str]]:
        """Variables of a loop whose first value has a name of its own."""
        found: dict[str, str] = {}
        for made_by, start in self.handed_on.get(id(loop), []):
            if id(start) not in self.starts:
                where = here(len(self.links.around[id(start)]))
                found[self.variables[id(made_by)]] = self._read(start, where)
        return list(found.items())

    def _statements(self, node: Instruction, depth: int) -> Iterator[str]:
        level, expression = self._expression(node)
        if self._goes_inline(node) and len(expression) <= _LONGEST:
            self.expressions[id(node)] = level, expression
            return
        variable = self.variables.get(id(node)) or self.starts.get(id(node))
        target = variable or self._array(node, depth)
        # Only where the variable is all that stands on the left: s + a - b is (s + a) - b.
        if variable and node.op.name == "add" and self._operand(node, 0)[1] == target:
            yield f"{target} += {expression.removeprefix(f'{target} + ')}"
        else:
            yield f"{target} = {expression}"
        if self.kept.get(id(node)) == "all":
            yield f"{self._array(node, depth)} = {target}"

    def _goes_inline(self, node: Instruction) -> bool:
        """Whether a result is read once, by an instruction of the same iteration."""
        readers = self.readers.get(id(node), [])
        if len(readers) != 1 or id(node) in self.variables or self._is_returned(node):
            return False
        reader, link = readers[0]
        around = self.links.around
        same = around[id(reader)] == around[id(node)] and link.start is None
        return same and link.point == here(len(link.point))

    def _lands_in(self, node: Instruction) -> Instruction:
        """The instruction in whose statement an instruction is written, at the latest."""
        while self._goes_inline(node):
            node = self.readers[id(node)][0][0]
        return node

    def _is_local(self, node: Instruction) -> bool:
        """Whether a result is read in its own iteration only, so that it needs no index."""
        around = self.links.around
        return not self._is_returned(node) and all(
            link.start is None
            and around[id(reader)] == around[id(node)]
            and link.point == here(len(link.point))
            for reader, link in self.readers.get(id(node), [])
        )

    def _is_returned(self, node: Instruction) -> bool:
        return id(node) in self.returned_nodes

    def _array(self, node: Instruction, depth: int) -> str:
        """An instruction's result where it is made, such as `a[i,j]`."""
        return self._element(node, here(depth))

    def _element(self, node: Instruction, point: tuple[Index, ...]) -> str:
        name = self.arrays.setdefault(id(node), _letters(len(self.arrays)))
        if id(node) not in self.variables and self._is_local(node):
            return name
        return f"{name}[{','.join(map(str, point))}]" if point else name

    def _read(self, node: Instruction, point: tuple[Index, ...]) -> str:
        """An instruction's result where it is read."""
        kept = self.kept.get(id(node))
        if id(node) in self.variables and not kept:
            return self.variables[id(node)]
        return self._element(node, point[:-1] if kept == "last" else point)

    def _expression(self, node: Instruction) -> tuple[int, str]:
        parts = [self._operand(node, j) for j in range(len(node.operands))]
        name = node.op.name
        if name in _INFIX:
            level, symbol = _INFIX[name]
            (left_level, left), (right_level, right) = parts
            left = left if left_level >= level + (name == "pow") else f"({left})"
            right = right if right_level > level else f"({right})"
            space = "" if name in ("mul", "pow") else " "
            return level, f"{left}{space}{symbol}{space}{right}"
        if name == "neg":
            level, inner = parts[0]
            return _NEGATION, f"-{inner}" if level >= _NEGATION else f"-({inner})"
        return _ATOM, f"{name}({', '.join(inner for _, inner in parts)})"

    def _operand(self, node: Instruction, j: int) -> tuple[int, str]:
        operand = node.operands[j]
        if operand.space == CONSTANT:
            return self._constant(operand, node)
        if operand.space != RESULT:
            return _ATOM, f"{operand.space}[{operand.index}]"
        link = self.links.of(node, j)
        if link.made_by is None:
            return _ATOM, f"t[{operand.index}]"
        if link.start is not None:
            made_by = id(link.made_by)
            return _ATOM, self.before.get(made_by, self.variables[made_by])
        if id(link.made_by) in self.expressions:
            return self.expressions[id(link.made_by)]
        if id(link.made_by) in self.variables and self._reads_what_is_left(node, link):
            return _ATOM, self.variables[id(link.made_by)]
        return _ATOM, self._read(link.made_by, link.point)

    def _constant(self, operand: Reference, node: Instruction) -> tuple[int, str]:
        """The number itself if it is the same in all iterations."""
        counts = [loop.count for loop in self.links.around[id(node)]]
        constants = self.program.tape.constants
        if any(any(count.strides) for count in counts):
            return _ATOM, f"c[{operand.index}]"
        taken = {operand.index.base}
        for count, stride in zip(counts, operand.index.strides, strict=True):
            taken = {k + stride * i for k in taken for i in range(count.base if stride else 1)}
        numbers = {repr(float(constants[k])) for k in sorted(taken)}
        if len(numbers) > 1:
            return _ATOM, f"c[{operand.index}]"
        number = repr(float(constants[operand.index.base])).removesuffix(".0")
        return (_NEGATION if number.startswith("-") else _ATOM), number


def _letters(n: int) -> str:
    """Names for arrays: a, b, ... but none that means something else."""
    alphabet = "abdefghuvyz"
    return alphabet[n % len(alphabet)] + (str(n // len(alphabet) + 1) if n >= len(alphabet) else "")
