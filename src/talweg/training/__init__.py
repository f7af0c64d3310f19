"""Training: the objective, the loop, its executors, and the record of a run."""
