"""``ultralab plan``. Each command is in a module of its own, imported when it is used."""

from __future__ import annotations

from typing import Final

import click

from ultralab.cli.frame import Group
from ultralab.kernel.language import N_, _

_COMMANDS: Final = {
    "show": (
        "ultralab.cli.plan.showing:show_",
        N_("Say what a model would take and how fast it would be, from its header alone."),
    ),
    "advise": (
        "ultralab.cli.plan.advising:advise",
        N_("Compare quantizations, contexts and engines of a model, and choose."),
    ),
    "fits": ("ultralab.cli.plan.advising:fits", N_("The well-known large models, ranked for a machine.")),
    "machines": ("ultralab.cli.plan.places:machines", N_("The machines that can be planned for.")),
    "limits": ("ultralab.cli.plan.places:limits", N_("What models may take here, who holds it, how to raise it.")),
    "calibrate": (
        "ultralab.cli.plan.calibrating:calibrate",
        N_("Measure this machine, so that predictions are about it."),
    ),
}


@click.group(
    cls=Group,
    entries=_COMMANDS,
    help=_("The planner: what fits, and how fast it will be, before anything is downloaded."),
    examples=(
        "ultralab plan show hf:unsloth/DeepSeek-R1-GGUF:Q4_K_M --machine m3-ultra-512",
        "ultralab plan advise hf:Qwen/Qwen3-235B-A22B-GGUF:Q4_K_M",
        "ultralab plan fits --machine m3-ultra-512",
        "ultralab plan calibrate",
    ),
)
def plan() -> None:
    """The planner."""
