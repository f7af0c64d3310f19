"""The compiler: a scalar function becomes loops, and loops become machine code.

The stages, in order. Each has a printer, and a verifier or a reference interpreter:

    frontend/     a Python function and its arguments       -> Trace, Tape
    ir/           Tape, loop Program, ScheduledProgram: types, printers, verifiers, interpreters
    passes/       find loops, schedule, adjoint             -> Program, ScheduledProgram
    codegen/      scheduled programs, and tables of operations, as LLVM IR
    intrinsics/   exp, log, sin, ... as instructions, for codegen
    runtime/      LLVM, its object code on disk, and the objects that call native functions

    pipeline.py           the driver: calls the stages one after the other
    specialization.py     one traced function, compiled, whose results are Values
    paths.py              which program serves a call of a function that branches on numbers
    differentiation.py    the compiled programs of derivatives, for the calls of one signature
    derivative_matrix.py  Jacobians and Hessians, sparse where the program is

The public functions are in `jit.py` (`tw.jit`), `derivatives.py` (`tw.grad`, `tw.hessian`, ...)
and `explain.py` (`tw.explain`). Start reading at `pipeline.py`.
"""
