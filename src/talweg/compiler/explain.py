"""tw.explain: a traced program as text, with the loops that are recovered from the trace.

The text is Python code. If its arrays are dictionaries, it computes what the program computes.

A result that is read once, in the same iteration, is printed inside the expression that reads it.
A result that a loop carries to its next iteration is a variable (`s += ...`); one that other
loops read is an array with one index for each loop around it.

Start reading at `explain`, then `_Writer`; `talweg.compiler.passes.use_def` finds which
instruction a reference reads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from talweg.compiler import pipeline
from talweg.compiler.explain_guards import with_guards
from talweg.compiler.frontend.trace import trace
from talweg.compiler.ir.affine import Affine, loop_variable
from talweg.compiler.ir.loop_program import Instruction, Loop, LoopProgram, Node, Reference
from talweg.compiler.ir.tape import CONSTANT, RESULT
from talweg.compiler.passes.use_def import Index, UseDef, UseDefChains, own_iteration

_INFIX = {"add": (1, "+"), "sub": (1, "-"), "mul": (2, "*"), "div": (2, "/"), "pow": (4, "**"),
          "lt": (0, "<"), "le": (0, "<=")}  # fmt: skip
_NEGATION = 3
_ATOM = 9

_LONGEST = 80
"""A longer expression is assigned to a name instead of being printed inside another."""


def explain(f: Callable[..., Any], *args: Any) -> str:
    """The loops of a scalar program, as text.

    f is run once, its operations are recorded, and the loops are recovered from them. See
    `talweg.compiler` for the stages.

    Args:
        f: a function of numbers that does arithmetic with the operations of `talweg.ops`.
        *args: what to call it with: floats, Values, and lists, tuples, dictionaries,
            dataclasses and NumPy arrays of them, or other objects such as models.

    Returns:
        The counts of operations before and after, and the loops. `w` are the Values that f
        reads, `x` the floats among its arguments, `c` constants that differ between
        iterations. If f branches on a number, or uses it as a plain number, the program is below
        an `if` with the conditions under which it is this one.

    Raises:
        TraceError: if f does with a number what cannot be compiled.

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
    traced = trace(f, *args)
    return with_guards(traced, text(pipeline.loop_program(traced.tape)))


def text(program: LoopProgram) -> str:
    """The program as readable pseudo-code.

    Args:
        program: the loops.

    Returns:
        A line with the counts, a line with the meaning of the names, and the loops.
    """
    tape = program.tape
    sizes = {name: tape.sizes[name] for name in ("w", "x")}
    head = [
        f"# {_counted(len(tape), 'operation')}, written as {program.size} in "
        f"{_counted(program.loops, 'loop')}",
        f"# w: {_counted(sizes['w'], 'parameter')}, oldest first; "
        f"x: {_counted(sizes['x'], 'input')}, in order",
    ]
    lines = list(_Writer(program).lines())
    if any("t[" in line for line in lines):
        head.append("# t: results by their number, where one reader reads several instructions")
    return "\n".join([*head, *lines])


