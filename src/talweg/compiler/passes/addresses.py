"""Array addresses: where the numbers of a storage class are in its array, and the indices of it.

The numbers of a class are stored in the order in which they are computed. The index of a reader
or a writer is then nearly always an affine function of its loop variables; it is found by
fitting one to the enumerated addresses. In loops whose trip count varies the order of computation
is not affine; there a class with a single writer is stored in the bounding box of its iteration
space instead. A program for which no affine index exists cannot be scheduled; it can run as a
table of operations.

Start reading at `assign_addresses`, then `index_of`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from talweg.autodiff.operation import OPERANDS
from talweg.compiler.ir.affine import Affine, fit_affine
from talweg.compiler.ir.scheduled_program import Element
from talweg.compiler.ir.tape import Array
from talweg.compiler.passes.differentiation import DifferentiationFlow
from talweg.compiler.passes.iteration_map import IterationMap, Use
from talweg.compiler.passes.saved_values import SavedValues
from talweg.compiler.passes.storage import Storage
from talweg.errors import NativeError


@dataclass(frozen=True, eq=False)
class Addresses:
    """The arrays of a scheduled program.

    Attributes:
        of_result: for each operation of the tape its result's address in the array of its
            class; -1 where the class has no array, shape (n,).
        classes: the classes that have an array: `a` and the number of the class, and `da` and
            the number for the derivatives by it.
        saved: for each operand that its reader saves, the element.
        sizes: the size of each array, by name.
    """

    of_result: Array
    classes: frozenset[int]
    saved: Mapping[Use, Element]
    sizes: Mapping[str, int]


def assign_addresses(
    iterations: IterationMap, storage: Storage, flow: DifferentiationFlow, saved: SavedValues
) -> Addresses:
    """Arrays for the classes outside registers, and for what is saved for the adjoint.

    Args:
        iterations: the enumerated program.
        storage: the storage classes.
        flow: which instructions have an adjoint.
        saved: what the adjoint needs in arrays.
    """
    of_result = np.full(len(iterations.tape), -1)
    sizes: dict[str, int] = {}
    classes = [own for own in _classes(storage) if _needs_array(own, storage, saved)]
    for own in classes:
        positions, addresses, size = _class_addresses(own, iterations, storage)
        of_result[positions] = addresses
        sizes[f"a{own}"] = size
        if not storage.in_register[own] and flow.has_adjoint[own]:
            sizes[f"da{own}"] = size
    elements = {}
    for number, j in saved.operands:
        name = f"s{number}{OPERANDS[j]}"
        addresses, size = _instruction_addresses(iterations.points_of(number))
        sizes[name] = size
        elements[number, j] = Element(name, _fitted(number, addresses, iterations))
    return Addresses(of_result, frozenset(classes), elements, sizes)


def index_of(number: int, read: Array, iterations: IterationMap, addresses: Addresses) -> Affine:
    """The index at which an instruction reads or writes results in the array of their class.

    Args:
        number: the instruction.
        read: the results, one for each of its iterations, in order.
        iterations: the enumerated program.
        addresses: the addresses of all results.

    Raises:
        NativeError: if it is not an affine function of the instruction's loop variables.
    """
    return _fitted(number, addresses.of_result[read], iterations)


def _fitted(number: int, addresses: Array, iterations: IterationMap) -> Affine:
    index = fit_affine(iterations.points_of(number), addresses)
    if index is None:
        raise NativeError(
            f"instruction {number} of the loops ({iterations.instructions[number].op.name}) has no "
            "affine index into an array"
        )
    return index


def _classes(storage: Storage) -> list[int]:
    return [own for own in np.unique(storage.class_of).tolist() if own not in storage.gathers]


def _needs_array(own: int, storage: Storage, saved: SavedValues) -> bool:
    is_saved = own in saved.classes and not storage.is_written_once(own)
    return is_saved or not storage.in_register[own]


def _class_addresses(
    own: int, iterations: IterationMap, storage: Storage
) -> tuple[Array, Array, int]:
    """The results of a class, their addresses, and the size of the array."""
    members = np.flatnonzero(storage.class_of == own).tolist()
    if len(members) == 1:
        return iterations.positions[own], *_instruction_addresses(iterations.points_of(own))
    positions = np.sort(np.concatenate([iterations.positions[member] for member in members]))
    return positions, np.arange(len(positions)), len(positions)


def _instruction_addresses(points: Array) -> tuple[Array, int]:
    """Addresses for one number an iteration, and the size of the array.

    Args:
        points: the iterations in order, shape (m, depth).

    Returns:
        Consecutive addresses if these are affine, else those in the bounding box.
    """
    in_order = np.arange(len(points))
    if fit_affine(points, in_order) is not None:
        return in_order, len(points)
    sides = points.max(axis=0) + 1
    strides = np.append(np.cumprod(sides[:0:-1])[::-1], 1)
    return points @ strides, int(np.prod(sides))
