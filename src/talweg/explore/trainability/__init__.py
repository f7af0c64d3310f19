"""Trainability maps: which runs converge, over a plane of two settings."""
