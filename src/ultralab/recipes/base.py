"""The seam of a recipe: a named sequence of ultralab commands that does a common chore."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """A chore. ``steps`` are argument vectors for the ``ultralab`` command; ``{name}`` stands for a parameter.

    Registered as an entry point in ``ultralab.recipes`` whose object is one of these.
    """

    name: str
    summary: str
    parameters: tuple[str, ...]
    steps: tuple[tuple[str, ...], ...]
