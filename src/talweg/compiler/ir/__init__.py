"""The intermediate representations: data types, printers, verifiers, reference interpreters.

In order of compilation: `tape` (a flat list of operations), `loop_program` (nested loops),
`adjoint_program` (their operations in reverse order), `scheduled_program` (loops over registers
and arrays). `affine` has the indices of all of them.
"""
