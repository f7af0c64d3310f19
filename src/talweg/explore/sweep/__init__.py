"""Sweeps: many training runs, and their results."""
