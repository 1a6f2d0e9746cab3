"""The seam of an environment template. Creating environments is a later room's verb; the shape is fixed here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class EnvironmentTemplate:
    """A recipe for an isolated environment: conda and PyPI requirements, and a smoke test that runs inside it.

    Registered as an entry point in ``ultralab.environment_templates`` whose object is one of these.
    ``smoke_test`` is Python source: it exits 0 where the environment works.
    """

    name: str
    version: str
    summary: str
    python: str
    conda: tuple[str, ...] = ()
    pypi: tuple[str, ...] = ()
    smoke_test: str = ""
