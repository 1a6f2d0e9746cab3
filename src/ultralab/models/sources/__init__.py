"""Where models come from, one module each; registered as entry points in ``ultralab.model_sources``."""
