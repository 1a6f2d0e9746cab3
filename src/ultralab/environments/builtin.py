"""The templates that ship with ultralab."""

from ultralab.environments.base import EnvironmentTemplate
from ultralab.kernel.language import N_

BASE = EnvironmentTemplate(
    name="base",
    version="1",
    summary=N_("A plain Python with pip and a notebook kernel: the ground for a new experiment."),
    python="3.12",
    conda=("pip", "ipykernel"),
    smoke_test="import ipykernel, pip",
)
