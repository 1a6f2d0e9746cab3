"""Isolated environments: the seam of a template and the templates that ship with ultralab."""

from ultralab.environments.base import EnvironmentTemplate

__all__ = ["EnvironmentTemplate"]
