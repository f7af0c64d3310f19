"""Learning rates: many runs side by side, what became of each, and how large a rate may be."""
