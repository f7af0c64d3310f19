"""Machine code: compiled, cached, loaded, and called."""
