"""Experiment files that ship with ultralab, and the texts they use (written for this project)."""
