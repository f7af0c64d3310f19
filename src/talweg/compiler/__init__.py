"""The compiler: scalar code in, loops out, machine code.

Its stages in order, each a file, each printable, each with a verifier or a slow interpreter
that says what it means:

    trace.py      run the function once and read off what it computed   -> Trace
    tape.py       the flat list of operations                           -> Tape
    roll.py       find the loops that it always was                     -> terms
    loops.py      nested loops with affine indices                      -> Program
    adjoint.py    the loops run backward                                -> steps
    schedule.py   which number lives in a register, which in memory     -> Code (code.py)
    check.py      the verifier of scheduled code
    lower.py      the code as LLVM IR, for one sample or for many       -> text
    native.py     machine code, kept on disk                            -> Library

What does not roll runs as a table (table.py). The doors for the rest of the package:

    function.py      tw.jit              derivatives.py   tw.grad, tw.hessian, ...
    compiled.py      a tape as native functions           explain.py   tw.explain
    trainer.py       whole training steps (steps.py)
"""
