"""``ultralab completion``."""

from __future__ import annotations

import json
from typing import Final

import click
from click.shell_completion import BashComplete, get_completion_class

from ultralab.cli.frame import Command, Request
from ultralab.kernel.language import _

# Bash takes ``name:variant`` and ``--option=value`` for three words (COMP_WORDBREAKS) and replaces the last one only: put
# together what stands together on the line, and answer with what is behind the last colon.
_BASH: Final = r"""%(complete_func)s() {
    local response completion type value word before last rest=$COMP_LINE words=() i

    for ((i = 0; i <= COMP_CWORD; i++)); do
        word=${COMP_WORDS[i]} before=$rest
        [[ -n $word ]] && before=${rest%%%%"$word"*}
        rest=${rest:$((${#before} + ${#word}))}
        if ((i > 0)) && [[ -z $before && ($word == [:=]* || ${words[-1]} == *[:=]) ]]; then
            words[-1]+=$word
        else
            words+=("$word")
        fi
    done
    last=${words[-1]}

    local IFS=$'\n'
    response=$(env COMP_WORDS="${words[*]}" COMP_CWORD=$((${#words[@]} - 1)) %(complete_var)s=bash_complete $1)
    for completion in $response; do
        IFS=',' read -r type value <<< "$completion"
        case $type in
            dir) COMPREPLY=(); compopt -o dirnames ;;
            file) COMPREPLY=(); compopt -o default ;;
            plain)
                [[ $COMP_WORDBREAKS == *:* ]] && value=${value#"${last%%"${last##*:}"}"}
                COMPREPLY+=("$value")
                ;;
        esac
    done
    return 0
}

%(complete_func)s_setup() {
    complete -o nosort -F %(complete_func)s %(prog_name)s
}

%(complete_func)s_setup;
"""


class _Bash(BashComplete):
    source_template = _BASH


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
    found = _Bash if shell == "bash" else get_completion_class(shell)
    assert found is not None
    root = context.find_root()
    script = found(root.command, {}, "ultralab", "_ULTRALAB_COMPLETE").source()
    request = root.ensure_object(Request)
    click.echo(json.dumps({"shell": shell, "script": script}) if request.json else script)
