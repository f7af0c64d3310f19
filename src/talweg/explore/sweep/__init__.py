"""Many runs: which there are, how they are trained, and what became of them."""
