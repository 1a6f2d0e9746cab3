"""An environment template."""

from ultralab.environments.base import EnvironmentTemplate

TEMPLATE = EnvironmentTemplate(
    name="words",
    version="1",
    summary="Python for working with lists of words.",
    python="3.12",
    pypi=("regex",),
    smoke_test="import regex",
)