def _counted(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


class _Writer:
    """The text of a program, statement by statement."""

    def __init__(self, program: LoopProgram) -> None:
        self.program = program
        self.chains = UseDefChains(program)
        self.returned = [
            self.chains.locate(k) if program.tape.spaces[s] == RESULT else None
            for s, k in program.tape.outputs
        ]
        self.returned_nodes = {found[0] for found in self.returned if found is not None}
        self.readers: dict[Instruction, list[tuple[Instruction, UseDef]]] = {}
        for node, use in self.chains.all():
            for definition in (use.definition, use.initial):
                if definition is not None:
                    self.readers.setdefault(definition, []).append((node, use))
        # Results that are printed inside the expression of their reader.
        self.expressions: dict[Instruction, tuple[int, str]] = {}
        # Results that a loop carries, and by loop the pairs of these and their initial values.
        self.variables: dict[Instruction, str] = {}
        self.carried: dict[Loop, list[tuple[Instruction, Instruction]]] = {}
        # A variable's value before its iteration; results that only initialise a variable.
        self.before: dict[Instruction, str] = {}
        self.initials: dict[Instruction, str] = {}
        # Carried results that are read elsewhere too, and which of them: "last" or "all".
        self.stored: dict[Instruction, str] = {}
        self.arrays: dict[Instruction, str] = {}
        self._name_variables()
        self._find_old_values()
        self._find_stored()

    def _name_variables(self) -> None:
        """Which results their loop carries."""
        for _, use in self.chains.all():
            definition, initial = use.definition, use.initial
            if initial is None or definition is None or definition in self.variables:
                continue
            loop = self.chains.around[definition][-1]
            self.carried.setdefault(loop, []).append((definition, initial))
            n = len(self.variables)
            variable = self.variables[definition] = f"s{n + 1}" if n else "s"
            if len(self.readers[initial]) == 1 and not self._is_returned(initial):
                self.initials[initial] = variable

    def _find_old_values(self) -> None:
        """Which variables are read after the assignment of the new value."""
        order = {node: k for k, (node, _) in enumerate(self.program.walk())}
        for node, use in self.chains.all():
            definition = use.definition
            if use.initial is None or definition is None:
                continue
            if order[self._statement_of(node)] > order[definition]:
                self.before[definition] = f"{self.variables[definition]}_before"

    def _find_stored(self) -> None:
        """Which carried results are read elsewhere as well."""
        for node, use in self.chains.all():
            definition = use.definition
            if use.initial is not None or definition is None or definition not in self.variables:
                continue
            if not self._reads_variable(node, definition, use):
                self._store(definition, "last" if self._is_last(definition, use) else "all")
        for found in self.returned:
            if found is not None and found[0] in self.variables:
                node, point = found
                around = self.chains.around[node]
                if point[-1] + 1 != around[-1].count.at(point[:-1]):
                    self._store(node, "all")
                elif len(point) > 1:
                    self._store(node, "last")

    def _store(self, node: Instruction, which: str) -> None:
        if self.stored.get(node) != "all":
            self.stored[node] = which

    def _is_last(self, definition: Instruction, use: UseDef) -> bool:
        """Whether a use reads the last iteration of the definition's loop."""
        count = self.chains.around[definition][-1].count
        last = use.point[-1]
        return (
            not any(count.strides)
            and isinstance(last, Affine)
            and last == Affine(count.base - 1, (0,) * len(last.strides))
        )

    def _reads_variable(self, node: Instruction, definition: Instruction, use: UseDef) -> bool:
        """Whether the variable has the number that is read: just after its loop, or within it."""
        around, loops = self.chains.around[node], self.chains.around[definition]
        if around == loops:
            return use.point == own_iteration(len(use.point))
        is_outside = around == loops[:-1] and use.point[:-1] == own_iteration(len(around))
        return is_outside and self._is_last(definition, use)

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
            initials = self._named_initials(node)
            yield from (f"{indent}{variable} = {value}" for variable, value in initials)
            yield f"{indent}for {loop_variable(depth)} in range({node.count}):"
            for result, _ in self.carried.get(node, []):
                if result in self.before:
                    yield f"{indent}    {self.before[result]} = {self.variables[result]}"
            yield from self._block(node.body, depth + 1)
            for inner in node.body:
                if isinstance(inner, Instruction) and self.stored.get(inner) == "last":
                    yield f"{indent}{self._array(inner, depth)} = {self.variables[inner]}"

    def _named_initials(self, loop: Loop) -> list[tuple[str, str]]:
        """The carried variables of a loop whose initial value has a name of its own."""
        found: dict[str, str] = {}
        for result, initial in self.carried.get(loop, []):
            if initial not in self.initials:
                point = own_iteration(len(self.chains.around[initial]))
                found[self.variables[result]] = self._read(initial, point)
        return list(found.items())

    def _statements(self, node: Instruction, depth: int) -> Iterator[str]:
        level, expression = self._expression(node)
        if self._goes_inline(node) and len(expression) <= _LONGEST:
            self.expressions[node] = level, expression
            return
        variable = self.variables.get(node) or self.initials.get(node)
        target = variable or self._array(node, depth)
        # Only where the variable is all that stands on the left: s + a - b is (s + a) - b.
        if variable and node.op.name == "add" and self._operand(node, 0)[1] == target:
            yield f"{target} += {expression.removeprefix(f'{target} + ')}"
        else:
            yield f"{target} = {expression}"
        if self.stored.get(node) == "all":
            yield f"{self._array(node, depth)} = {target}"

    def _goes_inline(self, node: Instruction) -> bool:
        """Whether a result is read once, by an instruction of the same iteration."""
        readers = self.readers.get(node, [])
        if len(readers) != 1 or node in self.variables or self._is_returned(node):
            return False
        reader, use = readers[0]
        around = self.chains.around
        same = around[reader] == around[node] and use.initial is None
        return same and use.point == own_iteration(len(use.point))

    def _statement_of(self, node: Instruction) -> Instruction:
        """The instruction in whose statement an instruction is printed."""
        while self._goes_inline(node):
            node = self.readers[node][0][0]
        return node

    def _is_local(self, node: Instruction) -> bool:
        """Whether a result is read in its own iteration only, so that it needs no index."""
        around = self.chains.around
        return not self._is_returned(node) and all(
            use.initial is None
            and around[reader] == around[node]
            and use.point == own_iteration(len(use.point))
            for reader, use in self.readers.get(node, [])
        )

    def _is_returned(self, node: Instruction) -> bool:
        return node in self.returned_nodes

    def _array(self, node: Instruction, depth: int) -> str:
        """An instruction's result where it is computed, such as `a[i,j]`."""
        return self._element(node, own_iteration(depth))

    def _element(self, node: Instruction, point: tuple[Index, ...]) -> str:
        name = self.arrays.setdefault(node, _letters(len(self.arrays)))
        if node not in self.variables and self._is_local(node):
            return name
        return f"{name}[{','.join(map(str, point))}]" if point else name

    def _read(self, node: Instruction, point: tuple[Index, ...]) -> str:
        """An instruction's result where it is read."""
        stored = self.stored.get(node)
        if node in self.variables and not stored:
            return self.variables[node]
        return self._element(node, point[:-1] if stored == "last" else point)

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
        use = self.chains.of(node, j)
        if use.definition is None:
            return _ATOM, f"t[{operand.index}]"
        if use.initial is not None:
            variable = self.variables[use.definition]
            return _ATOM, self.before.get(use.definition, variable)
        if use.definition in self.expressions:
            return self.expressions[use.definition]
        if use.definition in self.variables and self._reads_variable(node, use.definition, use):
            return _ATOM, self.variables[use.definition]
        return _ATOM, self._read(use.definition, use.point)

    def _constant(self, operand: Reference, node: Instruction) -> tuple[int, str]:
        """The number itself if it is the same in all iterations."""
        counts = [loop.count for loop in self.chains.around[node]]
        constants = self.program.tape.constants
        if any(any(count.strides) for count in counts):
            return _ATOM, f"c[{operand.index}]"
        read = {operand.index.base}
        for count, stride in zip(counts, operand.index.strides, strict=True):
            read = {k + stride * i for k in read for i in range(count.base if stride else 1)}
        numbers = {repr(float(constants[k])) for k in sorted(read)}
        if len(numbers) > 1:
            return _ATOM, f"c[{operand.index}]"
        number = repr(float(constants[operand.index.base])).removesuffix(".0")
        return (_NEGATION if number.startswith("-") else _ATOM), number


def _letters(n: int) -> str:
    """Names for arrays: a, b, ... without the names of spaces, loop variables and sums."""
    alphabet = "abdefghuvyz"
    return alphabet[n % len(alphabet)] + (str(n // len(alphabet) + 1) if n >= len(alphabet) else "")
