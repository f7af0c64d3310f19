"""Deciding where each number of a program lives: in a register, or in memory.

An operand of an instruction is one place in the machine code, so all instructions whose
results it ever reads must leave them in one place: together they form a *group*. (The first
term of a sum and the terms added in a loop are a group: the running sum.)

* A group lives in one register, a *cell*, if every reader finds there what it wants: if
  between the writing of a number and its last reading no other number of the group is
  written. This is not argued about but looked up, in the program written out. What
  collects the derivatives by these numbers, going backward, may be one cell as well then.
* Any other group lives in an array. Its numbers stand in it in the order in which they are
  computed; that makes the index an affine function of the loop variables nearly always, for
  writers and readers, which is looked up too.
* Going backward an operation may mention numbers that a cell has long lost. They are kept in
  an array besides: by who writes them if all of a group's numbers are mentioned; by who
  reads them if it is only some, such as the last of the partial sums.

A program for which no affine index exists is refused; it can still run as a table.

Start reading at `schedule`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np

from talweg.autodiff.operation import GATHER, OPERANDS, Op
from talweg.compiler.ir.loop_program import Affine, Loop, Node, Program
from talweg.compiler.ir.scheduled_program import (
    AccumulateAdjoint,
    Compute,
    Element,
    ForLoop,
    Gather,
    Literal,
    Operand,
    SaveForBackward,
    ScheduledProgram,
    Statement,
    StorageLocation,
    VirtualRegister,
)
from talweg.compiler.ir.scheduled_verifier import verify
from talweg.compiler.ir.tape import CONSTANT, RESULT, Array
from talweg.compiler.passes.adjoint import Backward, Step, adjoint, substituted
from talweg.compiler.passes.iteration_map import IterationMap, iteration_map
from talweg.errors import NativeError

Slot = tuple[int, int]
"""An operand: the number of the instruction in the text, and which of its operands."""


def schedule(program: Program, wrt: Sequence[str] = ("w",)) -> ScheduledProgram:
    """Decide where each number of a program and of its adjoint lives.

    Args:
        program: the loops.
        wrt: the spaces by whose numbers derivatives are asked for.

    Returns:
        The scheduled code.

    Raises:
        NativeError: if the index of an array would not be an affine function.
    """
    code = _Schedule(program, tuple(wrt)).code()
    verify(code, program.tape.sizes)
    return code


@cache
def mentioned(op: Op, operand: int) -> frozenset[str]:
    """Which of x, y, z and out the derivative by an operand mentions."""
    names = {
        node.id
        for node in ast.walk(ast.parse(op.equations[operand], mode="eval"))
        if isinstance(node, ast.Name)
    }
    if "derivatives" in names:  # it is a function, which may look at everything
        return frozenset([*OPERANDS[: op.arity], "out"])
    return frozenset(name for name in (*OPERANDS, "out") if name in names)


class _Schedule:
    """What is known about the places of a program's numbers."""

    def __init__(self, program: Program, wrt: tuple[str, ...]) -> None:
        self.program = program
        self.tape = program.tape
        self.wrt = wrt
        self.written: IterationMap = iteration_map(program)
        self.instructions = self.written.instructions
        self.number = {id(node): i for i, node in enumerate(self.instructions)}
        self.positions = _split(self.written.owner, len(self.instructions))
        self.inside = self._insides()
        self.producers = self._producers()
        self.takes = {i for i, node in enumerate(self.instructions) if node.op is GATHER}
        self._refuse_mixed_takes()
        self.group = self._groups()
        self.group_of_result = self.group[self.written.owner]
        self.has_cell = self._cells()
        self.differentiated = self._differentiated()
        self.kept, self.saved = self._kept()
        self.addresses: dict[int, Array] = {}
        self.sizes: dict[str, int] = {}
        for group in sorted(set(self.group.tolist())):
            self._allocate(group)
        self.keeps = {slot: self._room_for(*slot, name) for slot, name in self.saved.items()}
        loops = [node for node, _ in program.walk() if isinstance(node, Loop)]
        self.parallel = {id(loop): self._is_parallel(loop) for loop in loops}

    # ---- what reads what ----------------------------------------------------------------

    def _producers(self) -> dict[Slot, list[int]]:
        """For every operand that is a result: the instructions that make it."""
        found = {}
        for number, node in enumerate(self.instructions):
            for j, operand in enumerate(node.operands):
                if operand.space == RESULT:
                    makers = self.written.owner[self._read(number, j)]
                    found[number, j] = np.unique(makers).tolist()
        return found

    def _read(self, number: int, operand: int) -> Array:
        """The indices that an operand has on the tape, in order of execution."""
        indices: Array = self.tape.index[self.positions[number], operand]
        return indices

    def _points_of(self, number: int) -> Array:
        """In which iterations of the loops around it an instruction is computed."""
        depth = len(self.written.around[number])
        points: Array = self.written.points[self.positions[number], :depth]
        return points

    def _groups(self) -> Array:
        """For every instruction the number of its group: that of its first member."""
        parent = list(range(len(self.instructions)))

        def root(i: int) -> int:
            while parent[i] != i:
                parent[i] = i = parent[parent[i]]
            return i

        for makers in self.producers.values():
            for other in makers[1:]:
                a, b = sorted([root(makers[0]), root(other)])
                parent[b] = a
        return np.array([root(i) for i in range(len(parent))], dtype=np.int64)

    def _cells(self) -> Array:
        """For every instruction whether its group can live in a register."""
        n = len(self.tape)
        group = self.group_of_result
        order = np.argsort(group, kind="stable")
        overwritten = np.full(n, n)  # when the next number of the group is written
        same = group[order[1:]] == group[order[:-1]]
        overwritten[order[:-1][same]] = order[1:][same]
        fine = np.ones(len(self.instructions), dtype=bool)
        result = self.tape.spaces.index(RESULT)
        for j in range(3):
            readers = np.flatnonzero(self.tape.space[:, j] == result)
            read = self.tape.index[readers, j]
            fine[group[read[readers > overwritten[read]]]] = False
        for space, index in self.tape.outputs:
            if space == result and overwritten[index] < n:
                fine[group[index]] = False
        return fine[self.group]

    # ---- what the derivatives need ---------------------------------------------------------

    def _differentiated(self) -> Array:
        """For every instruction whether something flows back through it to a wanted number."""
        needs = np.zeros(len(self.instructions), dtype=bool)
        while True:
            before = needs.copy()
            for number, node in enumerate(self.instructions):
                if not needs[number]:
                    needs[number] = any(
                        self._flows(number, j, needs) for j in range(len(node.operands))
                    )
            needs |= np.isin(self.group, self.group[needs])  # a cell is emptied by all or none
            if (needs == before).all():
                return needs

    def _flows(self, number: int, operand: int, needs: Array) -> bool:
        space = self.instructions[number].operands[operand].space
        if space == RESULT:
            return bool(needs[self.producers[number, operand]].any())
        return space in self.wrt

    def _mentioned(self, number: int) -> frozenset[str]:
        """Which of its operands and its result an instruction needs to go backward."""
        if not self.differentiated[number]:
            return frozenset()
        node = self.instructions[number]
        flowing = [
            j for j in range(len(node.operands)) if self._flows(number, j, self.differentiated)
        ]
        return frozenset().union(*[mentioned(node.op, j) for j in flowing])

    def _kept(self) -> tuple[Array, dict[Slot, str]]:
        """What going backward needs and a cell would lose.

        Returns:
            For every group (by its number) whether all its numbers are kept; and the arrays
            in which operands are kept of which only some of a group's numbers are needed.
        """
        kept = np.zeros(len(self.instructions), dtype=bool)
        some: dict[Slot, str] = {}
        for number in range(len(self.instructions)):
            names = self._mentioned(number)
            if "out" in names:
                kept[self.group[number]] = True
            for j, name in enumerate(OPERANDS):
                if name not in names or (number, j) not in self.producers:
                    continue
                if self._is_taken(number, j):
                    continue
                group = self.group[self.producers[number, j][0]]
                needed = len(np.unique(self._read(number, j)))
                if not self.has_cell[group] or needed == self._count(group):
                    kept[group] = True
                else:
                    some[number, j] = f"s{number}{name}"
        return kept, {slot: name for slot, name in some.items() if not kept[self._group_at(slot)]}

    def _group_at(self, slot: Slot) -> int:
        return int(self.group[self.producers[slot][0]])

    def _count(self, group: int) -> int:
        """How many numbers a group has."""
        return int((self.group_of_result == group).sum())

    # ---- tables ----------------------------------------------------------------------------

    def _is_taken(self, number: int, j: int) -> bool:
        """Whether an operand is a number taken from a table."""
        return (number, j) in self.producers and self.producers[number, j][0] in self.takes

    def _refuse_mixed_takes(self) -> None:
        """What is taken from a table is read there, so nothing else may be read in its place."""
        for makers in self.producers.values():
            if len({maker in self.takes for maker in makers}) > 1:
                raise NativeError("an operand is sometimes taken from a table, sometimes computed")
        result = self.tape.spaces.index(RESULT)
        if any(s == result and self.written.owner[k] in self.takes for s, k in self.tape.outputs):
            raise NativeError("a number taken from a table is returned as it is")

    def _picked(self, number: int, j: int, array: str) -> Gather:
        """The place in a table that an operand is taken from."""
        read, points = self._read(number, j), self._points_of(number)
        first, row = (affine(points, self.tape.index[read, k]) for k in range(2))
        columns = self.tape.constants[self.tape.index[read, 2]]
        if first is None or row is None or (columns != columns[0]).any():
            raise NativeError(f"operand {j} of instruction {number} steps unevenly through a table")
        return Gather(array, first, row, int(columns[0]))

    # ---- memory --------------------------------------------------------------------------------

    def _allocate(self, group: int) -> None:
        """Give a group its arrays, and its numbers their addresses in them."""
        members = np.flatnonzero(self.group == group)
        if group in self.takes:
            return
        in_cell = bool(self.has_cell[group])
        keeps = bool(self.kept[group]) and not self._stays(group)
        if in_cell and not keeps:
            return
        positions = np.flatnonzero(self.group_of_result == group)
        addresses, size = np.arange(len(positions)), len(positions)
        if len(members) == 1 and not self._is_affine(int(members[0]), positions, addresses):
            addresses, size = self._boxed(int(members[0]))
        self.addresses[group] = np.full(len(self.tape), -1)
        self.addresses[group][positions] = addresses
        self.sizes[f"a{group}"] = size
        if not in_cell and self.differentiated[members].any():
            self.sizes[f"da{group}"] = size

    def _room_for(self, number: int, operand: int, name: str) -> Element:
        """Where an instruction keeps one of its operands for itself."""
        positions = self.positions[number]
        addresses, size = np.arange(len(positions)), len(positions)
        if not self._is_affine(number, positions, addresses):
            addresses, size = self._boxed(number)
        self.sizes[name] = size
        index = affine(self._points_of(number), addresses)
        if index is None:  # a box is affine by construction
            raise NativeError(f"operand {operand} of instruction {number} has no box")
        return Element(name, index)

    def _stays(self, group: int) -> bool:
        """Whether a cell is written once, so that it still holds its number going backward."""
        return bool(self.has_cell[group]) and self._count(group) == 1

    def _is_affine(self, number: int, positions: Array, addresses: Array) -> bool:
        return affine(self._points_of(number), addresses) is not None

    def _boxed(self, number: int) -> tuple[Array, int]:
        """Addresses in a box as large as the largest trip counts: for loops like triangles."""
        points = self._points_of(number)
        counts = points.max(axis=0) + 1
        strides = np.append(np.cumprod(counts[:0:-1])[::-1], 1)
        return points @ strides, int(np.prod(counts))

    def _element(self, array: str, number: int, read: Array, group: int) -> Element:
        """The element that an instruction reads or writes where the tape has these results."""
        index = affine(self._points_of(number), self.addresses[group][read])
        if index is None:
            raise NativeError(
                f"{self.instructions[number].op.name}, instruction {number} of the loops, does not "
                "step through memory evenly"
            )
        return Element(array, index)

    # ---- places ------------------------------------------------------------------------------

    def _operand(self, number: int, j: int, backward: bool = False) -> Operand:
        """Where an instruction finds an operand."""
        reference = self.instructions[number].operands[j]
        if reference.space == CONSTANT:
            numbers = self.tape.constants[self._read(number, j)]
            if (numbers.view(np.int64) == numbers.view(np.int64)[0]).all():
                return Literal(float(numbers[0]))
        if reference.space != RESULT:
            return Element(reference.space, reference.index)
        if self._is_taken(number, j):
            return self._picked(number, j, "w")
        if backward and (number, j) in self.keeps:
            return self.keeps[number, j]
        return self._result(number, self.producers[number, j][0], self._read(number, j), backward)

    def _result(self, number: int, maker: int, read: Array, backward: bool) -> Operand:
        group = int(self.group[maker])
        if group in self.addresses and (backward or not self.has_cell[group]):
            return self._element(f"a{group}", number, read, group)
        return VirtualRegister(group)

    def _derivative(self, number: int, maker: int, read: Array) -> StorageLocation:
        """Where the derivative by a result is collected."""
        group = int(self.group[maker])
        if self.has_cell[group]:
            return VirtualRegister(group, derivative=True)
        return self._element(f"da{group}", number, read, group)

    def _target(self, number: int, j: int) -> StorageLocation | None:
        """Where a share of the derivative by an operand goes."""
        if not self._flows(number, j, self.differentiated):
            return None
        reference = self.instructions[number].operands[j]
        if reference.space != RESULT:
            return Element("d" + reference.space, reference.index)
        if self._is_taken(number, j):
            return self._picked(number, j, "dw")
        return self._derivative(number, self.producers[number, j][0], self._read(number, j))

    # ---- the code ----------------------------------------------------------------------------

    def code(self) -> ScheduledProgram:
        """The program and its adjoint with a place for every number."""
        return ScheduledProgram(
            forward=self._forward(self.program.nodes),
            backward=self._backward(adjoint(self.program)),
            arrays=self.sizes,
            outputs=tuple([self._output(s, k) for s, k in self.tape.outputs]),
            cotangents=tuple([self._seed(s, k) for s, k in self.tape.outputs]),
            constants=self.tape.constants.tolist(),
            wrt=self.wrt,
        )

    def _forward(self, nodes: Sequence[Node]) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for node in nodes:
            if isinstance(node, Loop):
                body = self._forward(node.body)
                statements.append(
                    ForLoop(node.count, body, self.parallel[id(node)], self._written_in(node))
                )
            else:
                number = self.number[id(node)]
                if number in self.takes:
                    continue
                slots = [(number, j) for j in range(len(node.operands))]
                statements += [
                    SaveForBackward(VirtualRegister(self._group_at(slot)), self.keeps[slot])
                    for slot in slots
                    if slot in self.keeps
                ]
                statements.append(self._compute(number))
        return tuple(statements)

    def _compute(self, number: int) -> Compute:
        node, group = self.instructions[number], int(self.group[number])
        targets: list[StorageLocation] = [VirtualRegister(group)] if self.has_cell[group] else []
        if group in self.addresses:
            read = self.positions[number]
            targets.append(self._element(f"a{group}", number, read, group))
        operands = [self._operand(number, j) for j in range(len(node.operands))]
        return Compute(node.op, tuple(operands), tuple(targets))

    def _backward(self, steps: Sequence[Step]) -> tuple[Statement, ...]:
        statements: list[Statement] = []
        for step in steps:
            if not isinstance(step, Backward):
                body = self._backward(step.body)
                if body:
                    parallel = self.parallel[id(step.loop)]
                    written = self._written_in(step.loop)
                    statements.append(ForLoop(step.count, body, parallel, written))
            elif self._goes_backward(self.number[id(step.instruction)]):
                statements.append(self._share(step))
        return tuple(statements)

    def _goes_backward(self, number: int) -> bool:
        return bool(self.differentiated[number]) and number not in self.takes

    def _share(self, step: Backward) -> AccumulateAdjoint:
        number = self.number[id(step.instruction)]
        node, names = step.instruction, self._mentioned(number)
        itself = self.positions[number]
        operands = [
            self._operand(number, j, backward=True) if OPERANDS[j] in names else None
            for j in range(len(node.operands))
        ]
        share = AccumulateAdjoint(
            op=node.op,
            source=self._derivative(number, number, itself),
            operands=tuple(operands),
            out=self._result(number, number, itself, backward=True) if "out" in names else None,
            targets=tuple([self._target(number, j) for j in range(len(node.operands))]),
        )
        return _moved(share, step.where)

    def _output(self, space: int, index: int) -> Operand:
        name = self.tape.spaces[space]
        if name == CONSTANT:
            return Literal(float(self.tape.constants[index]))
        if name != RESULT:
            return Element(name, Affine(index))
        group = int(self.group_of_result[index])
        if self.has_cell[group]:
            return VirtualRegister(group)
        return Element(f"a{group}", Affine(int(self.addresses[group][index])))

    def _seed(self, space: int, index: int) -> StorageLocation | None:
        name = self.tape.spaces[space]
        if name in self.wrt:
            return Element("d" + name, Affine(index))
        if name != RESULT or not self.differentiated[self.written.owner[index]]:
            return None
        group = int(self.group_of_result[index])
        if self.has_cell[group]:
            return VirtualRegister(group, derivative=True)
        return Element(f"da{group}", Affine(int(self.addresses[group][index])))

    # ---- loops whose iterations are independent ----------------------------------------------

    def _insides(self) -> dict[int, range]:
        """For every loop (by its id) the instructions in it, which stand in a row."""
        found: dict[int, range] = {}
        for number, loops in enumerate(self.written.around):
            for loop in loops:
                found[id(loop)] = range(found.get(id(loop), range(number, 0)).start, number + 1)
        return found

    def _written_in(self, loop: Loop) -> frozenset[int]:
        inside = self.inside[id(loop)]
        return frozenset(self.group[inside.start : inside.stop].tolist())

    def _is_parallel(self, loop: Loop) -> bool:
        """Whether no iteration reads a result of another one, and nobody a cell of the last."""
        inside = self.inside[id(loop)]
        depth = self.written.around[inside.start].index(loop)
        points = self.written.points
        for (number, j), makers in self.producers.items():
            if makers[-1] < inside.start or makers[0] >= inside.stop:
                continue  # most pairs; what follows is for those that may be inside
            if not any(maker in inside for maker in makers):
                continue
            if number not in inside:
                if self.has_cell[makers[0]]:
                    return False
                continue
            reader, read = self.positions[number], self._read(number, j)
            makers_of_read = self.written.owner[read]
            own = (makers_of_read >= inside.start) & (makers_of_read < inside.stop)
            reader, read = reader[own], read[own]
            same_run = (points[reader, :depth] == points[read, :depth]).all(axis=1)
            if (same_run & (points[reader, depth] != points[read, depth])).any():
                return False
        outputs = [k for s, k in self.tape.outputs if self.tape.spaces[s] == RESULT]
        owners = set(self.written.owner[outputs].tolist())
        return not any(self.has_cell[i] and i in owners for i in inside)


