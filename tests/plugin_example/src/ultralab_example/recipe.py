"""A recipe."""

from ultralab.recipes.base import Recipe

RECIPE = Recipe(
    name="try_words",
    summary="Get a list of words and show it.",
    parameters=("list",),
    steps=(("models", "pull", "wordlist:{list}"), ("models", "show", "{list}")),
)
