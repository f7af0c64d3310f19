"""Learning rates: sweeps, range tests, trainability maps, and the largest stable rate."""
