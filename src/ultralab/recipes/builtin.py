"""The recipes that ship with ultralab."""

from ultralab.kernel.language import N_
from ultralab.recipes.base import Recipe

MODEL_QUESTION = Recipe(
    name="pull_and_measure",
    summary=N_("Get a model and run an experiment file that measures it."),
    parameters=("model", "experiment"),
    steps=(("models", "pull", "{model}"), ("experiments", "run", "{experiment}")),
)
