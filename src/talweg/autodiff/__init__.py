"""Automatic differentiation: operations, the backward pass, derivatives as Values."""
