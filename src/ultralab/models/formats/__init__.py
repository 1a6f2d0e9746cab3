"""Model file formats, one module each; registered as entry points in ``ultralab.model_formats``."""
