"""The passes: from one intermediate representation to the next, and the analyses that they use.

* `find_loops` recovers the loops of a tape (`roll`, `loop_stack`, `stride_detection`,
  `loop_rotation`); `dead_code` removes what some outputs do not need.
* `adjoint` reverses a loop program.
* `scheduling` gives every number a storage location. Its analyses: `iteration_map`,
  `reaching_definitions`, `storage`, `differentiation`, `saved_values`, `addresses`, `parallelism`;
  `locations` combines them.
* `use_def` finds definitions symbolically, for `explain`.
"""
