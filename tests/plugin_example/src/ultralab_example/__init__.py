"""A package that adds one of everything to ultralab."""
