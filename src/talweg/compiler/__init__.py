"""The compiler: scalar code in, loops out.

Its stages in order, each a file, each printable, each with a verifier and a slow
interpreter that says what it means:

    trace.py    run the function once and read off what it computed      -> Trace
    tape.py     the flat list of operations                              -> Tape
    roll.py     find the loops that it always was                        -> terms
    loops.py    nested loops with affine indices                         -> Program
    links.py    which instruction each reference reads
    explain.py  the loops as text

What follows in the design (adjoint, schedule, lower, native) is not in this version: so far
the loops can be looked at (`tw.explain`), not yet run.
"""