def _split(owner: Array, count: int) -> list[Array]:
    """For each instruction its operations on the tape, in order."""
    order = np.argsort(owner, kind="stable")
    return np.split(order, np.cumsum(np.bincount(owner, minlength=count))[:-1])


def affine(points: Array, values: Array) -> Affine | None:
    """The affine function that has these values at these points, if there is one.

    Args:
        points: shape (m, depth).
        values: whole numbers, shape (m,).

    Returns:
        The function, or None.

    >>> print(affine(np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([5, 6, 9, 10])))
    4*i+j+5
    """
    first, moved = points[0], points - points[0]
    strides = np.zeros(points.shape[1], dtype=np.int64)
    for d in range(points.shape[1]):
        others = np.delete(moved, d, axis=1)
        along = np.flatnonzero((others == 0).all(axis=1) & (moved[:, d] != 0))
        if len(along):
            k = along[0]
            strides[d] = (values[k] - values[0]) // moved[k, d]
    if not (values == values[0] + moved @ strides).all():
        return None
    base = int(values[0] - first @ strides)
    return Affine(base, tuple(strides.tolist()))


def _moved(share: AccumulateAdjoint, where: Sequence[Affine]) -> AccumulateAdjoint:
    """A share with its indices as functions of the adjoint's loop variables."""

    def moved(x: Operand | None) -> Operand | None:
        if isinstance(x, Element):
            return Element(x.array, substituted(x.index, where))
        if isinstance(x, Gather):
            row = substituted(x.row, where)
            return Gather(x.array, substituted(x.index, where), row, x.columns)
        return x

    places: Mapping[str, object] = {
        "source": moved(share.source),
        "operands": tuple(map(moved, share.operands)),
        "out": moved(share.out),
        "targets": tuple(map(moved, share.targets)),
    }
    return AccumulateAdjoint(share.op, **places)  # type: ignore[arg-type]  # moved() keeps each kind
