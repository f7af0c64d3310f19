"""Learning rates: many runs side by side, one whose rate grows, and how large a rate may be."""
