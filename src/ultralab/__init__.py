"""ultralab: a personal laboratory for large language models on one workstation."""

__version__ = "0.1.0"
