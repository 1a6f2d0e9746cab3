"""``ultralab completion``."""

from __future__ import annotations

import json

import click
from click.shell_completion import get_completion_class

from ultralab.cli.frame import Command, Request
from ultralab.kernel.language import _


@click.command(
    cls=Command,
    help=_("Print the completion script for a shell; add it to the shell's start-up file."),
    examples=(
        'eval "$(ultralab completion bash)"      # ~/.bashrc',
        'eval "$(ultralab completion zsh)"       # ~/.zshrc',
        "ultralab completion fish > ~/.config/fish/completions/ultralab.fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a completion script."""
    found = get_completion_class(shell)
    assert found is not None
    root = context.find_root()
    script = found(root.command, {}, "ultralab", "_ULTRALAB_COMPLETE").source()
    request = root.ensure_object(Request)
    click.echo(json.dumps({"shell": shell, "script": script}) if request.json else script)
