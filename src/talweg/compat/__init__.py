"""Other libraries' names for parts of talweg, so that a program needs another import line only."""
