"""Training: the loop around every run, its executors, and what is recorded."""
