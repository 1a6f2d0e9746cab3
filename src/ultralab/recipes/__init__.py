"""The automation library: the seam of a recipe and the recipes that ship with ultralab."""

from ultralab.recipes.base import Recipe

__all__ = ["Recipe"]
