"""Maps of two settings: which runs converge, as a picture that can be looked at closer."""
