"""From a reference to a model in the library: which files, what it means, doing it."""
