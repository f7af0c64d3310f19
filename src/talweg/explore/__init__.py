"""Learning-rate exploration: many runs side by side, and what became of each."""
