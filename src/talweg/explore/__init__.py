"""Learning-rate exploration: many runs side by side, or one whose rate grows, with verdicts."""
