"""The builder's former names, until sample_lanes.py and model_lanes.py use `builder.py`."""

from __future__ import annotations

from talweg.compiler.codegen.builder import FunctionBuilder, Module, Type
from talweg.compiler.codegen.number_builder import NumberBuilder
from talweg.compiler.codegen.operations import TracedNumber as Symbol
from talweg.compiler.intrinsics.builder_protocol import Name

__all__ = ["Emitter", "Function", "Symbol"]


class Function(FunctionBuilder):
    """A function whose first line is given as text."""

    def __init__(self, module: Module, head: str) -> None:
        super().__init__(module, "", [])
        self._head = head
        self.new = self.value
        self.put = self.effect
        self.label = self.new_block
        module.functions.append(self)

    def allocate(self, kind: Type | str, align: int = 8) -> Name:
        """Memory on the stack."""
        return self.alloca(Type(str(kind), 0), align=align)


class Emitter(NumberBuilder):
    """The former name of `NumberBuilder`."""

    def __init__(self, function: FunctionBuilder, lanes: int = 1, flags: str = "") -> None:
        super().__init__(function, lanes, strict=not flags)
        self.both = self.mask_and
        self.either = self.mask_or
        self.opposite = self.mask_not
