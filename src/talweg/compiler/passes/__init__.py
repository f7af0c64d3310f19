"""The transformations between intermediate representations."""
