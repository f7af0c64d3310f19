"""The update of a training step: clip the gradient, apply the equation, test the result.

The equation is Python code for one parameter (`talweg.optim`). Run on `TracedNumber`s it appends
the instructions for a whole row of parameters: neighbouring parameters of one model, or one
parameter of several models. The loop over the rows is here and nowhere else.

`talweg.optimizer_step.finite_update` is the same for numbers of Python.

Start reading at `ParameterUpdate.append`.
"""

from __future__ import annotations

from collections.abc import Callable

from talweg.compiler.codegen.builder import Index
from talweg.compiler.codegen.lane_strategy import LaneStrategy
from talweg.compiler.codegen.operations import TracedNumber, name_of
from talweg.compiler.intrinsics.builder_protocol import Name
from talweg.errors import OperationError
from talweg.optimizer_step import Update


class ParameterUpdate:
    """Appends the update of all parameters.

    Args:
        lanes: what lanes hold; it knows the specification, the function and the memory.
        step: the number of the step, by which arrays are indexed.
        first: the optimiser's number of step 0.
    """

    def __init__(self, lanes: LaneStrategy, step: Index, first: Index) -> None:
        self.lanes = lanes
        self.spec = lanes.spec
        self.function = f = lanes.function
        self.rows = lanes.rows
        self.step = step
        self.number = self._traced(self.rows.broadcast(f.double_from_i64(f.iadd(first, step))))
        self.current, self.following = lanes.current(), lanes.following()
        self.gradient = lanes.arrays["gradient"]
        self.scale: Name | None = None

    def append(self) -> Name:
        """Clip the gradient, and write the next parameters and the next state.

        Returns:
            The mask of the models of which a derivative or a next parameter is not finite.
        """
        f, rows, lanes = self.function, self.rows, self.lanes
        if self.spec.clip_norm is not None:
            self.scale = lanes.spread(self.clip_factor(self.spec.clip_norm))
        equation = self.spec.update(tuple(map(self._setting, range(self.spec.settings))))
        failed = f.alloca(rows.mask_type)
        f.store(rows.mask_constant(False), failed, rows.mask_type)
        start = 0
        for k, end in enumerate(lanes.trained_rows()):
            rate = self._rate(k)

            def row(i: Name, start: int = start, rate: TracedNumber = rate) -> None:
                wrong = self.update_row(f.iadd(i, start), equation, rate)
                so_far = f.load(failed, rows.mask_type)
                f.store(rows.mask_or(so_far, wrong), failed, rows.mask_type)

            f.for_range(end - start, row)
            start = end
        return lanes.row_any(f.load(failed, rows.mask_type))

    def update_row(self, row: Index, equation: Update, rate: TracedNumber) -> Name:
        """The next parameters and state of a row.

        Returns:
            The mask of the parameters of which the derivative or the next value is not finite.
        """
        b, kept = self.rows, 1 + self.spec.state_size
        g = b.load(self.gradient.at(row).pointer)
        used = g if self.scale is None else b.mul(g, self.scale)
        state = [self._traced(b.load(self.current.at(n, row).pointer)) for n in range(1, kept)]
        before = b.load(self.current.at(0, row).pointer)
        moved, states = equation(
            self._traced(before), self._traced(used), tuple(state), rate, self.number
        )
        if 1 + len(states) != kept:
            raise OperationError(
                f"update() returned a state of {len(states)} numbers, but initial_state() has "
                f"{self.spec.state_size}; both must have the same length"
            )
        after = [name_of(b, x) for x in (moved, *states)]
        wrong = b.mask_or(b.not_finite(g), b.not_finite(after[0]))
        trained = self.lanes.trained_mask(row)
        if trained is not None:
            wrong = b.mask_and(wrong, trained)
            after[0] = b.select(trained, after[0], before)
        for n, x in enumerate(after):
            b.store(x, self.following.at(n, row).pointer)
        return wrong

    # ---- clipping -------------------------------------------------------------------------------

    def clip_factor(self, clip_norm: float) -> Name:
        """The factor that scales the gradient to `clip_norm`, a model value; 1 if it is shorter.

        The derivatives are divided by the largest of them, so that their squares are finite.
        """
        lanes, b, rows = self.lanes, self.lanes.values, self.rows
        limit, one = b.constant(clip_norm), b.constant(1.0)

        def larger(so_far: Name, g: Name) -> Name:
            return rows.select(rows.lt(so_far, rows.abs(g)), rows.abs(g), so_far)

        largest = lanes.row_max(self.fold_gradient(larger))
        inverse = lanes.spread(b.div(one, largest))

        def add_square(so_far: Name, g: Name) -> Name:
            part = rows.mul(g, inverse)
            return rows.add(so_far, rows.mul(part, part))

        squares = lanes.row_sum(self.fold_gradient(add_square))
        length = b.mul(largest, b.sqrt(squares))
        return b.select(b.lt(limit, length), b.div(limit, length), one)

    def fold_gradient(self, combine: Callable[[Name, Name], Name]) -> Name:
        """A row that combines all trained rows of the gradient, from a row of zeros."""
        f, b = self.function, self.rows
        total = f.alloca(b.number_type)
        b.store(b.constant(0.0), total)

        def row(k: Name) -> None:
            g, trained = b.load(self.gradient.at(k).pointer), None
            if self.spec.trained < self.spec.parameters:
                trained = self.lanes.trained_mask(k)
            if trained is not None:
                g = b.select(trained, g, b.constant(0.0))
            b.store(combine(b.load(total), g), total)

        f.for_range(self.lanes.trained_rows()[-1], row)
        return b.load(total)

    # ---- numbers of the equation ----------------------------------------------------------------

    def _traced(self, row: Name) -> TracedNumber:
        return TracedNumber(self.rows, row)

    def _rate(self, k: int) -> TracedNumber:
        """The learning rate of range k of the parameters."""
        step = self.step if self.spec.scheduled else 0
        return self._traced(self._spread("rates", step, k))

    def _setting(self, k: int) -> Setting:
        return Setting(self.rows, self._spread("settings", k))

    def _spread(self, name: str, *indices: Index) -> Name:
        """A row of the model value that is an entry of an array."""
        entry = self.lanes.arrays[name].at(self.lanes.lane_batch, *indices)
        return self.lanes.spread(self.lanes.values.load(entry.pointer))


class Setting(TracedNumber):
    """A setting of the optimiser that differs from model to model, and is zero for none of them.

    So `if self.momentum:` in an optimiser's equation is true.
    """

    __slots__ = ()

    def __bool__(self) -> bool:
        return True
