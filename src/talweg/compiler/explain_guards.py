"""The guards of a traced program as text: an `if` with its conditions, above the program.

Start reading at `with_guards`.
"""

from __future__ import annotations

import textwrap
from pathlib import Path

from talweg.compiler.frontend.trace import Trace
from talweg.compiler.ir.tape import CONSTANT, RESULT, Tape

_INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "pow": "**", "lt": "<", "le": "<="}

_LONGEST = 120
"""A longer expression is shortened."""

_MOST = 12
"""So many conditions are printed."""


def with_guards(traced: Trace, program: str) -> str:
    """The text of a program below the conditions under which it serves a call.

    Args:
        traced: the trace.
        program: the text of its program.
    """
    if not traced.guards:
        return program
    conditions: list[tuple[str, str]] = []
    for guard, output in list(zip(traced.guards, traced.guard_tape.outputs, strict=True))[:_MOST]:
        number, shown = guard.node._data, _expression(traced.guard_tape, *output)
        if guard.is_truth:
            condition = shown.removeprefix("(").removesuffix(")") if number else f"not {shown}"
        else:
            condition = f"{shown} == {number!r}"
        word = "if (" if not conditions else "    and "
        conditions.append((word + condition, f"{Path(guard.file).name}, line {guard.line}"))
    width = max(len(condition) for condition, _ in conditions)
    lines = [f"{condition:{width}}  # {place}" for condition, place in conditions]
    if len(traced.guards) > _MOST:
        lines.append(f"    # further conditions: {len(traced.guards) - _MOST:,}")
    return "\n".join([*lines, "):", textwrap.indent(program, "    ")])


def _expression(tape: Tape, space: int, index: int) -> str:
    name = tape.spaces[space]
    if name == CONSTANT:
        return repr(float(tape.constants[index]))
    if name != RESULT:
        return f"{name}[{index}]"
    op = tape.operations[tape.code[index]]
    operands = [
        _expression(tape, int(s), int(k))
        for s, k in zip(tape.space[index, : op.arity], tape.index[index, : op.arity], strict=True)
    ]
    text = _applied(op.name, operands)
    return text if len(text) <= _LONGEST else f"{op.name}(...)"


def _applied(name: str, operands: list[str]) -> str:
    if name == "detach":
        return operands[0]
    if name == "mul" and _is_equality(operands):
        x, y = operands[0].strip("()").split(" <= ")
        return f"({x} == {y})"
    if name in _INFIX:
        return f"({operands[0]} {_INFIX[name]} {operands[1]})"
    return f"-{operands[0]}" if name == "neg" else f"{name}({', '.join(operands)})"


def _is_equality(operands: list[str]) -> bool:
    """Whether two comparisons are `x <= y` and `y <= x`."""
    parts = [text.strip("()").split(" <= ") for text in operands]
    return all(len(part) == 2 for part in parts) and parts[0] == parts[1][::-1]
