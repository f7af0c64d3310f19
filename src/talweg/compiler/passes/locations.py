"""Storage locations: where each instruction and its adjoint read and write their numbers.

This combines the results of the analyses: a number of a storage class is in a virtual register,
or in the class's array, or both; a gathered number is in its table; a saved operand is in the
array of its reader.

Start reading at `Locations`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from talweg.compiler.ir.affine import Affine, fit_affine
from talweg.compiler.ir.scheduled_program import (
    Element,
    Gather,
    Literal,
    Operand,
    StorageLocation,
    VirtualRegister,
)
from talweg.compiler.ir.tape import CONSTANT, RESULT, Array
from talweg.compiler.passes.addresses import Addresses, index_of
from talweg.compiler.passes.differentiation import DifferentiationFlow
from talweg.compiler.passes.iteration_map import IterationMap, Use
from talweg.compiler.passes.reaching_definitions import Definitions
from talweg.compiler.passes.storage import Storage
from talweg.errors import NativeError


@dataclass(frozen=True, eq=False)
class Locations:
    """The location of every number, as an operand of the scheduled program.

    Indices are functions of the loop variables around the instruction that is given.

    Attributes:
        iterations: the enumerated program.
        definitions: which instructions each operand reads.
        storage: the storage classes.
        flow: which derivatives are needed.
        addresses: the arrays.
        wrt: the spaces by whose numbers derivatives are computed.
    """

    iterations: IterationMap
    definitions: Definitions
    storage: Storage
    flow: DifferentiationFlow
    addresses: Addresses
    wrt: tuple[str, ...]

    def operand(self, use: Use) -> Operand:
        """Where an instruction reads an operand."""
        return self._operand(use, backward=False)

    def adjoint_operand(self, use: Use) -> Operand:
        """Where the adjoint of an instruction reads an operand."""
        saved = self.addresses.saved.get(use)
        return self._operand(use, backward=True) if saved is None else saved

    def targets(self, number: int) -> tuple[StorageLocation, ...]:
        """Where an instruction writes its result: to a register, an array, or both."""
        own = int(self.storage.class_of[number])
        targets: list[StorageLocation] = []
        if self.storage.in_register[own]:
            targets.append(VirtualRegister(own))
        if own in self.addresses.classes:
            targets.append(self._element(f"a{own}", number, self.iterations.positions[number]))
        return tuple(targets)

    def result(self, number: int) -> Operand:
        """Where the adjoint of an instruction reads its result."""
        return self._result(number, number, self.iterations.positions[number], backward=True)

    def derivative(self, number: int) -> StorageLocation:
        """Where the derivative by an instruction's result is collected."""
        return self._derivative(number, number, self.iterations.positions[number])

    def operand_derivative(self, use: Use) -> StorageLocation | None:
        """Where the derivative by an operand is collected; None if none is needed."""
        if use not in self.flow.active:
            return None
        number, j = use
        reference = self.iterations.instructions[number].operands[j]
        if reference.space != RESULT:
            return Element("d" + reference.space, reference.index)
        if self._is_gathered(use):
            return self._gather(use, "dw")
        return self._derivative(number, self.definitions[use][0], self.iterations.indices_of(use))

    def register_of(self, use: Use) -> VirtualRegister:
        """The register of an operand whose storage class is in one."""
        return VirtualRegister(int(self.storage.class_of[self.definitions[use][0]]))

    def output(self, space: int, index: int) -> Operand:
        """Where an output of the program is."""
        tape = self.iterations.tape
        name = tape.spaces[space]
        if name == CONSTANT:
            return Literal(float(tape.constants[index]))
        if name != RESULT:
            return Element(name, Affine(index))
        own = int(self.storage.class_of_result[index])
        if self.storage.in_register[own]:
            return VirtualRegister(own)
        return Element(f"a{own}", Affine(int(self.addresses.of_result[index])))

    def cotangent(self, space: int, index: int) -> StorageLocation | None:
        """Where the derivative by an output is written; None if none is needed."""
        name = self.iterations.tape.spaces[space]
        if name in self.wrt:
            return Element("d" + name, Affine(index))
        if name != RESULT or not self.flow.has_adjoint[self.iterations.owner[index]]:
            return None
        own = int(self.storage.class_of_result[index])
        if self.storage.in_register[own]:
            return VirtualRegister(own, derivative=True)
        return Element(f"da{own}", Affine(int(self.addresses.of_result[index])))

    def guarded(self, results: Array) -> frozenset[str]:
        """The registers and arrays of the derivatives by these results, by name.

        The results of a storage class share them, so all of a class are guarded or none.
        """
        classes = np.unique(self.storage.class_of_result[results]).tolist()
        return frozenset(
            str(VirtualRegister(own, derivative=True))
            if self.storage.in_register[own]
            else f"da{own}"
            for own in classes
        )

    def _operand(self, use: Use, backward: bool) -> Operand:
        number, j = use
        reference = self.iterations.instructions[number].operands[j]
        read = self.iterations.indices_of(use)
        if reference.space == CONSTANT:
            numbers = self.iterations.tape.constants[read].view(np.int64)
            if (numbers == numbers[0]).all():
                return Literal(float(self.iterations.tape.constants[read[0]]))
        if reference.space != RESULT:
            return Element(reference.space, reference.index)
        if self._is_gathered(use):
            return self._gather(use, "w")
        return self._result(number, self.definitions[use][0], read, backward)

    def _result(self, number: int, maker: int, read: Array, backward: bool) -> Operand:
        """Where an instruction reads results of the class of `maker`, going forward or backward.

        A class in a register may have an array besides, for the adjoint.
        """
        own = int(self.storage.class_of[maker])
        if own in self.addresses.classes and (backward or not self.storage.in_register[own]):
            return self._element(f"a{own}", number, read)
        return VirtualRegister(own)

    def _derivative(self, number: int, maker: int, read: Array) -> StorageLocation:
        own = int(self.storage.class_of[maker])
        if self.storage.in_register[own]:
            return VirtualRegister(own, derivative=True)
        return self._element(f"da{own}", number, read)

    def _element(self, array: str, number: int, read: Array) -> Element:
        return Element(array, index_of(number, read, self.iterations, self.addresses))

    def _is_gathered(self, use: Use) -> bool:
        return use in self.definitions and self.definitions[use][0] in self.storage.gathers

    def _gather(self, use: Use, array: str) -> Gather:
        """The number of a table that an operand reads.

        Raises:
            NativeError: if its index is not an affine function of the reader's loop variables.
        """
        number, j = use
        tape = self.iterations.tape
        read, points = self.iterations.indices_of(use), self.iterations.points_of(number)
        first, row = (fit_affine(points, tape.index[read, k]) for k in range(2))
        columns = tape.constants[tape.index[read, 2]]
        if first is None or row is None or (columns != columns[0]).any():
            raise NativeError(
                f"operand {j} of instruction {number} of the loops has no affine index into a table"
            )
        return Gather(array, first, row, int(columns[0]))
