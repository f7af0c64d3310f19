"""Compile a module that was built in a test, and call its functions."""

import ctypes

from talweg.compiler.runtime import llvm

CTYPES = {
    "void": None,
    "double": ctypes.c_double,
    "i64": ctypes.c_int64,
    "i1": ctypes.c_bool,
    "ptr": ctypes.c_void_p,
}


class NativeFunction:
    """A function of a module, compiled; addresses are given as arrays of ctypes or NumPy."""

    def __init__(self, function):
        self.library = llvm.compile(str(function.module))
        types = [CTYPES[str(t)] for t in (function.returns, *function.types)]
        self.call = ctypes.CFUNCTYPE(*types)(self.library.address(function.name))

    def __call__(self, *arguments):
        return self.call(*[a.ctypes.data if hasattr(a, "ctypes") else a for a in arguments])
