"""Sensors, one module each; registered as entry points in ``ultralab.samplers``."""
