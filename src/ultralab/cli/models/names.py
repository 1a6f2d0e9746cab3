"""Words that name models on the command line: their completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click  # noqa: TC002 - the shell completion calls with its types
from click.shell_completion import CompletionItem

from ultralab.cli.frame import Request
from ultralab.cli.home import home_of

if TYPE_CHECKING:
    from ultralab.models import ModelRecord


def complete_ref(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names in the library, for the shell; what begins as a path is left to the shell."""
    if incomplete.startswith((".", "/", "~")):
        return [CompletionItem(incomplete, type="file")]
    return [CompletionItem(record.ref) for record in _known(context) if record.ref.startswith(incomplete)]


def complete_tag(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Tags in use, for the shell."""
    return sorted({tag for record in _known(context) for tag in record.tags if tag.startswith(incomplete)})


def _known(context: click.Context) -> tuple[ModelRecord, ...]:
    """The library's models; none where there is no library to be read."""
    from ultralab.app import open_lab
    from ultralab.kernel.errors import UltralabError
    from ultralab.models import records

    try:
        return records(open_lab(home_of(context.find_object(Request) or Request())).library)
    except UltralabError:
        return ()
